//! Every command that writes: the event it tells of, and what it passes on to a log and to replicas. A new one has to be named
//! here, and in its family's own tests.
//!
//! Events are those of Redis 8.6.2; so is what is passed on, which `differential/propagation.txt` has in full, but for GEOADD.

use crate::memory::{Memory, START_MS};
use aleadb::command;
use aleadb::command::spec::Flags;

/// An example of a command.
struct Row {
    /// Lines before it, separated by `; `.
    before: &'static str,
    line: &'static str,
    /// The events, `name=key` each.
    events: &'static str,
    /// What is passed on: commands separated by `; `, those of databases other than 0 with the number in front.
    passed_on: &'static str,
}

/// A row whose command is passed on as it was given.
const fn given(before: &'static str, line: &'static str, events: &'static str) -> Row {
    Row { before, line, events, passed_on: line }
}

const fn row(before: &'static str, line: &'static str, events: &'static str, passed_on: &'static str) -> Row {
    Row { before, line, events, passed_on }
}

/// `NOW+n` stands for the time at which the line runs, n milliseconds later.
const ROWS: &[Row] = &[
    // Strings.
    given("", "SET k v", "set=k"),
    row("", "SETEX k 5 v", "set=k expire=k", "SET k v PXAT NOW+5000"),
    // No less than a millisecond, and no more than was asked for.
    row("", "SET k v PX 1 JITTER 100", "set=k expire=k", "SET k v PXAT NOW+1"),
    row("SET k v", "PEXPIRE k 1 NX JITTER 7", "expire=k", "PEXPIREAT k NOW+1 NX"),
    row("", "PSETEX k 5 v", "set=k expire=k", "SET k v PXAT NOW+5"),
    given("", "SETNX k v", "set=k"),
    row("", "GETSET k v", "set=k", "SET k v"),
    row("SET k v", "GETDEL k", "del=k", "DEL k"),
    row("SET k v", "GETEX k EX 5", "expire=k", "PEXPIREAT k NOW+5000"),
    given("", "MSET k v l w", "set=k set=l"),
    given("", "MSETNX k v l w", "set=k set=l"),
    row("", "MSETEX 2 k v l w EX 5", "expire=k set=k expire=l set=l", "MSETEX 2 k v l w PXAT NOW+5000"),
    row("SET k v", "DELEX k IFEQ v", "del=k", "DEL k"),
    row("SET k v", "DELIFEQ k v", "del=k", "DEL k"),
    given("", "APPEND k v", "append=k"),
    given("", "SETRANGE k 2 v", "setrange=k"),
    given("", "INCR k", "incrby=k"),
    given("", "DECR k", "incrby=k"),
    given("", "INCRBY k 3", "incrby=k"),
    given("", "DECRBY k 3", "incrby=k"),
    row("SET k 1", "INCRBYFLOAT k 1.50", "incrbyfloat=k", "SET k 2.5 KEEPTTL"),
    row("SET k 1", "INCREX k EX 5", "incrby=k expire=k", "SET k 2 PXAT NOW+5000"),
    given("", "SETBIT k 7 1", "setbit=k"),
    given("", "BITFIELD k SET u8 0 1", "setbit=k"),
    given("SET k v", "BITOP NOT l k", "set=l"),
    given("", "PFADD k a", "pfadd=k"),
    given("PFADD k a", "PFMERGE l k", "pfadd=l"),
    given("PFADD k a", "PFDEBUG TODENSE k", ""),
    // Arrays.
    given("", "ARSET k 5 a b", "arset=k"),
    given("", "ARMSET k 5 a 9 b", "armset=k"),
    given("ARSET k 0 a b", "ARDEL k 1 7", "ardel=k"),
    given("ARSET k 0 a b", "ARDELRANGE k 9 0", "ardelrange=k del=k"),
    given("", "ARINSERT k a b", "arinsert=k"),
    given("", "ARRING k 2 a b c", "arring=k"),
    given("ARSET k 0 a b", "ARSEEK k 7", "arseek=k"),
    // Keys.
    given("SET k v", "DEL k", "del=k"),
    given("SET k v", "UNLINK k", "del=k"),
    row("SET k v", "EXPIRE k 5", "expire=k", "PEXPIREAT k NOW+5000"),
    row("SET k v", "PEXPIRE k 5", "expire=k", "PEXPIREAT k NOW+5"),
    row("SET k v", "EXPIREAT k 4102444800", "expire=k", "PEXPIREAT k 4102444800000"),
    given("SET k v", "PEXPIREAT k 4102444800000", "expire=k"),
    given("SET k v EX 5", "PERSIST k", "persist=k"),
    given("SET k v", "BLESS SET k NO-EVICT", "bless=k"),
    given("SET k v; BLESS SET k NO-EVICT", "BLESS CLEAR k NO-EVICT", "unbless=k"),
    given("SET k v", "RENAME k l", "rename_from=k rename_to=l"),
    given("SET k v", "RENAMENX k l", "rename_from=k rename_to=l"),
    given("SET k v", "COPY k l", "copy_to=l"),
    given("SET k v", "MOVE k 1", "move_from=k move_to=k"),
    row(
        "",
        r#"RESTORE k 5 "\x00\x05hello\x0a\x00cr\xdfve4 \x0a""#,
        "restore=k",
        r#"RESTORE k NOW+5 "\x00\x05hello\x0a\x00cr\xdfve4 \x0a" ABSTTL"#,
    ),
    row("SET k v", "MIGRATE 127.0.0.1 6379 k 0 1000", "del=k", "DEL k"),
    given("RPUSH k 2 1", "SORT k STORE l", "sortstore=l"),
    row(
        "",
        FUNCTION,
        "",
        r##"FUNCTION LOAD REPLACE "#!lua name=a\x0aredis.register_function('f', function() return 1 end)""##,
    ),
    given(FUNCTION, "FUNCTION DELETE a", ""),
    given(FUNCTION, "FUNCTION FLUSH", ""),
    given(FUNCTION, r#"FUNCTION RESTORE "\x0c\x00\x96\xedh\x80\xf5U<\x93" FLUSH"#, ""),
    given("SET k v", "FLUSHDB", ""),
    given("SET k v", "FLUSHALL", ""),
    given("SET k v", "SWAPDB 0 1", ""),
    // Lists.
    given("", "LPUSH k a", "lpush=k"),
    given("", "RPUSH k a", "rpush=k"),
    given("RPUSH k a", "LPUSHX k b", "lpush=k"),
    given("RPUSH k a", "RPUSHX k b", "rpush=k"),
    given("RPUSH k a b", "LPOP k", "lpop=k"),
    given("RPUSH k a", "RPOP k", "rpop=k del=k"),
    row("RPUSH k a b c", "LMPOP 2 l k RIGHT COUNT 2", "rpop=k", "RPOP k 2"),
    given("RPUSH k a b", "LINSERT k AFTER a c", "linsert=k"),
    given("RPUSH k a b", "LSET k 0 c", "lset=k"),
    given("RPUSH k a b", "LREM k 0 a", "lrem=k"),
    given("RPUSH k a b", "LTRIM k 1 1", "ltrim=k"),
    given("RPUSH k a b", "LMOVE k l LEFT RIGHT", "rpush=l lpop=k"),
    given("RPUSH k a b c", "LMOVEM k l LEFT RIGHT COUNT 2 BULK", "rpush=l lpop=k"),
    row(
        "RPUSH k a b",
        "LMOVEM k l RIGHT LEFT EXACTLY 2 OBO",
        "lpush=l rpop=k del=k",
        "LMOVEM k l RIGHT LEFT EXACTLY 2 OBO",
    ),
    row("RPUSH k a b", "BLMOVEM k l LEFT RIGHT 0 COUNT 1 OBO", "rpush=l lpop=k", "LMOVEM k l LEFT RIGHT COUNT 1 OBO"),
    given("RPUSH k a b", "RPOPLPUSH k l", "lpush=l rpop=k"),
    row("RPUSH k a b", "BLPOP k 0", "lpop=k", "LPOP k"),
    row("RPUSH k a b", "BRPOP k 0", "rpop=k", "RPOP k"),
    row("RPUSH k a b", "BLMPOP 0 1 k LEFT", "lpop=k", "LPOP k 1"),
    row("RPUSH k a b", "BLMOVE k l LEFT RIGHT 0", "rpush=l lpop=k", "LMOVE k l LEFT RIGHT"),
    row("RPUSH k a b", "BRPOPLPUSH k l 0", "lpush=l rpop=k", "RPOPLPUSH k l"),
    // Sets.
    given("", "SADD k a", "sadd=k"),
    given("SADD k a b", "SREM k a", "srem=k"),
    row("SADD k a", "SPOP k", "spop=k del=k", "SREM k a"),
    given("SADD k a b", "SMOVE k l a", "srem=k sadd=l"),
    given("SADD k a", "SINTERSTORE l k k", "sinterstore=l"),
    given("SADD k a", "SUNIONSTORE l k", "sunionstore=l"),
    given("SADD k a", "SDIFFSTORE l k", "sdiffstore=l"),
    row("SADD k a", "SEXPIRE k 5 MEMBERS 1 a", "sexpire=k", "SPEXPIREAT k NOW+5000 MEMBERS 1 a"),
    row("SADD k a", "SPEXPIRE k 5 MEMBERS 1 a", "sexpire=k", "SPEXPIREAT k NOW+5 MEMBERS 1 a"),
    row("SADD k a", "SEXPIREAT k 4102444800 MEMBERS 1 a", "sexpire=k", "SPEXPIREAT k 4102444800000 MEMBERS 1 a"),
    given("SADD k a", "SPEXPIREAT k 4102444800000 MEMBERS 1 a", "sexpire=k"),
    row("SADD k a b", "SEXPIRE k 0 MEMBERS 1 a", "srem=k", "SREM k a"),
    given("SADDEX k EX 5 MEMBERS 1 a", "SPERSIST k MEMBERS 1 a", "spersist=k"),
    row("", "SADDEX k EX 5 MEMBERS 1 a", "sadd=k sexpire=k", "SADDEX k PXAT NOW+5000 MEMBERS 1 a"),
    given("", "SADDEX k MEMBERS 1 a", "sadd=k"),
    // Sorted sets.
    given("", "ZADD k 1 a", "zadd=k"),
    given("", "ZINCRBY k 1 a", "zincr=k"),
    row("ZADD k 1 a", "ZEXPIRE k 5 MEMBERS 1 a", "zexpire=k", "ZPEXPIREAT k NOW+5000 MEMBERS 1 a"),
    row("ZADD k 1 a", "ZPEXPIRE k 5 MEMBERS 1 a", "zexpire=k", "ZPEXPIREAT k NOW+5 MEMBERS 1 a"),
    row("ZADD k 1 a", "ZEXPIREAT k 4102444800 MEMBERS 1 a", "zexpire=k", "ZPEXPIREAT k 4102444800000 MEMBERS 1 a"),
    given("ZADD k 1 a", "ZPEXPIREAT k 4102444800000 MEMBERS 1 a", "zexpire=k"),
    row("ZADD k 1 a 2 b", "ZEXPIRE k 0 MEMBERS 1 a", "zrem=k", "ZREM k a"),
    given("ZADDEX k EX 5 MEMBERS 1 1 a", "ZPERSIST k MEMBERS 1 a", "zpersist=k"),
    row("", "ZADDEX k EX 5 MEMBERS 1 1 a", "zadd=k zexpire=k", "ZADDEX k PXAT NOW+5000 MEMBERS 1 1 a"),
    given("", "ZADDEX k MEMBERS 1 1 a", "zadd=k"),
    given("ZADD k 1 a 2 b", "ZREM k a", "zrem=k"),
    given("ZADD k 1 a 2 b", "ZREMRANGEBYSCORE k 1 1", "zremrangebyscore=k"),
    given("ZADD k 1 a 2 b", "ZREMRANGEBYRANK k 0 0", "zremrangebyrank=k"),
    given("ZADD k 1 a 1 b", "ZREMRANGEBYLEX k [a [a", "zremrangebylex=k"),
    given("ZADD k 1 a 2 b", "ZPOPMIN k", "zpopmin=k"),
    given("ZADD k 1 a 2 b", "ZPOPMAX k", "zpopmax=k"),
    row("ZADD k 1 a 2 b", "BZPOPMIN k 0", "zpopmin=k", "ZPOPMIN k"),
    row("ZADD k 1 a 2 b", "BZPOPMAX k 0", "zpopmax=k", "ZPOPMAX k"),
    row("ZADD k 1 a 2 b", "ZMPOP 1 k MIN", "zpopmin=k", "ZPOPMIN k 1"),
    row("ZADD k 1 a 2 b", "BZMPOP 0 1 k MAX COUNT 9", "zpopmax=k del=k", "ZPOPMAX k 2"),
    given("ZADD k 1 a 2 b", "ZMOVE k l MIN", "zadd=l zrem=k"),
    given("ZADD k 1 a; ZADD l 1 a", "ZMOVE k l BYSCORE -inf (2", "zrem=k del=k"),
    row("ZADD k 1 a 2 b", "BZMOVE k l MAX 0 COUNT 9", "zadd=l zrem=k del=k", "ZMOVE k l MAX COUNT 9"),
    given("ZADD k 1 a 2 b; ZADD l 1 a", "ZMOVEMEMBER k l NX MEMBERS 2 a b", "zadd=l zrem=k"),
    given("ZADD k 1 a", "ZRANGESTORE l k 0 -1", "zrangestore=l"),
    given("ZADD k 1 a", "ZUNIONSTORE l 1 k", "zunionstore=l"),
    given("ZADD k 1 a", "ZINTERSTORE l 1 k", "zinterstore=l"),
    given("ZADD k 1 a", "ZDIFFSTORE l 1 k", "zdiffstore=l"),
    given("", "GEOADD k 1 1 a", "zadd=k"),
    given("GEOADD k 1 1 a", "GEORADIUS k 1 1 9 km STORE l", "georadiusstore=l"),
    given("GEOADD k 1 1 a", "GEORADIUSBYMEMBER k a 9 km STORE l", "georadiusstore=l"),
    given("GEOADD k 1 1 a", "GEOSEARCHSTORE l k FROMMEMBER a BYRADIUS 9 km", "geosearchstore=l"),
    // Hashes.
    given("", "HSET k f v", "hset=k"),
    given("", "HMSET k f v", "hset=k"),
    given("", "HSETNX k f v", "hset=k"),
    given("", "HINCRBY k f 1", "hincrby=k"),
    row("HSET k f 1", "HINCRBYFLOAT k f 1.50", "hincrbyfloat=k", "HSET k f 2.5"),
    row(
        "HSET k f 1; HPEXPIREAT k 4000000000000 FIELDS 1 f",
        "HINCRBYFLOAT k f 1.50",
        "hincrbyfloat=k",
        "HSETEX k KEEPTTL FIELDS 1 f 2.5",
    ),
    given("HSET k f v g w", "HDEL k f", "hdel=k"),
    row("HSET k f v", "HGETDEL k FIELDS 1 f", "hdel=k del=k", "HDEL k f"),
    row("HSET k f v", "HGETEX k EX 5 FIELDS 1 f", "hexpire=k", "HPEXPIREAT k NOW+5000 FIELDS 1 f"),
    row("", "HSETEX k EX 5 FIELDS 1 f v", "hset=k hexpire=k", "HSETEX k PXAT NOW+5000 FIELDS 1 f v"),
    row("HSET k f v", "HEXPIRE k 5 FIELDS 1 f", "hexpire=k", "HPEXPIREAT k NOW+5000 FIELDS 1 f"),
    row("HSET k f v", "HPEXPIRE k 5 FIELDS 1 f", "hexpire=k", "HPEXPIREAT k NOW+5 FIELDS 1 f"),
    row("HSET k f v", "HEXPIREAT k 4102444800 FIELDS 1 f", "hexpire=k", "HPEXPIREAT k 4102444800000 FIELDS 1 f"),
    given("HSET k f v", "HPEXPIREAT k 4102444800000 FIELDS 1 f", "hexpire=k"),
    row("", "HSETEX k NX FIELDS 1 f v", "hset=k", "HSETEX k FIELDS 1 f v"),
    row("HIMPORT PREPARE f a b; SET k v", "HIMPORT SET k f 1 2", "hset=k", "DEL k; HSET k a 1 b 2"),
    given("HSETEX k EX 5 FIELDS 1 f v", "HPERSIST k FIELDS 1 f", "hpersist=k"),
    // Streams.
    row("", "XADD k * f v", "xadd=k", "XADD k NOW+0-0 f v"),
    row("", "XADD k IDMP p i * f v", "xadd=k", "XADD k IDMP p i NOW+0-0 f v"),
    // An entry that is there already is named, for who hears of it may have forgotten it.
    row("XADD k IDMP MAXLEN ~ * f v", "XADD k IDMP MAXLEN ~ * g w", "", "XADD k IDMP MAXLEN ~ NOW+0-0 g w"),
    given("XADD k 1-1 f v", "XCFGSET k IDMP-DURATION 5", ""),
    given("XADD k 1-1 f v", "XIDMPRECORD k p i 1-1", ""),
    row(
        "CONFIG SET stream-idmp-maxsize 7",
        "XADD k 1-1 f v",
        "xadd=k",
        "XADD k 1-1 f v; XCFGSET k IDMP-DURATION 100 IDMP-MAXSIZE 7",
    ),
    row(
        "CONFIG SET stream-idmp-maxsize 7",
        "XGROUP CREATE k g 0 MKSTREAM",
        "xgroup-create=k",
        "XGROUP CREATE k g 0 MKSTREAM; XCFGSET k IDMP-DURATION 100 IDMP-MAXSIZE 7",
    ),
    given("XADD k 1-1 f v; XADD k 2-1 f v", "XTRIM k MAXLEN 1", "xtrim=k"),
    given("XADD k 1-1 f v", "XDEL k 1-1", "xdel=k"),
    given("XADD k 1-1 f v", "XDELEX k IDS 1 1-1", "xdel=k"),
    given("XADD k 1-1 f v", "XSETID k 5-1", "xsetid=k"),
    given("XADD k 1-1 f v", "XGROUP CREATE k g 0", "xgroup-create=k"),
    given("XGROUP CREATE k g 0 MKSTREAM", "XGROUP CREATECONSUMER k g c", "xgroup-createconsumer=k"),
    given(
        "XGROUP CREATE k g 0 MKSTREAM; XGROUP CREATECONSUMER k g c",
        "XGROUP DELCONSUMER k g c",
        "xgroup-delconsumer=k",
    ),
    given("XGROUP CREATE k g 0 MKSTREAM", "XGROUP DESTROY k g", "xgroup-destroy=k"),
    given("XGROUP CREATE k g 0 MKSTREAM", "XGROUP SETID k g 1-1", "xgroup-setid=k"),
    row(
        "XADD k 1-1 f v; XGROUP CREATE k g 0",
        "XREADGROUP GROUP g c STREAMS k >",
        "xgroup-createconsumer=k",
        "XCLAIM k g c 0 1-1 TIME NOW+0 RETRYCOUNT 1 FORCE JUSTID LASTID 0-0; XGROUP SETID k g 1-1 ENTRIESREAD 1",
    ),
    // What was given once more counts as delivered once more, which Redis does not pass on.
    row(
        PENDING,
        "XREADGROUP GROUP g c STREAMS k 0",
        "",
        "XCLAIM k g c 0 1-1 TIME NOW+0 RETRYCOUNT 2 FORCE JUSTID LASTID 1-1",
    ),
    row(
        PENDING,
        "XREADGROUP GROUP g d CLAIM 0 STREAMS k >",
        "xgroup-createconsumer=k",
        "XGROUP CREATECONSUMER k g d; XCLAIM k g d 0 1-1 TIME NOW+0 RETRYCOUNT 2 FORCE JUSTID LASTID 1-1",
    ),
    row(PENDING, "XNACK k g SILENT IDS 2 1-1 9-9", "", "XNACK k g FAIL IDS 1 1-1 RETRYCOUNT 0 FORCE"),
    // Nor does it pass on a consumer that was given nothing.
    row(PENDING, "XREADGROUP GROUP g d STREAMS k >", "xgroup-createconsumer=k", "XGROUP CREATECONSUMER k g d"),
    row(PENDING, "XCLAIM k g d 0 9-9", "xgroup-createconsumer=k", "XGROUP CREATECONSUMER k g d"),
    row(
        "XADD k 1-1 f v; XGROUP CREATE k g 0",
        "XREADGROUP GROUP g c NOACK STREAMS k >",
        "xgroup-createconsumer=k",
        "XGROUP CREATECONSUMER k g c; XGROUP SETID k g 1-1 ENTRIESREAD 1",
    ),
    // A deleted entry is taken off the one who had it, so that whoever is told does the same.
    row(
        DELETED,
        "XCLAIM k g d 0 1-1",
        "xgroup-createconsumer=k",
        "XGROUP CREATECONSUMER k g d; XCLAIM k g c 0 1-1 TIME NOW+0 RETRYCOUNT 1 FORCE JUSTID LASTID 1-1",
    ),
    // How entries are packed is the server's own affair.
    row(SMALL_NODES, "XTRIM k MAXLEN ~ 2 LIMIT 5", "xtrim=k", "XTRIM k MAXLEN = 3"),
    row(SMALL_NODES, "XADD k MINID ~ 3 9-* f v", "xadd=k xtrim=k", "XADD k MINID = 3-1 9-0 f v"),
    row(SMALL_NODES, "XADD k NOMKSTREAM MAXLEN ~ 9 9-9 f v", "xadd=k", "XADD k NOMKSTREAM MAXLEN = 6 9-9 f v"),
    // An entry that stays for its references does not hide that later ones have gone.
    row(
        "XADD k 1-1 f v; XADD k 2-1 f v; XADD k 3-1 f v; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XACK k g 2-1",
        "XTRIM k MINID ~ 3-1 ACKED",
        "xtrim=k",
        "XTRIM k MAXLEN = 2 ACKED",
    ),
    row(
        PENDING,
        "XCLAIM k g d 0 1-1",
        "xgroup-createconsumer=k",
        "XCLAIM k g d 0 1-1 TIME NOW+0 RETRYCOUNT 2 FORCE JUSTID LASTID 1-1",
    ),
    row(PENDING, "XAUTOCLAIM k g c 0 0", "", "XCLAIM k g c 0 1-1 TIME NOW+0 RETRYCOUNT 2 FORCE JUSTID LASTID 1-1"),
    given(PENDING, "XACK k g 1-1", ""),
    given(PENDING, "XACKDEL k g IDS 1 1-1", "xdel=k"),
];

/// A library of functions.
const FUNCTION: &str =
    r##"FUNCTION LOAD REPLACE "#!lua name=a\nredis.register_function('f', function() return 1 end)""##;

/// One entry, which a consumer was given and has not acknowledged.
const PENDING: &str = "XADD k 1-1 f v; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >";

/// The same entry after it was deleted.
const DELETED: &str = "XADD k 1-1 f v; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XDEL k 1-1";

/// Five entries, two to a node.
const SMALL_NODES: &str = "CONFIG SET stream-node-max-entries 2; XADD k 1-1 f v; XADD k 2-1 f v; XADD k 3-1 f v; \
                           XADD k 4-1 f v; XADD k 5-1 f v";

/// Lines that change nothing, of commands that write.
const NO_CHANGE: &[(&str, &str)] = &[
    ("SET k v", "SET k w NX"),
    ("SET k v", "SETNX k w"),
    ("SET k v", "MSETNX k w l w"),
    ("", "GETDEL k"),
    ("SET k v", "GETEX k"),
    ("SET k v", "GETEX k PERSIST"),
    ("", "DEL k"),
    ("SET k v", "EXPIRE k 5 XX"),
    ("SET k v", "PERSIST k"),
    ("SET k v; BLESS SET k NO-EVICT", "BLESS SET k NO-EVICT"),
    ("SET k v", "BLESS CLEAR k NO-EVICT"),
    ("SET k v", "RENAME k k"),
    ("SET k v", "LPUSH k a"),
    ("", "LPUSHX k a"),
    ("RPUSH k a", "LTRIM k 0 -1"),
    ("RPUSH k a", "LREM k 0 b"),
    ("RPUSH k a", "LPOP k 0"),
    ("SADD k a", "SADD k a"),
    ("SADD k a", "SPOP k 0"),
    ("SADD k a", "SMOVE k l b"),
    ("ZADD k 1 a", "ZADD k 1 a"),
    ("ZADD k 1 a", "ZPOPMIN k 0"),
    ("HSET k f v", "HSETNX k f w"),
    ("HSET k f v", "HDEL k g"),
    ("HSET k f v", "HGETEX k FIELDS 1 f"),
    ("HSET k f v", "HPERSIST k FIELDS 1 f"),
    ("SADD k a", "SPERSIST k MEMBERS 1 a"),
    ("SADD k a", "SADDEX k KEEPTTL MEMBERS 1 a"),
    ("SADD k a", "SADDEX k MNX EX 5 MEMBERS 1 a"),
    ("ZADD k 1 a", "ZPERSIST k MEMBERS 1 a"),
    ("ZADD k 1 a", "ZADDEX k KEEPTTL MEMBERS 1 1 a"),
    ("ZADD k 1 a", "ZADDEX k MXX EX 5 MEMBERS 1 1 b"),
    ("XADD k 1-1 f v", "XTRIM k MAXLEN 5"),
    ("XADD k 1-1 f v", "XADD k 1-1 f v"),
    ("XADD k 1-1 f v", "XCFGSET k IDMP-MAXSIZE 100"),
    ("XADD k 1-1 f v; XIDMPRECORD k p i 1-1", "XIDMPRECORD k p i 1-1"),
    ("XADD k 1-1 f v", "XDEL k 2-1"),
    (PENDING, "XREADGROUP GROUP g c STREAMS k >"),
    (PENDING, "XREADGROUP GROUP g c CLAIM 5000 STREAMS k >"),
    (PENDING, "XCLAIM k g c 5000 1-1"),
    (PENDING, "XNACK k g FAIL IDS 1 9-9"),
    ("", "BLPOP k 1"),
    ("SET k v", "SORT l"),
];

/// A server that tells what it passes on, and a client that hears of events.
fn told(before: &str) -> (Memory, usize) {
    let mut m = Memory::new();
    m.run("HELLO 3");
    m.run("PSUBSCRIBE __keyevent*");
    let listener = m.client;
    m.connect();
    m.run("CONFIG SET notify-keyspace-events EA");
    for line in before.split("; ").filter(|line| !line.is_empty()) {
        let reply = m.run(line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
    }
    m.take_sent(listener);
    m.server.begin_propagation();
    (m, listener)
}

/// `name=key` of each event that a client was sent.
fn events(m: &mut Memory, listener: usize) -> String {
    let sent = m.take_sent(listener);
    let events = sent.split(r">4\r\n").skip(1).map(|message| {
        let words: Vec<&str> = message.split(r"\r\n").collect();
        let (_, name) = words[5].split_once(':').expect("a channel of events");
        format!("{name}={}", words[7])
    });
    events.collect::<Vec<_>>().join(" ")
}

/// What was passed on, as one unit at most.
fn passed_on(m: &mut Memory) -> String {
    let units = m.take_propagated();
    assert!(units.len() <= 1, "one command is one unit: {units:?}");
    let shown = |(db, words): (usize, Vec<Vec<u8>>)| {
        let mut text = if db == 0 { Vec::new() } else { vec![db.to_string()] };
        text.extend(words.iter().map(|word| quoted(word)));
        text.join(" ")
    };
    units.into_iter().flatten().map(shown).collect::<Vec<_>>().join("; ")
}

fn quoted(word: &[u8]) -> String {
    if word.iter().all(u8::is_ascii_graphic) {
        return String::from_utf8_lossy(word).into_owned();
    }
    let byte = |byte: &u8| match byte {
        b' '..=b'~' => char::from(*byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    format!("\"{}\"", word.iter().map(byte).collect::<String>())
}

/// A text with the times that `NOW+n` stands for.
fn with_times(text: &str) -> String {
    let mut parts = text.split("NOW+");
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let after_ms: i64 = part[..digits].parse().expect("milliseconds");
        all += &(START_MS + after_ms).to_string();
        all += &part[digits..];
    }
    all
}

#[test]
fn every_change_has_its_event_and_is_passed_on() {
    let mut wrong = Vec::new();
    for Row { before, line, events: expected, passed_on: lines } in ROWS {
        let (mut m, listener) = told(before);
        let reply = m.run(line);
        let found = (events(&mut m, listener), passed_on(&mut m));
        let is_right = found == ((*expected).to_owned(), with_times(lines));
        if !is_right || reply.starts_with('-') || m.is_waiting() {
            wrong.push(format!("{line}: {reply}, events {}, passed on {}", found.0, found.1));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_changes_nothing_is_not_passed_on() {
    for (before, line) in NO_CHANGE {
        let (mut m, _) = told(before);
        m.run(line);
        assert_eq!(passed_on(&mut m), "", "{line}");
    }
}

#[test]
fn nothing_is_kept_while_nobody_is_told() {
    let mut m = Memory::new();
    for Row { before, line, .. } in ROWS {
        before.split("; ").chain([*line]).filter(|line| !line.is_empty()).for_each(|line| drop(m.run(line)));
        m.run("FLUSHALL");
    }
    assert!(m.take_propagated().is_empty());
}

/// The full names of all commands that are flagged as writes.
fn writes() -> Vec<&'static str> {
    let all = command::all().iter().flat_map(|command| [command].into_iter().chain(&command.subcommands));
    let writes = all.filter(|command| command.spec.handler.is_some() && command.spec.flags.has(Flags::WRITE));
    writes.map(|command| &*command.full_name).collect()
}

#[test]
fn every_command_that_writes_has_its_row() {
    let named = |name: &&str| {
        let words: Vec<&str> = name.split('|').collect();
        ROWS.iter().any(|row| {
            let mut line = row.line.split(' ');
            words.iter().all(|word| line.next().is_some_and(|own| own.eq_ignore_ascii_case(word)))
        })
    };
    let missing: Vec<&str> = writes().into_iter().filter(|name| !named(name)).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
}

/// What an evaluation finds expired is not a part of the next client's unit.
#[test]
fn what_a_query_finds_expired_is_passed_on_by_itself() {
    let mut m = Memory::new();
    m.server.begin_propagation();
    m.run("HELLO 3");
    m.run("MSET a 1 b 2");
    m.run("PEXPIREAT b 1700000000005");
    m.run("MGET.WATCH a b");
    m.take_propagated();
    m.clock.advance_ms(10);
    m.run("SET a 3");
    let names = |m: &mut Memory| -> Vec<Vec<String>> {
        let name = |line: &(usize, Vec<Vec<u8>>)| String::from_utf8_lossy(&line.1.join(&b' ')).into_owned();
        m.take_propagated().iter().map(|unit| unit.iter().map(name).collect()).collect()
    };
    assert_eq!(names(&mut m), [["SET a 3"], ["DEL b"]]);
    m.run("SELECT 1");
    m.run("SET k v PX 5");
    m.run("SELECT 0");
    names(&mut m);
    m.clock.advance_ms(10);
    // A refused copy has met a key that is gone.
    m.run("SET k w");
    m.run("COPY nothing k DB 1");
    m.run("MOVE k 1");
    assert_eq!(names(&mut m), [vec!["SET k w"], vec!["DEL k", "MOVE k 1"]]);
}

/// One line costs less than a hundred, and a key that is gone is gone as a whole. A hash that lost fields is a unit of its own.
#[test]
fn keys_that_the_clock_takes_together_are_passed_on_as_one_del() {
    let mut m = Memory::new();
    m.server.begin_propagation();
    for key in 0..100 {
        m.run(&format!("SET k{key} v PX 5"));
    }
    m.run("HSET h a 1 b 2 c 3");
    m.run("HPEXPIRE h 5 FIELDS 2 a b");
    m.take_propagated();
    m.advance_ms(10);
    let units = m.take_propagated();
    assert_eq!(units.len(), 2, "{units:?}");
    assert!(units.iter().all(|unit| unit.len() == 1), "{units:?}");
    let keys = units.iter().flatten().filter(|(_, words)| words[0] == b"DEL").map(|(_, words)| words.len());
    assert_eq!(keys.collect::<Vec<_>>(), [101]);
    let fields = units.iter().flatten().filter(|(_, words)| words[0] == b"HDEL").map(|(_, words)| words.len());
    assert_eq!(fields.sum::<usize>(), 4);
}
