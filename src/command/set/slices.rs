//! Intersection, union and difference of large sets, slice by slice: what `algebra` does at once.

use std::cell::Cell;

use super::algebra::{Counting, Operation};
use super::write_item;
use crate::command::long::Meter;
use crate::resp::reply::{OpenArray, Reply};
use crate::server::Server;
use crate::server::jobs::{Job, Slice, Step, Work};
use crate::store::pack::Item;
use crate::store::types::hll::{Mark, Registers};
use crate::store::types::set::Policy;
use crate::store::types::{Collection, Ref, Set};

/// What is done with the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It is answered.
    Answer,
    /// It is stored.
    Store,
    /// It is counted.
    Count(Counting),
}

/// A combination of sets under way.
#[derive(Debug)]
pub(super) struct Combining {
    operation: Operation,
    purpose: Purpose,
    policy: Policy,
    /// The sets that were there, in the order in which they are gone by: of an intersection the smallest first.
    keys: Vec<Box<[u8]>>,
    /// The set that is gone by, of a union; of others it is the first.
    index: usize,
    /// Where that goes on.
    place: u64,
    /// What is stored, or, of a union, answered or counted.
    result: Set,
    /// What a union's number of members is estimated by.
    registers: Option<Registers>,
    /// Where the answer of a union goes on, once it has begun.
    answered: Option<u64>,
    /// The array of the answer, once it has begun.
    array: Option<OpenArray>,
    found: usize,
}

impl Combining {
    /// Combines sets, which are all there, from an empty result on.
    pub fn new(operation: Operation, purpose: Purpose, policy: Policy, keys: Vec<Box<[u8]>>, result: Set) -> Combining {
        let (index, place, answered, array, found) = (0, 0, None, None, 0);
        let is_estimate = matches!(purpose, Purpose::Count(Counting { is_estimate: true, .. }));
        let registers = is_estimate.then(Registers::default);
        Combining { operation, purpose, policy, keys, index, place, result, registers, answered, array, found }
    }

    /// Members from which on it does not matter how many there are.
    fn limit(&self) -> usize {
        match self.purpose {
            Purpose::Count(counting) => counting.limit,
            Purpose::Answer | Purpose::Store => usize::MAX,
        }
    }

    /// Goes by the first set, looking for its members in the others. True at the end.
    fn look_up(&mut self, sets: &[Ref<'_, Set>], reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        let Some((first, others)) = sets.split_first() else { return true };
        let limit = self.limit();
        let Combining { operation, purpose, policy, place, result, found, .. } = self;
        let found = Cell::new(std::mem::take(found));
        let meter = Meter::default();
        let show = |item: Item<'_>| {
            meter.count_all(1 + others.len(), item.len());
            let is_wanted = match operation {
                Operation::Inter => others.iter().all(|set| set.contains_item(item)),
                _ => !others.iter().any(|set| set.contains_item(item)),
            };
            if !is_wanted || found.get() >= limit {
                return;
            }
            found.set(found.get() + 1);
            match purpose {
                Purpose::Answer => write_item(reply, item),
                Purpose::Store => _ = result.insert_item(item, policy),
                Purpose::Count(_) => {}
            }
        };
        let next = first.read_on(*place, show, || meter.spend(slice) && found.get() < limit);
        self.found = found.get();
        self.place = next.unwrap_or(0);
        next.is_none() || self.found >= limit
    }

    /// Adds the members of one set after the other. True at the end.
    fn unite(&mut self, sets: &[Ref<'_, Set>], slice: &mut Slice<'_>) -> bool {
        let (meter, limit, mut digits) = (Meter::default(), self.limit(), itoa::Buffer::new());
        while let Some(set) = sets.get(self.index) {
            let (result, registers, policy) = (&mut self.result, &mut self.registers, &self.policy);
            let found = Cell::new(result.len());
            let show = |item: Item<'_>| {
                meter.count(item.len());
                match registers {
                    Some(registers) => registers.raise(Mark::of(item.text(&mut digits))),
                    None => found.set(found.get() + usize::from(result.insert_item(item, policy))),
                }
            };
            match set.read_on(self.place, show, || meter.spend(slice) && found.get() < limit) {
                Some(_) if found.get() >= limit => return true,
                Some(place) => {
                    self.place = place;
                    return false;
                }
                None => (self.index, self.place) = (self.index + 1, 0),
            }
            if !meter.spend(slice) && self.index < sets.len() {
                return false;
            }
        }
        true
    }

    /// Answers what was united. True at the end.
    fn answer(&mut self, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        if self.answered.is_none() {
            reply.set(self.result.len());
        }
        let meter = Meter::default();
        let show = |item: Item<'_>| {
            write_item(reply, item);
            meter.count(item.len());
        };
        self.answered = self.result.read_on(self.answered.unwrap_or(0), show, || meter.spend(slice));
        self.answered.is_none()
    }
}

/// The sets; `None` if one of them is not there any more.
fn sets<'d>(server: &'d Server, db: usize, keys: &[Box<[u8]>]) -> Option<Vec<Ref<'d, Set>>> {
    keys.iter().map(|key| server.dbs[db].peek(key)?.into_collection::<Set>()).collect()
}

impl Job for Combining {
    fn step(&mut self, work: &mut Work<'_>) -> Step {
        let Work { server, reply, slice, db } = work;
        let Some(sets) = sets(server, *db, &self.keys) else { return Step::Lost };
        if self.operation == Operation::Union {
            if self.answered.is_none() && !self.unite(&sets, slice) {
                return Step::More;
            }
        } else {
            let array = match self.purpose {
                Purpose::Answer => Some(self.array.take().unwrap_or_else(|| reply.open_array(0))),
                Purpose::Store | Purpose::Count(_) => None,
            };
            if !self.look_up(&sets, reply, slice) {
                self.array = array;
                return Step::More;
            }
            if let Some(array) = array {
                reply.close_set(array, self.found);
                return Step::Answered;
            }
        }
        match self.purpose {
            Purpose::Answer => match self.answer(reply, slice) {
                true => Step::Answered,
                false => Step::More,
            },
            Purpose::Store => Step::Gathered(Box::new(std::mem::replace(&mut self.result, Set::ints()))),
            Purpose::Count(counting) => {
                let found = match (&self.registers, self.operation) {
                    (Some(registers), _) => registers.count() as usize,
                    (None, Operation::Union) => self.result.len(),
                    (None, Operation::Inter | Operation::Diff) => self.found,
                };
                reply.integer(found.min(counting.limit) as i64);
                Step::Answered
            }
        }
    }
}
