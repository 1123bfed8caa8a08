//! Publish and subscribe. Replies, messages and errors as a Redis 8.2.3 gives them.

use aleadb::config::Config;
use aleadb::server::ctx::Next;

use crate::memory::Memory;

const OK: &str = r"+OK\r\n";

/// A subscriber (index 0), a publisher that speaks.
fn two() -> (Memory, usize, usize) {
    let mut m = Memory::new();
    let subscriber = m.client;
    let publisher = m.connect();
    (m, subscriber, publisher)
}

fn run_as(m: &mut Memory, client: usize, line: &str) -> String {
    let before = std::mem::replace(&mut m.client, client);
    let reply = m.run(line);
    m.client = before;
    reply
}

#[test]
fn confirmations_count_channels_and_patterns_together() {
    let mut m = Memory::new();
    m.expect(&[
        (
            "SUBSCRIBE a b a",
            concat!(
                r"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
                r"*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n",
                r"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:2\r\n",
            ),
        ),
        ("PSUBSCRIBE x*", r"*3\r\n$10\r\npsubscribe\r\n$2\r\nx*\r\n:3\r\n"),
        ("SSUBSCRIBE s", r"*3\r\n$10\r\nssubscribe\r\n$1\r\ns\r\n:1\r\n"),
        ("UNSUBSCRIBE a", r"*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:2\r\n"),
        ("UNSUBSCRIBE nope", r"*3\r\n$11\r\nunsubscribe\r\n$4\r\nnope\r\n:2\r\n"),
        ("UNSUBSCRIBE", r"*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:1\r\n"),
        ("UNSUBSCRIBE", r"*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:1\r\n"),
        ("PUNSUBSCRIBE", r"*3\r\n$12\r\npunsubscribe\r\n$2\r\nx*\r\n:0\r\n"),
        ("SUNSUBSCRIBE", r"*3\r\n$12\r\nsunsubscribe\r\n$1\r\ns\r\n:0\r\n"),
        ("SUNSUBSCRIBE", r"*3\r\n$12\r\nsunsubscribe\r\n$-1\r\n:0\r\n"),
        ("SUBSCRIBE", r"-ERR wrong number of arguments for \'subscribe\' command\r\n"),
        ("PUBLISH a", r"-ERR wrong number of arguments for \'publish\' command\r\n"),
        (
            "PUBSUB CHANNELS a b",
            r"-ERR unknown subcommand or wrong number of arguments for \'CHANNELS\'. Try PUBSUB HELP.\r\n",
        ),
    ]);
    m.run("HELLO 3");
    m.expect(&[
        ("SUBSCRIBE a", r">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"),
        ("PUNSUBSCRIBE", r">3\r\n$12\r\npunsubscribe\r\n_\r\n:1\r\n"),
    ]);
}

#[test]
fn messages_reach_channels_patterns_and_shards() {
    let (mut m, subscriber, _) = two();
    run_as(&mut m, subscriber, "SUBSCRIBE news");
    run_as(&mut m, subscriber, "PSUBSCRIBE n*s");
    run_as(&mut m, subscriber, "SSUBSCRIBE news");
    m.expect(&[("PUBLISH news hi", r":2\r\n"), ("PUBLISH other hi", r":0\r\n"), ("PUBLISH nos \"\"", r":1\r\n")]);
    m.expect(&[("SPUBLISH news x", r":1\r\n")]);
    assert_eq!(
        m.take_sent(subscriber),
        concat!(
            r"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n",
            r"*4\r\n$8\r\npmessage\r\n$3\r\nn*s\r\n$4\r\nnews\r\n$2\r\nhi\r\n",
            r"*4\r\n$8\r\npmessage\r\n$3\r\nn*s\r\n$3\r\nnos\r\n$0\r\n\r\n",
            r"*3\r\n$8\r\nsmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n",
        )
    );
    assert_eq!(m.take_sent(subscriber), "");
}

#[test]
fn each_receiver_gets_its_own_protocol() {
    let (mut m, second, _) = two();
    let third = m.connect();
    run_as(&mut m, second, "SUBSCRIBE c");
    run_as(&mut m, third, "HELLO 3");
    run_as(&mut m, third, "SUBSCRIBE c");
    m.connect();
    m.expect(&[("PUBLISH c m", r":2\r\n")]);
    assert_eq!(m.take_sent(second), r"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n");
    assert_eq!(m.take_sent(third), r">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n");
}

#[test]
fn what_a_client_sends_itself_follows_the_reply() {
    let mut m = Memory::new();
    m.run("HELLO 3");
    m.run("SUBSCRIBE c");
    m.expect(&[
        ("PUBLISH c m", r":1\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n"),
        ("PING", r"+PONG\r\n"),
        ("CLIENT REPLY OFF", ""),
        ("PUBLISH c m", r">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n"),
        ("SUBSCRIBE d", r">3\r\n$9\r\nsubscribe\r\n$1\r\nd\r\n:2\r\n"),
    ]);
}

#[test]
fn subscribers_in_resp2_may_do_little_else() {
    let mut m = Memory::new();
    let refused = |name: &str| {
        format!(
            r"-ERR Can\'t execute \'{name}\': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n"
        )
    };
    m.run("SSUBSCRIBE c");
    m.expect(&[
        ("GET k", &refused("get")),
        ("PUBLISH c m", &refused("publish")),
        ("HELLO 3", &refused("hello")),
        ("CLIENT ID", &refused("client|id")),
        ("PING", r"*2\r\n$4\r\npong\r\n$0\r\n\r\n"),
        ("PING hey", r"*2\r\n$4\r\npong\r\n$3\r\nhey\r\n"),
        ("PING a b", r"-ERR wrong number of arguments for \'ping\' command\r\n"),
        ("RESET", r"+RESET\r\n"),
        ("GET k", r"$-1\r\n"),
        ("PUBSUB SHARDCHANNELS", r"*0\r\n"),
        ("SUBSCRIBE c", r"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"),
        ("QUIT", OK),
    ]);
    assert_eq!(m.next, Next::Close);
}

#[test]
fn resp3_subscribers_may_do_anything() {
    let mut m = Memory::new();
    m.run("HELLO 3");
    m.run("SUBSCRIBE c");
    m.expect(&[("GET k", r"_\r\n"), ("PING", r"+PONG\r\n"), ("PING x", r"$1\r\nx\r\n")]);
    assert!(m.run("HELLO 2").starts_with("*14"));
    m.expect(&[("PING", r"*2\r\n$4\r\npong\r\n$0\r\n\r\n")]);
}

#[test]
fn pubsub_tells_who_listens() {
    let (mut m, subscriber, _) = two();
    run_as(&mut m, subscriber, "SUBSCRIBE news");
    run_as(&mut m, subscriber, "PSUBSCRIBE a* b*");
    run_as(&mut m, subscriber, "SSUBSCRIBE shard");
    m.expect(&[
        ("PUBSUB CHANNELS", r"*1\r\n$4\r\nnews\r\n"),
        ("PUBSUB CHANNELS n*", r"*1\r\n$4\r\nnews\r\n"),
        ("PUBSUB CHANNELS x*", r"*0\r\n"),
        ("PUBSUB SHARDCHANNELS", r"*1\r\n$5\r\nshard\r\n"),
        ("PUBSUB NUMSUB", r"*0\r\n"),
        ("PUBSUB NUMSUB news x", r"*4\r\n$4\r\nnews\r\n:1\r\n$1\r\nx\r\n:0\r\n"),
        ("PUBSUB SHARDNUMSUB shard", r"*2\r\n$5\r\nshard\r\n:1\r\n"),
        ("PUBSUB NUMPAT", r":2\r\n"),
    ]);
    let list = m.run("CLIENT LIST TYPE pubsub");
    assert!(list.contains("flags=P db=0 sub=1 psub=2 ssub=1 "), "{list}");
    assert_eq!(list.matches("id=").count(), 1, "{list}");
    let info = m.run("INFO everything");
    for line in ["pubsub_channels:1", "pubsub_patterns:2", "pubsubshard_channels:1", "pubsub_clients:1"] {
        assert!(info.contains(&format!(r"\n{line}\r\n")), "no {line}");
    }
    m.expect(&[("CLIENT KILL TYPE pubsub", r":1\r\n"), ("PUBSUB NUMPAT", r":0\r\n"), ("PUBLISH news x", r":0\r\n")]);
}

#[test]
fn a_client_that_leaves_is_forgotten() {
    let (mut m, subscriber, _) = two();
    run_as(&mut m, subscriber, "SUBSCRIBE news");
    m.leave(subscriber);
    m.expect(&[("PUBLISH news x", r":0\r\n"), ("PUBSUB CHANNELS", r"*0\r\n")]);
}

#[test]
fn what_one_transaction_publishes_is_kept_up_to_the_subscriber_s_limit() {
    let mut config = Config::default();
    let limit = config.client_output_buffer_limit.of(true).hard_bytes;
    assert_eq!(limit, 32 << 20);
    config.client_output_buffer_limit.pubsub.hard_bytes = 1 << 20;
    let mut m = Memory::with_config(config);
    let slow = m.client;
    m.run("SUBSCRIBE news");
    m.connect();
    m.run("MULTI");
    let message = vec![b'x'; 100_000];
    for _ in 0..1000 {
        m.raw(&[&b"PUBLISH"[..], b"news", &message]);
    }
    let replies = m.run("EXEC");
    assert_eq!(
        replies,
        format!("*1000\\r\\n{}", ":1\\r\\n".repeat(1000)),
        "it is a subscriber until it is disconnected"
    );
    let kept = m.server.outbox.text_bytes();
    assert!((1 << 20..(1 << 20) + 200_000).contains(&kept), "{kept} bytes");
    assert_eq!(m.server.outbox.take_over_limit(), [m.id(slow)], "once");
}

/// What it leaves behind is cleared away over several turns; nobody sees any of it, and its place among the sessions may be
/// another's by then.
#[test]
fn a_client_with_very_many_subscriptions_is_gone_at_once() {
    let (mut m, subscriber, publisher) = two();
    for kind in ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"] {
        let names: Vec<String> = (0..4000).map(|i| format!("n*{i}")).collect();
        run_as(&mut m, subscriber, &format!("{kind} {} n n[*]*", names.join(" ")));
    }
    let other = m.connect();
    run_as(&mut m, other, "SUBSCRIBE n");
    m.leave(subscriber);
    assert!(m.server.go_on(), "there is work left");
    let newcomer = m.connect();
    assert_eq!(m.id(newcomer).slot(), m.id(subscriber).slot(), "the slot is free");
    run_as(&mut m, newcomer, "WATCH k");
    m.client = publisher;
    m.expect(&[
        ("PUBLISH n x", r":1\r\n"),
        ("PUBLISH n*5 x", r":0\r\n"),
        ("SPUBLISH n x", r":0\r\n"),
        ("PUBSUB CHANNELS", r"*1\r\n$1\r\nn\r\n"),
        ("PUBSUB SHARDCHANNELS", r"*0\r\n"),
        ("PUBSUB NUMSUB n n*7", r"*4\r\n$1\r\nn\r\n:1\r\n$3\r\nn*7\r\n:0\r\n"),
    ]);
    assert_eq!(m.take_sent(newcomer), "");
    assert!(run_as(&mut m, newcomer, "CLIENT INFO").contains(" sub=0 psub=0 ssub=0 multi=-1 watch=1 "));
    let turns = (0..).take_while(|_| m.server.go_on()).count();
    assert!((5..20).contains(&turns), "{turns}");
    m.expect(&[("PUBSUB NUMPAT", r":0\r\n"), ("PUBSUB NUMSUB n", r"*2\r\n$1\r\nn\r\n:1\r\n")]);
}
