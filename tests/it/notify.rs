//! Keyspace events, as a Redis 8.2.3 publishes them.

use crate::memory::Memory;

/// A server that publishes these events, and a client that hears them all; the other one speaks.
fn listening(events: &str) -> (Memory, usize) {
    let mut m = Memory::new();
    m.run("HELLO 3");
    m.run("PSUBSCRIBE __key*");
    let listener = m.client;
    m.connect();
    m.expect(&[(&format!("CONFIG SET notify-keyspace-events \"{events}\""), r"+OK\r\n")]);
    (m, listener)
}

/// `db:event=key` of each key event that a client was sent.
fn heard(m: &mut Memory, listener: usize) -> String {
    let sent = m.take_sent(listener);
    let events = sent.split(r">4\r\n").skip(1).filter_map(|message| {
        let words: Vec<&str> = message.split(r"\r\n").collect();
        let channel = words[5].strip_prefix("__keyevent@")?;
        Some(format!("{}={}", channel.replace("__:", ":"), words[7]))
    });
    events.collect::<Vec<_>>().join(" ")
}

fn check(m: &mut Memory, listener: usize, rows: &[(&str, &str)]) {
    for (line, events) in rows {
        m.run(line);
        assert_eq!(heard(m, listener), *events, "{line}");
    }
}

#[test]
fn an_event_goes_to_the_keys_channel_and_to_its_own() {
    let (mut m, listener) = listening("KEA");
    m.run("SET k v");
    assert_eq!(
        m.take_sent(listener),
        concat!(
            r">4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$16\r\n__keyspace@0__:k\r\n$3\r\nset\r\n",
            r">4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$18\r\n__keyevent@0__:set\r\n$1\r\nk\r\n",
        )
    );
    m.expect(&[
        ("CONFIG SET notify-keyspace-events K$", r"+OK\r\n"),
        ("SELECT 3", r"+OK\r\n"),
        ("SET k w", r"+OK\r\n"),
    ]);
    assert_eq!(
        m.take_sent(listener),
        r">4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$16\r\n__keyspace@3__:k\r\n$3\r\nset\r\n"
    );
    for silent in ["", "KEx", "A", "$"] {
        m.run(&format!("CONFIG SET notify-keyspace-events \"{silent}\""));
        m.run("SET k w");
        assert_eq!(m.take_sent(listener), "", "{silent}");
    }
}

#[test]
fn every_command_has_its_events() {
    let (mut m, listener) = listening("EAnmo");
    check(
        &mut m,
        listener,
        &[
            ("set a 1", "0:new=a 0:set=a"),
            ("set a 2", "0:overwritten=a 0:set=a"),
            ("set a 3 ex 100", "0:overwritten=a 0:set=a 0:expire=a"),
            ("set a 4 get", "0:overwritten=a 0:set=a"),
            ("set nn 4 get", "0:keymiss=nn 0:new=nn 0:set=nn"),
            ("set nn 4 keepttl", "0:overwritten=nn 0:set=nn"),
            ("set q 1 pxat 5", "0:new=q 0:set=q 0:expire=q"),
            ("get q", "0:expired=q 0:keymiss=q"),
            ("setex a 100 1", "0:overwritten=a 0:set=a 0:expire=a"),
            ("set a 1 xx", "0:overwritten=a 0:set=a"),
            ("getset zz 1", "0:keymiss=zz 0:new=zz 0:set=zz"),
            ("getset zz 2", "0:overwritten=zz 0:set=zz"),
            ("mset a 1 b 2", "0:overwritten=a 0:set=a 0:new=b 0:set=b"),
            ("msetnx m1 1 m2 2", "0:new=m1 0:set=m1 0:new=m2 0:set=m2"),
            ("append a x", "0:append=a"),
            ("append new x", "0:new=new 0:append=new"),
            ("append new \"\"", "0:append=new"),
            ("setrange a 1 xx", "0:setrange=a"),
            ("setrange nsr 1 xx", "0:new=nsr 0:setrange=nsr"),
            ("incr i", "0:new=i 0:incrby=i"),
            ("incr i", "0:incrby=i"),
            ("decr i", "0:incrby=i"),
            ("incrbyfloat i 1.5", "0:incrbyfloat=i"),
            ("incrbyfloat f 1", "0:new=f 0:incrbyfloat=f"),
            ("rename a b", "0:new=b 0:rename_from=a 0:rename_to=b 0:overwritten=b"),
            ("rename b c", "0:new=c 0:rename_from=b 0:rename_to=c"),
            ("renamenx c d", "0:new=d 0:rename_from=c 0:rename_to=d"),
            ("renamenx d m1", ""),
            ("rename d m1", "0:new=m1 0:rename_from=d 0:rename_to=m1 0:overwritten=m1"),
            ("copy m1 e", "0:new=e 0:copy_to=e"),
            ("copy m1 e replace", "0:new=e 0:copy_to=e 0:overwritten=e"),
            ("move m1 1", "1:new=m1 0:move_from=m1 1:move_to=m1"),
            ("move e 1", "1:new=e 0:move_from=e 1:move_to=e"),
            ("set d 1", "0:new=d 0:set=d"),
            ("set e 1", "0:new=e 0:set=e"),
            ("expire e 100", "0:expire=e"),
            ("expire e -1", "0:del=e"),
            ("persist d", ""),
            ("expire d 100", "0:expire=d"),
            ("persist d", "0:persist=d"),
            ("getex d ex 100", "0:expire=d"),
            ("getex d persist", "0:persist=d"),
            ("getex d pxat 4", "0:del=d"),
            ("getdel m2", "0:del=m2"),
            ("del i nn", "0:del=i 0:del=nn"),
            ("get missing", "0:keymiss=missing"),
            ("exists missing", "0:keymiss=missing"),
            ("type missing", "0:keymiss=missing"),
            ("ttl missing", "0:keymiss=missing"),
            ("object encoding missing", ""),
            ("strlen missing", "0:keymiss=missing"),
            ("mget a1 a2", "0:keymiss=a1 0:keymiss=a2"),
            ("getrange missing 0 1", "0:keymiss=missing"),
            ("touch missing", "0:keymiss=missing"),
            ("getdel missing", "0:keymiss=missing"),
            ("getex missing", "0:keymiss=missing"),
            ("lcs mi1 mi2", "0:keymiss=mi1 0:keymiss=mi2"),
            ("rename zz zz", ""),
            ("getex zz", ""),
            ("substr miss 0 1", "0:keymiss=miss"),
            ("copy missing x", "0:keymiss=missing"),
            ("swapdb 0 1", ""),
            ("unlink m1", "0:del=m1"),
            ("randomkey", ""),
            ("scan 0", ""),
            ("setnx a1 1", "0:new=a1 0:set=a1"),
            ("setnx a1 2", ""),
            ("set a1 5 nx get", ""),
            ("set a9 5 nx get", "0:keymiss=a9 0:new=a9 0:set=a9"),
            ("set a9 6 xx get ex 10", "0:overwritten=a9 0:set=a9 0:expire=a9"),
            ("set gone 6 xx get", "0:keymiss=gone"),
            ("setrange nokey 3 \"\"", ""),
            ("move nokey 3", ""),
            ("persist nokey", ""),
            ("expire nokey 1", ""),
            ("append nokey2 \"\"", "0:new=nokey2 0:append=nokey2"),
            ("msetnx nokey2 1 nokey3 1", ""),
            ("setex sx 10 1", "0:new=sx 0:set=sx 0:expire=sx"),
            ("psetex sx 100000 1", "0:overwritten=sx 0:set=sx 0:expire=sx"),
            ("set sx 1 px 1000", "0:overwritten=sx 0:set=sx 0:expire=sx"),
            ("pexpireat sx 1", "0:del=sx"),
            ("set k 1 exat 1", "0:new=k 0:set=k 0:expire=k"),
            ("set k2 1", "0:new=k2 0:set=k2"),
            ("set k2 2 exat 1", "0:overwritten=k2 0:set=k2 0:expire=k2"),
            ("exists k2", "0:expired=k2 0:keymiss=k2"),
        ],
    );
}

#[test]
fn lookups_report_the_keys_they_collect() {
    let (mut m, listener) = listening("EAnmo");
    m.run("DEBUG SET-ACTIVE-EXPIRE 0");
    m.server.active_expire = false;
    for (line, events) in [
        ("GET y", "0:expired=y 0:keymiss=y"),
        ("SET y 5", "0:expired=y 0:new=y 0:set=y"),
        ("GETSET y 6", "0:expired=y 0:keymiss=y 0:new=y 0:set=y"),
        ("RENAME y y2", "0:expired=y"),
        ("PERSIST y", "0:expired=y"),
        ("EXPIRE y 10", "0:expired=y"),
        ("DEL y", "0:expired=y"),
        ("INCR y", "0:expired=y 0:new=y 0:incrby=y"),
        ("COPY y z", "0:expired=y 0:keymiss=y"),
    ] {
        m.run("PSETEX y 1 v");
        m.clock.advance_ms(2);
        heard(&mut m, listener);
        check(&mut m, listener, &[(line, events)]);
        m.run("DEL y");
    }
}

#[test]
fn the_wheel_reports_what_it_collects() {
    let (mut m, listener) = listening("Ex");
    m.run("SELECT 2");
    m.run("PSETEX a 20 v");
    m.run("PSETEX b 10 v");
    m.advance_ms(5);
    assert_eq!(heard(&mut m, listener), "");
    m.advance_ms(20);
    assert_eq!(heard(&mut m, listener), "2:expired=b 2:expired=a");
}

#[test]
fn a_flushed_database_goes_on_noting() {
    let (mut m, listener) = listening("En");
    m.run("FLUSHALL");
    check(&mut m, listener, &[("SET a 1", "0:new=a"), ("SWAPDB 0 1", ""), ("SET b 1", "0:new=b")]);
}

#[test]
fn the_setting_prints_as_redis_prints_it() {
    let mut m = Memory::new();
    m.expect(&[
        ("CONFIG SET notify-keyspace-events KEA", r"+OK\r\n"),
        ("CONFIG GET notify-keyspace-events", r"*2\r\n$22\r\nnotify-keyspace-events\r\n$3\r\nAKE\r\n"),
        (
            "CONFIG SET notify-keyspace-events Q",
            concat!(
                r"-ERR CONFIG SET failed (possibly related to argument \'notify-keyspace-events\') - ",
                r"Invalid event class character. Use \'Ag$lshzxeKEtmdn\'.\r\n",
            ),
        ),
    ]);
}

#[test]
fn bitmaps_and_hyperloglogs_have_events_of_strings() {
    let (mut m, listener) = listening("EAnmo");
    check(
        &mut m,
        listener,
        &[
            ("setbit k 9 0", "0:new=k 0:setbit=k"),
            ("setbit k 9 0", ""),
            ("setbit k 9 1", "0:setbit=k"),
            ("bitfield k set u8 0 1 incrby u8 0 1", "0:setbit=k"),
            ("bitfield k get u8 0", ""),
            ("bitfield new overflow fail set u1 0 2", "0:new=new 0:setbit=new"),
            ("bitfield new overflow fail set u1 0 2", ""),
            ("bitfield nosuch get u8 0", "0:keymiss=nosuch"),
            ("bitop not d k", "0:new=d 0:set=d"),
            ("bitop or d k nosuch", "0:keymiss=nosuch 0:overwritten=d 0:set=d"),
            ("bitop not d nosuch", "0:keymiss=nosuch 0:del=d"),
            ("bitcount nosuch", "0:keymiss=nosuch"),
            ("pfadd h a", "0:new=h 0:pfadd=h"),
            ("pfadd h a", ""),
            ("pfadd h b", "0:pfadd=h"),
            ("pfcount h", ""),
            ("pfcount nosuch", "0:keymiss=nosuch"),
            ("pfmerge u h", "0:keymiss=u 0:new=u 0:pfadd=u"),
            ("pfdebug todense u", ""),
        ],
    );
}

#[test]
fn a_deadline_in_the_past_deletes_or_expires_as_chosen() {
    let (mut m, listener) = listening("KEA");
    let name = "expired-event-for-past-deadlines";
    let get = |value: &str| format!(r"%1\r\n${}\r\n{name}\r\n${}\r\n{value}\r\n", name.len(), value.len());
    m.run("HELLO 3");
    m.expect(&[(&format!("CONFIG GET {name}"), &get("no"))]);
    for (chosen, event) in [("no", "del"), ("yes", "expired")] {
        m.expect(&[
            (&format!("CONFIG SET {name} {chosen}"), r"+OK\r\n"),
            (&format!("CONFIG GET {name}"), &get(chosen)),
        ]);
        let lines = [
            "EXPIRE k 0",
            "EXPIRE k -1",
            "PEXPIRE k -5",
            "EXPIREAT k 1",
            "PEXPIREAT k 1",
            "GETEX k EXAT 1",
            "GETEX k PXAT 1",
        ];
        for line in lines {
            check(&mut m, listener, &[("SET k v", "0:set=k"), (line, &format!("0:{event}=k")), ("EXISTS k", "")]);
        }
        check(
            &mut m,
            listener,
            &[("EXPIRE k 0", ""), ("SET k v", "0:set=k"), ("EXPIRE k 0 XX", ""), ("DEL k", "0:del=k")],
        );
    }
    // The class goes with the event.
    m.run("CONFIG SET notify-keyspace-events Eg");
    check(&mut m, listener, &[("SET k v", ""), ("EXPIRE k 0", "")]);
    m.run("CONFIG SET notify-keyspace-events Ex");
    check(&mut m, listener, &[("SET k v", ""), ("EXPIRE k 0", "0:expired=k")]);
    m.expect(&[(
        &format!("CONFIG SET {name} maybe"),
        &format!(
            r"-ERR CONFIG SET failed (possibly related to argument \'{name}\') - argument must be \'yes\' or \'no\'\r\n"
        ),
    )]);
}

/// Every message but those of the plain events that a client was sent: `channel message`, without the number of the database.
fn parts(m: &mut Memory, listener: usize) -> Vec<String> {
    let sent = m.take_sent(listener);
    let messages = sent.split(r">4\r\n$8\r\npmessage\r\n").skip(1).filter_map(|message| {
        let words: Vec<&str> = message.split(r"\r\n").collect();
        let channel = words[3].strip_prefix("__sub")?;
        Some(format!("{} {}", channel.replace("@0__", ""), words[5]))
    });
    messages.collect()
}

fn listening_to_parts(events: &str) -> (Memory, usize) {
    let mut m = Memory::new();
    m.run("HELLO 3");
    m.run("PSUBSCRIBE __*");
    let listener = m.client;
    m.connect();
    m.expect(&[(&format!("CONFIG SET notify-keyspace-events {events}"), r"+OK\r\n")]);
    (m, listener)
}

#[test]
fn fields_are_named_on_four_channels_each_in_its_own_form() {
    let (mut m, listener) = listening_to_parts("hSTIV");
    m.run("HSET myhash field1 a field2 b");
    assert_eq!(
        m.take_sent(listener),
        concat!(
            r">4\r\n$8\r\npmessage\r\n$3\r\n__*\r\n$24\r\n__subkeyspace@0__:myhash\r\n$22\r\nhset|6:field1,6:field2\r\n",
            r">4\r\n$8\r\npmessage\r\n$3\r\n__*\r\n$22\r\n__subkeyevent@0__:hset\r\n$26\r\n6:myhash|6:field1,6:field2\r\n",
            r">4\r\n$8\r\npmessage\r\n$3\r\n__*\r\n$35\r\n__subkeyspaceitem@0__:myhash\nfield1\r\n$4\r\nhset\r\n",
            r">4\r\n$8\r\npmessage\r\n$3\r\n__*\r\n$35\r\n__subkeyspaceitem@0__:myhash\nfield2\r\n$4\r\nhset\r\n",
            r">4\r\n$8\r\npmessage\r\n$3\r\n__*\r\n$34\r\n__subkeyspaceevent@0__:hset|myhash\r\n$17\r\n6:field1,6:field2\r\n",
        )
    );
    // A name may hold what stands between two of them; a key with a line end has no channel for each of its fields.
    m.raw(&[b"HSET", b"a\nb", b"x|1:y,", b"v"]);
    assert_eq!(
        parts(&mut m, listener),
        [r"keyspace:a\nb hset|6:x|1:y,", r"keyevent:hset 3:a\nb|6:x|1:y,", r"keyspaceevent:hset|a\nb 6:x|1:y,"]
    );
    m.run("SELECT 2");
    m.run("HSET h f v");
    assert!(m.take_sent(listener).contains("__subkeyspaceitem@2__:h\\nf"));
    for (silent, plain) in [("KEA", true), ("STIV", false), ("zS", false), ("KEhs", true)] {
        m.run(&format!("CONFIG SET notify-keyspace-events {silent}"));
        m.run("HSET h f v");
        let sent = m.take_sent(listener);
        assert_eq!((sent.contains("__sub"), !sent.is_empty()), (false, plain), "{silent}");
    }
}

#[test]
fn every_event_of_hashes_names_the_fields_that_it_concerns() {
    let (mut m, listener) = listening_to_parts("hT");
    let rows: &[(&str, &[&str])] = &[
        ("HSET h a 1 b 2 a 3", &["hset 1:h|1:a,1:b,1:a"]),
        ("HSETNX h a 9", &[]),
        ("HSETNX h c 9", &["hset 1:h|1:c"]),
        ("HMSET h d 1", &["hset 1:h|1:d"]),
        ("HINCRBY h n 5", &["hincrby 1:h|1:n"]),
        ("HINCRBYFLOAT h n 0.5", &["hincrbyfloat 1:h|1:n"]),
        ("HDEL h nothing", &[]),
        ("HDEL h nothing c c", &["hdel 1:h|1:c"]),
        ("HEXPIRE h 100 FIELDS 3 a nothing b", &["hexpire 1:h|1:a,1:b"]),
        ("HEXPIRE h 50 GT FIELDS 2 a d", &[]),
        ("HEXPIRE h 200 GT FIELDS 2 a d", &["hexpire 1:h|1:a"]),
        ("HPERSIST h FIELDS 3 d b nothing", &["hpersist 1:h|1:b"]),
        ("HGETEX h FIELDS 1 a", &[]),
        ("HGETEX h EX 100 FIELDS 2 b nothing", &["hexpire 1:h|1:b"]),
        ("HGETEX h PERSIST FIELDS 3 a b d", &["hpersist 1:h|1:a,1:b"]),
        ("HGETDEL h FIELDS 2 nothing b", &["hdel 1:h|1:b"]),
        ("HSETEX h FXX FIELDS 1 b 2", &[]),
        ("HSETEX h EX 10 FIELDS 2 b 2 e 3", &["hset 1:h|1:b,1:e", "hexpire 1:h|1:b,1:e"]),
        ("HSETEX h PXAT 1 FIELDS 1 b 2", &["hset 1:h|1:b", "hdel 1:h|1:b"]),
        ("HPEXPIREAT h 1 FIELDS 2 e nothing", &["hdel 1:h|1:e"]),
        ("HGETEX h PXAT 1 FIELDS 2 d nothing", &["hdel 1:h|1:d"]),
        ("RENAME h i", &[]),
        ("DEL i", &[]),
    ];
    for (line, expected) in rows {
        m.run(line);
        let expected: Vec<String> = expected.iter().map(|message| format!("keyevent:{message}")).collect();
        assert_eq!(parts(&mut m, listener), expected, "{line}");
    }
    let reply = m.run("EVAL \"return redis.call('HSET', KEYS[1], 'f', '1')\" 1 h");
    assert_eq!(reply, r":1\r\n");
    assert_eq!(parts(&mut m, listener), ["keyevent:hset 1:h|1:f"]);
    // A line that is done piece by piece names them in so many messages.
    m.server.jobs.limits = aleadb::server::jobs::Limits { line: 0, slice_elements: 2, ..Default::default() };
    m.run("HDEL h f nothing");
    m.run("HSET h a 1 b 2 c 3");
    let named = parts(&mut m, listener);
    assert_eq!(named[0], "keyevent:hdel 1:h|1:f");
    let fields: Vec<&str> = named[1..].iter().filter_map(|message| message.split('|').nth(1)).collect();
    assert_eq!(fields.join(","), "1:a,1:b,1:c");
}

/// On time, in the order of the deadlines, one message for what leaves together; for a small hash and for a large one.
#[test]
fn fields_that_expire_are_named_in_the_order_of_their_deadlines() {
    for fill in [0, 600] {
        let (mut m, listener) = listening_to_parts("hSx");
        for n in 0..fill {
            m.run(&format!("HSET h other{n} v"));
        }
        m.run("HSET h a 1 b 2 c 3 d 4 e 5 stays 6");
        for (field, ms) in [("a", 30), ("b", 10), ("c", 10), ("d", 9), ("e", 40)] {
            m.run(&format!("HPEXPIRE h {ms} FIELDS 1 {field}"));
        }
        parts(&mut m, listener);
        m.advance_ms(9);
        assert_eq!(parts(&mut m, listener), ["keyspace:h hexpired|1:d"]);
        m.advance_ms(21);
        // Those that are due at the same time come in any order.
        let mut named = parts(&mut m, listener);
        named[0] = named[0].replace("1:c,1:b", "1:b,1:c");
        assert_eq!(named, ["keyspace:h hexpired|1:b,1:c", "keyspace:h hexpired|1:a"]);
        // A command that comes before the timer finds it as well.
        m.clock.advance_ms(10);
        m.run("HSET h new 1");
        assert_eq!(parts(&mut m, listener), ["keyspace:h hexpired|1:e", "keyspace:h hset|3:new"]);
        m.run("HPEXPIRE h 5 FIELDS 1 new");
        parts(&mut m, listener);
        m.run("CONFIG SET notify-keyspace-events KEA");
        m.advance_ms(5);
        assert_eq!(parts(&mut m, listener), Vec::<String>::new());
    }
}

/// `key=value` of each last value that a client was sent, and the keys whose expiry it was told of.
fn last_values(m: &mut Memory, listener: usize) -> Vec<String> {
    let sent = m.take_sent(listener);
    let messages = sent.split(r">4\r\n$8\r\npmessage\r\n").skip(1).filter_map(|message| {
        let words: Vec<&str> = message.split(r"\r\n").collect();
        let value =
            words[3].strip_prefix("__keyexpired@").map(|key| format!("{}={}", key.replace("__:", ":"), words[5]));
        value.or_else(|| words[3].starts_with("__keyevent").then(|| words[5].to_owned()))
    });
    messages.collect()
}

#[test]
fn last_values_of_strings_that_expire_are_published_on_request() {
    let none: [&str; 0] = [];
    let (mut m, listener) = listening_to_parts("Ex");
    m.run("SET off 1 PX 1");
    m.advance_ms(1);
    assert_eq!(last_values(&mut m, listener), ["off"]);
    m.expect(&[("CONFIG SET notify-expired-value-max-bytes 100", r"+OK\r\n")]);
    let (longest, longer) = ("x".repeat(100), "y".repeat(101));
    for line in [
        "SET text hello PX 9",
        "SET number -17 PX 8",
        "SET empty \"\" PX 7",
        &format!("SET longest {longest} PX 6"),
        &format!("SET longer {longer} PX 5"),
        "RPUSH list a",
        "PEXPIRE list 4",
        "HSET hash f v",
        "PEXPIRE hash 3",
        "SADDEX set PX 2 MEMBERS 1 a",
        "SET gone 1 PX 9",
        "DEL gone",
        "SET deleted 1",
        "PEXPIRE deleted -1",
    ] {
        m.run(line);
    }
    m.take_sent(listener);
    // In the order of the deadlines, each behind its event; of other types and of what is longer there is the event alone.
    m.advance_ms(9);
    let expected = [
        "hash",
        "list",
        "longer",
        "longest",
        &format!("0:longest={longest}"),
        "empty",
        "0:empty=",
        "number",
        "0:number=-17",
        "text",
        "0:text=hello",
    ];
    assert_eq!(last_values(&mut m, listener), expected);
    // What a command comes across, in another database, is published once.
    m.run("SELECT 3");
    m.run("SET k last PX 1");
    m.clock.advance_ms(1);
    m.run("GET k");
    m.advance_ms(1);
    assert_eq!(last_values(&mut m, listener), ["k", "3:k=last"]);
    // The letter x is asked for; those of the other channels are not.
    for (events, heard) in [("Kx", &["3:k=last"][..]), ("x", &["3:k=last"]), ("KEg$", &none), ("", &none)] {
        m.run(&format!("CONFIG SET notify-keyspace-events \"{events}\""));
        m.run("SET k last PX 1");
        m.take_sent(listener);
        m.advance_ms(1);
        assert_eq!(last_values(&mut m, listener), *heard, "{events}");
    }
    for (size, fits) in [("-1", false), ("65536", true), ("65537", false), ("0", true)] {
        let reply = m.run(&format!("CONFIG SET notify-expired-value-max-bytes {size}"));
        assert_eq!(reply == r"+OK\r\n", fits, "{size}");
    }
}
