//! DEBUG. The expected bytes are those of a Redis 8.2 with `enable-debug-command yes`.

use aleadb::config::{Access, Config};
use aleadb::resp::reply::Proto;
use aleadb::server::session::Origin;

use crate::memory::Memory;

fn with_access(access: Access) -> Memory {
    Memory::with_config(Config { enable_debug_command: access, ..Config::default() })
}

fn debug() -> Memory {
    with_access(Access::Yes)
}

const REFUSED: &str = r#"-ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.\r\n"#;

#[test]
fn it_is_closed_unless_the_configuration_opens_it() {
    let mut m = with_access(Access::No);
    m.expect(&[
        ("DEBUG SLEEP 0", REFUSED),
        ("DEBUG HELP", REFUSED),
        // The number of arguments is looked at first.
        ("DEBUG", r"-ERR wrong number of arguments for \'debug\' command\r\n"),
        ("CONFIG SET enable-debug-command yes", r"-ERR CONFIG SET failed (possibly related to argument \'enable-debug-command\') - can\'t set immutable config\r\n"),
    ]);
    let rejected = "calls=0,usec=0,usec_per_call=0.00,rejected_calls=3,failed_calls=0";
    assert!(m.run("INFO commandstats").contains(&format!("cmdstat_debug:{rejected}")));
    // It comes even before the password.
    m.run("CONFIG SET requirepass secret");
    m.connect();
    m.expect(&[("DEBUG SLEEP 0", REFUSED)]);
}

#[test]
fn local_means_this_machine() {
    let mut m = with_access(Access::Local);
    for (origin, reply) in [(Origin::Loopback, r"+OK\r\n"), (Origin::Unix, r"+OK\r\n"), (Origin::Remote, REFUSED)] {
        m.session(m.client).origin = origin;
        assert_eq!(m.run("DEBUG SLEEP 0"), reply, "{origin:?}");
    }
}

#[test]
fn protocol_answers_every_type_in_both_protocols() {
    let rows = [
        ("string", r"$11\r\nHello World\r\n", r"$11\r\nHello World\r\n"),
        ("integer", r":12345\r\n", r":12345\r\n"),
        ("double", r"$5\r\n3.141\r\n", r",3.141\r\n"),
        ("null", r"$-1\r\n", r"_\r\n"),
        ("array", r"*3\r\n:0\r\n:1\r\n:2\r\n", r"*3\r\n:0\r\n:1\r\n:2\r\n"),
        ("set", r"*3\r\n:0\r\n:1\r\n:2\r\n", r"~3\r\n:0\r\n:1\r\n:2\r\n"),
        ("map", r"*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n", r"%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n"),
        (
            "attrib",
            r"$39\r\nSome real reply following the attribute\r\n",
            r"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n$39\r\nSome real reply following the attribute\r\n",
        ),
        (
            "push",
            r"-ERR RESP2 is not supported by this command\r\n",
            r"$40\r\nSome real reply following the push reply\r\n>2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n",
        ),
        ("bignum", r"$37\r\n1234567999999999999999999999999999999\r\n", r"(1234567999999999999999999999999999999\r\n"),
        ("verbatim", r"$25\r\nThis is a verbatim\nstring\r\n", r"=29\r\ntxt:This is a verbatim\nstring\r\n"),
        ("TRUE", r":1\r\n", r"#t\r\n"),
        ("false", r":0\r\n", r"#f\r\n"),
    ];
    let (mut old, mut new) = (debug(), debug());
    new.session(new.client).proto = Proto::Resp3;
    for (kind, resp2, resp3) in rows {
        let line = format!("DEBUG PROTOCOL {kind}");
        assert_eq!((old.run(&line).as_str(), new.run(&line).as_str()), (resp2, resp3), "{kind}");
    }
    old.expect(&[(
        "DEBUG PROTOCOL foo",
        r"-ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false\r\n",
    )]);
}

#[test]
fn error_answers_any_text_and_counts_none() {
    let mut m = debug();
    m.expect(&[
        ("DEBUG ERROR \"ERR hello world\"", r"-ERR hello world\r\n"),
        ("DEBUG ERROR \"\"", r"-\r\n"),
        ("DEBUG ERROR \"x\\r\\n\"", r"-x  \r\n"),
        ("DEBUG ERROR \"-foo\\r\\nbar\"", r"--foo  bar\r\n"),
        ("DEBUG LOG hello", r"+OK\r\n"),
    ]);
    assert_eq!(m.server.stats.error_replies, 0);
}

#[test]
fn object_tells_what_is_stored() {
    let mut m = debug();
    for (value, encoding, serialized) in [
        ("bar", "embstr", 4),
        ("7", "int", 2),
        ("-129", "int", 3),
        ("12345", "int", 3),
        ("70000", "int", 5),
        ("123456789012", "int", 13),
        ("007", "embstr", 4),
    ] {
        m.run(&format!("SET k {value}"));
        let reply = m.run("DEBUG OBJECT k");
        let tail =
            format!("refcount:1 encoding:{encoding} serializedlength:{serialized} lru:5501184 lru_seconds_idle:0");
        assert!(reply.starts_with("+Value at:0x"), "{reply}");
        assert!(reply.ends_with(&format!(r" {tail}\r\n")), "{reply} {tail}");
    }
    m.advance_ms(5000);
    assert!(m.run("DEBUG OBJECT k").ends_with(r"lru_seconds_idle:5\r\n"));
    m.expect(&[("DEBUG OBJECT nosuch", r"-ERR no such key\r\n")]);
}

#[test]
fn populate_makes_keys_and_leaves_those_that_exist() {
    let mut m = debug();
    m.expect(&[
        ("SET key:1 mine", r"+OK\r\n"),
        ("DEBUG POPULATE 3", r"+OK\r\n"),
        ("GET key:0", r"$7\r\nvalue:0\r\n"),
        ("GET key:1", r"$4\r\nmine\r\n"),
        ("GET key:3", r"$-1\r\n"),
        ("DEBUG POPULATE 1 pre 10", r"+OK\r\n"),
        ("GET pre:0", r"$10\r\nvalue:0\x00\x00\x00\r\n"),
        ("DEBUG POPULATE 1 cut 3", r"+OK\r\n"),
        ("GET cut:0", r"$3\r\nval\r\n"),
        ("DEBUG POPULATE x", r"-ERR value is out of range, must be positive\r\n"),
        ("DEBUG POPULATE 1 k -1", r"-ERR value is out of range, must be positive\r\n"),
        ("DEBUG POPULATE 1 k 999999999999", r"-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"),
    ]);
    assert_eq!(m.server.dbs[0].len(), 5);
}

#[test]
fn active_expiry_can_be_stopped() {
    let mut m = debug();
    m.expect(&[("DEBUG SET-ACTIVE-EXPIRE 0", r"+OK\r\n")]);
    assert!(!m.server.active_expire);
    m.expect(&[("DEBUG SET-ACTIVE-EXPIRE 1", r"+OK\r\n")]);
    assert!(m.server.active_expire);
}

#[test]
fn table_figures_are_our_own() {
    let mut m = debug();
    m.run("SET k v");
    let reply = m.run("DEBUG HTSTATS 0");
    assert!(reply.contains(r"[Key table]\n") && reply.contains(r" number of elements: 1\n"), "{reply}");
    m.expect(&[
        ("DEBUG HTSTATS 99", r"-ERR Out of range database\r\n"),
        ("DEBUG HTSTATS -1", r"-ERR Out of range database\r\n"),
        ("DEBUG HTSTATS x", r"-ERR value is not an integer or out of range\r\n"),
        (
            "DEBUG HTSTATS-KEY k",
            r"-ERR The value stored at the specified key is not represented using an hash table\r\n",
        ),
        ("DEBUG HTSTATS-KEY nosuch", r"-ERR no such key\r\n"),
    ]);
    m.session(m.client).proto = Proto::Resp3;
    assert!(m.run("DEBUG HTSTATS 1").starts_with('='));
}

#[test]
fn what_is_not_there_is_refused() {
    let mut m = debug();
    m.expect(&[
        ("DEBUG FOO a", r"-ERR unknown subcommand or wrong number of arguments for \'FOO\'. Try DEBUG HELP.\r\n"),
        ("DEBUG sleep", r"-ERR unknown subcommand or wrong number of arguments for \'sleep\'. Try DEBUG HELP.\r\n"),
        ("DEBUG SLEEP 0 0", r"-ERR unknown subcommand or wrong number of arguments for \'SLEEP\'. Try DEBUG HELP.\r\n"),
        ("DEBUG SLEEP abc", r"+OK\r\n"),
        ("DEBUG CHANGE-REPL-ID", r"+OK\r\n"),
        ("DEBUG SLEEP 1e300", r"-ERR value is out of range\r\n"),
        ("DEBUG RELOAD x", r"-ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.\r\n"),
        ("DEBUG segfault", r"-ERR DEBUG SEGFAULT is not available in AleaDB: the server does not crash or restart itself on request\r\n"),
    ]);
    let help = m.run("DEBUG HELP");
    assert!(help.starts_with(r"*42\r\n+DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n"), "{help}");
    assert!(help.ends_with(r"+HELP\r\n+    Print this help.\r\n"), "{help}");
}

#[test]
fn patterns_can_be_tried() {
    let mut m = debug();
    m.expect(&[
        ("DEBUG STRINGMATCH-LEN h[a-e]llo hello", r":1\r\n"),
        ("DEBUG STRINGMATCH-LEN h[^e]llo hello", r":0\r\n"),
        ("DEBUG STRINGMATCH-LEN * \"\"", r":0\r\n"),
        ("DEBUG STRINGMATCH-TEST", r"+Apparently Redis did not crash: test passed\r\n"),
        ("DEBUG STRINGMATCH-TEST x", r"-ERR unknown subcommand or wrong number of arguments for \'STRINGMATCH-TEST\'. Try DEBUG HELP.\r\n"),
        ("DEBUG JMAP", r"-ERR DEBUG JMAP is not available in AleaDB: the allocator\'s figures are in MEMORY STATS and MEMORY MALLOC-STATS\r\n"),
    ]);
}

/// What Redis 8.2.3 answers to DEBUG DIGEST when it has run these lines.
const DIGESTED: &[&str] = &[
    "SET s:int 12345",
    "SET s:long 12345678901",
    "SET s:text hello",
    "SET s:rep aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "SET s:px v PXAT 33000000000000",
    "RPUSH l:pack a 1 -70000 b",
    "CONFIG SET list-max-listpack-size 2",
    "RPUSH l:nodes a b c d e",
    "CONFIG SET list-max-listpack-size -2",
    "SADD set:int 1 2 300",
    "SADD set:pack a 1 b",
    "CONFIG SET set-max-intset-entries 2",
    "SADD set:table xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx b 1",
    "CONFIG SET set-max-intset-entries 512",
    "HSET h:pack f v g 1",
    "HSET h:table f xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx g 1",
    "HSET h:timed f v g 1 h w",
    "HPEXPIREAT h:timed 33000000000000 FIELDS 1 f",
    "HPEXPIREAT h:timed 34000000000000 FIELDS 1 g",
    "HSET h:ttable f xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx g 1 h w",
    "HPEXPIREAT h:ttable 33000000000000 FIELDS 2 f g",
    "ZADD z:pack 1 a 2.5 b -inf c inf d",
    "ZADD z:table 1.5 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx 2 b",
    "XADD x 1-1 f v g w",
    "XADD x 1-2 f v2 g w2",
    "XADD x 5-0 other 1",
    "XDEL x 1-2",
    "XGROUP CREATE x grp 0",
    "XREADGROUP GROUP grp alice COUNT 1 STREAMS x >",
    "XREADGROUP GROUP grp bob COUNT 1 STREAMS x >",
    "XGROUP CREATECONSUMER x grp idle",
    "XADD x:empty MAXLEN 0 7-7 f v",
    "SELECT 5",
    "SET other 1 PXAT 33000000000001",
    "SELECT 0",
];

#[test]
fn digests_are_those_of_redis() {
    let mut server = debug();
    assert_eq!(server.run("DEBUG DIGEST"), r"+0000000000000000000000000000000000000000\r\n");
    for line in DIGESTED {
        let reply = server.run(line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
    }
    assert_eq!(server.run("DEBUG DIGEST"), r"+4ac983cce2773d527a028200f241a16fdc47f77a\r\n");
    server.run("ZADD z 0.1 a 1e20 b 3 c -inf d 1e-7 e 123456789012345678 f");
    assert_eq!(
        server.run("DEBUG DIGEST-VALUE z nothing"),
        r"*2\r\n+02188218daacb45b51626c84f3ed656fb4581945\r\n+0000000000000000000000000000000000000000\r\n"
    );
    // The text of a score here is not that of replies.
    server.run("ZADD whole 1e8 m");
    assert_eq!(server.run("DEBUG DIGEST-VALUE whole"), r"*1\r\n+b4ce5f2c55a395a1c2198a4e1afd7646f4ea5658\r\n");
    assert_eq!(server.run("DEBUG DIGEST-VALUE"), r"*0\r\n");
}
