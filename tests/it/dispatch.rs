//! What every line goes through before a command runs. Replies and counts as a Redis 8.2.3 gives them.

use aleadb::server::ctx::Next;

use crate::memory::Memory;

#[test]
fn arity_errors_count_as_rejected_calls_of_the_command() {
    let mut m = Memory::new();
    m.expect(&[
        ("GET", r"-ERR wrong number of arguments for \'get\' command\r\n"),
        ("CLIENT", r"-ERR wrong number of arguments for \'client\' command\r\n"),
        ("CLIENT ID x", r"-ERR wrong number of arguments for \'client|id\' command\r\n"),
        ("NOSUCH", r"-ERR unknown command \'NOSUCH\'\r\n"),
        ("CLIENT NOSUCH", r"-ERR unknown subcommand \'NOSUCH\'. Try CLIENT HELP.\r\n"),
    ]);
    let counts = m.run("INFO commandstats");
    for name in ["get", "client", "client|id"] {
        let expected = format!("cmdstat_{name}:calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0");
        assert!(counts.contains(&expected), "{name}: {counts}");
    }
    assert!(m.run("INFO errorstats").contains("errorstat_ERR:count=5"));
}

#[test]
fn the_last_command_of_a_client_is_the_one_refused_and_none_if_unknown() {
    let mut m = Memory::new();
    let first = m.client;
    let second = m.connect();
    for (line, shown) in [("GET", "cmd=get "), ("CLIENT ID x", "cmd=client|id "), ("NOSUCH", "cmd=NULL ")] {
        m.client = second;
        m.run(line);
        m.client = first;
        let list = m.run("CLIENT LIST ID 2");
        assert!(list.contains(shown), "{line}: {list}");
    }
}

/// A web page can make a browser send these to any port; nothing that follows them may run.
#[test]
fn web_requests_cost_the_connection_and_get_no_reply() {
    for line in ["POST / HTTP/1.1", "post", "Host: localhost", "HOST:"] {
        let mut m = Memory::new();
        assert_eq!(m.run(line), "", "{line}");
        assert_eq!(m.next, Next::Close, "{line}");
        assert!(m.session(m.client).killed, "{line}");
    }
    // Only the first word of a line says so.
    Memory::new().expect(&[("ECHO POST", r"$4\r\nPOST\r\n")]);
}
