//! Packs at their limits: whatever makes a pack grow converts the collection or goes on, and what a payload stands for is
//! counted before it is built. The limit of a pack is a gigabyte; here it is made small.

use aleadb::config::{Config, MemoryLimit};
use aleadb::persist::payload::seal;
use aleadb::store::pack::Listpack;
use aleadb::store::pack::listpack::limit_bytes;

use crate::memory::Memory;

const OUT_OF_MEMORY: &str = r"-OOM command not allowed when used memory > \'maxmemory\'.\r\n";

/// Small packs as long as it lives: the limit is the thread's.
struct SmallPacks;

impl SmallPacks {
    fn of(bytes: usize) -> SmallPacks {
        limit_bytes(bytes);
        SmallPacks
    }
}

impl Drop for SmallPacks {
    fn drop(&mut self) {
        limit_bytes(usize::MAX);
    }
}

/// A server whose settings let every collection be a pack for ever.
fn server() -> Memory {
    let mut m = Memory::new();
    for (name, value) in [
        ("hash-max-listpack-entries", "1000000"),
        ("hash-max-listpack-value", "1000000"),
        ("zset-max-listpack-entries", "1000000"),
        ("zset-max-listpack-value", "1000000"),
        ("set-max-listpack-entries", "1000000"),
        ("set-max-listpack-value", "1000000"),
        ("set-max-intset-entries", "1000000"),
        ("stream-node-max-bytes", "0"),
        ("stream-node-max-entries", "0"),
    ] {
        assert_eq!(m.run(&format!("CONFIG SET {name} {value}")), r"+OK\r\n", "{name}");
    }
    m
}

/// A length as dump files hold it.
fn length(n: usize) -> Vec<u8> {
    [&[0x80], &(n as u32).to_be_bytes()[..]].concat()
}

/// A string as dump files hold it.
fn plain(text: &[u8]) -> Vec<u8> {
    [&length(text.len()), text].concat()
}

fn pack(elements: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut pack = Listpack::new();
    elements.into_iter().for_each(|element| _ = pack.push_back(&element));
    plain(pack.as_bytes())
}

fn restore(m: &mut Memory, value: &[u8]) -> String {
    let mut payload = value.to_vec();
    seal(&mut payload);
    m.raw(&[b"RESTORE", b"k", b"0", &payload, b"REPLACE"]).escape_ascii().to_string()
}

fn text(n: usize) -> Vec<u8> {
    format!("text {n}").into_bytes()
}

/// Restores into a server whose packs are full with just this pack, or with some bytes more.
fn full(value: &[u8], spare: usize) -> (Memory, SmallPacks) {
    let mut m = server();
    assert_eq!(restore(&mut m, value), r"+OK\r\n");
    // The form's byte and the length come before the pack.
    let small = SmallPacks::of(value.len() - 6 + spare);
    (m, small)
}

#[test]
fn deadlines_of_fields_in_a_full_pack_make_the_hash_a_table() {
    let value = [vec![16], pack((0..400).map(text))].concat();
    // No room for a 0 behind each pair; room for those, but for no deadline.
    for spare in [0, 399, 400, 405, 420] {
        let (mut m, _small) = full(&value, spare);
        assert_eq!(m.run("OBJECT ENCODING k"), r"$8\r\nlistpack\r\n");
        assert_eq!(m.run(r#"HPEXPIRE k 5000 FIELDS 2 "text 0" none"#), r"*2\r\n:1\r\n:-2\r\n", "{spare}");
        let table = if spare < 420 { r"$9\r\nhashtable\r\n" } else { r"$10\r\nlistpackex\r\n" };
        m.expect(&[
            ("OBJECT ENCODING k", table),
            ("HLEN k", r":200\r\n"),
            (r#"HPTTL k FIELDS 2 "text 0" "text 398""#, r"*2\r\n:5000\r\n:-1\r\n"),
            (r#"HGET k "text 398""#, r"$8\r\ntext 399\r\n"),
        ]);
        m.advance_ms(5000);
        m.expect(&[("HLEN k", r":199\r\n")]);
    }
    let (mut m, _small) = full(&value, 0);
    m.expect(&[
        (r#"HGETEX k PX 5000 FIELDS 1 "text 0""#, r"*1\r\n$6\r\ntext 1\r\n"),
        (r#"HPTTL k FIELDS 1 "text 0""#, r"*1\r\n:5000\r\n"),
    ]);
    let (mut m, _small) = full(&value, 0);
    m.expect(&[
        (r#"HSETEX k PX 5000 FIELDS 1 "text 0" v"#, r":1\r\n"),
        (r#"HPTTL k FIELDS 1 "text 0""#, r"*1\r\n:5000\r\n"),
        (r#"HPERSIST k FIELDS 1 "text 0""#, r"*1\r\n:1\r\n"),
        ("HLEN k", r":200\r\n"),
    ]);
}

#[test]
fn values_that_grow_in_a_full_pack_make_the_hash_a_table() {
    let fields = (0..100).flat_map(|n| [format!("{n}").into_bytes(), b"9".to_vec()]);
    let value = [vec![16], pack(fields)].concat();
    for line in [
        "HSET k 5 a-longer-value",
        "HINCRBY k 5 1000000",
        "HINCRBYFLOAT k 5 0.123456789",
        "HSET k new v",
        "HSETNX k new v",
        "HMSET k 5 xxxxxxxxxxxx 6 xxxxxxxxxxxxxxxx",
    ] {
        let (mut m, _small) = full(&value, 1);
        assert!(!m.run(line).starts_with('-'), "{line}");
        m.expect(&[("OBJECT ENCODING k", r"$9\r\nhashtable\r\n"), ("HGET k 99", r"$1\r\n9\r\n")]);
    }
}

#[test]
fn a_score_that_grows_in_a_full_pack_makes_the_sorted_set_a_tree() {
    let members = (0..100).flat_map(|n| [format!("m{n:02}").into_bytes(), b"1".to_vec()]);
    let value = [vec![17], pack(members)].concat();
    for (line, score) in [
        ("ZINCRBY k 0.123456789 m50", r"$11\r\n1.123456789\r\n"),
        ("ZADD k 1e300 m50", r"$6\r\n1e+300\r\n"),
        ("ZADD k XX 123456.75 m50", r"$9\r\n123456.75\r\n"),
        ("GEOADD k 13.361389 38.115556 m50", r"$16\r\n3479099956230698\r\n"),
    ] {
        let (mut m, _small) = full(&value, 3);
        assert!(!m.run(line).starts_with('-'), "{line}");
        m.expect(&[
            ("OBJECT ENCODING k", r"$8\r\nskiplist\r\n"),
            ("ZSCORE k m50", score),
            ("ZCARD k", r":100\r\n"),
            ("ZRANK k m50", r":99\r\n"),
            ("ZRANK k m99", r":98\r\n"),
        ]);
    }
}

#[test]
fn a_full_pack_of_members_becomes_a_table() {
    let value = [vec![20], pack((0..100).map(text))].concat();
    let (mut m, _small) = full(&value, 3);
    m.expect(&[
        ("OBJECT ENCODING k", r"$8\r\nlistpack\r\n"),
        ("SADD k one-more", r":1\r\n"),
        ("OBJECT ENCODING k", r"$9\r\nhashtable\r\n"),
        ("SCARD k", r":101\r\n"),
    ]);
    let mut m = server();
    let _small = SmallPacks::of(300);
    m.expect(&[
        (&format!("SADD k {}", (0..200).map(|n| n.to_string()).collect::<Vec<_>>().join(" ")), r":200\r\n"),
        ("OBJECT ENCODING k", r"$6\r\nintset\r\n"),
        ("SADD k x", r":1\r\n"),
        ("OBJECT ENCODING k", r"$9\r\nhashtable\r\n"),
    ]);
}

#[test]
fn a_full_node_of_a_list_is_parted_for_an_element_that_grows() {
    let elements: Vec<Vec<u8>> = (0..100).map(text).collect();
    let value = [vec![18, 1, 2], pack(elements.iter().cloned())].concat();
    for (line, length) in [
        ("LSET k 50 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 100),
        (r#"LINSERT k BEFORE "text 50" xxxxxxxxxxxxxxxx"#, 101),
        ("LPUSH k x", 101),
        ("RPUSH k x", 101),
        ("LMOVE k k LEFT RIGHT", 100),
    ] {
        for setting in ["-2", "2", "1000000"] {
            let mut m = server();
            m.run(&format!("CONFIG SET list-max-listpack-size {setting}"));
            assert_eq!(restore(&mut m, &value), r"+OK\r\n");
            let _small = SmallPacks::of(value.len() - 8);
            assert!(!m.run(line).starts_with('-'), "{line}");
            assert_eq!(m.run("LLEN k"), format!(r":{length}\r\n"), "{line}");
            assert!(m.run("LRANGE k 0 -1").contains("text 99"), "{line}");
        }
    }
}

/// The node's counts go from one byte to two and more as its entries are marked.
#[test]
fn entries_of_a_full_node_are_marked() {
    let entries = 300;
    let master = ["300", "0", "1", "f", "0"].map(|element| element.as_bytes().to_vec());
    let rest =
        (0..entries).flat_map(|n| ["2", "0", &n.to_string(), "v", "4"].map(|element| element.as_bytes().to_vec()));
    let node = pack(master.into_iter().chain(rest));
    let key = [1u64.to_be_bytes(), 0u64.to_be_bytes()].concat();
    let value = [&[15, 1], &plain(&key)[..], &node, &length(entries), &[1], &length(entries - 1), &[0]].concat();
    for spare in [0, 1, 2, 18, 30] {
        let mut m = server();
        let _small = SmallPacks::of(node.len() - 5 + spare);
        assert_eq!(restore(&mut m, &value), r"+OK\r\n");
        assert_eq!(m.run("XLEN k"), r":300\r\n");
        for n in (0..entries).step_by(3) {
            assert_eq!(m.run(&format!("XDEL k 1-{n}")), r":1\r\n");
        }
        m.expect(&[
            ("XLEN k", r":200\r\n"),
            ("XRANGE k - + COUNT 1", r"*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"),
            ("XREVRANGE k + - COUNT 1", r"*1\r\n*2\r\n$5\r\n1-299\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"),
            ("XADD k 2-0 f v", r"$3\r\n2-0\r\n"),
            ("XTRIM k MAXLEN 10", r":191\r\n"),
            ("XLEN k", r":10\r\n"),
        ]);
        assert!(m.run("XADD k * f xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx").starts_with('$'));
    }
}

#[test]
fn packs_far_beyond_the_thresholds_are_converted_as_they_come_in() {
    let long = |n: usize| [text(n), vec![b'x'; 9000]].concat();
    let hash = [vec![16], pack((0..20).map(long))].concat();
    let timed: Vec<Vec<u8>> = (0..10).flat_map(|n| [long(n), long(n), b"0".to_vec()]).collect();
    let timed = [vec![25], vec![0; 8], pack(timed)].concat();
    let zset = [vec![17], pack((0..10).flat_map(|n| [long(n), n.to_string().into_bytes()]))].concat();
    let set = [vec![20], pack((0..10).map(long))].concat();
    let list = [vec![18, 1, 2], pack((0..20).map(long))].concat();
    for (value, encoding, count, length) in [
        (hash, "hashtable", "HLEN k", 10),
        (timed, "hashtable", "HLEN k", 10),
        (zset, "skiplist", "ZCARD k", 10),
        (set, "hashtable", "SCARD k", 10),
        (list, "quicklist", "LLEN k", 20),
    ] {
        let mut m = Memory::new();
        assert_eq!(restore(&mut m, &value), r"+OK\r\n");
        let encoding = format!(r"${}\r\n{encoding}\r\n", encoding.len());
        m.expect(&[("OBJECT ENCODING k", &encoding), (count, &format!(r":{length}\r\n"))]);
        // Limits that are that wide let them be.
        if count != "LLEN k" {
            let mut m = server();
            assert_eq!(restore(&mut m, &value), r"+OK\r\n");
            assert!(m.run("OBJECT ENCODING k").contains("listpack"), "{count}");
        }
    }
}

/// A node of a million entries and more is one that every XRANGE walks through; that its fields are long must not multiply it.
#[test]
fn oversized_nodes_of_streams_are_taken_apart() {
    for (name, entries, deleted) in [(vec![b'f'; 10], 100_000, 3), (vec![b'f'; 700_000], 100_000, 2)] {
        let mut elements = vec![Vec::new(), Vec::new(), b"1".to_vec(), name.clone(), b"0".to_vec()];
        let mut live = 0;
        for n in 0..entries {
            let goes = n % deleted == 0;
            live += usize::from(!goes);
            let flags = if goes { "3" } else { "2" };
            let words = [flags, "0", &n.to_string(), "v", "4"];
            elements.extend(words.map(|element| element.as_bytes().to_vec()));
        }
        elements[0] = live.to_string().into_bytes();
        elements[1] = (entries - live).to_string().into_bytes();
        let node = pack(elements);
        let key = [1u64.to_be_bytes(), 0u64.to_be_bytes()].concat();
        let value = [&[15, 1], &plain(&key)[..], &node, &length(live), &[1], &length(entries - 1), &[0]].concat();
        let mut m = Memory::new();
        assert_eq!(restore(&mut m, &value), r"+OK\r\n");
        m.expect(&[("XLEN k", &format!(r":{live}\r\n")), ("XDEL k 1-99997", r":1\r\n")]);
        let shown = m.raw(&[b"XRANGE", b"k", b"1-77777", b"1-77777"]);
        assert!(shown.windows(name.len()).any(|window| window == name), "the fields are kept");
        let dumped = m.raw(&[b"DUMP", b"k"]);
        assert_eq!(m.run("CONFIG SET rdbcompression no"), r"+OK\r\n");
        let plain = m.raw(&[b"DUMP", b"k"]);
        assert!(dumped.len() <= plain.len() && plain.len() < 2 * node.len(), "{} of {}", plain.len(), node.len());
    }
}

/// A run of one byte as LZF holds it: 88 times as much as it takes. `length` is one more than a multiple of 264.
fn run(length: usize) -> Vec<u8> {
    let mut packed = vec![0, b'x'];
    (0..length / 264).for_each(|_| packed.extend([0xE0, 0xFF, 0]));
    [vec![0xC3], self::length(packed.len()), self::length(length), packed].concat()
}

#[test]
fn what_a_payload_stands_for_is_counted_against_maxmemory() {
    const EXPANDED: usize = 264 * 40_000 + 1;
    // Tests use another allocator, which keeps no books: nothing is used yet.
    let allowance =
        |bytes: usize| Memory::with_config(Config { maxmemory: MemoryLimit::new(bytes as u64), ..Config::default() });
    let string = [vec![0], run(EXPANDED)].concat();
    let list = [vec![18, 1, 1], run(EXPANDED)].concat();
    let fields: Vec<u8> = (0..20_000).flat_map(|n| [plain(&text(n)), vec![1, b'v']].concat()).collect();
    let hash = [vec![4], length(20_000), fields].concat();
    let members = (0..20_000).flat_map(|n| plain(&text(n)));
    let set = [vec![2], length(20_000)].concat().into_iter().chain(members).collect::<Vec<_>>();
    for (value, needed) in [(string, EXPANDED), (list, EXPANDED), (hash, 500_000), (set, 500_000)] {
        let mut m = allowance(needed / 2);
        assert_eq!(restore(&mut m, &value), OUT_OF_MEMORY);
        assert_eq!(m.run("EXISTS k"), r":0\r\n");
        let mut m = allowance(4 * needed);
        assert_eq!(restore(&mut m, &value), r"+OK\r\n");
        let mut m = Memory::new();
        assert_eq!(restore(&mut m, &value), r"+OK\r\n");
    }
}

#[test]
fn a_payload_that_is_broken_is_called_so_with_little_memory_too() {
    let mut m = Memory::with_config(Config { maxmemory: MemoryLimit::new(u64::MAX), ..Config::default() });
    for value in [&[4, 0x80, 0xFF, 0xFF, 0xFF, 0xFF][..], &[0, 0xC3, 2, 0x80, 0x40, 0, 0, 0, 0, 1], &[99]] {
        assert_eq!(restore(&mut m, value), r"-ERR Bad data format\r\n");
    }
}
