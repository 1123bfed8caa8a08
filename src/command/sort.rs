//! SORT and SORT_RO, which order the elements of a collection by themselves or by what other keys hold: the rows and the
//! handlers below. `slices`: the same slice by slice, for large collections. `texts`: the elements meanwhile.

mod slices;
mod texts;

use std::cmp::Ordering;

use super::acl::permission;
use super::dump::shapes;
use super::spec::{Access, Category, Group, KeySpec, Outcome, Spec, keyfind};
use crate::base::num;
use crate::config::EventClass;
use crate::feature::acl::KeyAccess;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::db::{Db, Moment};
use crate::store::entry::TextBuffer;
use crate::store::types::list::{End, Fill};
use crate::store::types::{Collection, Hash, List, Object, Type, ZSet};
use slices::Sorting;
use texts::Texts;

const READ: Access = Access::RO.with(Access::ACCESS);
const CATEGORIES: Category = Category::SET.with(Category::SORTEDSET).with(Category::LIST).with(Category::DANGEROUS);
const COMPLEXITY: &str = "O(N+M*log(N)) where N is the number of elements and M that of those returned; O(N) if they are not \
                          to be sorted.";
const PATTERNS: KeySpec = KeySpec::unknown(READ).notes(
    "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the key we \
     sort",
);
const STORED: KeySpec = KeySpec::unknown(Access::OW.with(Access::UPDATE)).notes(
    "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the argument array",
);

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::write("SORT", -2, sort)
        .denyoom()
        .keys(&[KeySpec::one(READ, 1), PATTERNS, STORED])
        .find_keys(keyfind::sort)
        .group(Group::Generic, CATEGORIES, "1.0.0")
        .doc(
            "Orders the elements of a list, a set or a sorted set, and returns or stores them or what they lead to.",
            COMPLEXITY,
            "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA] [STORE destination]",
        ),
    Spec::read("SORT_RO", -2, sort_ro)
        .keys(&[KeySpec::one(READ, 1), PATTERNS])
        .find_keys(keyfind::sort_ro)
        .group(Group::Generic, CATEGORIES, "7.0.0")
        .doc(
            "Orders the elements of a list, a set or a sorted set, and returns them or what they lead to.",
            COMPLEXITY,
            "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]",
        ),
];

const BY_DENIED: ReplyError = ReplyError::new("ERR BY option of SORT denied due to insufficient ACL permissions.");
const GET_DENIED: ReplyError = ReplyError::new("ERR GET option of SORT denied due to insufficient ACL permissions.");
const NO_SCORE: ReplyError = ReplyError::new("ERR One or more scores can't be converted into double");

/// What a line asks for.
#[derive(Default)]
struct Options<'a> {
    by: Option<Pattern<'a>>,
    /// BY something without an asterisk: the elements stay in the order they have.
    unsorted: bool,
    offset: i64,
    /// Negative for all.
    count: i64,
    gets: Vec<Pattern<'a>>,
    descending: bool,
    alpha: bool,
    store: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    /// Reads a line. What BY and GET lead to is for those alone who may read every key.
    fn parse(args: Args<'a>, may_store: bool, may_follow: bool) -> Result<Options<'a>, ReplyError> {
        let mut options = Options { count: -1, ..Options::default() };
        let mut i = 2;
        while i < args.len() {
            let left = args.len() - i - 1;
            if args.is(i, "ASC") {
                options.descending = false;
            } else if args.is(i, "DESC") {
                options.descending = true;
            } else if args.is(i, "ALPHA") {
                options.alpha = true;
            } else if args.is(i, "LIMIT") && left >= 2 {
                let number = |index| num::parse_i64(args.at(index)).ok_or(ReplyError::NOT_AN_INTEGER);
                (options.offset, options.count) = (number(i + 1)?, number(i + 2)?);
                i += 2;
            } else if may_store && args.is(i, "STORE") && left >= 1 {
                i += 1;
                options.store = Some(args.at(i));
            } else if args.is(i, "BY") && left >= 1 {
                i += 1;
                let pattern = Pattern::new(args.at(i));
                if pattern.has_place() && !may_follow {
                    return Err(BY_DENIED);
                }
                options.by = Some(pattern);
                // COMPAT: once one BY has no asterisk, no other makes up for it.
                options.unsorted |= !pattern.has_place();
            } else if args.is(i, "GET") && left >= 1 {
                // COMPAT: Redis does not ask what GET leads to, be it the element itself.
                if !may_follow {
                    return Err(GET_DENIED);
                }
                i += 1;
                options.gets.push(Pattern::new(args.at(i)));
            } else {
                return Err(ReplyError::SYNTAX);
            }
            i += 1;
        }
        Ok(options)
    }

    /// What has to be so for elements of a type: what is stored must not depend on where members happen to lie.
    fn adapt(&mut self, type_of: Type) {
        if self.unsorted && self.store.is_some() && type_of == Type::Set {
            (self.unsorted, self.alpha, self.by) = (false, true, None);
        }
        // The members of a set have no order that could be turned round.
        self.descending &= !(self.unsorted && type_of == Type::Set);
    }

    /// True if some pattern leads to other keys.
    fn follows(&self) -> bool {
        self.by.iter().chain(&self.gets).any(Pattern::has_place)
    }

    /// An ordering in the direction that is asked for.
    fn directed(&self, ordering: Ordering) -> Ordering {
        if self.descending { ordering.reverse() } else { ordering }
    }

    /// The part of so many elements that is asked for.
    fn range(&self, len: usize) -> std::ops::Range<usize> {
        let start = usize::try_from(self.offset).unwrap_or(0).min(len);
        let count = usize::try_from(self.count).unwrap_or(len);
        start..start.saturating_add(count).min(len)
    }
}

/// A pattern of BY or GET, which leads from an element to a value.
#[derive(Clone, Copy)]
enum Pattern<'a> {
    /// `#`: the element itself.
    Element,
    /// A key with the element in the place of its first asterisk, or a field of the hash there.
    Key { before: &'a [u8], after: &'a [u8], field: Option<&'a [u8]> },
    /// Without an asterisk: leads nowhere.
    Nowhere,
}

impl<'a> Pattern<'a> {
    fn new(text: &'a [u8]) -> Pattern<'a> {
        if text == b"#" {
            return Pattern::Element;
        }
        // COMPAT: a NUL ends the part in which the asterisk is looked for, as it ends C's strings.
        let visible = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
        let Some(place) = text[..visible].iter().position(|&byte| byte == b'*') else { return Pattern::Nowhere };
        let (before, after) = (&text[..place], &text[place + 1..]);
        let arrow = after[..visible - place - 1].windows(2).position(|two| two == b"->");
        match arrow.filter(|&at| after.get(at + 2).is_some_and(|&byte| byte != 0)) {
            Some(at) => Pattern::Key { before, after: &after[..at], field: Some(&after[at + 2..]) },
            None => Pattern::Key { before, after, field: None },
        }
    }

    fn has_place(&self) -> bool {
        matches!(self, Pattern::Key { .. })
    }

    /// Shows `use_it` the value that an element leads to, if there is one. `key` is room for the key's name.
    fn follow<R>(
        &self,
        db: &mut Db,
        at: Moment,
        element: &[u8],
        key: &mut Vec<u8>,
        use_it: impl FnOnce(Option<&[u8]>) -> R,
    ) -> R {
        let (before, after, field) = match *self {
            Pattern::Element => return use_it(Some(element)),
            Pattern::Nowhere => return use_it(None),
            Pattern::Key { before, after, field } => (before, after, field),
        };
        key.clear();
        [before, element, after].iter().for_each(|part| key.extend_from_slice(part));
        let Some(entry) = db.lookup_read(key, at) else { return use_it(None) };
        let mut digits = itoa::Buffer::new();
        match field {
            None => {
                let mut buffer = TextBuffer::new();
                use_it(entry.string().as_ref().map(|value| value.text(&mut buffer)))
            }
            Some(field) => {
                let hash = entry.collection::<Hash>();
                let found = hash.as_ref().and_then(|hash| hash.get(field, at.due_ms()));
                use_it(found.as_ref().map(|found| found.value().text(&mut digits)))
            }
        }
    }
}

fn sort(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if let Some(gathered) = ctx.gathered::<Result<List, ReplyError>>() {
        let list = (*gathered)?;
        let options = Options::parse(args, true, true)?;
        return put(ctx, options.store.unwrap_or_default(), list);
    }
    let may_follow = may_read_all_keys(ctx, args);
    run(ctx, args, Options::parse(args, true, may_follow)?)
}

fn sort_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if let Some(gathered) = ctx.gathered::<Result<List, ReplyError>>() {
        // What is answered has been; only what is refused comes here.
        (*gathered)?;
        return Ok(Next::Done);
    }
    let may_follow = may_read_all_keys(ctx, args);
    run(ctx, args, Options::parse(args, false, may_follow)?)
}

fn may_read_all_keys(ctx: &Ctx<'_>, args: Args<'_>) -> bool {
    let read = KeyAccess { read: true, write: false };
    permission::may_use_all_keys(ctx.server, ctx.client, ctx.command, args, read)
}

fn run(ctx: &mut Ctx<'_>, args: Args<'_>, mut options: Options<'_>) -> Outcome {
    let (at, long, key) = (ctx.at, ctx.job_limits().map(|limits| limits.long), args.at(1));
    let Some((type_of, len)) = type_and_len(ctx.db(), key, at)? else {
        return finish(ctx, &Texts::default(), &[], &options);
    };
    if type_of == Type::ZSet {
        // COMPAT: Redis makes a skip list of a sorted set to sort it, and leaves it one, as OBJECT ENCODING shows. One that is
        // held does not change.
        let limits = shapes(ctx.server).zset;
        if !ctx.db().is_held(key)
            && ctx.db().reread::<ZSet>(key, at)?.is_some_and(|zset| zset.as_pack().is_some())
            && let Some(mut zset) = ctx.db().write::<ZSet>(key, at.without_access())?
        {
            zset.expect(usize::MAX, &limits);
        }
    }
    options.adapt(type_of);
    if long.is_some_and(|long| len > long) {
        return ctx.become_job(Sorting::new(args, at, type_of, len, &options));
    }
    let elements = elements(ctx.db(), key, at)?;
    let mut order: Vec<usize> = (0..elements.len()).collect();
    if !options.unsorted {
        put_in_order(ctx.db(), at, &elements, &mut order, &options)?;
    } else if options.descending {
        order.reverse();
    }
    finish(ctx, &elements, &order[options.range(elements.len())], &options)
}

fn finish(ctx: &mut Ctx<'_>, elements: &Texts, chosen: &[usize], options: &Options<'_>) -> Outcome {
    match options.store {
        Some(key) => store(ctx, key, elements, chosen, &options.gets),
        None => {
            reply(ctx, elements, chosen, &options.gets);
            Ok(Next::Done)
        }
    }
}

/// What a key holds, and how many elements.
fn type_and_len(db: &mut Db, key: &[u8], at: Moment) -> Result<Option<(Type, usize)>, ReplyError> {
    let Some(entry) = db.lookup_read(key, at) else { return Ok(None) };
    match entry.object().as_deref() {
        Some(Object::List(list)) => Ok(Some((Type::List, list.len()))),
        Some(Object::Set(set)) => Ok(Some((Type::Set, set.len()))),
        Some(Object::ZSet(zset)) => Ok(Some((Type::ZSet, zset.len()))),
        _ => Err(ReplyError::WRONG_TYPE),
    }
}

/// The elements of a key, in the order they have there, copied: following patterns may change the database, by collecting what
/// is due.
fn elements(db: &Db, key: &[u8], at: Moment) -> Result<Texts, ReplyError> {
    let mut elements = Texts::default();
    let entry = db.peek_live(key, at);
    let mut digits = itoa::Buffer::new();
    match entry.as_ref().and_then(|entry| entry.object()).as_deref() {
        Some(Object::List(list)) => list.elements().for_each(|element| elements.push(element.text(&mut digits))),
        Some(Object::Set(set)) => set.for_each(|member| elements.push(member.text(&mut digits))),
        Some(Object::ZSet(zset)) => {
            zset.iter(0..usize::MAX).for_each(|(member, _)| elements.push(member.text(&mut digits)));
        }
        _ => return Err(ReplyError::WRONG_TYPE),
    }
    Ok(elements)
}

fn put_in_order(
    db: &mut Db,
    at: Moment,
    elements: &Texts,
    order: &mut [usize],
    options: &Options<'_>,
) -> Result<(), ReplyError> {
    let mut weights = Weights::new(options, elements.len());
    let mut key = Vec::new();
    for index in 0..elements.len() {
        weights.add(options, db, at, elements.at(index), &mut key)?;
    }
    order.sort_by(|&a, &b| weights.compare(options, elements, a, b));
    Ok(())
}

/// What elements are ordered by.
#[derive(Debug)]
enum Weights {
    /// Numbers.
    Scores(Vec<f64>),
    /// Texts that patterns lead to.
    Texts(Texts),
    /// Themselves.
    None,
}

impl Weights {
    fn new(options: &Options<'_>, elements: usize) -> Weights {
        match options.by {
            _ if options.unsorted => Weights::None,
            _ if !options.alpha => Weights::Scores(Vec::with_capacity(elements)),
            Some(_) => Weights::Texts(Texts::with_capacity(elements)),
            None => Weights::None,
        }
    }

    /// Adds that of the next element.
    fn add(
        &mut self,
        options: &Options<'_>,
        db: &mut Db,
        at: Moment,
        element: &[u8],
        key: &mut Vec<u8>,
    ) -> Result<(), ReplyError> {
        match (self, &options.by) {
            (Weights::Scores(scores), by) => {
                let score = match by {
                    Some(by) => by.follow(db, at, element, key, |text| text.map_or(Some(0.0), score)),
                    None => score(element),
                };
                scores.push(score.ok_or(NO_SCORE)?);
            }
            (Weights::Texts(texts), Some(by)) => by.follow(db, at, element, key, |text| match text {
                Some(text) => texts.push(text),
                None => texts.push_none(),
            }),
            _ => {}
        }
        Ok(())
    }

    /// How two elements stand to each other. What has no text for a weight comes first.
    fn compare(&self, options: &Options<'_>, elements: &Texts, a: usize, b: usize) -> Ordering {
        options.directed(match self {
            Weights::Scores(scores) => {
                let by_score = scores[a].partial_cmp(&scores[b]).unwrap_or(Ordering::Equal);
                by_score.then_with(|| elements.at(a).cmp(elements.at(b)))
            }
            Weights::Texts(texts) => texts.get(a).cmp(&texts.get(b)),
            Weights::None => elements.at(a).cmp(elements.at(b)),
        })
    }
}

/// A text as the number that Redis's SORT takes it for: the empty one is 0, and beyond the range of doubles are the infinities.
fn score(text: &[u8]) -> Option<f64> {
    num::parse_score_bound(text)
}

fn reply(ctx: &mut Ctx<'_>, elements: &Texts, chosen: &[usize], gets: &[Pattern<'_>]) {
    let Ctx { server, reply, db, at, .. } = ctx;
    let (db, mut key) = (&mut server.dbs[*db], Vec::new());
    reply.array(chosen.len() * gets.len().max(1));
    for &index in chosen {
        write(reply, db, *at, elements.at(index), gets, &mut key);
    }
}

/// Writes an element, or what it leads to.
fn write(reply: &mut Reply<'_>, db: &mut Db, at: Moment, element: &[u8], gets: &[Pattern<'_>], key: &mut Vec<u8>) {
    if gets.is_empty() {
        reply.bulk(element);
    }
    for get in gets {
        get.follow(db, at, element, key, |text| match text {
            Some(text) => reply.bulk(text),
            None => reply.null(),
        });
    }
}

/// Stores the elements, or what they lead to, as a list.
fn store(ctx: &mut Ctx<'_>, target: &[u8], elements: &Texts, chosen: &[usize], gets: &[Pattern<'_>]) -> Outcome {
    let (at, fill) = (ctx.at, super::list::fill(ctx.server));
    let (mut list, mut key) = (List::new(), Vec::new());
    let db = ctx.db();
    for &index in chosen {
        push(&mut list, fill, db, at, elements.at(index), gets, &mut key);
    }
    put(ctx, target, list)
}

/// Adds an element, or what it leads to: an empty string for what is not there.
fn push(list: &mut List, fill: Fill, db: &mut Db, at: Moment, element: &[u8], gets: &[Pattern<'_>], key: &mut Vec<u8>) {
    let mut push = |text: &[u8]| {
        list.make_room(fill, text.len(), 1);
        list.push(End::Tail, text);
    };
    if gets.is_empty() {
        push(element);
    }
    for get in gets {
        get.follow(db, at, element, key, |text| push(text.unwrap_or_default()));
    }
}

/// Puts a list in place, over whatever the key held; an empty one deletes the key.
fn put(ctx: &mut Ctx<'_>, target: &[u8], list: List) -> Outcome {
    let (at, stored) = (ctx.at, list.len());
    if stored > 0 {
        ctx.db().set_object(target, Object::List(list), at);
        ctx.change(Change::new(EventClass::List, "sortstore", target).times(stored));
    } else if let Some(entry) = ctx.db().remove(target, at) {
        ctx.server.discard(entry);
        ctx.change(Change::new(EventClass::Generic, "del", target));
    }
    ctx.reply.integer(stored as i64);
    Ok(Next::Done)
}
