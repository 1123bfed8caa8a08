//! How XADD and XTRIM are told what to remove, and the removal.

use super::ids;
use crate::base::num;
use crate::config::Config;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::Server;
use crate::server::ctx::CallOrigin;
use crate::store::pack::Listpack;
use crate::store::types::Stream;
use crate::store::types::stream::{References, Trim, Trimmed};

const BOTH: ReplyError =
    ReplyError::new("ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
const NEGATIVE_LENGTH: ReplyError = ReplyError::new("ERR The MAXLEN argument must be >= 0.");
const NEGATIVE_LIMIT: ReplyError = ReplyError::new("ERR The LIMIT argument must be >= 0.");
const LIMIT_ALONE: ReplyError =
    ReplyError::new("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy");
const NO_STRATEGY: ReplyError = ReplyError::new("ERR syntax error, XTRIM must be called with a trimming strategy");
const LIMIT_EXACT: ReplyError = ReplyError::new("ERR syntax error, LIMIT cannot be used without the special ~ option");

/// Nodes whose worth of entries an approximate trimming removes at most if it is not told.
const LIMIT_NODES: u64 = 100;
/// That limit if nodes have none, and if they have a large one.
const LIMIT_UNTOLD: (usize, usize) = (10_000, 1_000_000);
/// Nodes from which on to free them is left to the helper thread.
const NODES_FREED_AT_ONCE: usize = 64;

/// Options that XADD and XTRIM share.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trimming {
    pub trim: Option<Trim>,
    whole_nodes: bool,
    limit: Option<usize>,
    references: Option<References>,
}

/// An option KEEPREF, DELREF or ACKED.
pub(super) fn references(args: Args<'_>, index: usize) -> Option<References> {
    [("KEEPREF", References::Keep), ("DELREF", References::Delete), ("ACKED", References::Acknowledged)]
        .into_iter()
        .find(|(word, _)| args.is(index, word))
        .map(|(_, references)| references)
}

impl Trimming {
    /// Reads the option at an index; the index behind it, or `None` if there is no such option.
    pub fn option(&mut self, args: Args<'_>, index: usize) -> Result<Option<usize>, ReplyError> {
        let more = args.len() - 1 - index;
        let is_length = args.is(index, "MAXLEN");
        if more > 0 && (is_length || args.is(index, "MINID")) {
            if self.trim.is_some() {
                return Err(BOTH);
            }
            let sign = if more >= 2 { args.at(index + 1) } else { b"" };
            self.whole_nodes = sign == b"~";
            let at = index + 1 + usize::from(sign == b"~" || sign == b"=");
            self.trim = Some(if is_length { length(args.at(at))? } else { Trim::Below(ids::exact(args.at(at))?) });
            return Ok(Some(at + 1));
        }
        if more > 0 && args.is(index, "LIMIT") {
            let limit = num::parse_i64(args.at(index + 1)).ok_or(ReplyError::NOT_AN_INTEGER)?;
            self.limit = Some(usize::try_from(limit).map_err(|_| NEGATIVE_LIMIT)?);
            return Ok(Some(index + 2));
        }
        if self.references.is_none() {
            self.references = references(args, index);
            return Ok(self.references.map(|_| index + 1));
        }
        Ok(None)
    }

    /// Refuses what does not go together, and works out the limit. To be called once all options are read. With
    /// `required` a line that does not say what to remove is refused, too.
    ///
    /// A log may hold a limit without `~`: Redis writes down how much was removed in the end and leaves the limit where it
    /// was, which has had its effect then.
    pub fn finish(&mut self, config: &Config, origin: CallOrigin, required: bool) -> Result<(), ReplyError> {
        if origin == CallOrigin::Loaded && !self.whole_nodes {
            self.limit = None;
        }
        if self.limit.is_some_and(|limit| limit > 0) && self.trim.is_none() {
            return Err(LIMIT_ALONE);
        }
        if required && self.trim.is_none() {
            return Err(NO_STRATEGY);
        }
        if self.limit.is_some() && !self.whole_nodes {
            return Err(LIMIT_EXACT);
        }
        if self.limit.is_none() && self.whole_nodes {
            let (unlimited, most) = LIMIT_UNTOLD;
            let limit = usize::try_from(config.stream_node_max_entries.saturating_mul(LIMIT_NODES)).unwrap_or(most);
            self.limit = Some(if limit == 0 { unlimited } else { limit.min(most) });
        }
        Ok(())
    }

    /// What to remove and what of the references, if it is to be done by whole nodes, and so depends on how they are packed.
    pub fn approximate(&self) -> Option<(Trim, References)> {
        self.trim.filter(|_| self.whole_nodes).map(|trim| (trim, self.references.unwrap_or_default()))
    }

    /// Trims; returns what went. Nodes are to be given to [`discard`].
    pub fn run(&self, stream: &mut Stream) -> Trimmed {
        match self.trim {
            Some(trim) => {
                let references = self.references.unwrap_or_default();
                stream.trim(trim, self.whole_nodes, self.limit.unwrap_or(0), references)
            }
            None => Trimmed::default(),
        }
    }
}

fn length(text: &[u8]) -> Result<Trim, ReplyError> {
    let length = num::parse_i64(text).ok_or(ReplyError::NOT_AN_INTEGER)?;
    usize::try_from(length).map(Trim::Length).map_err(|_| NEGATIVE_LENGTH)
}

/// Frees nodes, on the helper thread if they are many.
pub(super) fn discard(server: &mut Server, nodes: Vec<Listpack>) {
    if nodes.len() > NODES_FREED_AT_ONCE {
        server.background.free(Box::new(nodes));
    }
}
