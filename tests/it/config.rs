//! CONFIG. The errors are those of a Redis 8.2.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use aleadb::resp::reply::Proto;

use crate::memory::Memory;

#[test]
fn get_matches_names_and_globs() {
    let mut m = Memory::new();
    m.expect(&[
        ("CONFIG GET port timeout po?t PORT", r"*4\r\n$4\r\nport\r\n$4\r\n7379\r\n$7\r\ntimeout\r\n$1\r\n0\r\n"),
        (
            "CONFIG GET maxmemory maxmemory-p*",
            r"*4\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n",
        ),
        ("CONFIG GET nosuch", r"*0\r\n"),
        ("CONFIG GET", r"-ERR wrong number of arguments for \'config|get\' command\r\n"),
    ]);
    m.session(m.client).proto = Proto::Resp3;
    m.expect(&[("CONFIG GET hz", r"%1\r\n$2\r\nhz\r\n$2\r\n10\r\n"), ("CONFIG GET nosuch", r"%0\r\n")]);
}

#[test]
fn set_takes_several_and_clamps_as_redis_does() {
    Memory::new().expect(&[
        ("CONFIG SET hz 1000 timeout 7", r"+OK\r\n"),
        ("CONFIG GET hz timeout", r"*4\r\n$2\r\nhz\r\n$3\r\n500\r\n$7\r\ntimeout\r\n$1\r\n7\r\n"),
        ("CONFIG SET requirepass secret maxmemory 1gb", r"+OK\r\n"),
        ("CONFIG GET maxmemory", r"*2\r\n$9\r\nmaxmemory\r\n$10\r\n1073741824\r\n"),
        // Who is connected already stays welcome.
        ("GET k", r"$-1\r\n"),
    ]);
}

#[test]
fn the_time_to_poll_without_sleeping_is_bounded() {
    const FAILED: &str = r"-ERR CONFIG SET failed (possibly related to argument \'busy-poll-us\')";
    let bounds = format!(r"{FAILED} - argument must be between 0 and 1000 inclusive\r\n");
    Memory::new().expect(&[
        ("CONFIG GET busy-poll-us", r"*2\r\n$12\r\nbusy-poll-us\r\n$2\r\n10\r\n"),
        ("CONFIG SET busy-poll-us 1001", &bounds),
        ("CONFIG SET busy-poll-us -1", &bounds),
        ("CONFIG SET busy-poll-us 1000", r"+OK\r\n"),
        ("CONFIG SET busy-poll-us 0", r"+OK\r\n"),
        ("CONFIG GET busy-poll-us", r"*2\r\n$12\r\nbusy-poll-us\r\n$1\r\n0\r\n"),
    ]);
}

#[test]
fn a_directive_and_its_alias_are_the_same_one_twice() {
    let mut m = Memory::new();
    let refused = |name: &str| {
        format!(r"-ERR CONFIG SET failed (possibly related to argument \'{name}\') - duplicate parameter\r\n")
    };
    m.expect(&[
        ("CONFIG SET lua-time-limit 5 busy-reply-threshold 6", &*refused("busy-reply-threshold")),
        ("CONFIG SET busy-reply-threshold x LUA-time-limit 8", &refused("LUA-time-limit")),
        ("CONFIG SET replica-read-only no slave-read-only no", &refused("slave-read-only")),
        ("CONFIG GET lua-time-limit", r"*2\r\n$14\r\nlua-time-limit\r\n$4\r\n5000\r\n"),
    ]);
}

#[test]
fn a_refused_set_changes_nothing() {
    const FAILED: &str = "-ERR CONFIG SET failed (possibly related to argument";
    let mut m = Memory::new();
    let before = m.server.config.clone();
    for (line, reply) in [
        (
            "CONFIG SET hz 20 port 99999999",
            format!(r"{FAILED} \'port\') - argument must be between 0 and 65535 inclusive\r\n"),
        ),
        (
            "CONFIG SET hz 20 nosuch 1",
            r"-ERR Unknown option or number of arguments for CONFIG SET - \'nosuch\'\r\n".into(),
        ),
        ("CONFIG SET hz 20 daemonize yes", format!(r"{FAILED} \'daemonize\') - can\'t set immutable config\r\n")),
        ("CONFIG SET dir /tmp", format!(r"{FAILED} \'dir\') - can\'t set protected config\r\n")),
        ("CONFIG SET hz 10 hz 11", format!(r"{FAILED} \'hz\') - duplicate parameter\r\n")),
        ("CONFIG SET hz abc", format!(r"{FAILED} \'hz\') - argument couldn\'t be parsed into an integer\r\n")),
        (
            "CONFIG SET maxclients 0",
            format!(r"{FAILED} \'maxclients\') - argument must be between 1 and 4294967295 inclusive\r\n"),
        ),
        ("CONFIG SET hz 10 timeout", r"-ERR syntax error\r\n".into()),
        ("CONFIG SET hz", r"-ERR wrong number of arguments for \'config|set\' command\r\n".into()),
    ] {
        assert_eq!(m.run(line), reply, "{line}");
        assert!(m.server.config == before, "{line}");
    }
}

#[test]
fn more_clients_than_the_system_allows_are_refused_with_advice() {
    let mut m = Memory::new();
    let reply = m.run("CONFIG SET maxclients 4294967295");
    let head = concat!(
        r"-ERR CONFIG SET failed (possibly related to argument \'maxclients\') - ",
        "The operating system is not able to handle the specified number of clients, try with "
    );
    assert!(reply.starts_with(head), "{reply}");
    assert_eq!(m.server.config.maxclients, 10_000);
    // Fewer always fit.
    m.expect(&[("CONFIG SET maxclients 5", r"+OK\r\n")]);
}

/// A TCP port of the loopback address that is free, as far as can be known.
fn free_port() -> u16 {
    let holder = TcpListener::bind("127.0.0.1:0").expect("some port is free");
    holder.local_addr().expect("a bound socket has an address").port()
}

#[test]
fn another_port_is_opened_at_once_or_refused() {
    let mut m = Memory::new();
    m.expect(&[("CONFIG SET bind 127.0.0.1 port 0", r"+OK\r\n")]);
    assert!(m.server.process.clients_port.next.take().expect("bind changed").is_empty(), "port 0 is no TCP");
    let port = free_port();
    m.expect(&[(&format!("CONFIG SET port {port}"), r"+OK\r\n")]);
    let opened = m.server.process.clients_port.next.take().expect("the port changed");
    let addresses: Vec<&str> = opened.iter().map(|socket| socket.address.as_str()).collect();
    assert_eq!(addresses, [format!("127.0.0.1:{port}")]);

    let taken = TcpListener::bind("127.0.0.1:0").expect("some port is free");
    let line = format!("CONFIG SET port {}", taken.local_addr().expect("bound").port());
    m.expect(&[
        (
            &line,
            r"-ERR CONFIG SET failed (possibly related to argument \'port\') - Unable to listen on this port. Check server logs.\r\n",
        ),
        (
            "CONFIG SET bind 203.0.113.1",
            r"-ERR CONFIG SET failed (possibly related to argument \'bind\') - Failed to bind to specified addresses.\r\n",
        ),
    ]);
    assert!(m.server.process.clients_port.next.is_none());
    assert_eq!(m.server.config.port, port);
}

/// What the loop does at the end of a turn: the new sockets replace the old ones.
fn take_over(m: &mut Memory) -> Vec<String> {
    m.server.process.clients_port.open = m.server.process.clients_port.next.take().expect("the addresses changed");
    m.server.process.clients_port.open.iter().map(|socket| socket.address.clone()).collect()
}

#[test]
fn a_wider_address_takes_over_and_a_failure_leaves_the_old_one_open() {
    let mut m = Memory::new();
    let port = free_port();
    m.run(&format!("CONFIG SET bind 127.0.0.1 port {port}"));
    assert_eq!(take_over(&mut m), [format!("127.0.0.1:{port}")]);
    m.expect(&[("CONFIG SET bind *", r"+OK\r\n")]);
    assert_eq!(take_over(&mut m), [format!("0.0.0.0:{port}")]);
    let connect = || std::net::TcpStream::connect(("127.0.0.1", port));
    connect().expect("the wide address is open");
    // The wide address gives way, the narrow one cannot be had, the wide one comes back.
    assert!(m.run("CONFIG SET bind 203.0.113.1").starts_with("-ERR CONFIG SET failed"));
    connect().expect("the wide address is open again");
    // An address that stays is the same socket, so whoever waits there is not lost.
    let waiting = connect().expect("the kernel accepts");
    m.expect(&[("CONFIG SET bind \"* -::1\"", r"+OK\r\n")]);
    take_over(&mut m);
    let mine = m
        .server
        .process
        .clients_port
        .open
        .iter()
        .find(|socket| socket.address == format!("0.0.0.0:{port}"))
        .expect("it stays");
    let aleadb::sys::listen::Listening::Tcp(listener) = &mine.socket else { panic!("a TCP socket") };
    let accepted = std::iter::from_fn(|| listener.accept().ok()).any(|(_, peer)| peer == waiting.local_addr().unwrap());
    assert!(accepted);
}

#[test]
fn changes_of_one_turn_build_on_each_other() {
    let mut m = Memory::new();
    let port = free_port();
    m.expect(&[
        (&format!("CONFIG SET bind 127.0.0.1 port {port}"), r"+OK\r\n"),
        ("CONFIG SET bind *", r"+OK\r\n"),
        ("CONFIG SET bind 127.0.0.1", r"+OK\r\n"),
    ]);
    assert!(m.run("CONFIG SET bind 203.0.113.1").starts_with("-ERR CONFIG SET failed"));
    assert_eq!(take_over(&mut m), [format!("127.0.0.1:{port}")]);
    std::net::TcpStream::connect(("127.0.0.1", port)).expect("the last address that could be had is open");
}

#[test]
fn the_log_level_takes_effect() {
    Memory::new().expect(&[
        ("CONFIG SET loglevel warning", r"+OK\r\n"),
        (
            "CONFIG SET loglevel foo",
            r"-ERR CONFIG SET failed (possibly related to argument \'loglevel\') - argument(s) must be one of the following: debug, verbose, notice, warning, nothing\r\n",
        ),
    ]);
    assert_eq!(log::max_level(), log::LevelFilter::Warn);
}

#[test]
fn resetstat_zeroes_the_statistics() {
    let mut m = Memory::new();
    m.run("SET k v");
    m.run("GET k");
    m.run("NOSUCH");
    m.expect(&[("CONFIG RESETSTAT", r"+OK\r\n"), ("INFO errorstats", r"$14\r\n# Errorstats\r\n\r\n")]);
    assert_eq!(m.server.dbs[0].stats().hits, 0);
    assert_eq!(m.server.stats.by_command[aleadb::command::lookup(b"get").expect("GET").id].calls, 0);
    assert_eq!(m.server.stats.dirty, 1, "what changed since the last save is no statistic");
}

struct TempFile(PathBuf);

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn rewrite_writes_the_file_the_server_was_started_with() {
    let mut m = Memory::new();
    m.expect(&[("CONFIG REWRITE", r"-ERR The server is running without a config file\r\n")]);
    let file = TempFile(std::env::temp_dir().join(format!("aleadb-rewrite-{}.conf", std::process::id())));
    fs::write(&file.0, "# mine\nhz 20\ntimeout 3\n").expect("the temporary directory is writable");
    m.server.process.identity.config_file = Some(file.0.clone());
    m.expect(&[("CONFIG SET hz 50 maxmemory 100mb busy-poll-us 7", r"+OK\r\n"), ("CONFIG REWRITE", r"+OK\r\n")]);
    let text = fs::read_to_string(&file.0).expect("the file is still there");
    assert!(text.starts_with("# mine\nhz 50\ntimeout 0\n"), "{text}");
    assert!(text.contains("\nmaxmemory 100mb\n") && text.contains("\nbusy-poll-us 7\n"), "{text}");
    // A directory that does not exist cannot take the file.
    m.server.process.identity.config_file = Some(PathBuf::from("/nonexistent/aleadb.conf"));
    m.expect(&[("CONFIG REWRITE", r"-ERR Rewriting config file: No such file or directory\r\n")]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_rewrite_that_is_not_permitted_names_the_directory_it_needs() {
    let mut m = Memory::new();
    // Nobody may make a file there, not even the administrator.
    m.server.process.identity.config_file = Some(PathBuf::from("/sys/aleadb.conf"));
    let reply = m.run("CONFIG REWRITE");
    assert!(reply.starts_with("-ERR Rewriting config file: "), "{reply}");
    let advice =
        "/sys/aleadb.conf is replaced by a new file, so the server must be able to write to the directory /sys (";
    assert!(reply.contains(advice) && reply.contains("ReadWritePaths="), "{reply}");
}

#[test]
fn a_rewrite_leaves_alone_what_is_no_file() {
    let directory = std::env::temp_dir().join(format!("aleadb-rewrite-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("the temporary directory is writable");
    let socket = directory.join("no-file");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket can be made there");
    let mut m = Memory::new();
    m.server.process.identity.config_file = Some(socket.clone());
    let reply = m.run("CONFIG REWRITE");
    assert_eq!(reply, format!(r"-ERR Rewriting config file: {} is not a regular file\r\n", socket.display()));
    assert!(!std::fs::metadata(&socket).expect("it is still there").is_file());
    drop(listener);
    std::fs::remove_dir_all(&directory).expect("it is ours");
}

#[test]
fn true_values_are_set_and_shown_and_others_refused() {
    const FAILED: &str = "-ERR CONFIG SET failed (possibly related to argument";
    let mut m = Memory::new();
    m.expect(&[
        ("CONFIG SET lazyfree-lazy-expire yes slave-read-only no repl-backlog-size 1mb", r"+OK\r\n"),
        ("CONFIG GET lazyfree-lazy-expire", r"*2\r\n$20\r\nlazyfree-lazy-expire\r\n$3\r\nyes\r\n"),
        ("CONFIG GET replica-read-only", r"*2\r\n$17\r\nreplica-read-only\r\n$2\r\nno\r\n"),
        ("CONFIG GET repl-backlog-size", r"*2\r\n$17\r\nrepl-backlog-size\r\n$7\r\n1048576\r\n"),
        ("CONFIG SET appendonly no save \"\"", r"+OK\r\n"),
    ]);
    let refused = m.run("CONFIG SET cluster-compatibility-sample-ratio 5");
    let reason = "AleaDB does not run as a cluster: cluster-compatibility-sample-ratio can only be 0";
    assert_eq!(refused, format!(r"{FAILED} \'cluster-compatibility-sample-ratio\') - {reason}\r\n"));
}

#[test]
fn help_and_errors_are_redis_s() {
    Memory::new().expect(&[
        (
            "CONFIG HELP",
            r"*11\r\n+CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n+GET <pattern>\r\n+    Return parameters matching the glob-like <pattern> and their values.\r\n+SET <directive> <value>\r\n+    Set the configuration <directive> to <value>.\r\n+RESETSTAT\r\n+    Reset statistics reported by the INFO command.\r\n+REWRITE\r\n+    Rewrite the configuration file.\r\n+HELP\r\n+    Print this help.\r\n",
        ),
        ("CONFIG", r"-ERR wrong number of arguments for \'config\' command\r\n"),
        ("CONFIG FOO", r"-ERR unknown subcommand \'FOO\'. Try CONFIG HELP.\r\n"),
        ("CONFIG REWRITE x", r"-ERR wrong number of arguments for \'config|rewrite\' command\r\n"),
    ]);
}
