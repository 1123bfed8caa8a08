//! Searches that go by many members, slice by slice: what `search` does at once.

use std::ops::Range;

use super::options::{Options, Order};
use super::search::{Shown, compare, order};
use super::zset::slices::build;
use crate::base::merge_sort::MergeSort;
use crate::base::partial_sort::PartSort;
use crate::resp::reply::Reply;
use crate::server::jobs::{Job, Slice, Step, Work};
use crate::store::types::ZSet;
use crate::store::types::geo::{Point, Search};
use crate::store::types::zset::{Gathering, Limits, Sorter};

/// What a search has found to be stored.
#[derive(Debug)]
pub(super) struct Stored {
    pub target: Box<[u8]>,
    pub result: ZSet,
    /// How many members that are.
    pub found: usize,
}

/// A member inside of the area.
#[derive(Clone, Copy, Debug)]
struct Hit {
    rank: usize,
    score: f64,
    /// In metres.
    distance: f64,
}

/// A search under way.
#[derive(Debug)]
pub(super) struct Searching {
    key: Box<[u8]>,
    search: Search,
    order: Option<Order>,
    /// Results at most.
    count: usize,
    /// Any results will do.
    any: bool,
    shown: Shown,
    /// The key to store to, and whether distances are stored.
    store: Option<(Box<[u8]>, bool)>,
    limits: Limits,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Members are looked at: those of these ranks, the first range first.
    Look { ranks: Vec<Range<usize>>, index: usize, hits: Vec<Hit> },
    /// Those inside are put in order.
    Sort(MergeSort<Hit>),
    /// Some of them are.
    SortPart(Vec<Hit>, PartSort<Hit>),
    /// They are answered or gathered, from this one on.
    Show { hits: MergeSort<Hit>, done: usize, gathered: Gathering },
    /// They are made a sorted set.
    Build(Sorter),
}

impl Searching {
    /// Searches the members of these ranks.
    pub fn new(
        key: &[u8],
        search: Search,
        ranks: Vec<Range<usize>>,
        options: &Options<'_>,
        shown: Shown,
        store: Option<(Box<[u8]>, bool)>,
        limits: Limits,
    ) -> Searching {
        let (order, count, any) = (order(options), options.count.unwrap_or(usize::MAX), options.any);
        let all: usize = ranks.iter().map(Range::len).sum();
        let hits = Vec::with_capacity(if any { all.min(count) } else { all });
        let stage = Stage::Look { ranks, index: 0, hits };
        Searching { key: key.into(), search, order, count, any, shown, store, limits, stage }
    }

    /// What follows when all are found.
    fn sort(&self, hits: Vec<Hit>) -> Stage {
        match self.order {
            None => self.show(MergeSort::sorted(hits)),
            Some(_) if self.count < hits.len() => {
                let sort = PartSort::new(hits.len(), 0..self.count);
                Stage::SortPart(hits, sort)
            }
            Some(_) => Stage::Sort(MergeSort::new(hits)),
        }
    }

    /// What follows when they are in order.
    fn show(&self, hits: MergeSort<Hit>) -> Stage {
        let mut gathered = Gathering::new(self.limits.hasher);
        if self.store.is_some() {
            gathered.reserve(hits.items().len().min(self.count));
        }
        Stage::Show { hits, done: 0, gathered }
    }

    /// Goes on as long as the slice lasts; `None` when there is no more to do.
    fn go_on(&mut self, zset: &ZSet, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> Step {
        loop {
            let by = self.order.unwrap_or(Order::Nearest);
            let compare = |a: &Hit, b: &Hit| compare(by, a.distance, b.distance);
            let limit = if self.any { self.count } else { usize::MAX };
            self.stage = match &mut self.stage {
                Stage::Look { ranks, index, hits } => {
                    if !look(zset, &self.search, (ranks, index, hits), limit, slice) {
                        return Step::More;
                    }
                    let hits = std::mem::take(hits);
                    self.sort(hits)
                }
                Stage::Sort(sort) => {
                    if !sort.go_on(compare, |moved| slice.spend(moved, 0)) {
                        return Step::More;
                    }
                    let hits = std::mem::replace(sort, MergeSort::new(Vec::new()));
                    self.show(hits)
                }
                Stage::SortPart(hits, sort) => {
                    if !sort.go_on(hits, compare, |looked_at| slice.spend(looked_at, 0)) {
                        return Step::More;
                    }
                    let hits = std::mem::take(hits);
                    self.show(MergeSort::sorted(hits))
                }
                Stage::Show { hits, done, gathered } => {
                    let hits = &hits.items()[..hits.items().len().min(self.count)];
                    if *done == 0 && self.store.is_none() {
                        reply.array(hits.len());
                    }
                    while let Some(&Hit { rank, score, distance }) = hits.get(*done) {
                        let Some((member, _)) = zset.get(rank) else { return Step::Lost };
                        match self.store {
                            None => self.shown.write(reply, member, score, distance),
                            Some((_, distances)) => {
                                let score = if distances { distance / self.shown.unit } else { score };
                                gathered.push(member.text(&mut itoa::Buffer::new()), score);
                            }
                        }
                        *done += 1;
                        if !slice.spend(1, member.len()) {
                            break;
                        }
                    }
                    if *done < hits.len() {
                        return Step::More;
                    }
                    if self.store.is_none() {
                        return Step::Answered;
                    }
                    let gathered = std::mem::replace(gathered, Gathering::new(self.limits.hasher));
                    Stage::Build(Sorter::new(gathered))
                }
                Stage::Build(sorter) => {
                    let found = sorter.len();
                    let Some(result) = build(sorter, &self.limits, slice) else { return Step::More };
                    let target = self.store.take().map(|(target, _)| target).unwrap_or_default();
                    return Step::Gathered(Box::new(Stored { target, result, found }));
                }
            };
            if slice.left() == 0 {
                return Step::More;
            }
        }
    }
}

/// Looks at members, for those inside of the area. True at the end.
fn look(
    zset: &ZSet,
    search: &Search,
    (ranks, index, hits): (&mut [Range<usize>], &mut usize, &mut Vec<Hit>),
    limit: usize,
    slice: &mut Slice<'_>,
) -> bool {
    while let Some(range) = ranks.get_mut(*index) {
        for (_, score) in zset.iter(range.clone()) {
            if let Some(distance) = search.distance(Point::of_score(score)) {
                hits.push(Hit { rank: range.start, score, distance });
            }
            range.start += 1;
            if hits.len() >= limit {
                return true;
            }
            if !slice.spend(1, 0) {
                return false;
            }
        }
        *index += 1;
    }
    true
}

impl Job for Searching {
    fn step(&mut self, work: &mut Work<'_>) -> Step {
        let Work { server, reply, slice, db } = work;
        let entry = server.dbs[*db].peek(&self.key);
        let Some(zset) = entry.and_then(|entry| entry.into_collection::<ZSet>()) else { return Step::Lost };
        self.go_on(&zset, reply, slice)
    }
}
