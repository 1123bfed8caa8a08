//! The kinds of values a directive can have: how each is read from text, printed, and written back to a file.
//!
//! Owns the value types of [`Config`](super::Config) and Redis's texts for a value that does not fit. It knows no
//! directive names: the rows in `params` say which kind and which bounds apply. Nothing here reads a file, and no input
//! panics.

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::base::{num, quote};

/// Why a value was refused, as the user reads it.
pub type Reason = Cow<'static, str>;

/// The most addresses `bind` takes, as in Redis.
pub const BIND_ADDRESSES_MAX: usize = 16;

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindAddress {
    /// A numeric address or host name; `*` is every IPv4 and `::*` every IPv6 address.
    pub host: String,
    /// Written with a leading `-`: an address this machine does not have is skipped instead of being an error.
    pub optional: bool,
}

impl BindAddress {
    fn print(&self, out: &mut Vec<u8>) {
        if self.optional {
            out.push(b'-');
        }
        out.extend_from_slice(self.host.as_bytes());
    }
}

/// How much is logged; each level includes those after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything, for development.
    Debug,
    /// Rarely useful details.
    Verbose,
    /// What an operator wants to see.
    Notice,
    /// Only what needs attention.
    Warning,
    /// Nothing at all.
    Nothing,
}

impl LogLevel {
    /// The level as the logging facade names it.
    pub fn filter(self) -> log::LevelFilter {
        match self {
            LogLevel::Debug => log::LevelFilter::Trace,
            LogLevel::Verbose => log::LevelFilter::Debug,
            LogLevel::Notice => log::LevelFilter::Info,
            LogLevel::Warning => log::LevelFilter::Warn,
            LogLevel::Nothing => log::LevelFilter::Off,
        }
    }
}

/// Who started the server and wants to hear when it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supervised {
    /// Nobody.
    No,
    /// systemd, through `NOTIFY_SOCKET`.
    Systemd,
    /// systemd if `NOTIFY_SOCKET` is set, else nobody.
    Auto,
}

/// Which channels a user has that is told nothing of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PubsubDefault {
    /// All of them.
    AllChannels,
    /// None.
    ResetChannels,
}

/// Who may do what is closed by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nobody.
    No,
    /// Every client.
    Yes,
    /// Clients on this machine.
    Local,
}

/// What kind of program the system's log takes the server for, by Redis's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are their own description, and the system's")]
pub enum Facility {
    User,
    Local0,
    Local1,
    Local2,
    Local3,
    Local4,
    Local5,
    Local6,
    Local7,
}

impl Facility {
    /// The number the system's log knows it by.
    pub fn number(self) -> libc::c_int {
        match self {
            Facility::User => libc::LOG_USER,
            Facility::Local0 => libc::LOG_LOCAL0,
            Facility::Local1 => libc::LOG_LOCAL1,
            Facility::Local2 => libc::LOG_LOCAL2,
            Facility::Local3 => libc::LOG_LOCAL3,
            Facility::Local4 => libc::LOG_LOCAL4,
            Facility::Local5 => libc::LOG_LOCAL5,
            Facility::Local6 => libc::LOG_LOCAL6,
            Facility::Local7 => libc::LOG_LOCAL7,
        }
    }
}

/// When a client's pending replies are too many. Zero switches a limit off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimit {
    /// Disconnect at once above this many bytes.
    pub hard_bytes: u64,
    /// Disconnect above this many bytes held for `soft_seconds`.
    pub soft_bytes: u64,
    /// How long the soft limit may be exceeded.
    pub soft_seconds: u32,
}

impl OutputLimit {
    /// A limit from its three numbers.
    pub const fn new(hard_bytes: u64, soft_bytes: u64, soft_seconds: u32) -> Self {
        Self { hard_bytes, soft_bytes, soft_seconds }
    }
}

/// Output limits by class of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    /// Ordinary clients, MONITOR included.
    pub normal: OutputLimit,
    /// Replicas.
    pub replica: OutputLimit,
    /// Clients with at least one subscription.
    pub pubsub: OutputLimit,
}

impl OutputLimits {
    /// The limit of a client, which may be one that is sent messages whether it reads them or not.
    pub fn of(self, is_sent_messages: bool) -> OutputLimit {
        if is_sent_messages { self.pubsub } else { self.normal }
    }
}

/// A kind whose values are a closed list of names, matched without regard to case.
pub trait Choice: Copy + PartialEq + 'static {
    /// Every name with its value, in the order Redis lists them in its error text.
    const NAMES: &'static [(&'static str, Self)];
}

impl Choice for LogLevel {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("debug", Self::Debug),
        ("verbose", Self::Verbose),
        ("notice", Self::Notice),
        ("warning", Self::Warning),
        ("nothing", Self::Nothing),
    ];
}

// COMPAT: Redis also knows `upstart`, which no current distribution runs.
impl Choice for Supervised {
    const NAMES: &'static [(&'static str, Self)] =
        &[("systemd", Self::Systemd), ("auto", Self::Auto), ("no", Self::No)];
}

impl Choice for Access {
    const NAMES: &'static [(&'static str, Self)] = &[("no", Self::No), ("yes", Self::Yes), ("local", Self::Local)];
}

impl Choice for PubsubDefault {
    const NAMES: &'static [(&'static str, Self)] =
        &[("allchannels", Self::AllChannels), ("resetchannels", Self::ResetChannels)];
}

impl Choice for Facility {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("user", Self::User),
        ("local0", Self::Local0),
        ("local1", Self::Local1),
        ("local2", Self::Local2),
        ("local3", Self::Local3),
        ("local4", Self::Local4),
        ("local5", Self::Local5),
        ("local6", Self::Local6),
        ("local7", Self::Local7),
    ];
}

/// The value of a directive that takes exactly one argument.
pub(super) fn single<'a>(args: &[&'a [u8]]) -> Result<&'a [u8], Reason> {
    match args {
        [one] => Ok(one),
        _ => Err("wrong number of arguments".into()),
    }
}

pub(super) fn parse_yes_no(args: &[&[u8]]) -> Result<bool, Reason> {
    let text = single(args)?;
    if text.eq_ignore_ascii_case(b"yes") {
        Ok(true)
    } else if text.eq_ignore_ascii_case(b"no") {
        Ok(false)
    } else {
        Err("argument must be 'yes' or 'no'".into())
    }
}

pub(super) fn print_yes_no(value: &bool) -> Vec<u8> {
    if *value { b"yes".to_vec() } else { b"no".to_vec() }
}

/// An integer of any field type; the bounds must fit the field.
pub(super) fn parse_int<T: TryFrom<i64>>(args: &[&[u8]], min: i64, max: i64) -> Result<T, Reason> {
    let value = num::parse_i64(single(args)?).ok_or("argument couldn't be parsed into an integer")?;
    in_range(value, min, max)
}

fn in_range<T: TryFrom<i64>>(value: i64, min: i64, max: i64) -> Result<T, Reason> {
    let refused = || format!("argument must be between {min} and {max} inclusive");
    if !(min..=max).contains(&value) {
        return Err(refused().into());
    }
    T::try_from(value).map_err(|_| refused().into())
}

// COMPAT: Redis takes any `hz` from 0 up and pulls it into its working range without a word.
pub(super) fn parse_clamped(args: &[&[u8]], min: u32, max: u32) -> Result<u32, Reason> {
    let value: u32 = parse_int(args, 0, i64::from(i32::MAX))?;
    Ok(value.clamp(min, max))
}

pub(super) fn print_int<T: std::fmt::Display>(value: &T) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// Octal digits only: no sign, no prefix. An empty text is zero, as in Redis.
pub(super) fn parse_octal(args: &[&[u8]], max: u32) -> Result<u32, Reason> {
    let text = single(args)?;
    let mut value: u32 = 0;
    for digit in text {
        if !(b'0'..=b'7').contains(digit) {
            return Err("argument couldn't be parsed as an octal number".into());
        }
        value = value.saturating_mul(8).saturating_add(u32::from(digit - b'0'));
    }
    if value > max {
        return Err(format!("argument must be between 0 and {max:o} inclusive").into());
    }
    Ok(value)
}

pub(super) fn print_octal(value: &u32) -> Vec<u8> {
    format!("{value:o}").into_bytes()
}

/// Bytes with an optional unit (`k`, `kb`, `m`, `mb`, `g`, `gb`).
pub(super) fn parse_memory(args: &[&[u8]]) -> Result<u64, Reason> {
    num::parse_memory(single(args)?).ok_or(Cow::Borrowed("argument must be a memory value"))
}

/// As [`parse_memory`], at least `min`, for a directive that Redis keeps in a signed field.
pub(super) fn parse_long_memory(args: &[&[u8]], min: u64) -> Result<u64, Reason> {
    let value = parse_memory(args)?;
    if value < min || value > i64::MAX as u64 {
        return Err(format!("argument must be between {min} and {} inclusive", i64::MAX).into());
    }
    Ok(value)
}

/// The short form of a byte count that CONFIG REWRITE writes: the largest unit that divides it.
pub(super) fn short_memory(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")];
    match UNITS.iter().find(|(unit, _)| bytes != 0 && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

pub(super) fn parse_choice<T: Choice>(args: &[&[u8]]) -> Result<T, Reason> {
    let names: Vec<&'static str> = T::NAMES.iter().map(|(name, _)| *name).collect();
    let name = one_of(single(args)?, &names)?;
    T::NAMES.iter().find(|(known, _)| *known == name).map(|(_, value)| *value).ok_or_else(|| not_one_of(&names))
}

/// The name of the list that `text` is, without regard to case.
pub(super) fn one_of(text: &[u8], names: &[&'static str]) -> Result<&'static str, Reason> {
    let known = names.iter().find(|name| text.eq_ignore_ascii_case(name.as_bytes()));
    known.copied().ok_or_else(|| not_one_of(names))
}

fn not_one_of(names: &[&str]) -> Reason {
    format!("argument(s) must be one of the following: {}", names.join(", ")).into()
}

pub(super) fn print_choice<T: Choice>(value: &T) -> Vec<u8> {
    let name = T::NAMES.iter().find(|(_, known)| known == value).map(|(name, _)| *name);
    name.unwrap_or("unknown").as_bytes().to_vec()
}

pub(super) fn parse_bytes(args: &[&[u8]]) -> Result<Vec<u8>, Reason> {
    Ok(single(args)?.to_vec())
}

pub(super) fn print_bytes(value: &[u8]) -> Vec<u8> {
    value.to_vec()
}

/// A path; the empty text is none.
pub(super) fn parse_path(args: &[&[u8]]) -> Result<Option<PathBuf>, Reason> {
    let text = single(args)?;
    Ok((!text.is_empty()).then(|| PathBuf::from(OsString::from_vec(text.to_vec()))))
}

pub(super) fn print_path(value: &Option<PathBuf>) -> Vec<u8> {
    value.as_ref().map(|path| path.as_os_str().as_bytes().to_vec()).unwrap_or_default()
}

pub(super) fn parse_dir(args: &[&[u8]]) -> Result<PathBuf, Reason> {
    // An empty path names no directory; the text is the operating system's own for that.
    parse_path(args)?.ok_or(Cow::Borrowed("No such file or directory"))
}

pub(super) fn print_dir(value: &std::path::Path) -> Vec<u8> {
    value.as_os_str().as_bytes().to_vec()
}

/// Addresses; none at all, or one empty one, means: no TCP.
pub(super) fn parse_addresses(args: &[&[u8]]) -> Result<Vec<BindAddress>, Reason> {
    if args.len() > BIND_ADDRESSES_MAX {
        return Err("Too many bind addresses specified.".into());
    }
    if matches!(args, [one] if one.is_empty()) {
        return Ok(Vec::new());
    }
    args.iter().map(|text| parse_address(text)).collect()
}

fn parse_address(text: &[u8]) -> Result<BindAddress, Reason> {
    let (optional, host) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    // Blanks and quotes cannot occur in a host, and would change meaning when written back to a file.
    if host.is_empty() || !host.iter().all(|byte| byte.is_ascii_graphic() && !b"\"'#\\".contains(byte)) {
        return Err("Failed to bind to specified addresses.".into());
    }
    Ok(BindAddress { host: String::from_utf8_lossy(host).into_owned(), optional })
}

pub(super) fn print_addresses(value: &[BindAddress]) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, address) in value.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        address.print(&mut out);
    }
    out
}

/// Any number of `class hard soft seconds` groups on top of `old`; one bad group refuses them all.
pub(super) fn parse_limits(old: &OutputLimits, args: &[&[u8]]) -> Result<OutputLimits, Reason> {
    if !args.len().is_multiple_of(4) {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    let mut limits = *old;
    for group in args.chunks_exact(4) {
        let class = limit_class(&mut limits, group[0])
            .ok_or("Invalid client class specified in buffer limit configuration.")?;
        *class =
            parse_limit(group).ok_or("Error in hard, soft or soft_seconds setting in buffer limit configuration.")?;
    }
    Ok(limits)
}

fn limit_class<'a>(limits: &'a mut OutputLimits, name: &[u8]) -> Option<&'a mut OutputLimit> {
    match name.to_ascii_lowercase().as_slice() {
        b"normal" => Some(&mut limits.normal),
        b"slave" | b"replica" => Some(&mut limits.replica),
        b"pubsub" => Some(&mut limits.pubsub),
        _ => None,
    }
}

fn parse_limit(group: &[&[u8]]) -> Option<OutputLimit> {
    Some(OutputLimit {
        hard_bytes: num::parse_memory(group[1])?,
        soft_bytes: num::parse_memory(group[2])?,
        soft_seconds: parse_seconds(group[3])?,
    })
}

/// Decimal digits, leading zeros allowed, up to what Redis's field holds.
fn parse_seconds(text: &[u8]) -> Option<u32> {
    let digits = text.iter().all(u8::is_ascii_digit);
    let seconds: u32 = std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()?;
    (seconds <= i32::MAX as u32).then_some(seconds)
}

/// The classes with the names CONFIG GET and CONFIG REWRITE use for them.
pub(super) fn limit_classes(value: &OutputLimits) -> [(&'static str, &'static str, OutputLimit); 3] {
    [("normal", "normal", value.normal), ("slave", "replica", value.replica), ("pubsub", "pubsub", value.pubsub)]
}

pub(super) fn print_limits(value: &OutputLimits) -> Vec<u8> {
    let groups = limit_classes(value)
        .map(|(name, _, limit)| format!("{name} {} {} {}", limit.hard_bytes, limit.soft_bytes, limit.soft_seconds));
    groups.join(" ").into_bytes()
}

/// Percentages, in any number and order; none, or one empty word, means none.
pub(super) fn parse_percentiles(args: &[&[u8]]) -> Result<Vec<f64>, Reason> {
    if matches!(args, [one] if one.is_empty()) {
        return Ok(Vec::new());
    }
    let mut percentiles = Vec::with_capacity(args.len());
    for text in args {
        match std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok()) {
            None => return Err("Invalid latency-tracking-info-percentiles parameters".into()),
            Some(value) if (0.0..=100.0).contains(&value) => percentiles.push(value),
            Some(_) => {
                return Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".into());
            }
        }
    }
    Ok(percentiles)
}

pub(super) fn print_percentiles(value: &[f64]) -> Vec<u8> {
    let words: Vec<String> = value.iter().map(f64::to_string).collect();
    words.join(" ").into_bytes()
}

/// The line of a rewritten file, and whether it differs from the default.
pub(super) fn percentile_lines(value: &[f64], default: &[f64]) -> Vec<Line> {
    let text = if value.is_empty() { b"\"\"".to_vec() } else { print_percentiles(value) };
    vec![(text, value != default)]
}

pub(super) fn address(host: &str, optional: bool) -> BindAddress {
    BindAddress { host: host.to_owned(), optional }
}

/// A line of a rewritten file without the directive's name, and whether it differs from the default.
pub type Line = (Vec<u8>, bool);

/// The `bind` line of a rewritten file, and whether it differs from the default.
pub(super) fn address_lines(value: &[BindAddress], default: &[BindAddress]) -> Vec<Line> {
    let text = if value.is_empty() { b"\"\"".to_vec() } else { print_addresses(value) };
    vec![(text, value != default)]
}

/// One line per class, written where it differs from the default or where the file had one.
pub(super) fn limit_lines(value: &OutputLimits, default: &OutputLimits) -> Vec<Line> {
    let classes = limit_classes(value).into_iter().zip(limit_classes(default));
    let line = |((_, name, limit), (_, _, default)): ((_, &str, OutputLimit), (_, _, OutputLimit))| {
        let (hard, soft) = (short_memory(limit.hard_bytes), short_memory(limit.soft_bytes));
        (format!("{name} {hard} {soft} {}", limit.soft_seconds).into_bytes(), limit != default)
    };
    classes.map(line).collect::<Vec<_>>()
}

/// Text in quotes, as a file's line holds it.
pub(super) fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    quote::repr(&mut out, text);
    out
}
