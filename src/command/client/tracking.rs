//! CLIENT TRACKING, CACHING, GETREDIR and TRACKINGINFO: what a client is told of for its cache.

use super::super::spec::Outcome;
use super::{done, find, switch};
use crate::base::num;
use crate::feature::client_id::ClientId;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::Server;
use crate::server::ctx::{Ctx, Next};
use crate::server::tracking::{Caching, Tracking};

const NOT_TRACKING: ReplyError = ReplyError::new(
    "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
);
const NOT_OPTIN: ReplyError =
    ReplyError::new("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
const NOT_OPTOUT: ReplyError =
    ReplyError::new("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
const NO_REDIRECT: ReplyError = ReplyError::new("ERR The client ID you want redirect to does not exist");
const TWO_REDIRECTS: ReplyError = ReplyError::new("ERR A client can only redirect to a single other client");
const PREFIX_WITHOUT_BCAST: ReplyError = ReplyError::new("ERR PREFIX option requires BCAST mode to be enabled");
const OTHER_BCAST: ReplyError = ReplyError::new(
    "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a \
     different mode.",
);
const OPT_WITH_BCAST: ReplyError = ReplyError::new("ERR OPTIN and OPTOUT are not compatible with BCAST");
const OPTIN_AND_OPTOUT: ReplyError = ReplyError::new("ERR You can't specify both OPTIN mode and OPTOUT mode");
const OTHER_OPT: ReplyError = ReplyError::new(
    "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a \
     different mode.",
);

/// Prefixes that a client may ask for: each is held against all others, and a change against their lengths.
const PREFIXES_MAX: usize = 1024;
const TOO_MANY_PREFIXES: ReplyError = ReplyError::new("ERR Too many prefixes: a client can have 1024 at most");

/// The options as they stand in the line.
#[derive(Debug, Default)]
struct Options<'a> {
    redirect: Option<u64>,
    prefixes: Vec<&'a [u8]>,
    bcast: bool,
    optin: bool,
    optout: bool,
    noloop: bool,
}

impl<'a> Options<'a> {
    fn parse(server: &Server, args: Args<'a>) -> Result<Options<'a>, ReplyError> {
        let mut options = Options::default();
        let mut at = 3;
        while at < args.len() {
            let value = args.get(at + 1);
            if let Some(value) = value.filter(|_| args.is(at, "REDIRECT")) {
                if options.redirect.is_some() {
                    return Err(TWO_REDIRECTS);
                }
                let id = num::parse_i64(value).ok_or(ReplyError::NOT_AN_INTEGER)?;
                find(server, id).ok_or(NO_REDIRECT)?;
                options.redirect = Some(id as u64);
                at += 1;
            } else if let Some(value) = value.filter(|_| args.is(at, "PREFIX")) {
                options.prefixes.push(value);
                at += 1;
            } else if args.is(at, "BCAST") {
                options.bcast = true;
            } else if args.is(at, "OPTIN") {
                options.optin = true;
            } else if args.is(at, "OPTOUT") {
                options.optout = true;
            } else if args.is(at, "NOLOOP") {
                options.noloop = true;
            } else {
                return Err(ReplyError::SYNTAX);
            }
            at += 1;
        }
        Ok(options)
    }

    /// Refuses, in Redis's order, what does not go together, or with what the client has asked for before.
    fn check(&self, known: Option<&Tracking>) -> Result<(), ReplyError> {
        let was = |caching| known.is_some_and(|known| known.caching == caching);
        if !self.bcast && !self.prefixes.is_empty() {
            return Err(PREFIX_WITHOUT_BCAST);
        }
        if known.is_some_and(|known| known.broadcast != self.bcast) {
            return Err(OTHER_BCAST);
        }
        if self.bcast && (self.optin || self.optout) {
            return Err(OPT_WITH_BCAST);
        }
        if self.optin && self.optout {
            return Err(OPTIN_AND_OPTOUT);
        }
        if self.optin && was(Caching::OptOut) || self.optout && was(Caching::OptIn) {
            return Err(OTHER_OPT);
        }
        self.check_prefixes(known.map_or(&[], |known| &known.prefixes))
    }

    /// Refuses prefixes of which one begins with the other: a key would be told of twice. O(pairs).
    fn check_prefixes(&self, known: &[Box<[u8]>]) -> Result<(), ReplyError> {
        if known.len() + self.prefixes.len() > PREFIXES_MAX {
            return Err(TOO_MANY_PREFIXES);
        }
        let overlap = |one: &[u8], other: &[u8]| one.starts_with(other) || other.starts_with(one);
        for (place, prefix) in self.prefixes.iter().enumerate() {
            if let Some(other) = known.iter().find(|other| overlap(prefix, other)) {
                return Err(overlapping(prefix, b"an existing prefix", other));
            }
            if let Some(other) = self.prefixes[place + 1..].iter().find(|other| overlap(prefix, other)) {
                return Err(overlapping(prefix, b"another provided prefix", other));
            }
        }
        Ok(())
    }

    fn mode(&self) -> Tracking {
        let prefixes: Vec<Box<[u8]>> = match self.bcast && self.prefixes.is_empty() {
            true => vec![Box::default()],
            false => self.prefixes.iter().map(|prefix| (*prefix).into()).collect(),
        };
        let caching = match (self.optin, self.optout) {
            (true, _) => Caching::OptIn,
            (_, true) => Caching::OptOut,
            _ => Caching::Always,
        };
        let (broadcast, noloop, redirect) = (self.bcast, self.noloop, self.redirect);
        Tracking { broadcast, caching, caching_given: false, noloop, redirect, is_broken: false, prefixes }
    }
}

fn overlapping(prefix: &[u8], which: &[u8], other: &[u8]) -> ReplyError {
    let parts: [&[u8]; 7] = [
        b"ERR Prefix '",
        prefix,
        b"' overlaps with ",
        which,
        b" '",
        other,
        b"'. Prefixes for a single client must not overlap.",
    ];
    ReplyError::owned(parts.concat())
}

pub(super) fn tracking(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let options = Options::parse(ctx.server, args)?;
    if switch(args)? {
        options.check(ctx.session().tracking.as_deref())?;
        ctx.server.track(ctx.client, options.mode());
    } else {
        ctx.server.untrack(ctx.client);
    }
    done(ctx)
}

pub(super) fn caching(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let mode = ctx.session().tracking.as_mut().ok_or(NOT_TRACKING)?;
    let (needed, refusal) = match (args.is(2, "YES"), args.is(2, "NO")) {
        (true, _) => (Caching::OptIn, NOT_OPTIN),
        (_, true) => (Caching::OptOut, NOT_OPTOUT),
        _ => return Err(ReplyError::SYNTAX),
    };
    if mode.caching != needed {
        return Err(refusal);
    }
    mode.caching_given = true;
    done(ctx)
}

/// The number that GETREDIR and the like answer: -1 without tracking, 0 without a redirection.
pub(super) fn redirection(mode: Option<&Tracking>) -> i64 {
    mode.map_or(-1, |mode| mode.redirect.unwrap_or(0) as i64)
}

pub(super) fn getredir(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let number = redirection(ctx.session().tracking.as_deref());
    ctx.reply.integer(number);
    Ok(Next::Done)
}

pub(super) fn trackinginfo(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let client: ClientId = ctx.client;
    let mode = ctx.server.clients[client].tracking.as_deref();
    let reply = &mut ctx.reply;
    reply.map(3);
    reply.bulk_str("flags");
    let flags = mode.map_or_else(|| vec!["off"], flags);
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk_str(flag));
    reply.bulk_str("redirect");
    reply.integer(redirection(mode));
    reply.bulk_str("prefixes");
    let prefixes = mode.map_or(&[][..], |mode| &mode.prefixes);
    reply.array(prefixes.len());
    prefixes.iter().for_each(|prefix| reply.bulk(prefix));
    Ok(Next::Done)
}

fn flags(mode: &Tracking) -> Vec<&'static str> {
    let caching = match mode.caching {
        Caching::Always => None,
        Caching::OptIn => Some(("optin", "caching-yes")),
        Caching::OptOut => Some(("optout", "caching-no")),
    };
    let mut flags = vec!["on"];
    flags.extend(mode.broadcast.then_some("bcast"));
    flags.extend(caching.map(|(opt, _)| opt));
    flags.extend(caching.filter(|_| mode.caching_given).map(|(_, given)| given));
    flags.extend(mode.noloop.then_some("noloop"));
    flags.extend(mode.is_broken.then_some("broken_redirect"));
    flags
}
