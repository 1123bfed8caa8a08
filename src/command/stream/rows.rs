//! The rows.

use super::{add, claim, group, info, pending, producers, range, read, release, remove};
use crate::command::spec::{Access, Category, Flags, Group, Handler, KeySpec, Spec, keyfind};

const READ: Access = Access::RO.with(Access::ACCESS);
const UPDATE: Access = Access::RW.with(Access::UPDATE);
const DELETE: Access = Access::RW.with(Access::DELETE);
const INSERT: Access = Access::RW.with(Access::INSERT);

const RANGE_COST: &str = "O(N) with N being the number of elements being returned. If N is constant (e.g. always asking for the first 10 \
     elements with COUNT), you can consider it O(1).";
const DELETE_COST: &str = "O(1) for each single item to delete in the stream, regardless of the stream size.";
const EACH_COST: &str = "O(1) for each message ID processed.";

const fn of(row: Spec, since: &'static str) -> Spec {
    row.group(Group::Stream, Category::STREAM, since)
}

const fn help(handler: Handler) -> Spec {
    of(Spec::new("HELP", 2, Flags::LOADING.with(Flags::STALE), handler), "5.0.0").doc(
        "Explains the subcommands.",
        "O(1)",
        "",
    )
}

const XGROUP: &[Spec] = &[
    of(Spec::write("CREATE", -5, group::create), "5.0.0")
        .denyoom()
        .keys(&[KeySpec::one(INSERT, 2)])
        .doc(
            "Creates a group of consumers, on request with its stream.",
            "O(1)",
            "key group <id | $> [MKSTREAM] [ENTRIESREAD entries-read]",
        )
        .history(&[("7.0.0", "Added the `entries_read` named argument.")]),
    of(Spec::write("CREATECONSUMER", 5, group::create_consumer), "6.2.0")
        .denyoom()
        .keys(&[KeySpec::one(INSERT, 2)])
        .doc("Adds a consumer to a group.", "O(1)", "key group consumer"),
    of(Spec::write("DELCONSUMER", 5, group::delete_consumer), "5.0.0").keys(&[KeySpec::one(DELETE, 2)]).doc(
        "Removes a consumer from a group, with all it has not acknowledged.",
        "O(1)",
        "key group consumer",
    ),
    of(Spec::write("DESTROY", 4, group::destroy), "5.0.0").keys(&[KeySpec::one(DELETE, 2)]).doc(
        "Removes a group with all its consumers.",
        "O(N) where N is the number of entries in the group's pending entries list (PEL).",
        "key group",
    ),
    help(group::help),
    of(Spec::write("SETID", -5, group::set_id), "5.0.0")
        .keys(&[KeySpec::one(UPDATE, 2)])
        .doc(
            "Sets the id up to which a group has been given the stream's entries.",
            "O(1)",
            "key group <id | $> [ENTRIESREAD entries-read]",
        )
        .history(&[("7.0.0", "Added the optional `entries_read` argument.")]),
];

const XINFO: &[Spec] = &[
    of(Spec::read("CONSUMERS", 4, info::consumers), "5.0.0")
        .keys(&[KeySpec::one(READ, 2)])
        .doc("Describes the consumers of a group.", "O(1)", "key group")
        .tips(&["nondeterministic_output"])
        .history(&[("7.2.0", "Added the `inactive` field, and changed the meaning of `idle`.")]),
    of(Spec::read("GROUPS", 3, info::groups), "5.0.0")
        .keys(&[KeySpec::one(READ, 2)])
        .doc("Describes the groups of a stream.", "O(1)", "key")
        .history(&[("7.0.0", "Added the `entries-read` and `lag` fields")]),
    help(info::help),
    of(Spec::read("STREAM", -3, info::stream), "5.0.0")
        .keys(&[KeySpec::one(READ, 2)])
        .doc("Describes a stream, on request with its entries and groups.", "O(1)", "key [FULL [COUNT count]]")
        .history(&[
            ("6.0.0", "Added the `FULL` modifier."),
            (
                "7.0.0",
                "Added the `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, `entries-read` and `lag` fields",
            ),
            ("7.2.0", "Added the `active-time` field, and changed the meaning of `seen-time`."),
            (
                "8.6.0",
                "Added the `idmp-duration`, `idmp-maxsize`, `pids-tracked`, `iids-tracked`, `iids-added` and \
                 `iids-duplicates` fields for IDMP tracking.",
            ),
        ]),
];

/// The rows.
pub const ROWS: &[Spec] = &[
    of(Spec::write("XACK", -4, pending::xack).in_pieces(), "5.0.0").fast().keys(&[KeySpec::one(UPDATE, 1)]).doc(
        "Acknowledges entries for a group, and returns how many were pending.",
        EACH_COST,
        "key group id [id ...]",
    ),
    of(Spec::write("XACKDEL", -6, pending::xackdel), "8.2.0")
        .fast()
        .keys(&[KeySpec::one(UPDATE.with(Access::DELETE), 1)])
        .doc(
            "Acknowledges entries for a group and deletes them.",
            EACH_COST,
            "key group [KEEPREF | DELREF | ACKED] IDS numids id [id ...]",
        ),
    of(Spec::write("XADD", -5, add::xadd), "5.0.0")
        .denyoom()
        .fast()
        .keys(&[KeySpec::one(UPDATE, 1).notes("UPDATE instead of INSERT because of the optional trimming feature")])
        .doc(
            "Adds an entry at the end of a stream, which is created if it is not there. Can trim the stream as well.",
            "O(1) when adding a new entry, O(N) when trimming where N being the number of entries evicted.",
            "key [NOMKSTREAM] [KEEPREF | DELREF | ACKED] [IDMPAUTO pid | IDMP pid iid] \
             [<MAXLEN | MINID> [= | ~] threshold [LIMIT count]] <* | id> \
             field value [field value ...]",
        )
        .tips(&["nondeterministic_output"])
        .history(&[
            ("6.2.0", "Added the `NOMKSTREAM` option, `MINID` trimming strategy and the `LIMIT` option."),
            ("7.0.0", "Added support for the `<ms>-*` explicit ID form."),
            ("8.2.0", "Added the `KEEPREF`, `DELREF` and `ACKED` options."),
        ]),
    of(Spec::write("XAUTOCLAIM", -6, claim::xautoclaim), "6.2.0")
        .fast()
        .keys(&[KeySpec::one(DELETE, 1)])
        .doc(
            "Gives a consumer the entries that others have left pending for long, some at a time.",
            "O(1) if COUNT is small.",
            "key group consumer min-idle-time start [COUNT count] [JUSTID]",
        )
        .tips(&["nondeterministic_output"])
        .history(&[(
            "7.0.0",
            "Added an element to the reply array, containing deleted entries the command cleared from the PEL",
        )]),
    of(Spec::write("XCFGSET", -2, producers::xcfgset), "8.6.0").fast().keys(&[KeySpec::one(UPDATE, 1)]).doc(
        "Sets how long a stream remembers the ids that producers gave its entries, and how many.",
        "O(1)",
        "key [IDMP-DURATION duration] [IDMP-MAXSIZE maxsize]",
    ),
    of(Spec::write("XCLAIM", -6, claim::xclaim), "5.0.0")
        .fast()
        .keys(&[KeySpec::one(UPDATE, 1)])
        .doc(
            "Gives a consumer some of its group's pending entries.",
            "O(log N) with N being the number of messages in the PEL of the consumer group.",
            "key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] [RETRYCOUNT count] \
             [FORCE] [JUSTID] [LASTID lastid]",
        )
        .tips(&["nondeterministic_output"]),
    of(Spec::write("XDEL", -3, remove::xdel).in_pieces(), "5.0.0").fast().keys(&[KeySpec::one(DELETE, 1)]).doc(
        "Deletes entries by their ids, and returns how many there were.",
        DELETE_COST,
        "key id [id ...]",
    ),
    of(Spec::write("XDELEX", -5, remove::xdelex), "8.2.0").fast().keys(&[KeySpec::one(DELETE, 1)]).doc(
        "Deletes entries by their ids, with regard to the groups that refer to them.",
        DELETE_COST,
        "key [KEEPREF | DELREF | ACKED] IDS numids id [id ...]",
    ),
    Spec::container("XGROUP", XGROUP).group(Group::Stream, Category::NONE, "5.0.0").doc(
        "Manages the groups of a stream and their consumers.",
        "Depends on subcommand.",
        "",
    ),
    of(Spec::write("XIDMPRECORD", 5, producers::xidmprecord), "8.6.2")
        .denyoom()
        .fast()
        .keys(&[KeySpec::one(UPDATE, 1)])
        .doc(
            "Has a stream remember the id that a producer gave one of its entries: how logs bring them back.",
            "O(1)",
            "key pid iid stream-id",
        ),
    Spec::container("XINFO", XINFO).group(Group::Stream, Category::NONE, "5.0.0").doc(
        "Describes streams, groups and consumers.",
        "Depends on subcommand.",
        "",
    ),
    of(Spec::read("XLEN", 2, range::xlen), "5.0.0").fast().keys(&[KeySpec::one(Access::RO, 1)]).doc(
        "Returns the number of a stream's entries.",
        "O(1)",
        "key",
    ),
    of(Spec::write("XNACK", -7, release::xnack), "8.8.0").fast().keys(&[KeySpec::one(UPDATE, 1)]).doc(
        "Gives pending entries back to their group, whose consumers may claim them at once.",
        EACH_COST,
        "key group <SILENT | FAIL | FATAL> IDS numids id [id ...] [RETRYCOUNT count] [FORCE]",
    ),
    of(Spec::read("XPENDING", -3, pending::xpending), "5.0.0")
        .keys(&[KeySpec::one(READ, 1)])
        .doc(
            "Sums up what a group has not acknowledged, or lists it.",
            "O(N) with N being the number of elements returned, so asking for a small fixed number of entries per call is \
             O(1). O(M), where M is the total number of entries scanned when used with the IDLE filter. When the command \
             returns just the summary and the list of consumers is small, it runs in O(1) time; otherwise, an additional \
             O(N) time for iterating every consumer.",
            "key group [[IDLE min-idle-time] start end count [consumer]]",
        )
        .tips(&["nondeterministic_output"])
        .history(&[("6.2.0", "Added the `IDLE` option and exclusive range intervals.")]),
    of(Spec::read("XRANGE", -4, range::xrange), "5.0.0")
        .keys(&[KeySpec::one(READ, 1)])
        .doc("Returns the entries between two ids.", RANGE_COST, "key start end [COUNT count]")
        .history(&[("6.2.0", "Added exclusive ranges.")]),
    of(Spec::new("XREAD", -4, Flags::READONLY.with(Flags::BLOCKING), read::xread), "5.0.0")
        .keys(&[KeySpec::all_after(READ, "STREAMS", 1, 2)])
        .doc(
            "Returns the entries of several streams that come after given ids. Can wait for some.",
            "",
            "[COUNT count] [MAXCOUNT maxcount] [MAXSIZE maxsize] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]",
        )
        .history(&[("8.10.0", "Added the `MAXCOUNT` and `MAXSIZE` options.")]),
    of(Spec::new("XREADGROUP", -7, Flags::WRITE.with(Flags::BLOCKING), read::xreadgroup), "5.0.0")
        .keys(&[KeySpec::all_after(READ, "STREAMS", 4, 2)])
        .find_keys(keyfind::xreadgroup)
        .doc(
            "Gives a consumer entries that are new to its group, or its pending ones. Can wait for some.",
            "For each stream mentioned: O(M) with M being the number of elements returned. If M is constant (e.g. always \
             asking for the first 10 elements with COUNT), you can consider it O(1). On the other side when XREADGROUP \
             blocks, XADD will pay the O(N) time in order to serve the N clients blocked on the stream getting new data.",
            "GROUP group consumer [COUNT count] [MAXCOUNT maxcount] [MAXSIZE maxsize] [BLOCK milliseconds] \
             [CLAIM min-idle-time] [NOACK] STREAMS key [key ...] id [id ...]",
        )
        .history(&[("8.10.0", "Added the `MAXCOUNT` and `MAXSIZE` options.")]),
    of(Spec::read("XREVRANGE", -4, range::xrevrange), "5.0.0")
        .keys(&[KeySpec::one(READ, 1)])
        .doc("Returns the entries between two ids, last ones first.", RANGE_COST, "key end start [COUNT count]")
        .history(&[("6.2.0", "Added exclusive ranges.")]),
    of(Spec::write("XSETID", -3, add::xsetid), "5.0.0")
        .denyoom()
        .fast()
        .keys(&[KeySpec::one(UPDATE, 1)])
        .doc(
            "Sets the last id of a stream and what is counted of it.",
            "O(1)",
            "key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]",
        )
        .history(&[("7.0.0", "Added the `entries_added` and `max_deleted_entry_id` arguments.")]),
    of(Spec::write("XTRIM", -4, remove::xtrim), "5.0.0")
        .keys(&[KeySpec::one(DELETE, 1)])
        .doc(
            "Deletes the first entries of a stream, down to a length or up to an id.",
            "O(N), with N being the number of evicted entries. Constant times are very small however, since entries are \
             organized in macro nodes containing multiple entries that can be released with a single deallocation.",
            "key <MAXLEN | MINID> [= | ~] threshold [LIMIT count] [KEEPREF | DELREF | ACKED]",
        )
        .tips(&["nondeterministic_output"])
        .history(&[
            ("6.2.0", "Added the `MINID` trimming strategy and the `LIMIT` option."),
            ("8.2.0", "Added the `KEEPREF`, `DELREF` and `ACKED` options."),
        ]),
];
