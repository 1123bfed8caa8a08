//! Writes command lines from the rows' syntax trees, the same ones for the same seed.
//!
//! Most lines are well formed and meet few keys, so that commands find what others left behind; some have an argument too
//! many or too few, options twice or in another order, odd case or a value of the wrong kind. Each seed favours its own
//! groups, commands and options, so that rare combinations are common somewhere.
//!
//! Two servers must be able to give the same answer to every line, so some values are never written: deadlines that could
//! pass between the two executions, blocking without an end, ids from the clock, and counts for random members that would
//! fill the memory.
#![allow(dead_code, reason = "each test binary that includes this file uses its own part of it")]

use crate::rng::{Rng, mix_text};
use crate::rows::{self, Row, full_name};
use aleadb::base::xxh3;
use aleadb::command::spec::syntax::{Arg, ArgKind, parse_command};

/// The words of one command.
pub type Line = Vec<Vec<u8>>;

/// A far point in time, the year 2100, in seconds.
const FAR_S: i64 = 4_102_444_800;

/// Counts that make whole-collection commands see everything in one call; `compare` relies on it.
pub const EVERYTHING: i64 = 100_000;

/// Commands that empty or exchange whole databases, or change how all later commands run: a few of them go a long way.
const RARE: &[&str] = &["flushall", "flushdb", "swapdb", "select", "move", "exec", "discard"];

/// Commands without which the others of their group find nothing.
const BUILDERS: &[&str] =
    &["hset", "rpush", "lpush", "sadd", "zadd", "geoadd", "xadd", "xgroup|create", "xreadgroup", "multi"];

/// Groups of commands on one type of value each.
const GROUPS: &[&str] =
    &["string", "bitmap", "hyperloglog", "hash", "list", "set", "sorted-set", "geo", "stream", "array"];

/// Numbers and texts on the edge of what a number may be. None is a small positive number: such a number could become
/// a deadline that passes, or a long wait.
const GARBAGE: &[&[u8]] = &[
    b"",
    b" 1",
    b"1 ",
    b"+1",
    b"-0",
    b"01",
    b"1.0",
    b"0x10",
    b"1e3",
    b"abc",
    b"\x00",
    b"-1",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775808",
    b"18446744073709551616",
    b"nan",
    b"inf",
    b"*",
    b"\xff\xfe\r\n",
];

const SCORES: &[&str] = &[
    "0",
    "-0",
    "1",
    "2",
    "3",
    "10",
    "-5",
    "1.5",
    "0.1",
    "3.14159265358979",
    "1e20",
    "-1e-7",
    "inf",
    "-inf",
    "+inf",
    "1e308",
    "9007199254740993",
    "17179869184",
    "4.9e-324",
    "0.30000000000000004",
];

const WHOLES: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "7",
    "100",
    "-100",
    "65536",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775806",
    "4611686018427387904",
];

/// What `DUMP` of a Redis 7.0 gives for a text, a number, a list, a set, a hash and a sorted set.
const DUMPS: &[&[u8]] = &[
    b"\x00\x05hello\x0a\x00cr\xdfve4 \x0a",
    b"\x00\xc190\x0a\x00\x9d\x94\xea'\x93\xfc\x08\xb9",
    b"\x12\x01\x02\x0f\x0f\x00\x00\x00\x03\x00\x81a\x02\x81b\x02\x01\x01\xff\x0a\x00\xe0\x1b\xabJG\xceY\x22",
    b"\x0b\x0e\x02\x00\x00\x00\x03\x00\x00\x00\x01\x00\x02\x00,\x01\x0a\x00\xe5\x10\xb2\x8e{\x95)\xaa",
    b"\x10\x15\x15\x00\x00\x00\x04\x00\x82f1\x03\x82v1\x03\x82f2\x03\x02\x01\xff\x0a\x00\x5c^\xa8\x13\xfe\xec\x1f\xf5",
    b"\x11\x16\x16\x00\x00\x00\x04\x00\x82m1\x03\x01\x01\x82m2\x03\x832.5\x04\xff\x0a\x00\xdd\x92o\x09_\x85L{",
];

/// One command that lines can be written for.
struct Command {
    row: Row,
    full_name: &'static str,
    args: Vec<Arg>,
    /// The share of lines up to and including this command, in the order of the list.
    weight_sum: usize,
}

impl Command {
    fn is_blocking(&self) -> bool {
        self.row.has_flag("blocking") || self.full_name.starts_with("xread")
    }

    /// A number in the wrong place could become a short time to live.
    fn takes_time(&self) -> bool {
        ["expire", "setex", "getex", "set", "restore"].iter().any(|part| self.full_name.contains(part))
    }

    /// A number in the wrong place could ask for any number of random members.
    fn is_random(&self) -> bool {
        self.full_name.contains("rand") || self.full_name == "spop"
    }
}

/// Says of a line, with the full name of its command, that it must not be written.
pub type Barred = fn(&str, &Line) -> bool;

/// A source of lines.
pub struct Generator {
    barred: Barred,
    rng: Rng,
    seed: u64,
    commands: Vec<Command>,
    keys: Vec<Vec<u8>>,
    /// Names of commands that both servers have, for commands about commands.
    known_names: Vec<&'static str>,
    /// How many keys each group prefers.
    group_key_count: usize,
    /// How often an optional argument is given, in percent.
    option_percent: usize,
    /// How often members are whole numbers, in percent.
    whole_percent: usize,
    /// Grows, so that most stream entries are accepted.
    stream_ms: i64,
    /// How many more lines the open transaction gets.
    queue_left: Option<usize>,
    /// A line that must directly follow the last one.
    follow_up: Option<Line>,
}

impl Generator {
    /// The generator of a seed, for rows that `wanted` accepts and lines that are not `barred`.
    pub fn new(seed: u64, barred: Barred, wanted: impl Fn(&str) -> bool) -> Generator {
        Generator::of_rows(seed, barred, |name| rows::left_out(name).is_none() && wanted(name))
    }

    /// The same for rows that a Valkey has as well.
    pub fn for_valkey(seed: u64, barred: Barred, wanted: impl Fn(&str) -> bool) -> Generator {
        Generator::of_rows(seed, barred, |name| rows::left_out_of_valkey(name).is_none() && wanted(name))
    }

    fn of_rows(seed: u64, barred: Barred, wanted: impl Fn(&str) -> bool) -> Generator {
        let mut rng = Rng::new(seed);
        let mut keys: Vec<Vec<u8>> = (0..GROUPS.len() * 3).map(|n| format!("k{n}").into_bytes()).collect();
        keys.extend([
            b"".to_vec(),
            b"k\x00\xff\r\n".to_vec(),
            b"a long key with spaces, beyond any embedded form of text".to_vec(),
        ]);
        let mut weight_sum = 0;
        let mut commands = Vec::new();
        for row in rows::all() {
            let full_name = row.full_name();
            if !wanted(full_name) {
                continue;
            }
            let args = parse_command(full_name, row.command.spec.syntax)
                .unwrap_or_else(|error| panic!("{full_name}: {error}"));
            weight_sum += weight(seed, row, full_name);
            commands.push(Command { row, full_name, args, weight_sum });
        }
        assert!(!commands.is_empty(), "no command to write lines for");
        let is_known = |row: &Row| !rows::is_ours(row.full_name());
        let known_names =
            rows::all().into_iter().filter(is_known).map(|row| row.container.unwrap_or(row.name())).collect();
        let group_key_count = 1 + rng.below(3);
        let option_percent = *rng.pick(&[10, 30, 60]);
        let whole_percent = *rng.pick(&[5, 30, 90]);
        Generator {
            barred,
            rng,
            seed,
            commands,
            keys,
            known_names,
            group_key_count,
            option_percent,
            whole_percent,
            stream_ms: 0,
            queue_left: None,
            follow_up: None,
        }
    }

    /// The next line.
    pub fn line(&mut self) -> Line {
        loop {
            let line = self.any_line();
            if !(self.barred)(&full_name(&line), &line) {
                return line;
            }
        }
    }

    fn any_line(&mut self) -> Line {
        if let Some(line) = self.follow_up.take() {
            return line;
        }
        match self.queue_left {
            Some(0) => {
                self.queue_left = None;
                let end: &[u8] = if self.rng.chance(15) { b"DISCARD" } else { b"EXEC" };
                return vec![end.to_vec()];
            }
            Some(left) => self.queue_left = Some(left - 1),
            None => {}
        }
        let at = self.rng.below(self.commands.last().map_or(1, |command| command.weight_sum));
        let index = self.commands.partition_point(|command| command.weight_sum <= at);
        self.line_of(index)
    }

    /// A line for each command in turn, `count` of each.
    pub fn lines_of_each(&mut self, count: usize) -> Vec<Line> {
        (0..self.commands.len()).flat_map(|index| vec![index; count]).map(|index| self.line_of(index)).collect()
    }

    fn line_of(&mut self, index: usize) -> Line {
        // The list is lent out while the line is written, and given back.
        let commands = std::mem::take(&mut self.commands);
        let command = &commands[index];
        let mut line: Line =
            command.row.container.into_iter().chain([command.row.name()]).map(|word| word.into()).collect();
        let name_count = line.len();
        self.sequence(command, &command.args, &mut line);
        if self.rng.chance(6) {
            self.damage(command, &mut line, name_count);
        }
        if self.rng.chance(5) {
            let word = self.rng.below(name_count);
            line[word] = self.odd_case(&line[word].clone());
        }
        match command.full_name {
            "spop" => self.end_random_removal(&mut line),
            "sort" => keep_sort_stable(&mut line),
            "multi" => self.queue_left = Some(self.rng.below(8)),
            // With an argument it ends the watch of a query, which Redis does not have.
            "unwatch" => line.truncate(name_count),
            _ => self.keep_to_one_score(command, &mut line),
        }
        self.commands = commands;
        line
    }

    /// `SPOP` of less than everything leaves two different sets behind; then the next line removes the key.
    fn end_random_removal(&mut self, line: &mut Line) {
        line.truncate(3);
        if let Some(key) = line.get(1) {
            self.follow_up = Some(vec![b"DEL".to_vec(), key.clone()]);
        }
    }

    /// A range by member over members of different scores is not defined: where Redis starts depends on random levels. Such
    /// lines get sorted sets of their own, in which all scores are equal.
    fn keep_to_one_score(&mut self, command: &Command, line: &mut Line) {
        let by_member =
            command.full_name.contains("lex") || line.iter().any(|word| word.eq_ignore_ascii_case(b"BYLEX"));
        let key_at = if command.full_name == "zrangestore" { 2 } else { 1 };
        if !by_member || line.len() <= key_at {
            return;
        }
        let key = format!("lex{}", self.rng.below(2)).into_bytes();
        line[key_at] = key.clone();
        if self.rng.chance(40) {
            let mut add = vec![b"ZADD".to_vec(), key];
            for _ in 0..self.repetitions() {
                add.extend([b"0".to_vec(), format!("m{}", self.rng.below(12)).into_bytes()]);
            }
            self.follow_up = Some(add);
        }
    }

    fn sequence(&mut self, command: &Command, args: &[Arg], line: &mut Line) {
        let mut order: Vec<&Arg> = args.iter().collect();
        if self.rng.chance(20) {
            for run in order.chunk_by_mut(|a, b| a.optional && b.optional) {
                self.rng.shuffle(run);
            }
        }
        let mut count_at = None;
        let streams_count = if self.rng.chance(70) { 1 } else { self.repetitions() };
        for arg in order {
            if arg.optional && !self.wants(arg) {
                continue;
            }
            if arg.name.starts_with("num") && arg.kind == ArgKind::Integer {
                count_at = Some(line.len());
                // Copies and replicas to wait for, of which there are none, are no counts of what follows.
                let waits = matches!(arg.name.as_str(), "numlocal" | "numreplicas") && self.rng.chance(60);
                line.push(if waits { b"0".to_vec() } else { b"1".to_vec() });
                continue;
            }
            let mut count = if arg.multiple { self.repetitions() } else { 1 };
            if arg.multiple && args.iter().filter(|other| other.multiple).count() == 2 && args.len() == 2 {
                count = streams_count;
            }
            if let Some(at) = count_at.take_if(|_| arg.multiple) {
                let stated = if self.rng.chance(4) { self.rng.between(-1, 3) } else { count as i64 };
                line[at] = stated.to_string().into_bytes();
            }
            self.repeated(command, arg, count, line);
            if arg.optional && self.rng.chance(2) {
                self.repeated(command, arg, 1, line);
            }
        }
    }

    fn repeated(&mut self, command: &Command, arg: &Arg, count: usize, line: &mut Line) {
        for turn in 0..count {
            if let Some(token) = arg.token.as_ref().filter(|_| turn == 0 || arg.multiple_token) {
                let token = token.as_bytes().to_vec();
                let token = if self.rng.chance(8) { self.odd_case(&token) } else { token };
                line.push(token);
            }
            match arg.kind {
                ArgKind::PureToken => {}
                ArgKind::Block => self.sequence(command, &arg.children, line),
                ArgKind::OneOf => {
                    let choice = self.choice(&arg.children).clone();
                    self.repeated(command, &choice, 1, line);
                }
                _ => {
                    let value = self.value(command, arg);
                    line.push(value);
                }
            }
        }
    }

    /// Whether to give an optional argument; each seed likes some of them better.
    fn wants(&mut self, arg: &Arg) -> bool {
        // Without it, a group needs a stream that is there.
        let liked = mix_text(self.seed, &arg.name).is_multiple_of(4) || arg.name == "mkstream";
        let percent = if liked { self.option_percent + 30 } else { self.option_percent };
        self.rng.chance(percent)
    }

    fn choice<'a>(&mut self, choices: &'a [Arg]) -> &'a Arg {
        // `*` takes an id from the clock, which no two servers share.
        let usable: Vec<&Arg> = choices.iter().filter(|arg| arg.token.as_deref() != Some("*")).collect();
        let first = self.rng.pick(&usable);
        let second = self.rng.pick(&usable);
        let liked = mix_text(self.seed, &second.name).is_multiple_of(3);
        if liked { second } else { first }
    }

    fn repetitions(&mut self) -> usize {
        match self.rng.below(400) {
            0 => 150,
            1..=8 => 20,
            n => 1 + n % 4,
        }
    }

    fn damage(&mut self, command: &Command, line: &mut Line, name_count: usize) {
        let args = line.len() - name_count;
        let garbage = self.rng.pick(GARBAGE).to_vec();
        match self.rng.below(5) {
            0 if args > 0 => line.truncate(line.len() - 1),
            1 if args > 0 && !command.is_blocking() => {
                let at = name_count + self.rng.below(args);
                line.insert(at, line[at].clone());
            }
            2 if !command.is_blocking() => line.push(garbage),
            3 if args > 1 && !command.is_blocking() && !command.takes_time() && !command.is_random() => {
                let at = name_count + self.rng.below(args - 1);
                line.swap(at, at + 1);
            }
            4 if args > 0 && !command.is_blocking() && !command.is_random() => {
                let at = name_count + self.rng.below(args);
                line[at] = garbage;
            }
            _ => {}
        }
    }

    fn odd_case(&mut self, word: &[u8]) -> Vec<u8> {
        let each = self.rng.chance(50);
        word.iter().map(|b| if each || self.rng.chance(50) { b.to_ascii_lowercase() } else { *b }).collect()
    }

    fn key(&mut self, command: &Command) -> Vec<u8> {
        if self.rng.chance(10) {
            return self.rng.pick(&self.keys).clone();
        }
        // Each group has a few keys of its own, so that most keys hold what most commands on them expect.
        let Some(group) = GROUPS.iter().position(|group| *group == command.row.group()) else {
            return self.rng.pick(&self.keys).clone();
        };
        format!("k{}", (group * 3 + self.rng.below(self.group_key_count)) % (GROUPS.len() * 3)).into_bytes()
    }

    fn value(&mut self, command: &Command, arg: &Arg) -> Vec<u8> {
        if self.rng.chance(2) && !command.is_blocking() && !command.is_random() && arg.kind != ArgKind::Key {
            return self.rng.pick(GARBAGE).to_vec();
        }
        if arg.kind == ArgKind::Key {
            return self.key(command);
        }
        let text = match arg.kind {
            ArgKind::Pattern => self.pattern(),
            ArgKind::UnixTime => self.point_in_time(command, &arg.name),
            ArgKind::Double => self.real(&arg.name),
            ArgKind::Integer => self.whole(command, arg),
            _ => return self.text(command, arg),
        };
        text.into_bytes()
    }

    fn pattern(&mut self) -> String {
        if self.rng.chance(5) {
            return self.long_pattern();
        }
        let choices =
            ["*", "k*", "k[0-3]", "k?", "m?", "f*", "w_*", "k*->f1", "#", "nosort", "\\k1", "[^k]*", "", "*1", "ch*"];
        (*self.rng.pick(&choices)).to_owned()
    }

    /// Long classes, and runs of stars, which matchers are slow at.
    fn long_pattern(&mut self) -> String {
        let count = *self.rng.pick(&[10, 100, 2_000]);
        match self.rng.below(5) {
            0 => format!("*[{}k]{}", "xyz".repeat(count), self.rng.below(3)),
            1 => format!("k[^{}]*", "a-f".repeat(count)),
            2 => format!("{}*", "*[k-m]".repeat(count.min(3))),
            3 => "*k".repeat(count.min(500)),
            // Left open.
            _ => format!("k[{}0-5", "\\]".repeat(count)),
        }
    }

    fn point_in_time(&mut self, command: &Command, name: &str) -> String {
        let seconds = match self.rng.below(10) {
            0 => {
                return (*self.rng.pick(&[
                    "0",
                    "-1",
                    "9223372036854775807",
                    "-9223372036854775808",
                    "9223372036854776",
                ]))
                .to_owned();
            }
            // Redis keeps what SET stores with a deadline in the past until it next looks for such keys, and counts it.
            1 if !["set", "msetex"].contains(&command.full_name) => self.rng.between(1, 1_000_000),
            _ => FAR_S + self.rng.between(0, 3),
        };
        (if name.ends_with("milliseconds") { seconds * 1000 } else { seconds }).to_string()
    }

    /// A time to live that outlasts any run; far apart from most others, so that comparing two of them never depends on
    /// the few milliseconds between the servers.
    fn duration(&mut self, in_ms: bool) -> String {
        if self.rng.chance(8) {
            return (*self.rng.pick(&[
                "0",
                "-1",
                "-100000",
                "9223372036854775807",
                "9223372036854775",
                "-9223372036854775808",
            ]))
            .to_owned();
        }
        let seconds = self.rng.between(1_000, 100_000) * 1_000;
        (if in_ms { seconds * 1000 } else { seconds }).to_string()
    }

    fn real(&mut self, name: &str) -> String {
        match name {
            "timeout" => (*self.rng.pick(&["0.001", "0.002", "1e-3", "-1", "nan", "x"])).to_owned(),
            "longitude" | "latitude" if self.rng.chance(5) => {
                (*self.rng.pick(&["180.1", "-180.1", "85.06", "-85.06"])).to_owned()
            }
            // Anywhere, and close together on the date line.
            "longitude" if self.rng.chance(30) => {
                format!("{}.{:04}", self.rng.between(-179, 179), self.rng.below(10_000))
            }
            "longitude" if self.rng.chance(10) => {
                format!("{}.{:04}", self.rng.pick(&["179", "-179"]), 9_900 + self.rng.below(100))
            }
            "latitude" if self.rng.chance(30) => format!("{}.{:04}", self.rng.between(-84, 84), self.rng.below(10_000)),
            "longitude" => {
                (*self.rng.pick(&["13.361389", "15.087269", "0", "-122.4", "180", "-180", "2.35"])).to_owned()
            }
            "latitude" => {
                (*self.rng.pick(&["38.115556", "37.502669", "0", "37.7", "-85", "85.05112878", "48.85"])).to_owned()
            }
            "radius" | "width" | "height" => {
                (*self.rng.pick(&["0", "1", "100", "200.5", "5000", "70000", "800000", "1e7", "inf", "-1"])).to_owned()
            }
            "min" | "max" => {
                let score = *self.rng.pick(SCORES);
                if self.rng.chance(25) { format!("({score}") } else { score.to_owned() }
            }
            _ if self.rng.chance(60) => self.rng.between(-3, 12).to_string(),
            _ => (*self.rng.pick(SCORES)).to_owned(),
        }
    }

    fn whole(&mut self, command: &Command, arg: &Arg) -> String {
        let small = self.rng.between(-6, 6);
        match arg.name.as_str() {
            "seconds" | "ttl" => self.duration(command.full_name == "restore"),
            // The wait of a stream reader has the same name as a time to live.
            "milliseconds" if arg.token.as_deref() == Some("BLOCK") => "1".to_owned(),
            "milliseconds" | "ms" => self.duration(true),
            "timeout" => "1".to_owned(),
            "cursor" => "0".to_owned(),
            "db" | "destination-db" | "index1" | "index2" => {
                (*self.rng.pick(&["0", "0", "1", "2", "3", "16", "-1"])).to_owned()
            }
            "index" if command.full_name == "select" => (*self.rng.pick(&["0", "0", "0", "1", "2", "16"])).to_owned(),
            "count" if command.is_random() => self.rng.between(-8, 12).to_string(),
            "count" if command.full_name.ends_with("scan") => {
                (*self.rng.pick(&["100000", "100000", "1", "0"])).to_owned()
            }
            "count" | "limit" | "rank" | "len" | "min-match-len" if self.rng.chance(90) => small.to_string(),
            "min-idle-time" => (*self.rng.pick(&["0", "0", "100000000000"])).to_owned(),
            "bit" => (*self.rng.pick(&["0", "1", "1", "2"])).to_owned(),
            "value" if command.full_name == "setbit" => (*self.rng.pick(&["0", "1", "1", "2"])).to_owned(),
            // A large offset would make either server allocate as much.
            "offset" if command.row.group() == "bitmap" && self.rng.chance(20) => format!("#{}", small.abs()),
            "offset" => {
                (*self.rng.pick(&["0", "1", "2", "3", "7", "8", "31", "100", "1000", "-1", "4294967296"])).to_owned()
            }
            "increment" | "decrement" | "value" if self.rng.chance(30) => (*self.rng.pick(WHOLES)).to_owned(),
            "start" | "stop" | "end" | "index" if self.rng.chance(10) => (*self.rng.pick(WHOLES)).to_owned(),
            _ => small.to_string(),
        }
    }

    fn text(&mut self, command: &Command, arg: &Arg) -> Vec<u8> {
        let text = match (command.row.group(), arg.name.as_str()) {
            ("stream", "id" | "start" | "end" | "lastid" | "last-id" | "max-deleted-id" | "threshold") => {
                self.stream_id(command, arg)
            }
            (_, "min" | "max") | ("sorted-set", "start" | "stop") => self.range_end(arg),
            // Few, so that what is compared with is often what is there.
            ("string", "value" | "ifeq-value" | "ifne-value") if self.rng.chance(50) => {
                format!("v{}", self.rng.below(3))
            }
            (_, "ifdeq-digest" | "ifdne-digest") if self.rng.chance(90) => {
                let text = match self.rng.below(3) {
                    0 => self.rng.between(-3, 3).to_string(),
                    _ => format!("v{}", self.rng.below(3)),
                };
                return xxh3::digits(text.as_bytes()).to_vec();
            }
            (_, "group") => format!("g{}", self.rng.below(2)),
            (_, "consumer") => format!("c{}", self.rng.below(3)),
            (_, "channel" | "shardchannel") => format!("ch{}", self.rng.below(3)),
            (_, "type") => {
                (*self.rng.pick(&["string", "list", "set", "zset", "hash", "stream", "array", "nosuch"])).to_owned()
            }
            (_, "encoding") => {
                (*self.rng.pick(&["u8", "i8", "u4", "i5", "u16", "i64", "u63", "u64", "i0", "i65", "x8", "u1"]))
                    .to_owned()
            }
            ("hyperloglog", "subcommand") => {
                (*self.rng.pick(&["DECODE", "DECODE", "ENCODING", "TODENSE", "GETREG", "NOSUCH"])).to_owned()
            }
            // Many different ones, so that registers fill up.
            ("hyperloglog", "element") if self.rng.chance(80) => format!("e{}", self.rng.below(100_000)),
            (_, "field") if self.rng.chance(85) => format!("f{}", self.rng.below(12)),
            (_, "member" | "member1" | "member2" | "element" | "pivot") if self.rng.chance(self.whole_percent) => {
                self.rng.between(-20, 20).to_string()
            }
            (_, "member" | "member1" | "member2" | "element" | "pivot") if self.rng.chance(80) => {
                format!("m{}", self.rng.below(12))
            }
            (_, "command") if self.rng.chance(95) => self.rng.pick(&self.known_names).to_string(),
            (_, "serialized-value") if self.rng.chance(80) => return self.rng.pick(DUMPS).to_vec(),
            _ => return self.anything(),
        };
        text.into_bytes()
    }

    fn stream_id(&mut self, command: &Command, arg: &Arg) -> String {
        if arg.name == "threshold" && self.rng.chance(60) {
            return self.rng.between(0, 8).to_string();
        }
        if command.full_name == "xadd" && self.rng.chance(75) {
            self.stream_ms += self.rng.between(0, 1);
            return match self.rng.below(3) {
                0 => format!("{}-*", self.stream_ms),
                _ => format!("{}-{}", self.stream_ms, self.rng.below(6)),
            };
        }
        if command.full_name == "xreadgroup" && self.rng.chance(60) {
            return ">".to_owned();
        }
        match self.rng.below(10) {
            0 => "-".to_owned(),
            1 => "+".to_owned(),
            2 => "$".to_owned(),
            3 => "0".to_owned(),
            4 => format!("({}", self.rng.below(20)),
            5 => "18446744073709551615-18446744073709551615".to_owned(),
            6 => self.rng.between(0, self.stream_ms + 1).to_string(),
            _ => format!("{}-{}", self.rng.between(0, self.stream_ms + 1), self.rng.below(6)),
        }
    }

    /// An end of a range of a sorted set, by index, score or member.
    fn range_end(&mut self, arg: &Arg) -> String {
        match self.rng.below(8) {
            0 => "-".to_owned(),
            1 => "+".to_owned(),
            2 => format!("[m{}", self.rng.below(12)),
            3 => format!("(m{}", self.rng.below(12)),
            4 => self.real("min"),
            5 => (*self.rng.pick(&["-inf", "+inf", "[", "("])).to_owned(),
            _ if arg.name.starts_with('m') => format!("[{}", self.rng.between(-20, 20)),
            _ => self.rng.between(-6, 6).to_string(),
        }
    }

    fn anything(&mut self) -> Vec<u8> {
        match self.rng.below(12) {
            0 => Vec::new(),
            1 => self.rng.pick(GARBAGE).to_vec(),
            2 => self.rng.pick(WHOLES).as_bytes().to_vec(),
            3 => self.rng.pick(SCORES).as_bytes().to_vec(),
            // Around the longest text that Redis stores inside its object, and around a listpack's limit.
            4 => vec![b'x'; *self.rng.pick(&[43, 44, 45, 63, 64, 65])],
            5 if self.rng.chance(30) => vec![b'z'; 1_500],
            6 => vec![0, 255, b'\r', b'\n', b'"', b'\\', self.rng.below(256) as u8],
            7 | 8 => self.rng.between(-20, 20).to_string().into_bytes(),
            _ => format!("v{}", self.rng.below(20)).into_bytes(),
        }
    }
}

/// Texts that are equal, or all missing, sort in the order of the hash table, which must not be stored.
fn keep_sort_stable(line: &mut Line) {
    if line.iter().any(|word| word.eq_ignore_ascii_case(b"BY")) {
        line.retain(|word| !word.eq_ignore_ascii_case(b"ALPHA"));
    }
}

/// How many lots a command has in a seed's draw.
fn weight(seed: u64, row: Row, full_name: &str) -> usize {
    if RARE.contains(&full_name) {
        return 4;
    }
    let mut weight = if row.has_flag("write") { 20 } else { 10 };
    if BUILDERS.contains(&full_name) {
        weight = 60;
    } else if row.has_flag("blocking") || row.name() == "HELP" {
        weight /= 5;
    }
    if mix_text(seed, full_name).is_multiple_of(4) {
        weight *= 8;
    }
    if mix_text(seed, row.group()).is_multiple_of(4) {
        weight *= 6;
    }
    weight
}
