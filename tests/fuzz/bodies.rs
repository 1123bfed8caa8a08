//! What the fuzz targets do with their input; they panic when a property does not hold. Included by the targets and by the
//! test that replays the corpora.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use aleadb::base::{glob, quote};
use aleadb::command;
use aleadb::config::file::{Files, LoadError, Loader, Place, Sources, rewrite};
use aleadb::config::{Config, MemoryLimit};
use aleadb::feature::acl::{Rules, User, Users, file};
use aleadb::net::http::{self, HEAD_BYTES_MAX};
use aleadb::persist::aof;
use aleadb::persist::aof::manifest::Manifest;
use aleadb::persist::digest::DataDigest;
use aleadb::persist::payload;
use aleadb::persist::rdb::file::{DumpReader, DumpWriter, Head, Item, Options};
use aleadb::persist::rdb::write::Version;
use aleadb::persist::rdb::{Budget, Shapes, Value};
use aleadb::persist::storage::ReadFile;
use aleadb::resp::error::ProtocolError;
use aleadb::resp::parse::{LINE_BYTES_MAX, Limits, Parsed, Parser};
use aleadb::store::entry::{Entry, NewValue};
use aleadb::store::hash::KeyHasher;
use aleadb::store::types::{Hash, Stream, hash, list, set, zset};

#[path = "../support/disk.rs"]
mod disk;
#[path = "libraries.rs"]
mod libraries;
#[path = "../support/memory.rs"]
mod memory;

pub use libraries::{bit, cjson, cmsgpack, script, structs};

use memory::Memory;

/// Every argument of every command, and the error after them if there is one.
type Requests = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// The request parser comes to the same commands and the same error whether the bytes come at once or in pieces. The first
/// byte of the input decides on the pieces, the rest is the stream.
pub fn parser(data: &[u8]) {
    let Some((&seed, stream)) = data.split_first() else { return };
    // A line may be longer than the limit if it comes at once, so longer streams may end differently.
    let stream = &stream[..stream.len().min(LINE_BYTES_MAX)];
    let limits = Limits { bulk_bytes_max: 1 << 20, authenticated: seed & 1 == 0 };
    let step = usize::from(seed >> 1);
    // 1, then steps that grow, so that ends of pieces fall on many places: or single bytes throughout.
    let cuts = (0..).scan(0, |end, index| {
        *end += 1 + index * step % 13;
        (*end < stream.len()).then_some(*end)
    });
    assert_eq!(requests(stream, cuts, limits), requests(stream, std::iter::empty(), limits));
}

/// The head of an HTTP request is the same, or refused for the same reason, whether its bytes come at once or one by one, and never
/// longer than the limit. What has been refused or found stays so whatever follows.
pub fn http(data: &[u8]) {
    let data = &data[..data.len().min(HEAD_BYTES_MAX)];
    let Some((end, first)) = (0..=data.len()).find_map(|end| match http::parse(&data[..end]) {
        http::Parsed::Partial => None,
        other => Some((end, other)),
    }) else {
        return;
    };
    let whole = http::parse(data);
    match first {
        http::Parsed::Request(ref request, len) => {
            assert_eq!((len, &whole), (end, &first));
            assert!(!request.path.contains('?'));
        }
        // A refusal may have another reason when more is known.
        _ => assert!(matches!(whole, http::Parsed::Bad(_))),
    }
}

/// Parses a stream of which more and more is known: up to each of `cuts`, then all of it.
fn requests(stream: &[u8], cuts: impl Iterator<Item = usize>, limits: Limits) -> Requests {
    let (mut parser, mut spans, mut commands, mut at) = (Parser::default(), Vec::new(), Vec::new(), 0);
    for end in cuts.chain([stream.len()]) {
        loop {
            let known = &stream[at..end];
            match parser.parse(known, limits, &mut spans) {
                Ok(Parsed::Command(taken)) => {
                    let arg =
                        |span: &aleadb::resp::args::Span| known[span.start as usize..][..span.len as usize].to_vec();
                    commands.push(spans.iter().map(arg).collect());
                    spans.clear();
                    assert!(taken > 0 && taken <= known.len());
                    at += taken;
                }
                Ok(Parsed::Inline(taken, args)) => {
                    assert!(taken > 0 && taken <= known.len() && !args.is_empty());
                    commands.push(args);
                    at += taken;
                }
                Ok(Parsed::Empty(taken)) => {
                    assert!(taken > 0 && taken <= known.len());
                    at += taken;
                }
                Ok(Parsed::Incomplete(needed)) => {
                    assert!(needed == 0 || needed > known.len(), "what is needed is there");
                    break;
                }
                Err(error) => {
                    assert!(!error.text().contains(&b'\n'), "an error is one line");
                    return (commands, Some(error));
                }
            }
        }
    }
    (commands, None)
}

/// Words that were split off a line are printed so that they are split off again; so is the line itself, as one word.
pub fn inline(data: &[u8]) {
    let mut printed = Vec::new();
    quote::repr(&mut printed, data);
    assert!(printed.iter().all(|byte| matches!(byte, b' '..=b'~')), "only printable ASCII is printed");
    assert_eq!(quote::split_args(&printed), Some(vec![data.to_vec()]));
    let Some(words) = quote::split_args(data) else { return };
    let mut printed = Vec::new();
    for word in &words {
        printed.push(b' ');
        quote::repr(&mut printed, word);
    }
    assert_eq!(quote::split_args(&printed), Some(words));
}

/// A log file in memory, read in pieces of a length that is never the same.
#[derive(Debug)]
struct LogFile {
    bytes: Vec<u8>,
    at: usize,
    piece: usize,
}

impl io::Read for LogFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.piece = self.piece % 97 + 13;
        let left = &self.bytes[self.at..];
        let count = left.len().min(buffer.len()).min(self.piece);
        buffer[..count].copy_from_slice(&left[..count]);
        self.at += count;
        Ok(count)
    }
}

impl ReadFile for LogFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
}

/// Commands as lists of arguments, where they end if that is not the end of the bytes, and what is missing there.
type Read = (Vec<Vec<Vec<u8>>>, Option<u64>, &'static [u8]);

/// Commands of a log's increment or base, up to where it cannot be read on, and that place; and what is missing there to be whole.
fn log_of(bytes: &[u8], is_base: bool) -> Read {
    let file = Box::new(LogFile { bytes: bytes.to_vec(), at: 0, piece: bytes.len() });
    let mut reader = aof::read::Reader::new(file, Vec::new(), 0, None).expect("memory has a length");
    if is_base {
        reader = reader.of_base();
    }
    let mut commands = Vec::new();
    loop {
        match reader.next_unit() {
            Ok(None) => return (commands, None, b""),
            Ok(Some(unit)) => commands
                .extend((0..unit.len()).map(|index| unit.command(index).1.iter_from(0).map(<[u8]>::to_vec).collect())),
            Err(stop) => {
                assert!(stop.offset <= bytes.len() as u64 && !stop.fault.to_string().is_empty());
                reader.judge(&stop, true).expect("memory can be read");
                return (commands, Some(stop.offset), if reader.lacks_end() { aof::batch::HEAD } else { b"" });
            }
        }
    }
}

/// A log is read up to a place, and what comes before that place is a log by itself, of the same commands.
pub fn aof(data: &[u8]) {
    for is_base in [false, true] {
        let (commands, end, missing) = log_of(data, is_base);
        let whole = [&data[..end.map_or(data.len(), |end| end as usize)], missing].concat();
        assert_eq!(log_of(&whole, is_base), (commands, None, &b""[..]), "{}", data.escape_ascii());
    }
}

/// A manifest that can be read is printed so that it reads the same.
pub fn manifest(data: &[u8]) {
    let Ok(manifest) = Manifest::parse(data, "a") else { return };
    let printed = manifest.print();
    if !printed.is_empty() {
        assert_eq!(Manifest::parse(&printed, "a"), Ok(manifest), "{}", printed.escape_ascii());
    }
}

/// A machine without files, whose directories all exist.
struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<OsString>> {
        Ok(Vec::new())
    }

    fn directory(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    fn standard_input(&self) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }
}

/// A configuration file that can be read can be rewritten, the new text means the same, and rewriting it changes nothing.
pub fn config(data: &[u8]) {
    match load(data) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok((config, sources)) => {
            let text = rewrite(data, &config, &sources, &[]);
            let (again, sources) = load(&text).unwrap_or_else(|error| panic!("{}\n{error}", text.escape_ascii()));
            assert_eq!(again, config);
            assert_eq!(
                rewrite(&text, &again, &sources, &[]).escape_ascii().to_string(),
                text.escape_ascii().to_string()
            );
        }
    }
}

/// An ACL file that can be read makes users whose file makes the same users again.
pub fn acl(data: &[u8]) {
    let Some((&first, text)) = data.split_first() else { return };
    let rules = Rules { catalog: command::catalog(), all_channels: first & 1 == 0 };
    let written = |users: Vec<User>| {
        let mut all = Users::new(rules.catalog);
        for user in users {
            all.put(user);
        }
        file::write(&all)
    };
    match file::read(text, "fuzz.acl", rules) {
        Err(error) => assert!(!error.is_empty()),
        Ok(users) => {
            let text = written(users);
            let again = file::read(&text, "fuzz.acl", rules)
                .unwrap_or_else(|error| panic!("{}\n{}", text.escape_ascii(), error.escape_ascii()));
            assert_eq!(written(again).escape_ascii().to_string(), text.escape_ascii().to_string());
        }
    }
}

fn load(text: &[u8]) -> Result<(Config, Sources), LoadError> {
    let mut loader = Loader::new(&NoFiles, PathBuf::from("/start"));
    loader.text(&Place::File(PathBuf::from("/start/fuzz.conf")), text)?;
    Ok(loader.finish())
}

/// Shapes that small inputs outgrow.
fn small_shapes() -> Shapes {
    let hasher = KeyHasher::new([7; 16]);
    Shapes {
        list: list::Fill::new(6),
        set: set::Policy { intset_entries: 6, listpack_entries: 8, listpack_value: 20, hasher },
        hash: hash::Limits { entries: 6, value: 20, hasher },
        zset: zset::Limits { entries: 6, value: 20, hasher },
    }
}

/// A value that is read from a payload is written so that it is read again, as one of the same type and length, and commands
/// can work on it. The input is the payload without its footer.
pub fn restore(data: &[u8]) {
    let shapes = small_shapes();
    let mut sealed = data.to_vec();
    payload::seal(&mut sealed);
    let Ok(value) = payload::restore(&sealed, &shapes, Budget::unlimited()) else { return };
    let described = |value: &Value<'_>| match value {
        Value::String(text) => ("string", text.len()),
        Value::Roaring(roaring) => ("string", roaring.len()),
        Value::Object(object) => (object.type_of().name(), object.len()),
    };
    let before = described(&value);
    let entry = match value {
        Value::String(text) => Entry::new(b"key", NewValue::Bytes(&text), None),
        Value::Roaring(roaring) => Entry::new(b"key", NewValue::Roaring(roaring.into()), None),
        Value::Object(object) => Entry::new(b"key", NewValue::Object(object), None),
    };
    for compress in [false, true] {
        let dumped = payload::dump(&entry, compress);
        let again = payload::restore(&dumped, &shapes, Budget::unlimited());
        assert_eq!(again.as_ref().map(described).ok(), Some(before), "{}", dumped.escape_ascii());
    }
    work_on(&sealed, before.0, false);
    // A stream leaves room in its nodes as long as the limit is the same: see the tests of its own.
    if before.0 != "stream" {
        work_on(&sealed, before.0, true);
    }
}

/// A file in memory, of which one call reads so many bytes at most.
#[derive(Debug)]
struct MemoryFile {
    bytes: Vec<u8>,
    at: usize,
    step: usize,
}

impl io::Read for MemoryFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.step.min(buf.len()).min(self.bytes.len() - self.at);
        buf[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

impl ReadFile for MemoryFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
}

/// The keys of a dump file with the database of each, or where and why it is none. Checksums are not looked at: no fuzzer could
/// guess them.
fn dump_file(bytes: &[u8], step: usize) -> Result<Vec<(u64, Entry)>, String> {
    let file = Box::new(MemoryFile { bytes: bytes.to_vec(), at: 0, step });
    let mut reader = DumpReader::new(file, small_shapes(), false).expect("its length is known");
    let (mut entries, mut database) = (Vec::new(), 0);
    loop {
        assert!(reader.offset() <= bytes.len() as u64);
        match reader.next_item() {
            Ok(Item::Select(number)) => database = number,
            Ok(Item::Entry(loaded)) => entries.push((database, loaded.entry)),
            Ok(Item::End(_)) => return Ok(entries),
            Ok(_) => {}
            Err(error) => {
                assert!(error.offset <= bytes.len() as u64 && !error.reason.is_empty(), "{error:?}");
                return Err(error.to_string());
            }
        }
    }
}

/// A dump file is read to the same keys or the same error however little of it comes at once, and its keys are written so that
/// they are read again, in the lowest version that holds them and in Valkey's.
pub fn rdb(data: &[u8]) {
    let read = dump_file(data, usize::MAX);
    let shown = |read: &Result<Vec<(u64, Entry)>, String>| match read {
        Ok(entries) => {
            Ok(entries.iter().map(|(database, entry)| (*database, payload::dump(entry, false))).collect::<Vec<_>>())
        }
        Err(error) => Err(error.clone()),
    };
    assert_eq!(shown(&dump_file(data, 1 + data.len() % 7)), shown(&read));
    let Ok(entries) = read else { return };
    let is_timed = |entry: &Entry| entry.collection::<Hash>().is_some_and(|hash| hash.timed() > 0);
    let remembers = |entry: &Entry| entry.collection::<Stream>().is_some_and(|stream| stream.producers().is_some());
    let has = |fact: &dyn Fn(&Entry) -> bool| entries.iter().any(|(_, entry)| fact(entry));
    for version in [Version::lowest(has(&is_timed), has(&remembers)), Version::Valkey80] {
        let options = Options { version, has_own_forms: true, compress: true, checksum: true, accesses: None };
        let mut writer = DumpWriter::new(options);
        writer.begin(&Head { redis_version: "7.4.0", unix_s: 0, used_bytes: 0, is_aof_base: false, origin: None });
        for (database, entry) in &entries {
            writer.select(*database as usize, entries.len(), 0);
            writer.entry(entry).expect("the version holds it");
        }
        writer.end();
        let again = dump_file(&writer.take(), usize::MAX).unwrap_or_else(|error| panic!("{error}"));
        let facts = |entries: &[(u64, Entry)]| {
            let fact = |(database, entry): &(u64, Entry)| {
                let digest = DataDigest::of_value(entry, i64::MIN);
                (*database, entry.key().to_vec(), entry.deadline_ms(), digest)
            };
            entries.iter().map(fact).collect::<Vec<_>>()
        };
        assert_eq!(facts(&again), facts(&entries));
    }
}

/// Packs that are full early, as long as it lives: the limit is the thread's.
struct FullPacks;

impl FullPacks {
    /// Full at so many bytes. The limit can be changed in builds with debug assertions alone.
    fn at(bytes: usize) -> FullPacks {
        #[cfg(debug_assertions)]
        aleadb::store::pack::listpack::limit_bytes(bytes);
        _ = bytes;
        FullPacks
    }
}

impl Drop for FullPacks {
    fn drop(&mut self) {
        #[cfg(debug_assertions)]
        aleadb::store::pack::listpack::limit_bytes(usize::MAX);
    }
}

/// Lines that look at a value of each type and change it, of the key `k`; what they answer depends on the value.
const LINES: &[(&str, &str)] = &[
    (
        "string",
        "GET k|STRLEN k|INCR k|GETRANGE k -5 -1|BITCOUNT k|BITPOS k 1|BITFIELD k GET u8 0 INCRBY i5 3 1|LCS k k|PFCOUNT k|PFADD k a b c\
         |PFMERGE d k k|PFCOUNT d k|PFDEBUG GETREG k|SETRANGE k 3 x|APPEND k y|GETEX k PERSIST",
    ),
    (
        "list",
        "LRANGE k 0 -1|LINDEX k -1|LINDEX k 1|LPOS k a RANK -1|LINSERT k BEFORE a b|LSET k 0 12|LSET k -1 x|LREM k -1 a\
         |SORT k ALPHA|RPUSH k 1 abc|LPUSH k -1|LMOVE k k LEFT RIGHT|LTRIM k 1 -2|LPOP k 2|RPOP k|LRANGE k -3 -1",
    ),
    (
        "set",
        "SMEMBERS k|SMISMEMBER k 1 a|SRANDMEMBER k -5|SRANDMEMBER k 3|SINTER k k|SUNIONSTORE d k k|SDIFF k d|SORT k ALPHA\
         |SSCAN k 0|SADD k 1 -7 99999999999|SADD k text|SREM k 1 a|SPOP k|SPOP k 2|SMEMBERS k",
    ),
    (
        "zset",
        "ZRANGE k 0 -1 WITHSCORES|ZRANGE k (0 +inf BYSCORE|ZRANGEBYLEX k - +|ZRANK k a|ZCOUNT k -inf 1|ZRANDMEMBER k -5 WITHSCORES\
         |ZUNIONSTORE d 2 k k|ZINTER 2 k d WITHSCORES|ZDIFF 2 k d|ZSCAN k 0|ZADD k 1.5 a -inf 7|ZINCRBY k 2 a|ZADD k GT 3 a\
         |ZREMRANGEBYSCORE k 1 2|ZREM k 7|ZPOPMIN k|ZPOPMAX k|ZREMRANGEBYRANK k 0 0|ZRANGE k 0 -1 REV",
    ),
    (
        "hash",
        "HGETALL k|HGET k a|HMGET k 1 a|HLEN k|HRANDFIELD k -5 WITHVALUES|HSCAN k 0|HTTL k FIELDS 1 a|HSET k a b 1 2|HINCRBY k 1 3\
         |HPEXPIRE k 5000 FIELDS 2 a 1|HSET k 1 5|HSETEX k EX 9 FIELDS 1 new value|HPERSIST k FIELDS 1 a|HDEL k a|HGETDEL k FIELDS 1 1\
         |HKEYS k|HVALS k",
    ),
    (
        "stream",
        "XRANGE k - +|XREVRANGE k + -|XINFO STREAM k FULL|XINFO GROUPS k|XREAD STREAMS k 0|XADD k * f v|XADD k * other v f w\
         |XGROUP CREATE k fresh 0|XREADGROUP GROUP fresh c COUNT 2 STREAMS k >|XREADGROUP GROUP g c STREAMS k 0\
         |XPENDING k fresh - + 5|XAUTOCLAIM k fresh d 0 0|XCLAIM k g d 0 1-1 FORCE|XACK k fresh 1-1|XDEL k 1-1 5-1|XTRIM k MAXLEN 2\
         |XGROUP DELCONSUMER k fresh d|XGROUP DESTROY k g|XSETID k 99999999999999-0|XRANGE k - + COUNT 3",
    ),
];

/// Restores a payload into a server and runs what there is for its type, perhaps while packs are full with what there is and
/// no more than the dump's footer; after every line what is left can be written and read again.
fn work_on(payload: &[u8], kind: &str, full: bool) {
    let mut server = Memory::new();
    assert_eq!(server.raw(&[b"RESTORE", b"k", b"0", payload]), b"+OK\r\n", "{}", payload.escape_ascii());
    let mut bytes = usize::MAX;
    if full {
        server.run("CONFIG SET rdbcompression no");
        bytes = server.raw(&[b"DUMP", b"k"]).len();
        server.run("CONFIG SET rdbcompression yes");
    }
    let _full = FullPacks::at(bytes);
    let (_, lines) = LINES.iter().find(|(name, _)| *name == kind).expect("every type has lines");
    for line in ["OBJECT ENCODING k", "MEMORY USAGE k", "COPY k copy"].into_iter().chain(lines.split('|')) {
        server.run(line.trim());
        let dumped = server.raw(&[b"DUMP", b"k"]);
        let Some(start) = dumped.iter().position(|&byte| byte == b'\n').filter(|_| dumped != b"$-1\r\n") else {
            return;
        };
        let again = server.raw(&[b"RESTORE", b"again", b"0", &dumped[start + 1..dumped.len() - 2], b"REPLACE"]);
        assert_eq!(again, b"+OK\r\n", "{line}: {} of {}", dumped.escape_ascii(), payload.escape_ascii());
    }
}

/// Bytes from here on stand for a run of the next one.
const RUN_FIRST: u8 = 0xf8;

/// Writes runs out: `0xf8` and a byte stand for 16 of it, `0xf9` for 32, up to `0xff` for 2048. So a short input has long
/// classes, many stars, and texts that nearly match everywhere.
fn with_runs(data: &[u8]) -> Vec<u8> {
    let (mut written, mut rest) = (Vec::new(), data.iter());
    while let Some(&byte) = rest.next() {
        match (byte.checked_sub(RUN_FIRST), rest.as_slice().first()) {
            (Some(power), Some(&next)) => {
                rest.next();
                written.resize(written.len() + (16 << power), next);
            }
            _ => written.push(byte),
        }
    }
    written
}

/// Most bytes of a pattern times bytes of a text that the naive matcher is given.
const MATCH_STEPS_MAX: usize = 1 << 20;
/// More runs of stars than this are refused on purpose, as Redis refuses them.
const STAR_RUNS_MAX: usize = 1_000;

/// A pattern matches what the naive matcher says. The first byte of the input decides whether case counts, the pattern goes
/// up to the line's end, and the rest is the text; runs are written short in both.
pub fn glob(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    let nocase = first & 1 == 1;
    let at = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    let (pattern, text) = (with_runs(&rest[..at]), with_runs(rest.get(at + 1..).unwrap_or_default()));
    let matches = glob::matches(&pattern, &text, nocase);
    let star_runs = pattern.windows(2).filter(|pair| pair[1] == b'*' && pair[0] != b'*').count() + 1;
    if pattern.len() * text.len() <= MATCH_STEPS_MAX && star_runs <= STAR_RUNS_MAX {
        assert_eq!(
            matches,
            matches_naively(&pattern, &text, nocase),
            "{} {}",
            pattern.escape_ascii(),
            text.escape_ascii()
        );
    }
}

/// What one element of a pattern matches; `None` for a star.
type Element = Option<[bool; 256]>;

/// Compares every element with every byte of the text. O(pattern * text).
fn matches_naively(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    // For each beginning of the text whether the elements so far match it.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    let mut rest = pattern;
    while let Some(element) = next_element(&mut rest, nocase) {
        let mut before = false;
        for end in 0..reached.len() {
            let here = reached[end];
            reached[end] = match &element {
                None => here || (end > 0 && reached[end - 1]),
                Some(set) => end > 0 && before && set[usize::from(text[end - 1])],
            };
            before = here;
        }
    }
    reached[text.len()]
}

/// Takes the first element off a pattern, as Redis's documentation and its matcher have them.
fn next_element(rest: &mut &[u8], nocase: bool) -> Option<Element> {
    let (&first, after) = rest.split_first()?;
    let fold = |byte: u8| if nocase { byte.to_ascii_lowercase() } else { byte };
    let one = |wanted: u8| Some(Some(std::array::from_fn(|byte| fold(byte as u8) == fold(wanted))));
    *rest = after;
    match first {
        b'*' => Some(None),
        b'?' => Some(Some([true; 256])),
        b'\\' if !after.is_empty() => {
            *rest = &after[1..];
            one(after[0])
        }
        b'[' => {
            let negated = after.first() == Some(&b'^');
            *rest = &after[usize::from(negated)..];
            let mut set = [false; 256];
            loop {
                let (taken, wanted): (usize, Box<dyn Fn(u8) -> bool>) = match **rest {
                    [] => break,
                    [b']', ..] => {
                        *rest = &rest[1..];
                        break;
                    }
                    // An escaped byte is itself alone, whatever the case.
                    [b'\\', literal, ..] => (2, Box::new(move |byte| byte == literal)),
                    [one, b'-', other, ..] => {
                        // Redis compares signed characters, and folds them once they are in order.
                        let (low, high) = if one as i8 > other as i8 { (other, one) } else { (one, other) };
                        let (low, high) = (fold(low) as i8, fold(high) as i8);
                        (3, Box::new(move |byte| (low..=high).contains(&(fold(byte) as i8))))
                    }
                    [literal, ..] => (1, Box::new(move |byte| fold(byte) == fold(literal))),
                };
                *rest = &rest[taken..];
                (0..=255u8).filter(|byte| wanted(*byte)).for_each(|byte| set[usize::from(byte)] = true);
            }
            Some(Some(set.map(|is_in| is_in != negated)))
        }
        literal => one(literal),
    }
}

/// What the server of `commands` holds before the first line: a value of each type, small ones and ones beyond the limits of
/// packed forms.
const FILLED: &[&str] = &[
    "SET string 12345",
    "RPUSH list a b c 1 2 3",
    "SADD set a b c",
    "SADD numbers 1 2 3",
    "HSET hash f v g w",
    "ZADD zset 1 a 2 b",
    "XADD stream 1-1 f v",
    "XGROUP CREATE stream g 0",
];
/// The long values: how they begin, and what is repeated with a number for `#`.
const FILLED_LONG: &[(&str, &str)] =
    &[("RPUSH LIST", "element#"), ("SADD SET", "member#"), ("HSET HASH", "field# value#"), ("ZADD ZSET", "# member#")];
const LONG_LEN: usize = 600;

/// Commands that are left out: they stop the server, wait for real time, or reach for files.
const OUTSIDE: &[&str] = &["abort", "config", "debug", "shutdown", "sleep"];

/// Bytes that an output over its limit keeps beyond it: one chunk.
const BEYOND_LIMIT_MAX: usize = 32 * 1024;

/// Any commands, of several clients, run without harm, and a reply never takes more memory than the client's limit leaves it.
/// The first byte of the input decides on the limit; the rest are lines, with runs written short. A client that waits stays
/// behind, and one that is over its limit has gone; the next line is another client's.
pub fn commands(data: &[u8]) {
    let Some((&first, lines)) = data.split_first() else { return };
    // What one command may build is bounded, so that an input costs no gigabytes.
    let config = Config { proto_max_bulk_len: 1 << 20, maxmemory: MemoryLimit::new(64 << 20), ..Config::default() };
    let mut server = Memory::with_config(config);
    FILLED.iter().for_each(|line| _ = server.run(line));
    for (command, repeated) in FILLED_LONG {
        let words = (0..LONG_LEN).map(|n| format!(" {}", repeated.replace('#', &n.to_string())));
        server.run(&format!("{command}{}", words.collect::<String>()));
    }
    server.reply_bytes_max = 1 << (8 + first % 12);
    for line in lines.split(|&byte| byte == b'\n') {
        let Some(words) = quote::split_args(&with_runs(line)).filter(|words| !words.is_empty()) else { continue };
        if OUTSIDE.iter().any(|name| words[0].eq_ignore_ascii_case(name.as_bytes())) {
            continue;
        }
        let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let reply = server.raw(&args);
        let limit = server.reply_bytes_max as usize;
        assert!(reply.len() <= limit + BEYOND_LIMIT_MAX, "{} bytes for {}", reply.len(), line.escape_ascii());
        let is_cut = server.written_bytes > reply.len();
        assert!(is_cut || reply.is_empty() || reply.ends_with(b"\r\n"), "{}", reply.escape_ascii());
        // The output of a long command is its own: who is over the limit with it is killed.
        let was_killed = server.session(server.client).killed;
        if is_cut || was_killed || server.is_waiting() {
            server.connect();
        }
        server.wake();
    }
}
