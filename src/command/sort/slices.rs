//! SORT of a large collection, slice by slice: what the handler does at once.
//!
//! The keys that BY and GET lead to are known only one by one, so while there is such a pattern the job holds its whole
//! database against writers. What falls due meanwhile, or is evicted, leaves in time all the same, and leads nowhere then.

use super::texts::Texts;
use super::{Options, Weights, push, write};
use crate::base::merge_sort::MergeSort;
use crate::command::list;
use crate::command::long::Meter;
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::ReplyError;
use crate::server::Server;
use crate::server::jobs::{Job, Slice, Step, Work};
use crate::store::db::Moment;
use crate::store::pack::Item;
use crate::store::types::list::List;
use crate::store::types::{Object, Type};

/// A sorting under way.
#[derive(Debug)]
pub(super) struct Sorting {
    args: OwnedArgs,
    type_of: Type,
    /// The moment at which the command began.
    at: Moment,
    /// Patterns lead to other keys.
    follows: bool,
    elements: Texts,
    weights: Weights,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Elements are copied: behind the index, the rank or the place that the last slice came to.
    Gather(u64),
    /// What elements are ordered by is looked up; the indexes of those of which it was.
    Weigh(Vec<usize>),
    /// The indexes are put in order.
    Sort(MergeSort<usize>),
    /// What is asked for is answered or added to the list: how many elements are done with, of the indexes in order, or of all.
    Show { sort: Option<MergeSort<usize>>, done: usize, list: List },
}

impl Sorting {
    /// Sorts what the line's key holds, which are so many elements, as the adapted options say.
    pub fn new(args: Args<'_>, at: Moment, type_of: Type, len: usize, options: &Options<'_>) -> Sorting {
        Sorting {
            args: OwnedArgs::copy(args),
            type_of,
            // Lookups leave what is due where it is: this is no place to tell of what they change.
            at: at.without_hash().keeping_due(),
            follows: options.follows(),
            elements: Texts::with_capacity(len),
            weights: Weights::new(options, len),
            stage: Stage::Gather(0),
        }
    }
}

/// Copies elements from a place on. The place to go on from, or `None` at the end.
fn gather(object: &Object, place: u64, elements: &mut Texts, slice: &mut Slice<'_>) -> Option<u64> {
    let (index, mut digits) = (usize::try_from(place).unwrap_or(usize::MAX), itoa::Buffer::new());
    let first = elements.len();
    match object {
        Object::List(list) => {
            for element in list.elements_from(index) {
                elements.push(element.text(&mut digits));
                if !slice.spend(1, element.copied_bytes()) {
                    break;
                }
            }
        }
        Object::ZSet(zset) => {
            for (member, _) in zset.iter(index..usize::MAX) {
                elements.push(member.text(&mut digits));
                if !slice.spend(1, member.len()) {
                    break;
                }
            }
        }
        Object::Set(set) => {
            let meter = Meter::default();
            let show = |member: Item<'_>| {
                elements.push(member.text(&mut digits));
                meter.count(member.len());
            };
            return set.read_on(place, show, || meter.spend(slice));
        }
        _ => return None,
    }
    let next = index + (elements.len() - first);
    (next < object.len()).then_some(next as u64)
}

impl Sorting {
    /// Goes on as long as the slice lasts.
    ///
    /// # Errors
    /// If an element, or what it leads to, is no number.
    fn go_on(&mut self, work: &mut Work<'_>, options: &Options<'_>, key: &[u8]) -> Result<Step, ReplyError> {
        let Work { server, reply, slice, db } = work;
        let fill = list::fill(server);
        let (db, at, mut name) = (&mut server.dbs[*db], self.at, Vec::new());
        let Sorting { elements, weights, stage, .. } = self;
        if let Stage::Gather(place) = stage {
            let Some(entry) = db.peek(key) else { return Ok(Step::Lost) };
            let Some(object) = entry.object() else { return Ok(Step::Lost) };
            match gather(&object, *place, elements, slice) {
                Some(next) => {
                    *place = next;
                    return Ok(Step::More);
                }
                None if options.unsorted => *stage = Stage::Show { sort: None, done: 0, list: List::new() },
                None => *stage = Stage::Weigh(Vec::with_capacity(elements.len())),
            }
        }
        if let Stage::Weigh(order) = stage {
            while order.len() < elements.len() {
                weights.add(options, db, at, elements.at(order.len()), &mut name)?;
                order.push(order.len());
                if !slice.spend(1, 0) {
                    return Ok(Step::More);
                }
            }
            *stage = Stage::Sort(MergeSort::new(std::mem::take(order)));
        }
        if let Stage::Sort(sort) = stage {
            let compare = |a: &usize, b: &usize| weights.compare(options, elements, *a, *b);
            if !sort.go_on(compare, |moved| slice.spend(moved, 0)) {
                return Ok(Step::More);
            }
            let sort = Some(std::mem::replace(sort, MergeSort::new(Vec::new())));
            *stage = Stage::Show { sort, done: 0, list: List::new() };
        }
        let Stage::Show { sort, done, list } = stage else { return Ok(Step::Lost) };
        let chosen = options.range(elements.len());
        if *done == 0 && options.store.is_none() {
            reply.array(chosen.len() * options.gets.len().max(1));
        }
        while *done < chosen.len() {
            let place = chosen.start + *done;
            let index = match sort {
                Some(sort) => sort.items()[place],
                None if options.descending => elements.len() - 1 - place,
                None => place,
            };
            let element = elements.at(index);
            match options.store {
                Some(_) => push(list, fill, db, at, element, &options.gets, &mut name),
                None => write(reply, db, at, element, &options.gets, &mut name),
            }
            *done += 1;
            if !slice.spend(1 + options.gets.len(), element.len()) {
                break;
            }
        }
        Ok(match options.store {
            _ if *done < chosen.len() => Step::More,
            Some(_) => Step::Gathered(Box::new(Ok::<List, ReplyError>(std::mem::take(list)))),
            None => Step::Answered,
        })
    }
}

impl Job for Sorting {
    fn step(&mut self, work: &mut Work<'_>) -> Step {
        let owned = std::mem::take(&mut self.args);
        let args = owned.as_args();
        // They were read when the command began.
        let Ok(mut options) = Options::parse(args, true, true) else { return Step::Lost };
        options.adapt(self.type_of);
        let step = self.go_on(work, &options, args.at(1));
        self.args = owned;
        // Of keys that were looked for in vain, whoever wants to know is told.
        work.server.report(work.db);
        // It is the handler's to refuse.
        step.unwrap_or_else(|error| Step::Gathered(Box::new(Err::<List, ReplyError>(error))))
    }

    fn holds_database(&self, _server: &Server, _db: usize) -> bool {
        self.follows
    }
}
