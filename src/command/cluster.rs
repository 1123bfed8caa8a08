//! CLUSTER and what belongs to it: several servers that share the keys. This one is never part of a cluster, and says so.

use super::spec::{Category, Flags, Group, Handler, Outcome, Spec};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};

const ADMINS: Flags = Flags::ADMIN.with(Flags::STALE);
const CHANGING: Flags = ADMINS.with(Flags::NO_ASYNC_LOADING);
const OF_THE_CONNECTION: Flags = Flags::LOADING.with(Flags::STALE).with(Flags::FAST);
const VARIES: &[&str] = &["nondeterministic_output"];

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::container("CLUSTER", SUBCOMMANDS).group(Group::Cluster, Category::NONE, "3.0.0").doc(
        "Refused: there is no cluster.",
        "Depends on subcommand.",
        "",
    ),
    row("ASKING", 1, Flags::FAST, "3.0.0").group(Group::Cluster, Category::CONNECTION, "3.0.0").doc(
        "Refused: there is no cluster that could send a client elsewhere.",
        "O(1)",
        "",
    ),
    of_replicas("READONLY", readonly).doc(
        "Has a replica answer what the connection reads, although it can be redirected.",
        "O(1)",
        "",
    ),
    of_replicas("READWRITE", readwrite).doc(
        "Has a replica redirect the connection, whatever it wants, if it can be redirected.",
        "O(1)",
        "",
    ),
];

const SUBCOMMANDS: &[Spec] = &[
    row("ADDSLOTS", -3, CHANGING, "3.0.0").doc(
        "Gives hash slots to a node.",
        "O(N) where N is the total number of hash slot arguments",
        "slot [slot ...]",
    ),
    row("ADDSLOTSRANGE", -4, CHANGING, "7.0.0").doc(
        "Gives ranges of hash slots to a node.",
        "O(N) where N is the total number of the slots between the start slot and end slot arguments.",
        "start-slot end-slot [start-slot end-slot ...]",
    ),
    row("BUMPEPOCH", 2, CHANGING, "3.0.0").tips(VARIES).doc(
        "Advances the epoch of a node's configuration.",
        "O(1)",
        "",
    ),
    row("COUNT-FAILURE-REPORTS", 3, ADMINS, "3.0.0").tips(VARIES).doc(
        "Counts the reports that a node has failed.",
        "O(N) where N is the number of failure reports",
        "node-id",
    ),
    row("COUNTKEYSINSLOT", 3, Flags::STALE, "3.0.0").doc("Counts the keys of a hash slot.", "O(1)", "slot"),
    row("DELSLOTS", -3, CHANGING, "3.0.0").doc(
        "Takes hash slots from a node.",
        "O(N) where N is the total number of hash slot arguments",
        "slot [slot ...]",
    ),
    row("DELSLOTSRANGE", -4, CHANGING, "7.0.0").doc(
        "Takes ranges of hash slots from a node.",
        "O(N) where N is the total number of the slots between the start slot and end slot arguments.",
        "start-slot end-slot [start-slot end-slot ...]",
    ),
    row("FAILOVER", -2, CHANGING, "3.0.0").doc(
        "Makes a replica take its primary's place.",
        "O(1)",
        "[FORCE | TAKEOVER]",
    ),
    row("FLUSHSLOTS", 2, CHANGING, "3.0.0").doc("Takes all hash slots from a node.", "O(1)", ""),
    row("FORGET", 3, CHANGING, "3.0.0").doc("Removes a node from the known ones.", "O(1)", "node-id"),
    row("GETKEYSINSLOT", 4, Flags::STALE, "3.0.0").tips(VARIES).doc(
        "Lists keys of a hash slot.",
        "O(N) where N is the number of requested keys",
        "slot count",
    ),
    row("HELP", 2, Flags::LOADING.with(Flags::STALE), "5.0.0").doc("Lists the subcommands.", "O(1)", ""),
    row("INFO", 2, Flags::STALE, "3.0.0").tips(VARIES).doc("Tells of a node's state.", "O(1)", ""),
    row("KEYSLOT", 3, Flags::STALE, "3.0.0").doc(
        "Answers the hash slot of a key.",
        "O(N) where N is the number of bytes in the key",
        "key",
    ),
    row("LINKS", 2, Flags::STALE, "7.0.0").tips(VARIES).doc(
        "Lists the connections between nodes.",
        "O(N) where N is the total number of Cluster nodes",
        "",
    ),
    row("MEET", -4, CHANGING, "3.0.0")
        .doc("Makes a node known to another.", "O(1)", "ip port [cluster-bus-port]")
        .history(&[("4.0.0", "Takes the port of the cluster bus.")]),
    row("MYID", 2, Flags::STALE, "3.0.0").doc("Answers a node's id.", "O(1)", ""),
    row("MYSHARDID", 2, Flags::STALE, "7.2.0").tips(VARIES).doc("Answers the id of a node's shard.", "O(1)", ""),
    row("NODES", 2, Flags::STALE, "3.0.0").tips(VARIES).doc(
        "Shows a node's view of the cluster.",
        "O(N) where N is the total number of Cluster nodes",
        "",
    ),
    row("REPLICAS", 3, ADMINS, "5.0.0").tips(VARIES).doc(
        "Lists the replicas of a node.",
        "O(N) where N is the number of replicas.",
        "node-id",
    ),
    row("REPLICATE", 3, CHANGING, "3.0.0").doc("Makes a node the replica of another.", "O(1)", "node-id"),
    row("RESET", -2, ADMINS.with(Flags::NOSCRIPT), "3.0.0").doc(
        "Makes a node forget the cluster.",
        "O(N) where N is the number of known nodes. The command may execute a FLUSHALL as a side effect.",
        "[HARD | SOFT]",
    ),
    row("SAVECONFIG", 2, CHANGING, "3.0.0").doc("Writes a node's view of the cluster to disk.", "O(1)", ""),
    row("SET-CONFIG-EPOCH", 3, CHANGING, "3.0.0").doc(
        "Sets the epoch of a new node's configuration.",
        "O(1)",
        "config-epoch",
    ),
    row("SETSLOT", -4, CHANGING, "3.0.0").doc(
        "Ties a hash slot to a node.",
        "O(1)",
        "slot <IMPORTING node-id | MIGRATING node-id | NODE node-id | STABLE>",
    ),
    row("SHARDS", 2, Flags::LOADING.with(Flags::STALE), "7.0.0").tips(VARIES).doc(
        "Lists the shards with their hash slots and nodes.",
        "O(N) where N is the total number of cluster nodes",
        "",
    ),
    row("SLAVES", 3, ADMINS, "3.0.0")
        .tips(VARIES)
        .doc("Lists the replicas of a node.", "O(N) where N is the number of replicas.", "node-id")
        .deprecated("5.0.0", "`CLUSTER REPLICAS`"),
    row("SLOT-STATS", -4, Flags::LOADING.with(Flags::STALE), "8.2.0")
        .tips(&["nondeterministic_output", "request_policy:all_shards"])
        .doc(
            "Tells how the hash slots of a node are used.",
            "O(N) where N is the total number of slots based on arguments. O(N*log(N)) with ORDERBY subcommand.",
            "<SLOTSRANGE start-slot end-slot | ORDERBY metric [LIMIT limit] [ASC | DESC]>",
        ),
    row("SLOTS", 2, Flags::LOADING.with(Flags::STALE), "3.0.0")
        .tips(VARIES)
        .doc("Lists the nodes of all hash slots.", "O(N) where N is the total number of Cluster nodes", "")
        .deprecated("7.0.0", "`CLUSTER SHARDS`")
        .history(&[("4.0.0", "Ids of nodes."), ("7.0.0", "More facts about the network.")]),
];

const fn row(name: &'static str, arity: i32, flags: Flags, since: &'static str) -> Spec {
    Spec::new(name, arity, flags, refuse).group(Group::Cluster, Category::NONE, since)
}

/// A row for those whom a replica may redirect.
const fn of_replicas(name: &'static str, handler: Handler) -> Spec {
    Spec::new(name, 1, OF_THE_CONNECTION, handler).group(Group::Cluster, Category::CONNECTION, "3.0.0")
}

fn readonly(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    read_here(ctx, args, true)
}

fn readwrite(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    read_here(ctx, args, false)
}

/// Without a cluster only those who have said CLIENT CAPA redirect are ever redirected; others are refused as by Redis.
fn read_here(ctx: &mut Ctx<'_>, args: Args<'_>, is_wanted: bool) -> Outcome {
    if !ctx.session().redirects {
        return refuse(ctx, args);
    }
    ctx.session().reads_here = is_wanted;
    ctx.reply.ok();
    Ok(Next::Done)
}

fn refuse(_ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    Err(ReplyError::new("ERR This instance has cluster support disabled"))
}
