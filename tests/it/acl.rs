//! Users and their permissions. Replies as a Redis 8.2.3 gives them.

use aleadb::config::{Config, PubsubDefault};
use aleadb::server::ctx::Next;

use crate::memory::Memory;

const OK: &str = r"+OK\r\n";
const NO_KEY: &str = r"-NOPERM No permissions to access a key\r\n";
const NO_CHANNEL: &str = r"-NOPERM No permissions to access a channel\r\n";
const WRONGPASS: &str = r"-WRONGPASS invalid username-password pair or user is disabled.\r\n";

fn bulk(text: &str) -> String {
    format!(r"${}\r\n{text}\r\n", text.len())
}

fn bulks(texts: &[&str]) -> String {
    format!(r"*{}\r\n", texts.len()) + &texts.iter().map(|text| bulk(text)).collect::<String>()
}

fn no_command(user: &str, command: &str) -> String {
    format!(r"-NOPERM User {user} has no permissions to run the \'{command}\' command\r\n")
}

/// The error of a rule that is refused.
fn refused(rule: &str, why: &str) -> String {
    format!(r"-ERR Error in ACL SETUSER modifier \'{rule}\': {why}\r\n")
}

/// A server with a user `u` of these rules, and a second client who is that user.
fn with_user(rules: &str) -> Memory {
    let mut m = Memory::new();
    assert_eq!(m.run(&format!("ACL SETUSER u on nopass {rules}")), OK);
    m.connect();
    assert_eq!(m.run("AUTH u x"), OK);
    m
}

/// The line of LIST that describes user `u` made by these rules.
fn described(rules: &str) -> String {
    let mut m = Memory::new();
    assert_eq!(m.run(&format!("ACL SETUSER u {rules}")), OK, "{rules}");
    let listed = m.run("ACL LIST");
    let lines: Vec<&str> = listed.split(r"\r\n").collect();
    lines.iter().find_map(|line| line.strip_prefix("user u ")).expect("u is listed").to_owned()
}

#[test]
fn rules_are_described_as_redis_does() {
    let hash = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    for (rules, text) in [
        ("", "off sanitize-payload resetchannels -@all"),
        ("on nopass ~* &* +@all", "on nopass sanitize-payload ~* &* +@all"),
        ("ON NOPASS ALLKEYS ALLCHANNELS ALLCOMMANDS", "on nopass sanitize-payload ~* &* +@all"),
        ("on >x >x", &format!("on sanitize-payload #{hash} resetchannels -@all")),
        (&format!("on #{hash} nopass"), "on nopass sanitize-payload resetchannels -@all"),
        ("nopass >x", &format!("off sanitize-payload #{hash} resetchannels -@all")),
        (">x <x", "off sanitize-payload resetchannels -@all"),
        (&format!(">x !{hash}"), "off sanitize-payload resetchannels -@all"),
        (">x resetpass", "off sanitize-payload resetchannels -@all"),
        ("skip-sanitize-payload", "off skip-sanitize-payload resetchannels -@all"),
        ("~a ~b ~a", "off sanitize-payload ~a ~b resetchannels -@all"),
        ("%R~a %W~b %RW~c %wr~d", "off sanitize-payload %R~a %W~b ~c ~d resetchannels -@all"),
        ("%R~a %W~a", "off sanitize-payload ~a resetchannels -@all"),
        ("%R", "off sanitize-payload %R~ resetchannels -@all"),
        ("~a ~*", "off sanitize-payload ~* resetchannels -@all"),
        ("~* resetkeys ~a", "off sanitize-payload ~a resetchannels -@all"),
        ("&a &b &a", "off sanitize-payload resetchannels &a &b -@all"),
        ("&* resetchannels", "off sanitize-payload resetchannels -@all"),
        ("+get +GET +set -get", "off sanitize-payload resetchannels -@all +set -get"),
        ("+@all -get -@dangerous", "off sanitize-payload resetchannels +@all -get -@dangerous"),
        ("+@READ -@read +@read", "off sanitize-payload resetchannels -@all +@read"),
        ("+config|get +config|set +config", "off sanitize-payload resetchannels -@all +config"),
        ("+config -config|set", "off sanitize-payload resetchannels -@all +config -config|set"),
        ("+Config|Get", "off sanitize-payload resetchannels -@all +config|get"),
        ("+select|0 +select|1", "off sanitize-payload resetchannels -@all +select|0 +select|1"),
        ("+select|0 +select", "off sanitize-payload resetchannels -@all +select"),
        ("+get nocommands", "off sanitize-payload resetchannels -@all"),
        ("+@all +get", "off sanitize-payload resetchannels +@all +get"),
        (
            "(+get ~a) (%R~b)",
            "off sanitize-payload resetchannels -@all (~a resetchannels -@all +get) (%R~b resetchannels -@all)",
        ),
        ("() clearselectors", "off sanitize-payload resetchannels -@all"),
        ("on >x ~a &b +get (~x) reset", "off sanitize-payload resetchannels -@all"),
    ] {
        assert_eq!(described(rules), text, "{rules}");
    }
}

#[test]
fn a_rule_that_is_none_is_named_and_changes_nothing() {
    let keys = "Adding a pattern after the * pattern (or the \\'allkeys\\' flag) is not valid and does not have any effect. \
                Try \\'resetkeys\\' to start with an empty list of patterns";
    let channels = "Adding a pattern after the * pattern (or the \\'allchannels\\' flag) is not valid and does not have any effect. \
                    Try \\'resetchannels\\' to start with an empty list of channels";
    let hash = "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters";
    let (unknown, syntax) = ("Unknown command or category name in ACL", "Syntax error");
    let capitals = format!("#{}", "A".repeat(64));
    let mut m = Memory::new();
    for (rule, why) in [
        ("+nope", unknown),
        ("-nope", unknown),
        ("+@nope", unknown),
        ("-@nope", unknown),
        ("+", unknown),
        ("+|", unknown),
        ("+foo|bar", unknown),
        ("+config|nope", unknown),
        ("-config|nope", unknown),
        ("-select|0", unknown),
        ("+select|", syntax),
        ("+config|", syntax),
        ("+config|get|x", "Allowing first-arg of a subcommand is not supported"),
        ("nope", syntax),
        ("%", syntax),
        ("%~x", syntax),
        ("%Q~x", syntax),
        ("%RR~x", syntax),
        (")", syntax),
        ("(on)", syntax),
        ("(+nope)", syntax),
        ("#12", hash),
        (&capitals, hash),
        ("!12", hash),
        ("<x", "The password you are trying to remove from the user does not exist"),
        ("all", syntax),
    ] {
        let why = if rule == "(+nope)" { unknown } else { why };
        assert_eq!(m.run(&format!("ACL SETUSER u on {rule} +get")), refused(rule, why));
        assert_eq!(m.run("ACL USERS"), bulks(&["default"]), "{rule}");
    }
    assert_eq!(m.run("ACL SETUSER u ~* ~a"), refused("~a", keys));
    assert_eq!(m.run("ACL SETUSER u &* &a"), refused("&a", channels));
    assert_eq!(m.run("ACL SETUSER u \"~a b\""), refused("~a b", syntax));
    assert_eq!(m.run("ACL SETUSER u \"&a\\tb\""), refused("&a\\tb", syntax));
    let open = |start: &str| format!(r"-ERR Unmatched parenthesis in acl selector starting at \'{start}\'.\r\n");
    assert_eq!(m.run("ACL SETUSER u on (+get ~x"), open("(+get"));
    assert_eq!(m.run("ACL SETUSER u ("), open("("));
    for name in ["\"a b\"", "\"a\\x00b\"", "\"a\\nb\""] {
        assert_eq!(
            m.run(&format!("ACL SETUSER {name} on")),
            r"-ERR Usernames can\'t contain spaces or null characters\r\n"
        );
    }
    assert_eq!(m.run("ACL USERS"), bulks(&["default"]));
}

/// Redis takes it, writes it into its files as it is, and reads the rest as rules of their own.
#[test]
fn a_first_argument_cannot_hide_another_rule() {
    let mut m = Memory::new();
    assert_eq!(m.run("ACL SETUSER u \"+select|0 +@all\""), refused("+select|0 +@all", "Syntax error"));
}

#[test]
fn getuser_shows_every_part_in_both_protocols() {
    let mut m = Memory::new();
    assert_eq!(m.run("ACL SETUSER u on >x +get +config|get ~a %R~b &c (~d +set)"), OK);
    let hash = bulk("2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881");
    let parts = |map: &str, set: &str, inner: &str| {
        [
            map,
            &bulk("flags"),
            set,
            &bulk("on"),
            &bulk("sanitize-payload"),
            &bulk("passwords"),
            r"*1\r\n",
            &hash,
            &bulk("commands"),
            &bulk("-@all +get +config|get"),
            &bulk("keys"),
            &bulk("~a %R~b"),
            &bulk("channels"),
            &bulk("&c"),
            &bulk("selectors"),
            r"*1\r\n",
            inner,
            &bulk("commands"),
            &bulk("-@all +set"),
            &bulk("keys"),
            &bulk("~d"),
            &bulk("channels"),
            &bulk(""),
        ]
        .concat()
    };
    assert_eq!(m.run("ACL GETUSER u"), parts(r"*12\r\n", r"*2\r\n", r"*6\r\n"));
    assert_eq!(m.run("ACL GETUSER nobody"), r"$-1\r\n");
    m.run("HELLO 3");
    assert_eq!(m.run("ACL GETUSER u"), parts(r"%6\r\n", r"~2\r\n", r"%3\r\n"));
    assert_eq!(m.run("ACL GETUSER nobody"), r"_\r\n");
}

#[test]
fn users_log_in_with_any_of_their_passwords_while_they_are_on() {
    let mut m = Memory::new();
    m.expect(&[
        ("ACL SETUSER u >one >two +ping", OK),
        ("AUTH u one", WRONGPASS),
        ("ACL SETUSER u on", OK),
        ("AUTH u three", WRONGPASS),
        ("AUTH u on", WRONGPASS),
        ("AUTH nobody one", WRONGPASS),
        ("AUTH u one", OK),
        ("ACL WHOAMI", &no_command("u", "acl|whoami")),
        ("AUTH u two", OK),
        ("PING", r"+PONG\r\n"),
        ("GET k", &no_command("u", "get")),
        // A failure leaves the connection what it was.
        ("AUTH u three", WRONGPASS),
        ("PING", r"+PONG\r\n"),
        ("AUTH default any", OK),
        ("ACL WHOAMI", &bulk("default")),
        ("HELLO 2 AUTH u three", WRONGPASS),
        ("RESET", r"+RESET\r\n"),
    ]);
    assert!(m.run("HELLO 2 AUTH u two").starts_with("*14"));
    assert_eq!(m.run("GET k"), no_command("u", "get"));
    assert_eq!(m.run("RESET"), r"+RESET\r\n");
    assert_eq!(m.run("ACL WHOAMI"), bulk("default"));
    assert_eq!(m.server.stats.denied.auth, 6);
}

#[test]
fn a_default_user_that_is_off_lets_nobody_in_without_a_name() {
    let mut m = Memory::new();
    m.expect(&[("ACL SETUSER u on >x +@all ~*", OK), ("ACL SETUSER default off", OK), ("PING", r"+PONG\r\n")]);
    m.connect();
    m.expect(&[
        ("PING", r"-NOAUTH Authentication required.\r\n"),
        ("AUTH default any", WRONGPASS),
        ("AUTH u x", OK),
        ("PING", r"+PONG\r\n"),
    ]);
}

#[test]
fn requirepass_is_the_default_users_password() {
    let mut m = Memory::with_config(Config { requirepass: b"sekret".to_vec(), ..Config::default() });
    m.expect(&[("AUTH sekret", OK)]);
    let described = |m: &mut Memory| m.run("ACL LIST");
    let hash = "bb757689c39373a6cac9ef6ba55616c6249d7500ca4d443f1130c4766453a412";
    assert_eq!(described(&mut m), bulks(&[&format!("user default on sanitize-payload #{hash} ~* &* +@all")]));
    m.expect(&[("CONFIG SET requirepass \"\"", OK)]);
    assert_eq!(described(&mut m), bulks(&["user default on nopass sanitize-payload ~* &* +@all"]));
    m.expect(&[("ACL SETUSER default >other", OK), ("CONFIG SET requirepass sekret", OK)]);
    assert_eq!(described(&mut m), bulks(&[&format!("user default on sanitize-payload #{hash} ~* &* +@all")]));
}

#[test]
fn a_command_is_allowed_by_name_category_subcommand_or_first_argument() {
    let mut m = with_user("~* &* +@string -append +config|get +select|0 +select|1 +client -client|kill");
    m.expect(&[
        ("GET k", r"$-1\r\n"),
        ("SET k v", OK),
        ("APPEND k v", &no_command("u", "append")),
        ("LPUSH l v", &no_command("u", "lpush")),
        ("CONFIG GET port", r"*2\r\n$4\r\nport\r\n$4\r\n7379\r\n"),
        ("CONFIG SET port 1", &no_command("u", "config|set")),
        ("SELECT 0", OK),
        ("SELECT 1", OK),
        ("SELECT 2", &no_command("u", "select")),
        ("CLIENT KILL ID 1", &no_command("u", "client|kill")),
        // What is asked first: is there such a command, has it enough arguments.
        ("NOSUCH", r"-ERR unknown command \'NOSUCH\'\r\n"),
        ("LPUSH l", r"-ERR wrong number of arguments for \'lpush\' command\r\n"),
        // Everybody may run these.
        ("RESET", r"+RESET\r\n"),
    ]);
}

#[test]
fn keys_are_allowed_by_pattern_and_by_use() {
    let mut m = with_user("+@all ~own:* %R~in:* %W~out:*");
    m.expect(&[
        ("SET own:1 v", OK),
        ("GET own:1", r"$1\r\nv\r\n"),
        ("GET other", NO_KEY),
        ("GET in:1", r"$-1\r\n"),
        ("SET in:1 v", NO_KEY),
        ("SET out:1 v", OK),
        ("GET out:1", NO_KEY),
        // SET with GET reads as well.
        ("SET out:1 w GET", NO_KEY),
        ("COPY in:1 out:2", r":0\r\n"),
        ("COPY out:1 in:2", NO_KEY),
        ("MGET own:1 in:1", r"*2\r\n$1\r\nv\r\n$-1\r\n"),
        ("MGET own:1 out:1", NO_KEY),
        ("ZUNIONSTORE out:z 1 in:z", r":0\r\n"),
        ("ZUNIONSTORE out:z 2 in:z other", NO_KEY),
        ("XREAD STREAMS in:1 other 0 0", NO_KEY),
        ("SORT own:l STORE in:x", NO_KEY),
        ("TYPE out:1", r"+string\r\n"),
        ("PING", r"+PONG\r\n"),
    ]);
}

/// The key specifications name the first place to store at, and the first word STREAMS.
#[test]
fn the_keys_that_are_checked_are_those_that_are_used() {
    let mut m = with_user("+@all ~own* ~c ~STREAMS");
    m.expect(&[
        ("GEORADIUS own1 0 0 1 m STORE own2", r":0\r\n"),
        ("GEORADIUS own1 0 0 1 m STORE own2 STORE other", NO_KEY),
        ("GEORADIUS own1 0 0 1 m STOREDIST other COUNT 1 STOREDIST own2", NO_KEY),
        ("GEORADIUSBYMEMBER own1 m 1 m STORE own2 STORE other", NO_KEY),
        ("SORT own1 STORE own2 STORE other", NO_KEY),
        ("XREADGROUP COUNT 1 GROUP STREAMS c STREAMS other >", NO_KEY),
        ("XREADGROUP GROUP g c STREAMS other >", NO_KEY),
        ("XREADGROUP GROUP g c STREAMS own1 own2 other > > >", NO_KEY),
    ]);
}

#[test]
fn sort_follows_patterns_only_for_who_may_read_every_key() {
    let rows = [
        ("SORT own:l BY x*", r"-ERR BY option of SORT denied due to insufficient ACL permissions.\r\n", r"*0\r\n"),
        ("SORT own:l GET x*", r"-ERR GET option of SORT denied due to insufficient ACL permissions.\r\n", r"*0\r\n"),
        ("SORT_RO own:l GET #", r"-ERR GET option of SORT denied due to insufficient ACL permissions.\r\n", r"*0\r\n"),
        ("SORT own:l BY x", r"*0\r\n", r"*0\r\n"),
        ("SORT own:l", r"*0\r\n", r"*0\r\n"),
    ];
    let (mut restricted, mut free) = (with_user("+@all ~own:*"), with_user("+@all %W~own:* %R~*"));
    for (line, denied, allowed) in rows {
        assert_eq!(restricted.run(line), denied, "{line}");
        assert_eq!(free.run(line), allowed, "{line}");
    }
}

#[test]
fn one_selector_has_to_allow_all_of_a_command() {
    let mut m = with_user("+get ~a (+set ~b) (+get +set ~c*)");
    m.expect(&[
        ("GET a", r"$-1\r\n"),
        ("SET b v", OK),
        ("GET b", NO_KEY),
        ("SET a v", NO_KEY),
        ("SET c1 v", OK),
        ("GET c1", r"$1\r\nv\r\n"),
        ("DEL c1", &no_command("u", "del")),
    ]);
}

#[test]
fn channels_are_allowed_by_pattern_and_patterns_as_they_are() {
    let mut m = with_user("+@all ~* &news:* &exact");
    m.expect(&[
        ("PUBLISH news:1 x", r":0\r\n"),
        ("PUBLISH other x", NO_CHANNEL),
        ("SPUBLISH other x", NO_CHANNEL),
        ("SUBSCRIBE exact other", NO_CHANNEL),
        ("SSUBSCRIBE other", NO_CHANNEL),
        ("PSUBSCRIBE news:a*", NO_CHANNEL),
        ("PSUBSCRIBE news:*", r"*3\r\n$10\r\npsubscribe\r\n$6\r\nnews:*\r\n:1\r\n"),
        ("SUBSCRIBE news:7", r"*3\r\n$9\r\nsubscribe\r\n$6\r\nnews:7\r\n:2\r\n"),
        ("UNSUBSCRIBE other", r"*3\r\n$11\r\nunsubscribe\r\n$5\r\nother\r\n:2\r\n"),
    ]);
}

#[test]
fn new_users_have_the_channels_that_the_configuration_says() {
    let config = Config { acl_pubsub_default: PubsubDefault::AllChannels, ..Config::default() };
    let mut m = Memory::with_config(config);
    m.expect(&[("ACL SETUSER u (+get)", OK), ("ACL SETUSER v resetchannels reset", OK)]);
    m.expect(&[("CONFIG SET acl-pubsub-default resetchannels", OK), ("ACL SETUSER w", OK)]);
    assert_eq!(
        m.run("ACL LIST"),
        bulks(&[
            "user default on nopass sanitize-payload ~* &* +@all",
            "user u off sanitize-payload &* -@all (&* -@all +get)",
            "user v off sanitize-payload &* -@all",
            "user w off sanitize-payload resetchannels -@all",
        ])
    );
}

#[test]
fn who_loses_a_channel_it_listens_to_is_disconnected() {
    let mut m = with_user("+@all &a &b &p*");
    m.run("SUBSCRIBE a");
    m.run("PSUBSCRIBE p*");
    let listener = m.client;
    m.client = 0;
    m.expect(&[("ACL SETUSER u &c", OK)]);
    assert!(!m.session(listener).killed);
    m.expect(&[("ACL SETUSER u resetchannels &a &p* &d", OK)]);
    assert!(!m.session(listener).killed, "b was lost, which it does not listen to");
    m.expect(&[("ACL SETUSER u resetchannels &a &px", OK)]);
    assert!(m.session(listener).killed, "the pattern is not allowed any more");
}

#[test]
fn whose_user_is_deleted_is_disconnected() {
    let mut m = with_user("+@all");
    let other = m.connect();
    m.expect(&[
        ("ACL DELUSER nobody", r":0\r\n"),
        ("ACL DELUSER default", r"-ERR The \'default\' user cannot be removed\r\n"),
        ("ACL DELUSER u default", r"-ERR The \'default\' user cannot be removed\r\n"),
        ("ACL DELUSER u nobody u", r":1\r\n"),
        ("ACL USERS", &bulks(&["default"])),
    ]);
    assert!(m.session(1).killed && !m.session(other).killed);
    // Who deletes its own user is answered first.
    m.expect(&[("ACL SETUSER v on nopass +@all", OK), ("AUTH v x", OK), ("ACL DELUSER v", r":1\r\n")]);
    assert_eq!(m.next, Next::Close);
}

#[test]
fn a_change_counts_for_who_is_logged_in_already() {
    let mut m = with_user("+@all ~*");
    m.expect_of(&[
        (1, "SET k v", OK),
        (0, "ACL SETUSER u -set", OK),
        (1, "SET k v", &no_command("u", "set")),
        (0, "ACL SETUSER u +@all resetkeys ~a", OK),
        (1, "SET k v", NO_KEY),
        (0, "ACL SETUSER u allkeys allchannels", OK),
        (1, "SET k v", OK),
    ]);
    assert!(m.session(1).unlimited);
}

#[test]
fn a_transaction_is_refused_when_it_is_queued_and_again_when_it_runs() {
    let mut m = with_user("+@all ~a* &c*");
    let changed = |why: &str| {
        format!(
            r"-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: {why}\r\n"
        )
    };
    m.expect(&[
        ("MULTI", OK),
        ("SET b v", NO_KEY),
        ("EXEC", r"-EXECABORT Transaction discarded because of previous errors.\r\n"),
        ("MULTI", OK),
        ("SET a1 v", r"+QUEUED\r\n"),
        ("SET ab v", r"+QUEUED\r\n"),
        ("PUBLISH c x", r"+QUEUED\r\n"),
        ("GET ab", r"+QUEUED\r\n"),
    ]);
    m.expect_of(&[(0, "ACL SETUSER u -get resetkeys ~a1 resetchannels", OK)]);
    m.client = 1;
    let replies = [
        OK.to_owned(),
        changed("no permission to touch the specified keys"),
        changed("no permission to access one of the channels used as argument to the command"),
        changed("no permission to execute the command or subcommand"),
    ];
    assert_eq!(m.run("EXEC"), format!(r"*4\r\n{}", replies.concat()));
    // The user may also change on the way.
    m.expect_of(&[
        (0, "ACL SETUSER v on nopass +ping", OK),
        (1, "MULTI", OK),
        (1, "AUTH v x", r"+QUEUED\r\n"),
        (1, "SET a1 v", r"+QUEUED\r\n"),
        (1, "PING", r"+QUEUED\r\n"),
        (1, "EXEC", &format!(r"*3\r\n{OK}{}+PONG\r\n", changed("no permission to execute the command or subcommand"))),
    ]);
}

#[test]
fn who_deletes_its_own_user_does_nothing_more_in_its_transaction() {
    let mut m = Memory::new();
    m.expect(&[
        ("ACL SETUSER u on nopass +@all ~*", OK),
        ("AUTH u x", OK),
        ("CONFIG SET requirepass secret", OK),
        ("MULTI", OK),
        ("ACL DELUSER u", r"+QUEUED\r\n"),
        ("SET k v", r"+QUEUED\r\n"),
        ("EXEC", r"*2\r\n:1\r\n"),
    ]);
    assert_eq!(m.next, Next::Close);
    assert_eq!(m.server.dbs[0].len(), 0);
}

#[test]
fn a_client_that_waits_is_asked_again_when_its_key_comes() {
    let mut m = with_user("+@all ~*");
    m.expect(&[("BLPOP l 0", "")]);
    m.expect_of(&[(0, "ACL SETUSER u -blpop", OK), (0, "RPUSH l v", r":1\r\n")]);
    assert_eq!(m.take_sent(1), no_command("u", "blpop"));
    m.expect_of(&[(0, "LLEN l", r":1\r\n")]);
}

#[test]
fn a_query_ends_with_an_error_when_its_watcher_may_not_read_it_any_more() {
    let mut m = with_user("+@all ~a* ~b");
    m.expect_of(&[
        (1, "GET.WATCH c", NO_KEY),
        (1, "OBSERVE GET c", NO_KEY),
        (1, "GET.WATCH a1", r"*3\r\n$3\r\nGET\r\n$10\r\n4281035812\r\n$-1\r\n"),
    ]);
    let fingerprint_b = m.run("GET.WATCH b");
    assert!(fingerprint_b.ends_with(r"$-1\r\n"), "{fingerprint_b}");
    m.expect_of(&[(0, "ACL SETUSER u resetkeys ~b", OK)]);
    assert_eq!(m.take_sent(1), r"*3\r\n$3\r\nGET\r\n$10\r\n4281035812\r\n-NOPERM No permissions to access a key\r\n");
    m.expect_of(&[(0, "SET a1 secret", OK), (0, "SET b known", OK)]);
    let sent = m.take_sent(1);
    assert!(sent.contains("known") && !sent.contains("secret"), "{sent}");
    // Nor may anybody see by a query what it may not see by the command.
    m.expect_of(&[(0, "ACL SETUSER u -get", OK)]);
    assert!(m.take_sent(1).contains("NOPERM User u has no permissions to run the \\'get\\' command"));
    m.expect_of(&[(1, "GET.WATCH b", &no_command("u", "get"))]);
    m.expect_of(&[(1, "OBSERVE GET b", &no_command("u", "get"))]);
    assert_eq!(m.run("WATCH.LIST"), r"*0\r\n");
}

#[test]
fn dryrun_says_what_would_be_refused_in_all_detail() {
    let mut m = with_user("+get +set +publish ~a* &c");
    m.client = 0;
    m.expect(&[
        ("ACL DRYRUN u GET a1", OK),
        ("ACL DRYRUN u get b", &bulk("User u has no permissions to access the 'b' key").replace('\'', r"\'")),
        ("ACL DRYRUN u DEL a", &bulk("User u has no permissions to run the 'del' command").replace('\'', r"\'")),
        ("ACL DRYRUN u PUBLISH x y", &bulk("User u has no permissions to access the 'x' channel").replace('\'', r"\'")),
        ("ACL DRYRUN nobody GET a", r"-ERR User \'nobody\' not found\r\n"),
        ("ACL DRYRUN u nosuch", r"-ERR Command \'nosuch\' not found\r\n"),
        ("ACL DRYRUN u config nosuch", r"-ERR Command \'config\' not found\r\n"),
        ("ACL DRYRUN u GET", r"-ERR wrong number of arguments for \'get\' command\r\n"),
        ("ACL DRYRUN u", r"-ERR wrong number of arguments for \'acl|dryrun\' command\r\n"),
        ("ACL LOG", r"*0\r\n"),
    ]);
}

/// The fields of an entry that do not depend on the moment.
fn entries(m: &mut Memory) -> Vec<Vec<String>> {
    let text = m.run("ACL LOG 100");
    let words: Vec<&str> = text.split(r"\r\n").filter(|word| !word.starts_with(['$', '*'])).collect();
    let fields = |entry: &[&str]| [1, 3, 5, 7, 9, 15].iter().map(|at| entry[*at].to_owned()).collect();
    words.chunks_exact(20).map(fields).collect()
}

#[test]
fn the_log_has_what_was_refused_the_newest_first_and_the_same_once() {
    let mut m = with_user("+get +multi +exec +publish ~a*");
    for line in
        ["GET b", "DEL a", "PUBLISH x y", "GET b", "MULTI", "GET b", "EXEC", "auth nobody x", "HELLO 3 AUTH u2 x"]
    {
        m.run(line);
    }
    m.client = 0;
    let expected = [
        [":1", "auth", "toplevel", "HELLO", "u2", ":5"],
        [":1", "auth", "toplevel", "auth", "nobody", ":4"],
        [":1", "key", "multi", "b", "u", ":3"],
        [":2", "key", "toplevel", "b", "u", ":0"],
        [":1", "channel", "toplevel", "x", "u", ":2"],
        [":1", "command", "toplevel", "del", "u", ":1"],
    ];
    assert_eq!(entries(&mut m), expected);
    m.expect(&[("ACL LOG 0", r"*0\r\n"), ("ACL LOG -1", r"*0\r\n")]);
    m.expect(&[("ACL LOG x", r"-ERR value is not an integer or out of range\r\n")]);
    m.expect(&[(
        "ACL LOG 1 2",
        r"-ERR unknown subcommand or wrong number of arguments for \'LOG\'. Try ACL HELP.\r\n",
    )]);
    let info = m.run("INFO stats");
    for counted in ["auth:2", "cmd:1", "key:3", "channel:1"] {
        assert!(info.contains(&format!("acl_access_denied_{counted}")), "{counted}");
    }
    m.expect(&[("ACL LOG RESET", OK), ("ACL LOG", r"*0\r\n")]);
}

#[test]
fn an_entry_of_the_log_tells_times_and_the_client() {
    let mut m = with_user("+get ~a*");
    m.run("GET b");
    m.advance_ms(1_500);
    m.run("GET b");
    m.client = 0;
    m.advance_ms(250);
    let text = m.run("ACL LOG");
    for part in [
        r"$11\r\nage-seconds\r\n$4\r\n0.25\r\n",
        r"$17\r\ntimestamp-created\r\n:1700000000000\r\n",
        r"$22\r\ntimestamp-last-updated\r\n:1700000001500\r\n",
        "id=2 addr=127.0.0.1:40002 laddr=127.0.0.1:7379 fd=-1 name= age=",
        "cmd=get user=u redir=-1 resp=2",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // More than a minute later it is another entry.
    m.client = 1;
    m.advance_ms(60_001);
    m.run("GET b");
    m.client = 0;
    assert_eq!(entries(&mut m).len(), 2);
    m.run("HELLO 3");
    assert!(m.run("ACL LOG 1").contains(r"%10\r\n$5\r\ncount\r\n:1\r\n"));
    assert!(m.run("ACL LOG 1").contains(r"$11\r\nage-seconds\r\n,0\r\n"));
}

#[test]
fn the_log_keeps_as_many_entries_as_it_may() {
    let mut m = with_user("+get ~a*");
    for key in 0..200 {
        m.run(&format!("GET {key}"));
    }
    m.client = 0;
    assert_eq!(entries(&mut m).len(), 100);
    assert_eq!(m.server.acl.log.iter().len(), 128);
    m.expect(&[("CONFIG SET acllog-max-len 2", OK)]);
    m.client = 1;
    m.run("GET x");
    assert_eq!(m.server.acl.log.iter().len(), 2);
    m.server.config.acllog_max_len = 0;
    m.run("GET y");
    assert_eq!(m.server.acl.log.iter().len(), 0);
    // However long a key is, an entry is not.
    m.server.config.acllog_max_len = 2;
    let key = vec![b'k'; 1 << 20];
    m.raw(&[b"GET", &key]);
    assert!(m.server.acl.log.iter().all(|entry| entry.refusal.object.len() <= 16 << 10));
}

#[test]
fn genpass_makes_as_many_hexadecimal_digits_as_the_bits_need() {
    let mut m = Memory::new();
    for (line, digits) in [("ACL GENPASS", 64), ("ACL GENPASS 32", 8), ("ACL GENPASS 5", 2), ("ACL GENPASS 4096", 1024)]
    {
        let reply = m.run(line);
        let text = reply.split(r"\r\n").nth(1).unwrap_or_default();
        assert!(
            text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
            "{line}: {reply}"
        );
        assert_ne!(m.run("ACL GENPASS"), m.run("ACL GENPASS"));
    }
    let bad = r"-ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096\r\n";
    m.expect(&[
        ("ACL GENPASS 0", bad),
        ("ACL GENPASS 4097", bad),
        ("ACL GENPASS -1", bad),
        ("ACL GENPASS x", r"-ERR value is not an integer or out of range\r\n"),
        ("ACL GENPASS 1 2", r"-ERR unknown subcommand or wrong number of arguments for \'GENPASS\'. Try ACL HELP.\r\n"),
    ]);
}

#[test]
fn cat_lists_categories_and_what_is_in_them() {
    let mut m = Memory::new();
    let all = "keyspace read write set sortedset list hash string bitmap hyperloglog geo stream pubsub admin fast slow blocking \
               dangerous connection transaction scripting array";
    let names: Vec<&str> = all.split(' ').collect();
    assert_eq!(m.run("ACL CAT"), bulks(&names));
    let hash = m.run("ACL CAT Hash");
    for name in ["hget", "hgetall.watch", "hset"] {
        assert!(hash.contains(&bulk(name)), "{name}");
    }
    assert!(!hash.contains(&bulk("get")));
    assert!(m.run("ACL CAT dangerous").contains(&bulk("config|set")));
    m.expect(&[
        ("ACL CAT nope", r"-ERR Unknown category \'nope\'\r\n"),
        ("ACL CAT a b", r"-ERR unknown subcommand or wrong number of arguments for \'CAT\'. Try ACL HELP.\r\n"),
        ("ACL NOPE", r"-ERR unknown subcommand \'NOPE\'. Try ACL HELP.\r\n"),
    ]);
}

#[test]
fn client_list_and_kill_know_users() {
    let mut m = with_user("+@all");
    m.client = 0;
    assert!(m.run("CLIENT LIST").contains("cmd=auth user=u redir"));
    m.expect(&[
        ("CLIENT KILL USER nobody", r"-ERR No such user \'nobody\'\r\n"),
        ("CLIENT KILL USER default", r":0\r\n"),
        ("CLIENT KILL USER u", r":1\r\n"),
    ]);
    assert!(m.session(1).killed);
}

#[test]
fn without_a_file_there_is_nothing_to_load_or_save() {
    let no_file = r"-ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.\r\n";
    let mut m = Memory::new();
    m.expect(&[("ACL LOAD", no_file), ("ACL SAVE", no_file)]);
}

#[test]
fn wrong_passwords_are_answered_after_the_delay_and_right_ones_at_once() {
    let mut m = Memory::new();
    m.expect(&[("ACL SETUSER u on >x +@all", OK), ("CONFIG SET auth-failure-delay-ms 200", OK)]);
    m.expect(&[("AUTH u wrong", "")]);
    let second = m.connect();
    m.expect(&[("HELLO 3 AUTH u wrong", "")]);
    m.connect();
    m.expect(&[("AUTH u x", OK), ("CLIENT UNBLOCK 1", r":0\r\n")]);
    m.advance_ms(199);
    assert_eq!(m.wake(), []);
    m.advance_ms(1);
    assert_eq!(m.wake(), [(0, WRONGPASS.to_owned())]);
    m.advance_ms(200);
    assert_eq!(m.wake(), [(second, WRONGPASS.to_owned())]);
    let info = m.run("INFO errorstats");
    assert!(info.contains("errorstat_WRONGPASS:count=2"), "{info}");
    // In a transaction nothing waits.
    m.expect(&[("MULTI", OK), ("AUTH u wrong", r"+QUEUED\r\n"), ("EXEC", &format!(r"*1\r\n{WRONGPASS}"))]);
}

#[test]
fn wrong_passwords_are_counted_by_address() {
    let mut m = Memory::new();
    m.expect(&[("ACL SETUSER u on >x +@all", OK)]);
    for count in 1..=30 {
        m.expect(&[("AUTH u wrong", WRONGPASS)]);
        let failed = m.server.acl.failures.of("127.0.0.1").expect("it is known");
        assert_eq!((failed.count, failed.is_notable()), (count, count == 10));
    }
    assert_eq!((m.server.acl.failures.len(), m.server.acl.failures.of("127.0.0.2")), (1, None));
}

/// The texts are those of 8.2.3, but for the part of it that tells where in the script.
#[test]
fn scripts_may_do_what_their_user_may() {
    let mut m = with_user("+eval +get +sort ~a*");
    let failure = |what: &str| format!("-ERR ACL failure in script: {what} script: ");
    for (line, expected) in [
        (r#"EVAL "return redis.call('get', 'a')" 0"#, r"$-1\r\n".to_owned()),
        (r#"EVAL "return redis.call('get', 'b')" 0"#, failure("No permissions to access a key")),
        (
            r#"EVAL "return redis.call('set', 'a', 1)" 0"#,
            failure(r"User u has no permissions to run the \'set\' command"),
        ),
        (
            r#"EVAL "return redis.pcall('get', 'b')" 0"#,
            r"-ERR ACL failure in script: No permissions to access a key\r\n".to_owned(),
        ),
        (
            r#"EVAL "return redis.call('sort', 'a', 'by', 'x*')" 0"#,
            "-ERR BY option of SORT denied due to insufficient ACL permissions. script: ".to_owned(),
        ),
        (r#"EVAL "return redis.acl_check_cmd('get', 'a')" 0"#, r":1\r\n".to_owned()),
        (r#"EVAL "return redis.acl_check_cmd('get', 'b')" 0"#, r"$-1\r\n".to_owned()),
        (r#"EVAL "return redis.acl_check_cmd('publish', 'c', 'x')" 0"#, r"$-1\r\n".to_owned()),
        (r#"EVAL "return redis.acl_check_cmd('set', 'a', 1)" 0"#, r"$-1\r\n".to_owned()),
    ] {
        let reply = m.run(line);
        assert!(reply.starts_with(&expected), "{line}: {reply}");
    }
    m.client = 0;
    let expected = [[":2", "key", "lua", "b", "u"], [":1", "command", "lua", "set", "u"]];
    let found: Vec<Vec<String>> = entries(&mut m).into_iter().map(|entry| entry[..5].to_vec()).collect();
    assert_eq!(found, expected);
    // Nobody else has lost a permission by that.
    m.expect(&[(r#"EVAL "return redis.call('set', 'b', 1)" 0"#, OK)]);
}

struct TempDir(std::path::PathBuf);

impl TempDir {
    fn new(name: &str) -> TempDir {
        let path = std::env::temp_dir().join(format!("aleadb-acl-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary directory is writable");
        TempDir(path)
    }

    fn file(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("the directory is writable");
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_file_is_loaded_as_a_whole_and_saved() {
    let dir = TempDir::new("file");
    let path = dir.file("users.acl", "user u on nopass +@all ~a*\nuser gone on nopass +@all\n");
    let shown = path.display().to_string();
    let mut m = Memory::with_config(Config { aclfile: Some(path.clone()), ..Config::default() });
    m.expect(&[("ACL LOAD", OK)]);
    for user in ["u", "gone"] {
        m.connect();
        m.expect(&[(&format!("AUTH {user} x"), OK)]);
    }
    m.client = 0;
    dir.file("users.acl", "user u on nopass +@all ~b*\nuser u off\n\nuser v +nope\n");
    let error = format!(
        r"-ERR WARNING: Duplicate user \'u\' found on line 2. {shown}:4: Error in applying operation \'+nope\': Unknown command or category name in ACL. WARNING: ACL errors detected, no change to the previously active ACL rules was performed\r\n"
    );
    m.expect(&[("ACL LOAD", &error), ("ACL USERS", &bulks(&["default", "gone", "u"]))]);
    dir.file("users.acl", "user u on nopass +@all ~b*\n");
    m.expect(&[("ACL LOAD", OK), ("ACL USERS", &bulks(&["default", "u"]))]);
    assert!(!m.session(1).killed && m.session(2).killed);
    m.expect_of(&[(1, "GET b1", r"$-1\r\n"), (1, "GET a1", NO_KEY)]);
    m.expect_of(&[(0, "ACL SETUSER w on >x ~k +get", OK), (0, "ACL SAVE", OK)]);
    assert_eq!(
        std::fs::read_to_string(&path).expect("it is there"),
        "user default on nopass sanitize-payload ~* &* +@all\nuser u on nopass sanitize-payload ~b* resetchannels +@all\nuser w on \
         sanitize-payload #2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 ~k resetchannels -@all +get\n"
    );
    std::fs::remove_file(&path).expect("it is there");
    let missing = format!(r"-ERR Error loading ACLs, opening file \'{shown}\': No such file or directory\r\n");
    m.expect(&[("ACL LOAD", &missing), ("ACL USERS", &bulks(&["default", "u", "w"]))]);
}

/// A server that was started with this configuration file.
fn started(dir: &TempDir, text: &str) -> Result<Memory, String> {
    let path = dir.file("aleadb.conf", text);
    let files = aleadb::config::file::RealFiles;
    let mut loader = aleadb::config::file::Loader::new(&files, dir.0.clone());
    loader.file(&path).map_err(|error| error.to_string())?;
    let (config, sources) = loader.finish();
    let mut m = Memory::with_config(config);
    m.server.config_sources = sources;
    m.server.process.identity.config_file = Some(path);
    aleadb::command::acl::load_at_start(&mut m.server)?;
    Ok(m)
}

#[test]
fn users_stand_in_the_configuration_and_are_written_back_there() {
    let dir = TempDir::new("conf");
    let text = r#"requirepass sekret
user alice on >x ~a* "(+get \"%R~\\\"b\")" +set
user bob
user default on nopass +ping
"#;
    let mut m = started(&dir, text).expect("nothing is wrong with it");
    let hash = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    m.expect(&[("AUTH alice x", OK), ("SET a1 v", OK), ("GET '\"b'", r"$-1\r\n"), ("GET a1", NO_KEY)]);
    m.server.acl.users.iter().for_each(|(_, user)| assert!(!user.is_unlimited()));
    m.expect(&[("RESET", r"+RESET\r\n"), ("PING", r"+PONG\r\n"), ("GET a1", &no_command("default", "get"))]);
    let admin = aleadb::feature::acl::User::unlimited(b"admin", aleadb::command::catalog());
    let nobody = m.server.clients.internal();
    m.server.put_user(admin, nobody);
    m.expect(&[("AUTH admin x", OK), ("ACL DELUSER bob", r":1\r\n"), ("CONFIG REWRITE", OK)]);
    let written = std::fs::read_to_string(dir.0.join("aleadb.conf")).expect("it is there");
    let lines: Vec<&str> = written.lines().filter(|line| line.starts_with("user")).collect();
    let alice = format!(
        r#"user alice on sanitize-payload #{hash} ~a* resetchannels -@all +set "(\"%R~\\\"b\" resetchannels -@all +get)""#
    );
    let default = "user default on nopass sanitize-payload resetchannels -@all +ping";
    assert_eq!(lines, ["user admin on nopass sanitize-payload ~* &* +@all", &alice, default]);
    let before = m.server.acl.users.iter().map(|(_, user)| user.line()).collect::<Vec<_>>();
    let again = started(&dir, &written).expect("it is read back");
    assert_eq!(again.server.acl.users.iter().map(|(_, user)| user.line()).collect::<Vec<_>>(), before);
}

#[test]
fn a_server_does_not_start_with_users_that_are_wrong() {
    let dir = TempDir::new("start");
    let acl = dir.file("users.acl", "user a +nope\n");
    let shown = acl.display();
    for (text, expected) in [
        ("timeout 3\nuser a on +nope\n", "line 2 of"),
        ("user a on +nope\n", "Error in user declaration '+nope': Unknown command or category name in ACL"),
        ("user a on <secret\n", "Error in user declaration '<(redacted)': The password you are trying to remove"),
        ("user a on (+get\n", "Unmatched parenthesis in acl selector starting at '(+get'."),
        ("user a on\nuser b on\nuser a off\n", "Duplicate user found. A user can only be defined once in config files"),
        ("user \"a b\" on\n", "Spaces not allowed in ACL usernames"),
        ("user\n", "Bad directive or wrong number of arguments"),
        (&format!("aclfile {shown}\n"), "Error in applying operation '+nope'"),
        (&format!("aclfile {shown}\nuser a on\n"), "please define either an ACL file or declare users directly"),
        ("aclfile /nonexistent/users.acl\n", "opening file '/nonexistent/users.acl': No such file or directory"),
    ] {
        let error = started(&dir, text).map(drop).expect_err(text);
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
