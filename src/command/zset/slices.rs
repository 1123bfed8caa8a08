//! Unions, intersections and differences of large sorted sets, slice by slice: what `combine` does at once. And how what was
//! gathered becomes a large sorted set, for whoever stores one.

use std::cell::Cell;

use super::combine::{Aggregate, Operation, Purpose, or_zero};
use super::source::{self, Source};
use super::{open_entries, write_entry};
use crate::command::long::Meter;
use crate::resp::reply::Reply;
use crate::server::jobs::{Job, Slice, Step, Work};
use crate::store::types::zset::{Gathering, Limits, Sorter, ZSet};

/// Makes a sorted set of what was gathered, until the slice is over; `None` while there is more to do.
pub(in crate::command) fn build(sorter: &mut Sorter, limits: &Limits, slice: &mut Slice<'_>) -> Option<ZSet> {
    let is_built = sort(sorter, slice) && sorter.build(|added| slice.spend(added, 0));
    is_built.then(|| sorter.take(limits))
}

fn sort(sorter: &mut Sorter, slice: &mut Slice<'_>) -> bool {
    sorter.sort(|moved| slice.spend(moved, 0)) && slice.left() > 0
}

/// What is combined, and how.
#[derive(Debug)]
pub(super) struct Plan {
    pub operation: Operation,
    pub purpose: Purpose,
    pub aggregate: Aggregate,
    /// Scores are answered.
    pub scores: bool,
    /// Members to count at most; 0 for all.
    pub limit: usize,
    /// The inputs that are there and the factors of their scores, in the order in which they are gone by.
    pub inputs: Vec<(Box<[u8]>, f64)>,
}

/// A combination under way.
#[derive(Debug)]
pub(super) struct Combining {
    plan: Plan,
    limits: Limits,
    stage: Stage,
    found: usize,
}

#[derive(Debug)]
enum Stage {
    Gather {
        /// The input that is gone by, of a union; of others it is the first.
        index: usize,
        /// Where that goes on.
        place: u64,
        result: Gathering,
    },
    /// What was gathered is put in order, and what is stored is made a sorted set.
    Sort(Sorter),
    /// It is answered, from this rank on.
    Answer(Sorter, usize),
}

impl Combining {
    pub fn new(plan: Plan, members_max: usize, limits: Limits) -> Combining {
        let mut result = Gathering::new(limits.hasher);
        if plan.purpose != Purpose::Count {
            result.reserve(members_max);
        }
        Combining { plan, limits, stage: Stage::Gather { index: 0, place: 0, result }, found: 0 }
    }

    /// Adds the members of one input after the other. True at the end.
    fn unite(&mut self, sources: &[Source<'_>], slice: &mut Slice<'_>) -> bool {
        let (Stage::Gather { index, place, result }, aggregate) = (&mut self.stage, self.plan.aggregate) else {
            return true;
        };
        let meter = Meter::default();
        while let (Some(source), Some((_, weight))) = (sources.get(*index), self.plan.inputs.get(*index)) {
            let show = |member: &[u8], score: f64| {
                meter.count(member.len());
                result.merge(member, or_zero(aggregate.weigh(*weight, score)), |sum, score| aggregate.of(sum, score));
            };
            match source.read_on(*place, show, || meter.spend(slice)) {
                Some(next) => {
                    *place = next;
                    return false;
                }
                None => (*index, *place) = (*index + 1, 0),
            }
            if !meter.spend(slice) && *index < sources.len() {
                return false;
            }
        }
        true
    }

    /// Goes by the first input, looking for its members in the others. True at the end.
    fn look_up(&mut self, sources: &[Source<'_>], slice: &mut Slice<'_>) -> bool {
        let Stage::Gather { place, result, .. } = &mut self.stage else { return true };
        let Plan { operation, purpose, aggregate, limit, ref inputs, .. } = self.plan;
        let Some((first, others)) = sources.split_first() else { return true };
        let weights: Vec<f64> = inputs.iter().map(|(_, weight)| *weight).collect();
        let limit = if limit == 0 { usize::MAX } else { limit };
        let (meter, found) = (Meter::default(), Cell::new(self.found));
        let show = |member: &[u8], score: f64| {
            meter.count_all(1 + others.len(), member.len());
            let score = match operation {
                Operation::Inter => {
                    let mut weighed = others.iter().zip(&weights[1..]);
                    weighed.try_fold(or_zero(aggregate.weigh(weights[0], score)), |sum, (other, weight)| {
                        Some(aggregate.of(sum, aggregate.weigh(*weight, other.score(member)?)))
                    })
                }
                _ => others.iter().all(|other| other.score(member).is_none()).then_some(score),
            };
            let Some(score) = score.filter(|_| found.get() < limit) else { return };
            found.set(found.get() + 1);
            if purpose != Purpose::Count {
                result.push(member, score);
            }
        };
        let next = first.read_on(*place, show, || meter.spend(slice) && found.get() < limit);
        *place = next.unwrap_or(0);
        self.found = found.get();
        next.is_none() || self.found >= limit
    }
}

/// Answers what is in order, from a rank on. True at the end.
fn answer(sorter: &Sorter, rank: &mut usize, scores: bool, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
    if *rank == 0 {
        open_entries(reply, sorter.len(), scores);
    }
    for entry in sorter.iter_from(*rank) {
        write_entry(reply, entry, scores);
        *rank += 1;
        if !slice.spend(1, entry.0.len()) {
            break;
        }
    }
    *rank == sorter.len()
}

impl Job for Combining {
    fn step(&mut self, work: &mut Work<'_>) -> Step {
        let Work { server, reply, slice, db } = work;
        if matches!(self.stage, Stage::Gather { .. }) {
            let keys = self.plan.inputs.iter().map(|(key, _)| &**key);
            let Some(sources) = source::held(&server.dbs[*db], keys) else { return Step::Lost };
            let is_over = match self.plan.operation {
                Operation::Union => self.unite(&sources, slice),
                Operation::Inter | Operation::Diff => self.look_up(&sources, slice),
            };
            if !is_over {
                return Step::More;
            }
            if self.plan.purpose == Purpose::Count {
                reply.integer(self.found as i64);
                return Step::Answered;
            }
            if let Stage::Gather { result, .. } = &mut self.stage {
                let result = std::mem::replace(result, Gathering::new(self.limits.hasher));
                self.stage = Stage::Sort(Sorter::new(result));
            }
        }
        if let Stage::Sort(sorter) = &mut self.stage {
            if self.plan.purpose == Purpose::Store {
                return match build(sorter, &self.limits, slice) {
                    Some(zset) => Step::Gathered(Box::new(zset)),
                    None => Step::More,
                };
            }
            if !sort(sorter, slice) {
                return Step::More;
            }
            let sorter = std::mem::replace(sorter, Sorter::new(Gathering::new(self.limits.hasher)));
            self.stage = Stage::Answer(sorter, 0);
        }
        let Stage::Answer(sorter, rank) = &mut self.stage else { return Step::Lost };
        if answer(sorter, rank, self.plan.scores, reply, slice) { Step::Answered } else { Step::More }
    }
}

/// The members of a range of ranks as a sorted set of their own.
#[derive(Debug)]
pub(super) struct CopyingRange {
    key: Box<[u8]>,
    left: std::ops::Range<usize>,
    limits: Limits,
    gathered: Gathering,
    sorter: Option<Sorter>,
}

impl CopyingRange {
    pub fn new(key: &[u8], ranks: std::ops::Range<usize>, limits: Limits) -> CopyingRange {
        let mut gathered = Gathering::new(limits.hasher);
        gathered.reserve(ranks.len());
        CopyingRange { key: key.into(), left: ranks, limits, gathered, sorter: None }
    }
}

impl Job for CopyingRange {
    fn step(&mut self, work: &mut Work<'_>) -> Step {
        let Work { server, slice, db, .. } = work;
        if self.sorter.is_none() {
            let entry = server.dbs[*db].peek(&self.key);
            let Some(zset) = entry.and_then(|entry| entry.into_collection::<ZSet>()) else { return Step::Lost };
            let mut digits = itoa::Buffer::new();
            for (member, score) in zset.iter(self.left.clone()) {
                self.gathered.push(member.text(&mut digits), score);
                self.left.start += 1;
                if !slice.spend(1, member.len()) {
                    break;
                }
            }
            if !self.left.is_empty() {
                return Step::More;
            }
            let gathered = std::mem::replace(&mut self.gathered, Gathering::new(self.limits.hasher));
            self.sorter = Some(Sorter::sorted(gathered));
        }
        match self.sorter.as_mut().and_then(|sorter| build(sorter, &self.limits, slice)) {
            Some(zset) => Step::Gathered(Box::new(zset)),
            None => Step::More,
        }
    }
}
