//! Deadlines of the elements of collections, fields of hashes and members of sets and sorted sets: setting, asking and dropping
//! them.

use std::marker::PhantomData;
use std::ops::Range;

use super::Command;
use super::collection::remove_emptied;
use super::pieces::{self, Within};
use super::spec::Outcome;
use crate::base::num;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::server::propagation::Lines;
use crate::store::db::Moment;
use crate::store::hash::KeyHasher;
use crate::store::types::hash::DEADLINE_END;
use crate::store::types::zset::ZSet;
use crate::store::types::{Collection, Hash, Set};

/// What is answered for an element that is not there.
const NO_ELEMENT: i64 = -2;
/// For an element without a deadline.
const NO_DEADLINE: i64 = -1;
/// For an element whose deadline the condition protects.
const REFUSED: i64 = 0;
/// For an element whose deadline was set or dropped.
const DONE: i64 = 1;
/// For an element that is gone, since its new deadline has passed.
const REMOVED: i64 = 2;

const MS_PER_S: i64 = 1000;

const NEGATIVE: ReplyError = ReplyError::new("ERR invalid expire time, must be >= 0");
const TOO_FEW: ReplyError = ReplyError::new("ERR wrong number of arguments");
const CONDITIONS: ReplyError = ReplyError::new("ERR Multiple condition flags specified");

const MOMENT_MISSING: ReplyError = ReplyError::new("ERR missing expire time");
/// For a word that only the other command takes.
pub(super) const OTHERS_ARGUMENT: ReplyError = ReplyError::new("ERR unknown argument");
pub(super) const ONE_LIFETIME_TO_SET: ReplyError =
    ReplyError::new("ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified");
const ONE_PRESENCE: ReplyError = ReplyError::new("ERR Only one of MXX or MNX arguments can be specified");
const BAD_MEMBERS: ReplyError = ReplyError::new("ERR invalid number of members");

/// How the commands of a type speak of its elements.
#[derive(Debug)]
pub(super) struct Words {
    /// The word before the number of elements.
    pub elements: &'static str,
    /// The class of their events.
    pub class: EventClass,
    /// The event of deadlines that were set.
    set: &'static str,
    /// Of elements that went because their deadline had passed.
    removed: &'static str,
    /// Of deadlines that were dropped.
    dropped: &'static str,
    /// The command that removes elements.
    remove: &'static str,
    /// The one that sets their deadlines in Unix milliseconds.
    expire_at: &'static str,
    no_elements: ReplyError,
    bad_count: ReplyError,
    bad_count_of_setter: ReplyError,
    count_mismatch: ReplyError,
    alone: ReplyError,
    /// The word is not there.
    pub missing: ReplyError,
    /// It is there twice.
    pub again: ReplyError,
}

/// A collection whose elements may have deadlines.
pub(super) trait Timed: Collection {
    /// How its commands speak of them.
    const WORDS: &'static Words;

    /// The deadline of an element; `None` if it is not there.
    fn deadline_of(&self, name: &[u8], now_ms: i64) -> Option<Option<i64>>;

    /// Lets an element that is there expire. `hasher` is a table's, if the collection has to become one.
    fn set_deadline_of(&mut self, name: &[u8], deadline_ms: i64, hasher: KeyHasher);

    /// Drops the deadline of an element that has one.
    fn drop_deadline_of(&mut self, name: &[u8], hasher: KeyHasher);

    /// Removes an element; false if it was not there.
    fn remove_named(&mut self, name: &[u8], now_ms: i64) -> bool;

    /// Takes note that deadlines are about to be set, whether or not one is.
    fn expect_deadlines(&mut self, _hasher: KeyHasher) {}
}

impl Timed for Hash {
    const WORDS: &'static Words = &Words {
        elements: "FIELDS",
        class: EventClass::Hash,
        set: "hexpire",
        removed: "hdel",
        dropped: "hpersist",
        remove: "HDEL",
        expire_at: "HPEXPIREAT",
        no_elements: ReplyError::new("ERR Mandatory argument FIELDS is missing or not at the right position"),
        bad_count: ReplyError::new("ERR Number of fields must be a positive integer"),
        bad_count_of_setter: ReplyError::new("ERR Parameter `numFields` should be greater than 0"),
        count_mismatch: ReplyError::new("ERR The `numfields` parameter must match the number of arguments"),
        alone: ReplyError::new("ERR FIELDS requires at least numfields and one field argument"),
        missing: ReplyError::new("ERR missing FIELDS argument"),
        again: ReplyError::new("ERR FIELDS keyword specified multiple times"),
    };

    fn deadline_of(&self, name: &[u8], now_ms: i64) -> Option<Option<i64>> {
        self.get(name, now_ms).map(|found| found.deadline_ms())
    }

    fn set_deadline_of(&mut self, name: &[u8], deadline_ms: i64, hasher: KeyHasher) {
        self.set_deadline(name, deadline_ms, hasher);
    }

    fn drop_deadline_of(&mut self, name: &[u8], _hasher: KeyHasher) {
        self.drop_deadline(name);
    }

    fn remove_named(&mut self, name: &[u8], now_ms: i64) -> bool {
        self.remove(name, now_ms)
    }

    fn expect_deadlines(&mut self, hasher: KeyHasher) {
        self.make_timed(hasher);
    }
}

/// A collection of members, whose commands differ in names alone. `$was_there` says of what it answers to `remove` whether there was
/// something.
macro_rules! timed_members {
    ($type:ty, $class:ident, $set:literal, $removed:literal, $dropped:literal, $remove:literal, $expire_at:literal,
     $was_there:expr) => {
        impl Timed for $type {
            const WORDS: &'static Words = &Words {
                elements: "MEMBERS",
                class: EventClass::$class,
                set: $set,
                removed: $removed,
                dropped: $dropped,
                remove: $remove,
                expire_at: $expire_at,
                no_elements: ReplyError::new("ERR Mandatory argument MEMBERS is missing or not at the right position"),
                bad_count: ReplyError::new("ERR Number of members must be a positive integer"),
                bad_count_of_setter: ReplyError::new("ERR Parameter `numMembers` should be greater than 0"),
                count_mismatch: ReplyError::new("ERR The `nummembers` parameter must match the number of arguments"),
                alone: ReplyError::new("ERR MEMBERS requires at least nummembers and one member argument"),
                missing: ReplyError::new("ERR missing MEMBERS argument"),
                again: ReplyError::new("ERR MEMBERS keyword specified multiple times"),
            };

            fn deadline_of(&self, name: &[u8], _now_ms: i64) -> Option<Option<i64>> {
                self.deadline_ms(name)
            }

            fn set_deadline_of(&mut self, name: &[u8], deadline_ms: i64, hasher: KeyHasher) {
                self.set_deadline(name, Some(deadline_ms), hasher);
            }

            fn drop_deadline_of(&mut self, name: &[u8], hasher: KeyHasher) {
                self.set_deadline(name, None, hasher);
            }

            fn remove_named(&mut self, name: &[u8], _now_ms: i64) -> bool {
                $was_there(self.remove(name))
            }
        }
    };
}

timed_members!(Set, Set, "sexpire", "srem", "spersist", "SREM", "SPEXPIREAT", std::convert::identity);
timed_members!(ZSet, SortedSet, "zexpire", "zrem", "zpersist", "ZREM", "ZPEXPIREAT", |score: Option<f64>| score
    .is_some());

/// The deadline that a number means: `unit_ms` milliseconds each, from `base_ms` on.
pub(super) fn deadline_ms(command: &Command, text: &[u8], unit_ms: i64, base_ms: i64) -> Result<i64, ReplyError> {
    let number = num::parse_i64(text).ok_or(ReplyError::NOT_AN_INTEGER)?;
    if number < 0 {
        return Err(NEGATIVE);
    }
    let deadline_ms = number.checked_mul(unit_ms).and_then(|ms| ms.checked_add(base_ms));
    deadline_ms.filter(|&ms| ms < DEADLINE_END).ok_or_else(|| ReplyError::invalid_expire(&command.full_name))
}

/// The elements that follow the word for them and their number, which stand at an index.
pub(super) fn named<'a>(args: Args<'a>, index: usize, words: &Words) -> Result<Args<'a>, ReplyError> {
    if index >= args.len() || !args.is(index, words.elements) {
        return Err(words.no_elements.clone());
    }
    let count = args.get(index + 1).and_then(num::parse_i64).filter(|&count| count > 0);
    let count = count.ok_or_else(|| words.bad_count.clone())?;
    let elements = args.tail(index + 2);
    if elements.len() as i64 == count { Ok(elements) } else { Err(words.count_mismatch.clone()) }
}

/// The arguments that the word for elements at an index takes, with its number behind it: `width` for each element. More may
/// follow.
pub(super) fn counted<'a>(
    args: Args<'a>,
    index: usize,
    width: usize,
    bad_count: ReplyError,
) -> Result<Args<'a>, ReplyError> {
    let count = num::parse_i64(args.at(index + 1)).and_then(|count| i32::try_from(count).ok());
    let taken = count.filter(|&count| count > 0).ok_or(bad_count)? as usize * width;
    let rest = args.tail(index + 2);
    if rest.len() < taken { Err(TOO_FEW) } else { Ok(rest.up_to(taken)) }
}

/// What is answered to a word that is none of the options.
pub(super) fn unknown(word: &[u8]) -> ReplyError {
    ReplyError::about("ERR unknown argument: ", word, "")
}

/// What the present deadline must be like for a new one to be set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    None,
    Nx,
    Xx,
    Gt,
    Lt,
}

impl Condition {
    const NAMES: [(&'static str, Condition); 4] =
        [("NX", Condition::Nx), ("XX", Condition::Xx), ("GT", Condition::Gt), ("LT", Condition::Lt)];

    fn at(args: Args<'_>, index: usize) -> Option<Condition> {
        Condition::NAMES.into_iter().find(|(name, _)| args.is(index, name)).map(|(_, condition)| condition)
    }

    /// The word for it, if there is one.
    fn word(self) -> Option<&'static str> {
        Condition::NAMES.into_iter().find(|(_, condition)| *condition == self).map(|(word, _)| word)
    }

    /// No deadline counts as one that never comes.
    fn allows(self, old: Option<i64>, new: i64) -> bool {
        match self {
            Condition::None => true,
            Condition::Nx => old.is_none(),
            Condition::Xx => old.is_some(),
            Condition::Gt => old.is_some_and(|old| new > old),
            Condition::Lt => old.is_none_or(|old| new < old),
        }
    }
}

/// What HEXPIRE, SEXPIRE and their kin are asked to do.
struct Setting<'a> {
    deadline_ms: i64,
    /// The line tells it as Unix time in milliseconds.
    is_absolute_ms: bool,
    condition: Condition,
    elements: Args<'a>,
    /// Where the first of them stands in the line.
    first: usize,
}

impl<'a> Setting<'a> {
    fn parse(command: &Command, args: Args<'a>, words: &Words, at: Moment) -> Result<Setting<'a>, ReplyError> {
        // Their names tell what they count: HPEXPIRE milliseconds, HEXPIREAT from 1970.
        let name = command.spec.name;
        let unit_ms = if name[1..].starts_with('P') { 1 } else { MS_PER_S };
        let base_ms = if name.ends_with("AT") { 0 } else { at.unix_ms };
        let is_absolute_ms = (unit_ms, base_ms) == (1, 0);
        let deadline_ms = deadline_ms(command, args.at(2), unit_ms, base_ms)?;
        let (mut condition, mut elements, mut conflict, mut i, mut first) = (Condition::None, None, false, 3, 0);
        while i < args.len() {
            if let Some(given) = Condition::at(args, i) {
                conflict |= condition != Condition::None && condition != given;
                condition = given;
                i += 1;
            } else if !args.is(i, words.elements) {
                return Err(unknown(args.at(i)));
            } else if elements.is_some() {
                return Err(words.again.clone());
            } else if i + 2 >= args.len() {
                return Err(words.alone.clone());
            } else {
                let named = counted(args, i, 1, words.bad_count_of_setter.clone())?;
                first = i + 2;
                i = first + named.len();
                elements = Some(named);
            }
        }
        let elements = elements.ok_or_else(|| words.missing.clone())?;
        if conflict { Err(CONDITIONS) } else { Ok(Setting { deadline_ms, is_absolute_ms, condition, elements, first }) }
    }
}

/// HEXPIRE, HPEXPIRE, HEXPIREAT, HPEXPIREAT and those of sets and sorted sets.
pub(super) fn expire<T: Timed>(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let setting = Setting::parse(ctx.command, args, T::WORDS, ctx.at);
    if setting.is_err() {
        // A key of another type is complained of first.
        is_of_type::<T>(ctx, args, args)?;
    }
    let setting = setting?;
    if ctx.is_long_line(args) {
        return pieces::begin_within(ctx, setting.first..setting.first + setting.elements.len(), SetLong::<T>::PLAN);
    }
    set_deadlines::<T>(ctx, args, &setting, setting.elements, true)?;
    Ok(Next::Done)
}

/// Refuses a key of another type. Only looks at it: a long line comes here before it has the key for itself.
fn is_of_type<T: Timed>(ctx: &mut Ctx<'_>, line: Args<'_>, _: Args<'_>) -> Result<bool, ReplyError> {
    let at = ctx.at;
    match ctx.db().peek_live(line.at(1), at) {
        Some(entry) if entry.type_of() != T::TYPE => Err(ReplyError::WRONG_TYPE),
        _ => Ok(true),
    }
}

/// How long lines of these commands are done.
struct SetLong<T>(PhantomData<T>);

impl<T: Timed> SetLong<T> {
    const PLAN: &'static Within = &Within {
        width: 1,
        is_array: true,
        check: is_of_type::<T>,
        work: |ctx, line, elements, _| {
            let setting = Setting::parse(ctx.command, line, T::WORDS, ctx.at)?;
            set_deadlines::<T>(ctx, line, &setting, elements, false)
        },
    };
}

/// Sets the deadlines of elements of a line, and answers for each: in an array, if they are all of the line's.
fn set_deadlines<T: Timed>(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    setting: &Setting<'_>,
    elements: Args<'_>,
    are_all: bool,
) -> Result<(), ReplyError> {
    let (key, at) = (args.at(1), ctx.at);
    let mut changes = Changes::new(ctx, T::WORDS, ctx.server.propagation.is_wanted());
    let Ctx { server, reply, db, .. } = ctx;
    let hasher = server.dbs.hasher;
    let mut opened = server.dbs[*db].write::<T>(key, at)?;
    if are_all {
        reply.array(elements.len());
    }
    let &Setting { deadline_ms, condition, is_absolute_ms, .. } = setting;
    let Some(collection) = &mut opened else {
        elements.iter_from(0).for_each(|_| reply.integer(NO_ELEMENT));
        return Ok(());
    };
    collection.expect_deadlines(hasher);
    let passed = deadline_ms <= at.due_ms();
    for element in elements.iter_from(0) {
        let old = collection.deadline_of(element, at.due_ms());
        reply.integer(match old {
            None => NO_ELEMENT,
            Some(old) if !condition.allows(old, deadline_ms) => REFUSED,
            Some(_) => {
                changes.set(&mut **collection, element, deadline_ms, at.due_ms(), hasher);
                if passed { REMOVED } else { DONE }
            }
        });
    }
    changes.emptied = collection.is_empty();
    drop(opened);
    if changes.any() {
        // A command that says nothing of the present time stays as it was sent.
        let name = if is_absolute_ms { args.at(0) } else { T::WORDS.expire_at.as_bytes() };
        ctx.propagate_as(|lines| {
            propagate_deadline(lines, T::WORDS, name, key, deadline_ms, passed, condition.word(), &changes.names);
        });
    }
    changes.tell(ctx, key);
    Ok(())
}

/// Passes on that elements got a deadline, on a condition which they met; or that they are gone, if it had passed.
#[expect(clippy::too_many_arguments, reason = "what a line is made of")]
pub(super) fn propagate_deadline(
    lines: &mut Lines<'_>,
    words: &Words,
    name: &[u8],
    key: &[u8],
    deadline_ms: i64,
    passed: bool,
    condition: Option<&str>,
    elements: &[&[u8]],
) {
    if passed {
        return elements.iter().for_each(|element| lines.push([words.remove.as_bytes(), key, *element]));
    }
    let (mut deadline, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
    let line = [name, key, deadline.format(deadline_ms).as_bytes()];
    let named = [words.elements.as_bytes(), count.format(elements.len()).as_bytes()];
    let condition = condition.map(str::as_bytes);
    lines.push(line.into_iter().chain(condition).chain(named).chain(elements.iter().copied()));
}

/// What setting and dropping deadlines has come to.
#[derive(Debug)]
pub(super) struct Changes<'f> {
    words: &'static Words,
    /// Elements got a deadline.
    set: bool,
    /// Elements lost theirs.
    dropped: bool,
    /// Elements are gone, since the deadline had passed.
    removed: bool,
    /// No element is left.
    pub emptied: bool,
    /// The elements are to be named.
    is_naming: bool,
    /// The elements that were changed, all of them in the same way, if they are to be named.
    names: Vec<&'f [u8]>,
}

impl<'f> Changes<'f> {
    /// Nothing yet. Elements are named if events are to name them, or `is_naming`.
    pub fn new(ctx: &Ctx<'_>, words: &'static Words, is_naming: bool) -> Changes<'f> {
        let is_naming = is_naming || ctx.names_subkeys(words.class);
        Changes { words, set: false, dropped: false, removed: false, emptied: false, is_naming, names: Vec::new() }
    }

    fn name(&mut self, name: &'f [u8]) {
        if self.is_naming {
            self.names.push(name);
        }
    }

    /// Sets the deadline of an element that is there, which is its end if the deadline has passed. `hasher` is a table's, if the
    /// collection has to become one.
    pub fn set<T: Timed>(
        &mut self,
        collection: &mut T,
        name: &'f [u8],
        deadline_ms: i64,
        now_ms: i64,
        hasher: KeyHasher,
    ) {
        if deadline_ms > now_ms {
            collection.set_deadline_of(name, deadline_ms, hasher);
            self.set = true;
        } else if collection.remove_named(name, now_ms) {
            self.removed = true;
        } else {
            return;
        }
        self.name(name);
    }

    /// Drops the deadline of an element that has one.
    pub fn drop_deadline<T: Timed>(&mut self, collection: &mut T, name: &'f [u8], hasher: KeyHasher) {
        collection.drop_deadline_of(name, hasher);
        self.dropped = true;
        self.name(name);
    }

    /// True if there was one.
    pub fn any(&self) -> bool {
        self.set || self.dropped || self.removed
    }

    /// Counts the change and tells of it, unless there was none.
    pub fn tell(self, ctx: &mut Ctx<'_>, key: &[u8]) {
        let Changes { words, set, dropped, removed, emptied, names, .. } = self;
        for (happened, event) in [(set, words.set), (removed, words.removed), (dropped, words.dropped)] {
            if happened {
                ctx.change(Change::new(words.class, event, key));
                ctx.notify_subkeys(words.class, event, key, names.iter().copied());
            }
        }
        if emptied {
            remove_emptied(ctx, key);
        }
    }
}

/// HTTL, STTL, ZTTL
pub(super) fn ttl<T: Timed>(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let now_ms = ctx.at.unix_ms;
    answer::<T>(ctx, args, |deadline_ms| rounded_up_s(deadline_ms - now_ms))
}

/// HPTTL, SPTTL, ZPTTL
pub(super) fn pttl<T: Timed>(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let now_ms = ctx.at.unix_ms;
    answer::<T>(ctx, args, |deadline_ms| deadline_ms - now_ms)
}

/// HEXPIRETIME, SEXPIRETIME, ZEXPIRETIME
pub(super) fn expiretime<T: Timed>(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    answer::<T>(ctx, args, rounded_up_s)
}

/// HPEXPIRETIME, SPEXPIRETIME, ZPEXPIRETIME
pub(super) fn pexpiretime<T: Timed>(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    answer::<T>(ctx, args, |deadline_ms| deadline_ms)
}

fn rounded_up_s(ms: i64) -> i64 {
    (ms + MS_PER_S - 1) / MS_PER_S
}

/// Answers a figure of each element's deadline.
fn answer<T: Timed>(ctx: &mut Ctx<'_>, args: Args<'_>, figure: impl Fn(i64) -> i64) -> Outcome {
    let elements = named(args, 2, T::WORDS);
    let Ctx { server, reply, db, at, .. } = ctx;
    let collection = server.dbs[*db].read::<T>(args.at(1), *at)?;
    let elements = elements?;
    reply.array(elements.len());
    for element in elements.iter_from(0) {
        reply.integer(match collection.as_ref().and_then(|collection| collection.deadline_of(element, at.due_ms())) {
            None => NO_ELEMENT,
            Some(None) => NO_DEADLINE,
            Some(Some(deadline_ms)) => figure(deadline_ms),
        });
    }
    Ok(Next::Done)
}

/// HPERSIST, SPERSIST, ZPERSIST
pub(super) fn persist<T: Timed>(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let elements = named(args, 2, T::WORDS);
    if elements.is_err() {
        is_of_type::<T>(ctx, args, args)?;
    }
    let elements = elements?;
    if ctx.is_long_line(args) {
        return pieces::begin_within(ctx, args.len() - elements.len()..args.len(), DropLong::<T>::PLAN);
    }
    drop_deadlines::<T>(ctx, args.at(1), elements, true)?;
    Ok(Next::Done)
}

/// How long lines of these commands are done.
struct DropLong<T>(PhantomData<T>);

impl<T: Timed> DropLong<T> {
    const PLAN: &'static Within = &Within {
        width: 1,
        is_array: true,
        check: is_of_type::<T>,
        work: |ctx, line, elements, _| drop_deadlines::<T>(ctx, line.at(1), elements, false),
    };
}

/// Drops the deadlines of elements of a line, and answers for each: in an array, if they are all of the line's.
fn drop_deadlines<T: Timed>(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    elements: Args<'_>,
    are_all: bool,
) -> Result<(), ReplyError> {
    let at = ctx.at;
    let mut changes = Changes::new(ctx, T::WORDS, !are_all);
    let Ctx { server, reply, db, .. } = ctx;
    let hasher = server.dbs.hasher;
    let mut opened = server.dbs[*db].write::<T>(key, at)?;
    if are_all {
        reply.array(elements.len());
    }
    for element in elements.iter_from(0) {
        let old = opened.as_ref().and_then(|collection| collection.deadline_of(element, at.due_ms()));
        reply.integer(match (old, &mut opened) {
            (Some(Some(_)), Some(collection)) => {
                changes.drop_deadline(&mut **collection, element, hasher);
                DONE
            }
            (Some(_), _) => NO_DEADLINE,
            (None, _) => NO_ELEMENT,
        });
    }
    drop(opened);
    if !are_all && changes.any() {
        let name = ctx.command.spec.name.as_bytes();
        ctx.propagate_as(|lines| propagate_part(lines, T::WORDS, [name, key], &[], 1, changes.names.iter().copied()));
    }
    changes.tell(ctx, key);
    Ok(())
}

/// Passes on what was done to some elements of a line, of `width` arguments each: the command and its key, its options, the elements.
pub(super) fn propagate_part<'a>(
    lines: &mut Lines<'_>,
    words: &Words,
    head: [&'a [u8]; 2],
    options: &[&'a [u8]],
    width: usize,
    elements: impl ExactSizeIterator<Item = &'a [u8]>,
) {
    let mut count = itoa::Buffer::new();
    let named = [words.elements.as_bytes(), count.format(elements.len() / width).as_bytes()];
    let given: Vec<&[u8]> = elements.collect();
    lines.push(head.into_iter().chain(options.iter().copied()).chain(named).chain(given));
}

/// What is to become of the deadlines of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// Nothing is said of it.
    Unsaid,
    /// `KEEPTTL`: they stay.
    Keep,
    /// `PERSIST`: they go.
    Persist,
    /// A new one, in Unix milliseconds.
    Until(i64),
}

/// A word that says what is to become of the deadlines.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given {
    /// `KEEPTTL`
    Keep,
    /// `PERSIST`
    Persist,
    /// A moment follows: how many milliseconds its unit has, and whether it counts from now.
    Moment(i64, bool),
}

impl Given {
    /// The word that stands at an index, if one of them does.
    pub fn at(args: Args<'_>, index: usize) -> Option<Given> {
        let names = [
            ("EX", Given::Moment(1000, true)),
            ("PX", Given::Moment(1, true)),
            ("EXAT", Given::Moment(1000, false)),
            ("PXAT", Given::Moment(1, false)),
            ("KEEPTTL", Given::Keep),
            ("PERSIST", Given::Persist),
        ];
        names.into_iter().find(|(name, _)| args.is(index, name)).map(|(_, given)| given)
    }

    /// What the word at an index means together with what follows it, and the index behind that.
    pub fn read(
        self,
        command: &Command,
        args: Args<'_>,
        index: usize,
        at: Moment,
    ) -> Result<(Lifetime, usize), ReplyError> {
        let (unit_ms, relative) = match self {
            Given::Keep => return Ok((Lifetime::Keep, index + 1)),
            Given::Persist => return Ok((Lifetime::Persist, index + 1)),
            Given::Moment(unit_ms, relative) => (unit_ms, relative),
        };
        let text = args.get(index + 1).ok_or(MOMENT_MISSING)?;
        let base_ms = if relative { at.unix_ms } else { 0 };
        let deadline_ms = deadline_ms(command, text, unit_ms, base_ms)?;
        Ok((Lifetime::Until(deadline_ms), index + 2))
    }
}

/// Which members have to be there for SADDEX and ZADDEX to add them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Any,
    /// `MNX`: none of them.
    None,
    /// `MXX`: all of them.
    All,
}

/// What a line of SADDEX or ZADDEX asks for.
#[derive(Debug)]
pub(super) struct Adding<'a> {
    presence: Presence,
    /// What is to become of the deadlines.
    pub lifetime: Lifetime,
    /// Where the word stands that says it.
    lifetime_at: usize,
    /// Members, or scores and members in turn.
    pub members: Args<'a>,
    /// Where the first of them stands.
    first: usize,
    width: usize,
    /// The members are some of the line's.
    is_part: bool,
}

impl<'a> Adding<'a> {
    /// Reads a line each of whose members takes `width` arguments, itself the last.
    pub fn parse(ctx: &Ctx<'_>, args: Args<'a>, width: usize, words: &Words) -> Result<Adding<'a>, ReplyError> {
        let (mut presence, mut lifetime, mut lifetime_at) = (Presence::Any, Lifetime::Unsaid, 0);
        let (mut members, mut first, mut i) = (None, 0, 2);
        while i < args.len() {
            let given =
                [("MNX", Presence::None), ("MXX", Presence::All)].into_iter().find(|(name, _)| args.is(i, name));
            if let Some((_, given)) = given {
                if presence != Presence::Any {
                    return Err(ONE_PRESENCE);
                }
                presence = given;
                i += 1;
            } else if args.is(i, "PERSIST") {
                return Err(OTHERS_ARGUMENT);
            } else if let Some(given) = Given::at(args, i) {
                if lifetime != Lifetime::Unsaid {
                    return Err(ONE_LIFETIME_TO_SET);
                }
                lifetime_at = i;
                (lifetime, i) = given.read(ctx.command, args, i, ctx.at)?;
            } else if !args.is(i, words.elements) {
                return Err(unknown(args.at(i)));
            } else if members.is_some() {
                return Err(words.again.clone());
            } else if i + 1 == args.len() {
                return Err(ReplyError::arity(&ctx.command.full_name));
            } else {
                let counted = counted(args, i, width, BAD_MEMBERS)?;
                first = i + 2;
                i = first + counted.len();
                members = Some(counted);
            }
        }
        let members = members.ok_or_else(|| words.missing.clone())?;
        Ok(Adding { presence, lifetime, lifetime_at, members, first, width, is_part: false })
    }

    /// Where the members stand in the line.
    pub fn range(&self) -> Range<usize> {
        self.first..self.first + self.members.len()
    }

    /// The same of some of the members.
    pub fn of<'p>(self, members: Args<'p>) -> Adding<'p>
    where
        'a: 'p,
    {
        Adding { members, is_part: true, ..self }
    }

    /// The members' names.
    pub fn names(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.members.iter_from(0).skip(self.width - 1).step_by(self.width)
    }

    /// Whether the members that are there let them be added.
    pub fn is_allowed(&self, mut is_there: impl FnMut(&[u8]) -> bool) -> bool {
        match self.presence {
            Presence::Any => true,
            Presence::None => !self.names().any(is_there),
            Presence::All => self.names().all(&mut is_there),
        }
    }

    /// Passes the line on with its deadline as a Unix time; or that the members are gone, if that has passed.
    pub fn propagate(&self, ctx: &mut Ctx<'_>, args: Args<'_>, words: &Words) {
        if self.is_part {
            return self.propagate_part(ctx, args.at(1), words);
        }
        let Lifetime::Until(deadline_ms) = self.lifetime else { return };
        let passed = deadline_ms <= ctx.at.due_ms();
        ctx.propagate_as(|lines| {
            if passed {
                return lines.push([words.remove.as_bytes(), args.at(1)].into_iter().chain(self.names()));
            }
            let mut digits = itoa::Buffer::new();
            let until = [b"PXAT".as_slice(), digits.format(deadline_ms).as_bytes()];
            let (before, behind) = (args.up_to(self.lifetime_at), args.tail(self.lifetime_at + 2));
            lines.push(before.iter_from(0).chain(until).chain(behind.iter_from(0)));
        });
    }

    /// Passes on that these members were added, whoever had to be there.
    fn propagate_part(&self, ctx: &mut Ctx<'_>, key: &[u8], words: &Words) {
        let (due_ms, head) = (ctx.at.due_ms(), [ctx.command.spec.name.as_bytes(), key]);
        let mut digits = itoa::Buffer::new();
        ctx.propagate_as(|lines| {
            let options: &[&[u8]] = match self.lifetime {
                Lifetime::Until(deadline_ms) if deadline_ms <= due_ms => {
                    return lines.push([words.remove.as_bytes(), key].into_iter().chain(self.names()));
                }
                Lifetime::Until(deadline_ms) => &[b"PXAT", digits.format(deadline_ms).as_bytes()],
                Lifetime::Keep | Lifetime::Persist => &[b"KEEPTTL"],
                Lifetime::Unsaid => &[],
            };
            let members = (0..self.members.len()).map(|index| self.members.at(index));
            propagate_part(lines, words, head, options, self.width, members);
        });
    }

    /// Gives a member that was written the deadline that was asked for, or takes its own away.
    pub fn apply<T: Timed>(
        &self,
        changes: &mut Changes<'a>,
        collection: &mut T,
        name: &'a [u8],
        was_there: bool,
        now_ms: i64,
        hasher: KeyHasher,
    ) {
        match self.lifetime {
            Lifetime::Until(deadline_ms) => changes.set(collection, name, deadline_ms, now_ms, hasher),
            Lifetime::Keep | Lifetime::Persist => {}
            Lifetime::Unsaid => {
                if was_there && collection.deadline_of(name, now_ms).flatten().is_some() {
                    changes.drop_deadline(collection, name, hasher);
                }
            }
        }
    }
}
