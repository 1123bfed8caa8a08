//! SORT and SORT_RO, which order the elements of a collection by themselves or by what other keys hold: the rows and the
//! handlers below.

use std::cmp::Ordering;

use super::acl::permission;
use super::dump::shapes;
use super::spec::{Access, Category, Group, KeySpec, Outcome, Spec, keyfind};
use crate::base::num;
use crate::config::EventClass;
use crate::feature::acl::KeyAccess;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::db::{Db, Moment};
use crate::store::types::list::End;
use crate::store::types::{Collection, Hash, List, Object, Type, ZSet};

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
            None => use_it(entry.string().as_ref().map(|value| value.text(&mut digits))),
            Some(field) => {
                let hash = entry.collection::<Hash>();
                let found = hash.as_ref().and_then(|hash| hash.get(field, at.due_ms()));
                use_it(found.as_ref().map(|found| found.value().text(&mut digits)))
            }
        }
    }
}

/// The elements of a collection, copied: following patterns may change the database, by collecting what is due.
#[derive(Default)]
struct Elements {
    bytes: Vec<u8>,
    /// Where each one ends.
    ends: Vec<usize>,
}

impl Elements {
    fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn at(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }
}

fn sort(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let may_follow = may_read_all_keys(ctx, args);
    run(ctx, args, Options::parse(args, true, may_follow)?)
}

fn sort_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let may_follow = may_read_all_keys(ctx, args);
    run(ctx, args, Options::parse(args, false, may_follow)?)
}

fn may_read_all_keys(ctx: &Ctx<'_>, args: Args<'_>) -> bool {
    let read = KeyAccess { read: true, write: false };
    permission::may_use_all_keys(ctx.server, ctx.client, ctx.command, args, read)
}

fn run(ctx: &mut Ctx<'_>, args: Args<'_>, mut options: Options<'_>) -> Outcome {
    let at = ctx.at;
    let (elements, type_of) = elements(ctx.db(), args.at(1), at)?;
    if type_of == Type::ZSet {
        // COMPAT: Redis makes a skip list of a sorted set to sort it, and leaves it one, as OBJECT ENCODING shows.
        let limits = shapes(ctx.server).zset;
        if let Some(mut zset) = ctx.db().write::<ZSet>(args.at(1), at.without_access())? {
            zset.expect(usize::MAX, &limits);
        }
    }
    if options.unsorted && options.store.is_some() && type_of == Type::Set {
        // What is stored must not depend on where members happen to lie.
        (options.unsorted, options.alpha, options.by) = (false, true, None);
    }
    let mut order: Vec<usize> = (0..elements.len()).collect();
    if !options.unsorted {
        put_in_order(ctx.db(), at, &elements, &mut order, &options)?;
    } else if options.descending && type_of != Type::Set {
        order.reverse();
    }
    let chosen = &order[options.range(elements.len())];
    match options.store {
        Some(key) => store(ctx, key, &elements, chosen, &options.gets),
        None => reply(ctx, &elements, chosen, &options.gets),
    }
    Ok(Next::Done)
}

/// The elements of a key, in the order they have there; none of a key that is not there.
fn elements(db: &mut Db, key: &[u8], at: Moment) -> Result<(Elements, Type), ReplyError> {
    let mut elements = Elements::default();
    let Some(entry) = db.lookup_read(key, at) else { return Ok((elements, Type::List)) };
    let mut digits = itoa::Buffer::new();
    match entry.object().as_deref() {
        Some(Object::List(list)) => list.elements().for_each(|element| elements.push(element.text(&mut digits))),
        Some(Object::Set(set)) => set.for_each(|member| elements.push(member.text(&mut digits))),
        Some(Object::ZSet(zset)) => {
            zset.iter(0..usize::MAX).for_each(|(member, _)| elements.push(member.text(&mut digits)));
        }
        _ => return Err(ReplyError::WRONG_TYPE),
    }
    Ok((elements, entry.type_of()))
}

fn put_in_order(
    db: &mut Db,
    at: Moment,
    elements: &Elements,
    order: &mut [usize],
    options: &Options<'_>,
) -> Result<(), ReplyError> {
    let directed = |ordering: Ordering| if options.descending { ordering.reverse() } else { ordering };
    let mut key = Vec::new();
    if !options.alpha {
        let mut scores = Vec::with_capacity(elements.len());
        for element in (0..elements.len()).map(|index| elements.at(index)) {
            scores.push(match &options.by {
                Some(by) => by.follow(db, at, element, &mut key, |text| text.map_or(Some(0.0), score)),
                None => score(element),
            });
        }
        let scores = scores.into_iter().collect::<Option<Vec<f64>>>().ok_or(NO_SCORE)?;
        order.sort_by(|&a, &b| {
            let by_score = scores[a].partial_cmp(&scores[b]).unwrap_or(Ordering::Equal);
            directed(by_score.then_with(|| elements.at(a).cmp(elements.at(b))))
        });
        return Ok(());
    }
    let Some(by) = &options.by else {
        order.sort_by(|&a, &b| directed(elements.at(a).cmp(elements.at(b))));
        return Ok(());
    };
    let mut weights: Vec<Option<Vec<u8>>> = Vec::with_capacity(elements.len());
    for index in 0..elements.len() {
        weights.push(by.follow(db, at, elements.at(index), &mut key, |text| text.map(<[u8]>::to_vec)));
    }
    // What has no weight comes first.
    order.sort_by(|&a, &b| directed(weights[a].cmp(&weights[b])));
    Ok(())
}

/// A text as the number that Redis's SORT takes it for: the empty one is 0, and beyond the range of doubles are the infinities.
fn score(text: &[u8]) -> Option<f64> {
    num::parse_score_bound(text)
}

fn reply(ctx: &mut Ctx<'_>, elements: &Elements, chosen: &[usize], gets: &[Pattern<'_>]) {
    let Ctx { server, reply, db, at, .. } = ctx;
    let db = &mut server.dbs[*db];
    let mut key = Vec::new();
    reply.array(chosen.len() * gets.len().max(1));
    for &index in chosen {
        let element = elements.at(index);
        if gets.is_empty() {
            reply.bulk(element);
        }
        for get in gets {
            get.follow(db, *at, element, &mut key, |text| match text {
                Some(text) => reply.bulk(text),
                None => reply.null(),
            });
        }
    }
}

/// Stores the elements, or what they lead to, as a list: an empty string for what is not there.
fn store(ctx: &mut Ctx<'_>, target: &[u8], elements: &Elements, chosen: &[usize], gets: &[Pattern<'_>]) {
    let (at, fill) = (ctx.at, super::list::fill(ctx.server));
    let mut list = List::new();
    let mut push = |text: &[u8]| {
        list.make_room(fill, text.len(), 1);
        list.push(End::Tail, text);
    };
    let mut key = Vec::new();
    for &index in chosen {
        let element = elements.at(index);
        if gets.is_empty() {
            push(element);
        }
        for get in gets {
            get.follow(ctx.db(), at, element, &mut key, |text| push(text.unwrap_or_default()));
        }
    }
    let stored = list.len();
    if stored > 0 {
        ctx.db().set_object(target, Object::List(list), at);
        ctx.change(Change::new(EventClass::List, "sortstore", target).times(stored));
    } else if let Some(entry) = ctx.db().remove(target, at) {
        ctx.server.discard(entry);
        ctx.change(Change::new(EventClass::Generic, "del", target));
    }
    ctx.reply.integer(stored as i64);
}
