//! Which clients CLIENT LIST and CLIENT KILL mean: pairs of an option and a value, all of which have to fit. Redis's options, and
//! those that Valkey added; an option behind `NOT-` has to be one that does not fit.

use super::flags;
use crate::base::clock::Now;
use crate::base::num;
use crate::feature::acl::UserId;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::Server;
use crate::server::session::Session;

/// Every letter that Redis or Valkey shows among a client's flags.
const FLAG_LETTERS: &[u8] = b"ABCEGIMNOPRSTUbcdeirtux";

const BAD_ID: ReplyError = ReplyError::new("ERR client-id should be greater than 0");

/// Clients as TYPE names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientType {
    Normal,
    Replica,
    Pubsub,
    Primary,
}

impl ClientType {
    fn of(session: &Session) -> ClientType {
        match session.subscribed {
            _ if session.is_replica => ClientType::Replica,
            // What this server has connected to itself, and what is meant for clients does not concern.
            _ if session.link.is_some() => ClientType::Primary,
            true => ClientType::Pubsub,
            false => ClientType::Normal,
        }
    }

    fn parse(name: &[u8]) -> Result<ClientType, ReplyError> {
        match name.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(ClientType::Normal),
            b"slave" | b"replica" => Ok(ClientType::Replica),
            b"pubsub" => Ok(ClientType::Pubsub),
            b"master" => Ok(ClientType::Primary),
            _ => Err(ReplyError::about("ERR Unknown client type '", name, "'")),
        }
    }
}

/// One option with its value.
#[derive(Debug)]
enum Condition<'a> {
    Ids(Vec<i64>),
    Type(ClientType),
    User(UserId),
    Address(&'a [u8]),
    LocalAddress(&'a [u8]),
    Ip(&'a [u8]),
    Name(&'a [u8]),
    LibName(&'a [u8]),
    LibVer(&'a [u8]),
    Flags(&'a [u8]),
    Database(usize),
    /// A client says that it can be redirected.
    Redirects,
    AgeSeconds(u64),
    IdleSeconds(u64),
}

impl Condition<'_> {
    fn fits(&self, server: &Server, session: &Session, now: Now) -> bool {
        let seconds_since = |then_ms: u64| now.mono_ms().saturating_sub(then_ms) / 1000;
        let ip = || session.peer.rsplit_once(':').map_or(&*session.peer, |(ip, _)| ip).trim_matches(['[', ']']);
        match self {
            Condition::Ids(ids) => ids.iter().any(|id| u64::try_from(*id) == Ok(session.id)),
            Condition::Type(kind) => *kind == ClientType::of(session),
            Condition::User(user) => *user == session.user,
            Condition::Address(address) => *address == session.peer.as_bytes(),
            Condition::LocalAddress(address) => *address == session.local.as_bytes(),
            Condition::Ip(asked) => *asked == ip().as_bytes(),
            Condition::Name(name) => *name == session.name,
            Condition::LibName(name) => *name == session.lib_name,
            Condition::LibVer(version) => *version == session.lib_ver,
            Condition::Flags(letters) => letters.iter().all(|letter| flags(session).as_bytes().contains(letter)),
            Condition::Database(number) => *number == server.dbs.number(session.db),
            Condition::Redirects => session.redirects,
            Condition::AgeSeconds(least_s) => seconds_since(session.connected_ms) >= *least_s,
            Condition::IdleSeconds(least_s) => seconds_since(session.active_ms) >= *least_s,
        }
    }
}

/// All options of a line. What is not said is met by every client.
#[derive(Debug, Default)]
pub(super) struct Filter<'a> {
    /// Each with whether it is to fit.
    conditions: Vec<(Condition<'a>, bool)>,
    /// SKIPME, if it was given.
    pub skip_me: Option<bool>,
}

impl<'a> Filter<'a> {
    /// The filter of an address alone.
    pub fn address(address: &'a [u8]) -> Filter<'a> {
        Filter { conditions: vec![(Condition::Address(address), true)], skip_me: None }
    }

    /// Reads options and values from the third argument on. A repeated option counts with its last value, as in Redis.
    ///
    /// # Errors
    /// Redis's and Valkey's texts for what makes no sense.
    pub fn parse(server: &Server, args: Args<'a>) -> Result<Filter<'a>, ReplyError> {
        let (mut filter, mut at) = (Filter::default(), 2);
        while at < args.len() {
            let Some(value) = args.get(at + 1) else { return Err(ReplyError::SYNTAX) };
            if args.is(at, "SKIPME") {
                filter.skip_me = match (args.is(at + 1, "YES"), args.is(at + 1, "NO")) {
                    (true, _) => Some(true),
                    (_, true) => Some(false),
                    _ => return Err(ReplyError::SYNTAX),
                };
                at += 2;
                continue;
            }
            let name = args.at(at).to_ascii_uppercase();
            let (name, is_to_fit) = match name.strip_prefix(b"NOT-") {
                Some(b"MAXAGE" | b"IDLE") => return Err(ReplyError::SYNTAX),
                Some(name) => (name, false),
                None => (&*name, true),
            };
            let (condition, values) = condition(server, name, value, args.tail(at + 1))?;
            let is_other = |(known, fits): &(Condition<'_>, bool)| {
                (std::mem::discriminant(known), *fits) != (std::mem::discriminant(&condition), is_to_fit)
            };
            filter.conditions.retain(is_other);
            filter.conditions.push((condition, is_to_fit));
            at += 1 + values;
        }
        Ok(filter)
    }

    /// True for a client that is meant.
    pub fn matches(&self, server: &Server, session: &Session, now: Now) -> bool {
        self.conditions.iter().all(|(condition, is_to_fit)| condition.fits(server, session, now) == *is_to_fit)
    }
}

/// The condition of an option's name, and how many values it takes of those that follow: one, or for ID all that are numbers.
fn condition<'a>(
    server: &Server,
    name: &[u8],
    value: &'a [u8],
    values: Args<'a>,
) -> Result<(Condition<'a>, usize), ReplyError> {
    let condition = match name {
        b"ID" => {
            let ids: Vec<i64> = values.iter_from(0).map_while(num::parse_i64).collect();
            if ids.is_empty() || ids.iter().any(|id| *id <= 0) {
                return Err(BAD_ID);
            }
            let count = ids.len();
            return Ok((Condition::Ids(ids), count));
        }
        b"TYPE" => Condition::Type(ClientType::parse(value)?),
        b"USER" => {
            let user = server.acl.users.find(value);
            Condition::User(user.ok_or_else(|| ReplyError::about("ERR No such user '", value, "'"))?)
        }
        b"ADDR" => Condition::Address(value),
        b"LADDR" => Condition::LocalAddress(value),
        b"IP" => Condition::Ip(value),
        b"NAME" => Condition::Name(value),
        b"LIB-NAME" => Condition::LibName(value),
        b"LIB-VER" => Condition::LibVer(value),
        b"FLAGS" if value.iter().all(|letter| FLAG_LETTERS.contains(letter)) => Condition::Flags(value),
        b"FLAGS" => return Err(ReplyError::about("ERR Unknown flags found in the provided filter: ", value, "")),
        b"CAPA" if value == b"r" => Condition::Redirects,
        b"CAPA" => return Err(ReplyError::about("ERR Unknown capa found in the provided filter: ", value, "")),
        b"DB" => {
            let number = num::parse_i64(value).ok_or(ReplyError::new("ERR DB is not an integer or out of range"))?;
            let last = server.config.databases as usize - 1;
            let number = usize::try_from(number).ok().filter(|number| *number <= last);
            Condition::Database(
                number.ok_or_else(|| ReplyError::owned(format!("ERR DB number should be between 0 and {last}")))?,
            )
        }
        b"MAXAGE" => Condition::AgeSeconds(seconds("maxage", value)?),
        b"IDLE" => Condition::IdleSeconds(seconds("idle", value)?),
        _ => return Err(ReplyError::SYNTAX),
    };
    Ok((condition, 1))
}

fn seconds(name: &str, value: &[u8]) -> Result<u64, ReplyError> {
    match num::parse_i64(value) {
        None => Err(ReplyError::owned(format!("ERR {name} is not an integer or out of range"))),
        Some(seconds @ 1..) => Ok(seconds as u64),
        Some(_) => Err(ReplyError::owned(format!("ERR {name} should be greater than 0"))),
    }
}
