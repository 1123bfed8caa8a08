//! CLIENT. Replies and errors as a Redis 8.2.3 gives them.

use aleadb::server::ctx::Next;

use crate::memory::Memory;

const OK: &str = r"+OK\r\n";
const SYNTAX: &str = r"-ERR syntax error\r\n";
const NOT_AN_INTEGER: &str = r"-ERR value is not an integer or out of range\r\n";
const BAD_NAME: &str = r"-ERR Client names cannot contain spaces, newlines or special characters.\r\n";

/// The bytes of a bulk or verbatim string, as text.
fn text(m: &mut Memory, line: &str) -> String {
    let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let reply = String::from_utf8(m.raw(&args)).expect("ASCII");
    let (_, text) = reply.split_once("\r\n").expect("a header");
    text.strip_suffix("\r\n").expect("an end").to_string()
}

/// The ids of the clients in a list, in its order.
fn ids(list: &str) -> Vec<u64> {
    let id = |line: &str| line.split(' ').next()?.strip_prefix("id=")?.parse().ok();
    list.lines().map(|line| id(line).expect("an id first")).collect()
}

fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let found = line.trim_end().split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {name} in {line}"))
}

/// A server with four clients, ids 1 to 4; the first one speaks.
fn four() -> Memory {
    let mut m = Memory::new();
    let first = m.client;
    (0..3).for_each(|_| _ = m.connect());
    m.client = first;
    m
}

#[test]
fn names_are_printable_and_can_be_taken_away() {
    let mut m = Memory::new();
    m.expect(&[
        ("CLIENT ID", r":1\r\n"),
        ("CLIENT GETNAME", r"$-1\r\n"),
        ("CLIENT SETNAME worker~1!", OK),
        ("CLIENT GETNAME", r"$9\r\nworker~1!\r\n"),
        ("CLIENT SETNAME \"a b\"", BAD_NAME),
        ("CLIENT SETNAME \"a\\n\"", BAD_NAME),
        ("CLIENT SETNAME \"a\\x7f\"", BAD_NAME),
        ("CLIENT SETNAME \"a\\x80\"", BAD_NAME),
        ("CLIENT GETNAME", r"$9\r\nworker~1!\r\n"),
        ("CLIENT SETNAME \"\"", OK),
        ("CLIENT GETNAME", r"$-1\r\n"),
    ]);
    m.run("HELLO 3");
    m.expect(&[("CLIENT GETNAME", r"_\r\n")]);
}

/// Redis reads these as C strings: what comes after a NUL byte is kept, and neither checked nor listed.
#[test]
fn names_are_checked_and_listed_up_to_a_nul_byte() {
    let mut m = Memory::new();
    m.expect(&[
        (r#"CLIENT SETNAME "a\x00\nb""#, OK),
        (r#"CLIENT SETINFO LIB-NAME "l\x00 ""#, OK),
        (r#"CLIENT SETINFO LIB-VER "\x00\r""#, OK),
        ("CLIENT GETNAME", r"$4\r\na\x00\nb\r\n"),
        (r#"CLIENT SETNAME "a \x00""#, BAD_NAME),
    ]);
    for line in ["CLIENT LIST", "CLIENT INFO"] {
        let list = text(&mut m, line);
        assert_eq!((field(&list, "name"), field(&list, "lib-name"), field(&list, "lib-ver")), ("a", "l", ""));
        assert!(!list.contains('\0') && list.lines().count() == 1, "{list}");
    }
}

#[test]
fn setinfo_tells_the_library() {
    let mut m = Memory::new();
    m.expect(&[
        ("CLIENT SETINFO lib-name redis-py(x)", OK),
        ("CLIENT SETINFO LIB-VER 1.2", OK),
        (
            "CLIENT SETINFO lib-name \"x y\"",
            r"-ERR lib-name cannot contain spaces, newlines or special characters.\r\n",
        ),
        ("CLIENT SETINFO LIB-VER \"1\\n\"", r"-ERR LIB-VER cannot contain spaces, newlines or special characters.\r\n"),
        ("CLIENT SETINFO \"f oo\" \"x y\"", r"-ERR Unrecognized option \'f oo\'\r\n"),
    ]);
    let line = text(&mut m, "CLIENT INFO");
    assert_eq!((field(&line, "lib-name"), field(&line, "lib-ver")), ("redis-py(x)", "1.2"));
    m.expect(&[("CLIENT SETINFO lib-name \"\"", OK)]);
    assert_eq!(field(&text(&mut m, "CLIENT INFO"), "lib-name"), "");
}

#[test]
fn wrong_subcommands_and_counts_are_refused() {
    let mut m = Memory::new();
    let arity = |name: &str| format!(r"-ERR wrong number of arguments for \'client{name}\' command\r\n");
    m.expect(&[("CLIENT", &arity("")), ("CLIENT FOO", r"-ERR unknown subcommand \'FOO\'. Try CLIENT HELP.\r\n")]);
    for (line, name) in [
        ("CLIENT ID x", "|id"),
        ("CLIENT INFO x", "|info"),
        ("CLIENT HELP x", "|help"),
        ("CLIENT GETNAME x", "|getname"),
        ("CLIENT SETNAME", "|setname"),
        ("CLIENT SETINFO x", "|setinfo"),
        ("CLIENT SETINFO a b c", "|setinfo"),
        ("CLIENT KILL", "|kill"),
        ("CLIENT PAUSE", "|pause"),
        ("CLIENT UNPAUSE x", "|unpause"),
        ("CLIENT REPLY", "|reply"),
        ("CLIENT NO-TOUCH", "|no-touch"),
        ("CLIENT NO-EVICT ON x", "|no-evict"),
        ("CLIENT TRACKING", "|tracking"),
        ("CLIENT TRACKINGINFO x", "|trackinginfo"),
        ("CLIENT GETREDIR x", "|getredir"),
        ("CLIENT CACHING", "|caching"),
        ("CLIENT UNBLOCK", "|unblock"),
    ] {
        m.expect(&[(line, &arity(name))]);
    }
}

#[test]
fn the_line_has_every_field_in_order() {
    let mut m = Memory::new();
    m.advance_ms(65_432);
    m.run("CLIENT SETNAME me");
    let line = text(&mut m, "CLIENT INFO");
    let (line, bytes) = (line.strip_suffix('\n').expect("one line"), field(&line, "tot-mem").to_string());
    assert!(bytes.parse::<usize>().expect("a number") > 0);
    let expected = format!(
        "id=1 addr=127.0.0.1:40001 laddr=127.0.0.1:7379 fd=-1 name=me age=65 idle=65 flags=N db=0 sub=0 psub=0 ssub=0 \
         multi=-1 watch=0 qbuf=0 qbuf-free=0 argv-mem=10 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem={bytes} events=r \
         cmd=client|info user=default redir=-1 resp=2 lib-name= lib-ver= io-thread=0 tot-net-in=0 tot-net-out=0 tot-cmds=1"
    );
    assert_eq!(line, expected);
    m.run("HELLO 3");
    let reply = m.run("CLIENT INFO");
    assert!(reply.starts_with('=') && reply.contains(r"\r\ntxt:id=1 ") && reply.contains(" resp=3 "), "{reply}");
}

#[test]
fn flags_say_what_is_special() {
    let mut m = four();
    m.expect(&[("CLIENT NO-EVICT ON", OK), ("CLIENT NO-TOUCH on", OK)]);
    assert_eq!(field(&text(&mut m, "CLIENT INFO"), "flags"), "eT");
    m.expect(&[("CLIENT NO-EVICT off", OK), ("CLIENT NO-TOUCH OFF", OK)]);
    m.expect(&[("CLIENT NO-EVICT x", SYNTAX), ("CLIENT NO-TOUCH x", SYNTAX)]);
    assert_eq!(field(&text(&mut m, "CLIENT INFO"), "flags"), "N");
    (m.session(1).closing, m.session(2).buffers.out_bytes) = (true, 5);
    m.client = 3;
    m.run("SLEEP 5");
    m.client = 0;
    let list = text(&mut m, "CLIENT LIST");
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(field(lines[1], "flags"), "c");
    assert_eq!((field(lines[2], "events"), field(lines[2], "cmd")), ("rw", "NULL"));
    assert_eq!((field(lines[3], "flags"), field(lines[3], "cmd")), ("b", "sleep"));
}

#[test]
fn lists_can_be_narrowed() {
    let mut m = four();
    // The slot of client 2 goes to client 5, which still comes last.
    m.leave(1);
    let newcomer = m.connect();
    assert_eq!(m.id(newcomer).slot(), m.id(1).slot());
    m.client = 0;
    for (line, expected) in [
        ("CLIENT LIST", vec![1, 3, 4, 5]),
        ("CLIENT LIST TYPE normal", vec![1, 3, 4, 5]),
        ("CLIENT LIST type NORMAL", vec![1, 3, 4, 5]),
        ("CLIENT LIST TYPE master", vec![]),
        ("CLIENT LIST TYPE replica", vec![]),
        ("CLIENT LIST TYPE slave", vec![]),
        ("CLIENT LIST TYPE pubsub", vec![]),
        ("CLIENT LIST ID 4 1 2 99 0 -1 4", vec![4, 1, 4]),
    ] {
        assert_eq!(ids(&text(&mut m, line)), expected, "{line}");
    }
    m.expect(&[
        ("CLIENT LIST TYPE pubsub", r"$0\r\n\r\n"),
        ("CLIENT LIST TYPE x", r"-ERR Unknown client type \'x\'\r\n"),
        ("CLIENT LIST ID 1 x", r"-ERR Invalid client ID\r\n"),
        ("CLIENT LIST x", SYNTAX),
        ("CLIENT LIST TYPE", SYNTAX),
        ("CLIENT LIST TYPE normal normal", SYNTAX),
        ("CLIENT LIST ID", SYNTAX),
    ]);
}

#[test]
fn killed_clients_are_gone_at_once() {
    let mut m = four();
    m.expect(&[("CLIENT KILL ID 2", r":1\r\n"), ("CLIENT KILL ID 2", r":0\r\n")]);
    assert_eq!(ids(&text(&mut m, "CLIENT LIST")), [1, 3, 4]);
    let killed: Vec<u64> = m.server.clients.kills.iter().map(|client| u64::from(client.serial())).collect();
    assert_eq!(killed, [2]);
    assert!(m.session(1).closing);
}

#[test]
fn kill_takes_filters_that_all_must_be_met() {
    for (filters, count) in [
        ("ID 3", 1),
        ("ID 3 ID 2", 1),
        ("ID 99", 0),
        ("ID 1", 0),
        ("ID 2 ADDR 127.0.0.1:40002", 1),
        ("ID 2 ADDR 127.0.0.1:40003", 0),
        ("LADDR 127.0.0.1:7379", 3),
        ("LADDR 127.0.0.1:1", 0),
        ("TYPE normal", 3),
        ("TYPE pubsub", 0),
        ("TYPE slave", 0),
        ("TYPE master", 0),
        ("USER default", 3),
        ("MAXAGE 60", 3),
        ("MAXAGE 61", 0),
        ("SKIPME yes", 3),
    ] {
        let mut m = four();
        m.advance_ms(60_999);
        m.expect(&[(&format!("CLIENT KILL {filters} SKIPME yes"), &format!(r":{count}\r\n"))]);
        assert_eq!((m.server.clients.kills.len(), m.next), (count, Next::Done), "{filters}");
    }
}

#[test]
fn a_client_that_kills_itself_still_gets_the_reply() {
    for (line, reply, others) in [
        ("CLIENT KILL 127.0.0.1:40001", OK, 0),
        ("CLIENT KILL ID 1 SKIPME no", r":1\r\n", 0),
        ("CLIENT KILL TYPE normal SKIPME no", r":4\r\n", 3),
    ] {
        let mut m = four();
        m.expect(&[(line, reply)]);
        assert_eq!((m.next, m.server.clients.kills.len()), (Next::Close, others), "{line}");
    }
}

#[test]
fn kill_refuses_what_it_does_not_understand() {
    let mut m = four();
    let bad_id = r"-ERR client-id should be greater than 0\r\n";
    m.expect(&[
        ("CLIENT KILL 127.0.0.1:1", r"-ERR No such client\r\n"),
        ("CLIENT KILL ID", r"-ERR No such client\r\n"),
        ("CLIENT KILL a b", SYNTAX),
        ("CLIENT KILL ID 3 SKIPME", SYNTAX),
        ("CLIENT KILL SKIPME x", SYNTAX),
        ("CLIENT KILL ID x", bad_id),
        ("CLIENT KILL ID 0", bad_id),
        ("CLIENT KILL ID -1", bad_id),
        ("CLIENT KILL TYPE x", r"-ERR Unknown client type \'x\'\r\n"),
        ("CLIENT KILL TYPE primary", r"-ERR Unknown client type \'primary\'\r\n"),
        ("CLIENT KILL USER nope", r"-ERR No such user \'nope\'\r\n"),
        ("CLIENT KILL MAXAGE x", r"-ERR maxage is not an integer or out of range\r\n"),
        ("CLIENT KILL MAXAGE 0", r"-ERR maxage should be greater than 0\r\n"),
        ("CLIENT KILL MAXAGE -1", r"-ERR maxage should be greater than 0\r\n"),
    ]);
    assert!(m.server.clients.kills.is_empty());
}

#[test]
fn replies_can_be_skipped_and_switched_off() {
    let mut m = Memory::new();
    m.expect(&[
        ("CLIENT REPLY x", SYNTAX),
        ("CLIENT REPLY ON", OK),
        ("CLIENT REPLY SKIP", ""),
        ("PING", ""),
        ("PING", r"+PONG\r\n"),
        ("CLIENT REPLY SKIP", ""),
        ("CLIENT REPLY SKIP", ""),
        ("FOO", ""),
        ("PING", r"+PONG\r\n"),
        ("CLIENT REPLY SKIP", ""),
        ("CLIENT REPLY ON", OK),
        ("CLIENT REPLY OFF", ""),
        ("PING", ""),
        ("FOO", ""),
        ("CLIENT REPLY SKIP", ""),
        ("PING", ""),
        ("PING", ""),
        ("CLIENT REPLY x", ""),
        ("CLIENT REPLY on", OK),
        ("PING", r"+PONG\r\n"),
    ]);
}

#[test]
fn unblock_ends_a_sleep() {
    let mut m = four();
    for client in [1, 2] {
        m.client = client;
        m.run("SLEEP 100");
    }
    m.client = 0;
    m.expect(&[
        ("CLIENT UNBLOCK 2", r":1\r\n"),
        ("CLIENT UNBLOCK 2", r":0\r\n"),
        ("CLIENT UNBLOCK 3 ERROR", r":1\r\n"),
        ("CLIENT UNBLOCK 4 TIMEOUT", r":0\r\n"),
        ("CLIENT UNBLOCK 99", r":0\r\n"),
        ("CLIENT UNBLOCK -1", r":0\r\n"),
        ("CLIENT UNBLOCK x", NOT_AN_INTEGER),
        ("CLIENT UNBLOCK x y", r"-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n"),
        (
            "CLIENT unblock 2 ERROR x",
            r"-ERR unknown subcommand or wrong number of arguments for \'unblock\'. Try CLIENT HELP.\r\n",
        ),
    ]);
    let error = r"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n";
    assert_eq!(m.wake(), [(1, OK.to_string()), (2, error.to_string())]);
    assert!(m.server.clients.iter().all(|(_, session)| session.blocked.is_none()));
}

#[test]
fn a_pause_of_writes_lets_reads_pass() {
    let mut m = four();
    m.run("SET k v");
    m.expect(&[("CLIENT PAUSE 1000 WRITE", OK)]);
    m.client = 1;
    m.expect(&[("SET k w", "")]);
    assert!(m.is_waiting());
    m.client = 0;
    assert_eq!(field(&text(&mut m, "CLIENT LIST ID 2"), "flags"), "b");
    m.expect(&[("CLIENT UNBLOCK 2", r":0\r\n"), ("GET k", r"$1\r\nv\r\n")]);
    m.advance_ms(999);
    assert_eq!(m.wake(), []);
    m.advance_ms(1);
    assert_eq!(m.wake(), [(1, String::new())]);
    m.client = 1;
    m.expect(&[("SET k w", OK)]);
    assert_eq!(m.server.clients.paused, 0);
}

#[test]
fn unpause_ends_a_pause_of_writes_but_waits_itself_in_a_pause_of_all() {
    let mut m = four();
    m.expect(&[("CLIENT PAUSE 1000 WRITE", OK), ("CLIENT UNPAUSE", OK), ("SET k v", OK)]);
    m.expect(&[("CLIENT PAUSE 1000", OK), ("CLIENT UNPAUSE", "")]);
    assert!(m.is_waiting());
    m.advance_ms(1000);
    assert_eq!(m.wake(), [(0, String::new())]);
    m.expect(&[("PING", r"+PONG\r\n")]);
}

#[test]
fn a_second_pause_only_makes_the_first_longer_and_stricter() {
    let mut m = Memory::new();
    m.run("CLIENT PAUSE 1000 WRITE");
    m.run("CLIENT PAUSE 10 WRITE");
    assert_eq!(m.server.pause.map(|pause| (pause.until_ms, pause.all)), Some((1000, false)));
    m.run("CLIENT PAUSE 0 ALL");
    assert_eq!(m.server.pause.map(|pause| (pause.until_ms, pause.all)), Some((1000, true)));
    m.advance_ms(1000);
    m.expect(&[("CLIENT PAUSE 5 WRITE", OK)]);
    assert_eq!(m.server.pause.map(|pause| (pause.until_ms, pause.all)), Some((1005, false)));
}

#[test]
fn nothing_expires_while_a_pause_lasts() {
    let mut m = Memory::new();
    m.run("SET k v");
    let at = aleadb::store::db::Moment::new(aleadb::base::clock::Clock::now(&*m.clock), true);
    assert!(m.server.dbs[0].set_deadline(b"k", Some(crate::memory::START_MS + 10), at));
    m.run("CLIENT PAUSE 1000 WRITE");
    m.advance_ms(500);
    m.expect(&[("GET k", r"$-1\r\n")]);
    assert_eq!(m.server.dbs[0].len(), 1);
    m.run("CLIENT UNPAUSE");
    m.advance_ms(0);
    assert_eq!(m.server.dbs[0].len(), 0);
}

#[test]
fn a_client_killed_while_held_back_is_no_longer_counted() {
    let mut m = four();
    m.run("CLIENT PAUSE 1000 WRITE");
    m.client = 1;
    m.run("SET k v");
    m.client = 0;
    assert_eq!(m.server.clients.paused, 1);
    m.expect(&[("CLIENT KILL ID 2", r":1\r\n")]);
    m.leave(1);
    assert_eq!(m.server.clients.paused, 0);
    m.run("CLIENT UNPAUSE");
    assert_eq!(m.wake(), []);
}

#[test]
fn pause_takes_milliseconds_and_a_mode() {
    let mut m = Memory::new();
    m.expect(&[
        ("CLIENT PAUSE x", r"-ERR timeout is not an integer or out of range\r\n"),
        ("CLIENT PAUSE 1.5", r"-ERR timeout is not an integer or out of range\r\n"),
        ("CLIENT PAUSE 99999999999999999999", r"-ERR timeout is not an integer or out of range\r\n"),
        ("CLIENT PAUSE -1", r"-ERR timeout is negative\r\n"),
        ("CLIENT PAUSE 9223372036854775807", r"-ERR timeout is out of range\r\n"),
        ("CLIENT PAUSE x y", r"-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n"),
        (
            "CLIENT PAUSE 1 WRITE x",
            r"-ERR unknown subcommand or wrong number of arguments for \'PAUSE\'. Try CLIENT HELP.\r\n",
        ),
        ("CLIENT PAUSE 0", OK),
        ("PING", r"+PONG\r\n"),
    ]);
}

#[test]
fn help_names_every_subcommand() {
    let mut m = Memory::new();
    let help = m.run("CLIENT HELP");
    let client = aleadb::command::lookup(b"CLIENT").expect("a row");
    for sub in &client.subcommands {
        assert!(help.contains(&format!(r"\r\n+{}", sub.spec.name)), "{}", sub.spec.name);
    }
    assert_eq!(help.matches(r"\r\n+").count(), help[1..3].parse().expect("a count"));
}

/// Valkey's options of CLIENT LIST and KILL, with its texts; Redis's own forms are refused as Redis does.
#[test]
fn clients_are_chosen_by_the_options_of_valkey() {
    let mut m = four();
    m.run("CLIENT SETNAME me");
    m.run("SELECT 3");
    m.client = 1;
    m.run("SUBSCRIBE c");
    m.client = 2;
    m.run("CLIENT SETINFO LIB-NAME lib");
    m.client = 0;
    m.advance_ms(90_000);
    let rows: [(&str, &[u64]); 16] = [
        ("CLIENT LIST NAME me", &[1]),
        ("CLIENT LIST NOT-NAME me", &[2, 3, 4]),
        ("CLIENT LIST DB 3", &[1]),
        ("CLIENT LIST FLAGS P", &[2]),
        ("CLIENT LIST NOT-TYPE pubsub SKIPME yes", &[3, 4]),
        ("CLIENT LIST LIB-NAME lib USER default", &[3]),
        ("CLIENT LIST ID 4 2 TYPE normal", &[4]),
        ("CLIENT LIST ID 4 2", &[4, 2]),
        ("CLIENT LIST NOT-ID 1 2", &[3, 4]),
        ("CLIENT LIST IP 127.0.0.1 MAXAGE 90", &[1, 2, 3, 4]),
        ("CLIENT LIST MAXAGE 91", &[]),
        ("CLIENT LIST IDLE 90 ADDR 127.0.0.1:40003", &[3]),
        ("CLIENT LIST CAPA r", &[]),
        ("CLIENT LIST ID 0 -1 99", &[]),
        ("CLIENT LIST TYPE normal TYPE pubsub", &[2]),
        ("CLIENT LIST NOT-USER default", &[]),
    ];
    for (line, expected) in rows {
        assert_eq!(ids(&text(&mut m, line)), expected, "{line}");
    }
    let unknown = |what: &str, value: &str| format!(r"-ERR Unknown {what} found in the provided filter: {value}\r\n");
    m.expect(&[
        ("CLIENT LIST FLAGS Z", &unknown("flags", "Z")),
        ("CLIENT LIST CAPA x", &unknown("capa", "x")),
        ("CLIENT LIST DB 99", r"-ERR DB number should be between 0 and 15\r\n"),
        ("CLIENT LIST DB x", r"-ERR DB is not an integer or out of range\r\n"),
        ("CLIENT LIST IDLE 0", r"-ERR idle should be greater than 0\r\n"),
        ("CLIENT LIST MAXAGE x", r"-ERR maxage is not an integer or out of range\r\n"),
        ("CLIENT LIST NOT-MAXAGE 1", SYNTAX),
        ("CLIENT LIST NOT-foo x", SYNTAX),
        ("CLIENT LIST ADDR", SYNTAX),
        ("CLIENT LIST ID 1 x", r"-ERR Invalid client ID\r\n"),
        ("CLIENT KILL ID 0", r"-ERR client-id should be greater than 0\r\n"),
        ("CLIENT KILL USER nosuch", r"-ERR No such user \'nosuch\'\r\n"),
        ("CLIENT KILL ID 77 78", r":0\r\n"),
        ("CLIENT KILL NOT-NAME me FLAGS P", r":1\r\n"),
        ("CLIENT KILL ID 3 4", r":2\r\n"),
    ]);
}
