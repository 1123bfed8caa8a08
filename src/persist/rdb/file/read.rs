//! Reading a dump file, item by item.
//!
//! A reader hands out one [`Item`] at a time, so that whoever loads a file may stop after any of them and go on later; in the midst
//! of one as well ([`DumpReader::go_on`]). It reads the file in pieces, and more only when the item it is at needs more. A large value
//! is built as its bytes come ([`Building`]). What cannot be divided is begun anew when twice as many bytes are there, so that it is
//! read twice at most.
//!
//! # What is refused
//! What [`super::super::read`] refuses; versions and parts that are not known; data of modules, with the module's name, unless
//! there is nothing in it or its module says that it may be left out; a checksum that is not the file's. Collections without
//! elements are passed over and counted, as by Redis.
//!
//! # Memory
//! The buffer holds a piece of the file, or what cannot be divided with what was read beyond it: no more than twice the file. What is made
//! of the file takes at most [`MEMORY_FACTOR`] times its length.

use std::fmt;
use std::io::{self, Read};

use super::super::read::{Building, Reader};
use super::super::{Broken, Budget, Dialect, RunningSum, Shapes, VERSION_VALKEY, Value, module_name};
use super::{magic, opcode};
use crate::persist::storage::ReadFile;
use crate::store::entry::Entry;

/// Bytes that are read at once: they are still in the processor's cache when the checksum is made of them.
const PIECE_BYTES: usize = 256 * 1024;

/// A buffer that has grown beyond this for one value shrinks again after it.
const BUFFER_KEPT_BYTES: usize = 4 * 1024 * 1024;

/// What a file of one byte may become in memory at most: compressed bytes stand for up to 88 times as many, and an element of
/// two bytes in a pack takes 32 more where it gets a block of its own.
pub const MEMORY_FACTOR: usize = 88 * (1 + 32 / 2);

/// A table of so many keys takes this many bytes of a file for each of them at least: its form, and lengths of key and value.
const KEY_BYTES_MIN: u64 = 3;

/// The first version with a checksum.
const VERSION_CHECKSUM: u16 = 5;

/// Deadlines before this are read as this one: no command sets them, and they have passed.
const DEADLINE_MIN_MS: i64 = 1;

/// The auxiliary field that holds a script: Redis wrote such up to version 6, and newer ones read over them.
pub(super) const SCRIPT_FIELD: &[u8] = b"lua";

/// The auxiliary field that stands before what is said of a key which BLESS has named: how Redis 8.12 tells that is not known, and every
/// other reader passes over what it does not know.
pub(super) const BLESSED_FIELD: &[u8] = b"aleadb-bless";
/// What it says.
pub(super) const NO_EVICT: &[u8] = b"NO-EVICT";

/// A part of a dump file.
#[derive(Debug)]
pub enum Item {
    /// Something the file says of itself.
    Aux {
        /// What.
        name: Vec<u8>,
        /// The value.
        value: Vec<u8>,
    },
    /// The keys that follow are of the database of this number.
    Select(u64),
    /// How many keys the database has, and how many of them with a deadline; never more than the rest of the file can hold.
    Resize {
        /// Keys.
        keys: u64,
        /// Of them with a deadline.
        timed: u64,
    },
    /// A script that EVALSHA is to know.
    Script(Vec<u8>),
    /// A library of functions.
    Function(Vec<u8>),
    /// A key.
    Entry(Loaded),
    /// Something that is left out and was nothing or may be missed; whoever loads the file should say so.
    Passed(String),
    /// The file's end.
    End(Checksum),
}

/// A key that was read.
#[derive(Debug)]
pub struct Loaded {
    /// The key with its value and deadline, whether that has passed or not.
    pub entry: Entry,
    /// Seconds since it was used, if the file tells.
    pub idle_s: Option<u64>,
    /// How often it was used, as a logarithmic counter, if the file tells.
    pub frequency: Option<u8>,
}

/// What is known of a file's checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// It is right.
    Right(u64),
    /// None was made when the file was written.
    None,
    /// It was not to be checked.
    Unchecked,
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum Fault {
    /// Nothing: it comes in bytes, of which more have to be there first ([`DumpReader::feed`]). The reader goes on then.
    Wait,
    /// It cannot be read.
    Io(io::Error),
    /// It does not begin as a dump file does.
    NoDump,
    /// It is of a version that is not known.
    Version(String),
    /// It ends in the middle of something.
    Truncated,
    /// The checksum at its end is not that of its bytes.
    Checksum {
        /// That of its bytes.
        computed: u64,
        /// That at its end.
        stated: u64,
    },
    /// It holds something that only a module or another server can read.
    Foreign,
    /// It contradicts itself, or holds what no command can make.
    Broken,
}

/// Why a file cannot be loaded.
#[derive(Debug)]
pub struct LoadError {
    /// About where in the file, in bytes from its beginning.
    pub offset: u64,
    /// What is wrong.
    pub fault: Fault,
    /// The same in words.
    pub reason: String,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.reason)
    }
}

impl std::error::Error for LoadError {}

/// What reads a dump file.
#[derive(Debug)]
pub struct DumpReader {
    /// `None` for one whose bytes are fed to it.
    file: Option<Box<dyn ReadFile>>,
    /// Of one whose bytes are fed: there are no more.
    is_fed: bool,
    /// All items have been read, and the checksum comes.
    is_at_end: bool,
    /// Bytes of the buffer from which on it is worth another try, where more are to be fed.
    wanted: usize,
    /// The file's length when it was opened. What may have been added since is not looked at.
    bytes: u64,
    /// What was read and is still needed. 0 <= at <= buffer.len()
    buffer: Vec<u8>,
    /// Where in the buffer the next part begins.
    at: usize,
    /// Where in the file the buffer begins.
    offset: u64,
    /// 0 until the file's beginning has been read.
    version: u16,
    dialect: Dialect,
    /// Of what has left the buffer; `None` if there is nothing to compare it with.
    digest: Option<RunningSum>,
    shapes: Shapes,
    budget: Budget,
    /// What has been said of the next key.
    next: Next,
    /// The value that is being read.
    large: Option<Box<Large>>,
    empty_keys: u64,
}

impl DumpReader {
    /// Reads from the beginning of a file, making values of these shapes; the checksum is compared if told so.
    ///
    /// # Errors
    /// If the file's length cannot be told.
    pub fn new(file: Box<dyn ReadFile>, shapes: Shapes, verify: bool) -> Result<DumpReader, LoadError> {
        let bytes = ReadFile::bytes(&*file).map_err(|error| LoadError::io(0, error))?;
        let budget = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_mul(MEMORY_FACTOR);
        Ok(DumpReader { bytes, budget: Budget::new(budget), ..DumpReader::of(Some(file), shapes, verify) })
    }

    /// The same of a file whose bytes come in from elsewhere, by [`DumpReader::feed`]; nobody knows how many there will be.
    pub fn fed(shapes: Shapes, verify: bool) -> DumpReader {
        DumpReader { bytes: u64::MAX, ..DumpReader::of(None, shapes, verify) }
    }

    fn of(file: Option<Box<dyn ReadFile>>, shapes: Shapes, verify: bool) -> DumpReader {
        DumpReader {
            file,
            is_fed: false,
            is_at_end: false,
            wanted: 0,
            bytes: 0,
            buffer: Vec::new(),
            at: 0,
            offset: 0,
            version: 0,
            dialect: Dialect::Redis,
            digest: verify.then(RunningSum::new),
            shapes,
            budget: Budget::new(0),
            next: Next::default(),
            large: None,
            empty_keys: 0,
        }
    }

    /// More bytes of the file. O(bytes).
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.budget.left = self.budget.left.saturating_add(bytes.len().saturating_mul(MEMORY_FACTOR));
    }

    /// There are no more.
    pub fn end_feed(&mut self) {
        self.is_fed = true;
    }

    /// Bytes that were fed and are not read yet.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len() - self.at
    }

    /// The version of the format; 0 before the first item.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// The file's length.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where in the file the next item begins.
    pub fn offset(&self) -> u64 {
        self.offset + self.at as u64
    }

    /// Keys that were passed over because their collection has no elements.
    pub fn empty_keys(&self) -> u64 {
        self.empty_keys
    }

    /// The file, what was read of it beyond the last item, and where that begins: what follows a dump file may be read on.
    pub fn into_rest(mut self) -> (Box<dyn ReadFile>, Vec<u8>, u64) {
        let offset = self.offset();
        (self.file.expect("what is fed has no file"), self.buffer.split_off(self.at), offset)
    }

    /// The next item. O(bytes of it).
    ///
    /// # Errors
    /// If there is none: the file cannot be read or is broken. The reader is of no use any more then, nor after
    /// [`Item::End`].
    pub fn next_item(&mut self) -> Result<Item, LoadError> {
        loop {
            if let Some(item) = self.go_on(|_, _| true)? {
                return Ok(item);
            }
        }
    }

    /// Reads until `go_on` returns false, which is told how many elements of how many bytes were read. The next item, if it has been
    /// read.
    ///
    /// # Errors
    /// As [`DumpReader::next_item`].
    pub fn go_on(&mut self, mut go_on: impl FnMut(usize, usize) -> bool) -> Result<Option<Item>, LoadError> {
        if self.buffer.len() < self.wanted && !self.is_fed {
            return Err(self.wait());
        }
        if self.version == 0 {
            self.read_magic()?;
        }
        if self.is_at_end {
            return self.end().map(Some);
        }
        loop {
            let budget_before = self.budget.left;
            let left = self.bytes - self.offset;
            let beyond = if self.is_fed { 0 } else { left.saturating_sub(self.buffer.len() as u64) };
            let reader = Reader::new(&self.buffer[self.at..], self.dialect, &mut self.budget);
            let mut reader = reader.with_beyond(beyond);
            let part = match self.large.take() {
                Some(large) => self.next.go_on_with(large, &mut reader, &self.shapes, &mut go_on),
                None => self.next.part(&mut reader, &self.shapes, left, &mut go_on),
            };
            let passed = self.buffer.len() - self.at - reader.rest().len();
            match part {
                Ok(part) => {
                    self.at += passed;
                    match part {
                        Part::Attribute => {}
                        Part::Item(item) => {
                            go_on(1, passed);
                            return Ok(Some(item));
                        }
                        Part::Large(large, missing) => {
                            self.large = Some(large);
                            let Some(missing) = missing else { return Ok(None) };
                            self.fill(missing)?;
                        }
                        Part::End => {
                            self.is_at_end = true;
                            return self.end().map(Some);
                        }
                    }
                }
                Err(Refused { broken: Broken::RanOut(missing), .. }) => {
                    self.budget.left = budget_before;
                    self.fill(missing)?;
                }
                Err(Refused { broken: Broken::Empty, .. }) => {
                    self.at += passed;
                    self.next = Next::default();
                    self.empty_keys += 1;
                }
                Err(refused) => return Err(refused.at(self.offset() + passed as u64)),
            }
        }
    }

    fn wait(&self) -> LoadError {
        let reason = "more bytes have to come".to_owned();
        LoadError { offset: self.offset + self.buffer.len() as u64, fault: Fault::Wait, reason }
    }

    fn read_magic(&mut self) -> Result<(), LoadError> {
        if self.bytes < magic::BYTES as u64 {
            let reason = format!("a file of {} bytes is too short for a dump file", self.bytes);
            return Err(LoadError { offset: 0, fault: Fault::Truncated, reason });
        }
        self.fill(magic::BYTES.saturating_sub(self.buffer.len()))?;
        let text = &self.buffer[..magic::BYTES];
        let of = |magic: &[u8]| text.strip_prefix(magic).filter(|digits| digits.iter().all(u8::is_ascii_digit));
        let (digits, is_valkey) = match (of(magic::REDIS), of(magic::VALKEY)) {
            (Some(digits), _) => (digits, false),
            (None, Some(digits)) => (digits, true),
            (None, None) => {
                let reason = format!("'{}' is not how a dump file begins", text.escape_ascii());
                return Err(LoadError { offset: 0, fault: Fault::NoDump, reason });
            }
        };
        let version = digits.iter().fold(0, |number, digit| 10 * number + u16::from(digit - b'0'));
        let known = Dialect::of_version(version).filter(|_| version > 0 && is_valkey == (version == VERSION_VALKEY));
        let Some(dialect) = known else {
            let name = text.escape_ascii().to_string();
            let reason = format!("dump files of version {name} are not known");
            return Err(LoadError { offset: 0, fault: Fault::Version(name), reason });
        };
        (self.version, self.dialect, self.at) = (version, dialect, magic::BYTES);
        if version < VERSION_CHECKSUM {
            self.digest = None;
        }
        Ok(())
    }

    /// Reads on: `missing` bytes at least, and more at once if the file has more.
    fn fill(&mut self, missing: usize) -> Result<(), LoadError> {
        let end = self.offset + self.buffer.len() as u64;
        let left = self.bytes.saturating_sub(end);
        if missing as u64 > left {
            return Err(self.truncated(missing as u64 - left));
        }
        if let Some(digest) = &mut self.digest {
            digest.update(&self.buffer[..self.at]);
        }
        self.buffer.drain(..self.at);
        self.offset += self.at as u64;
        self.at = 0;
        if self.buffer.capacity() > BUFFER_KEPT_BYTES {
            self.buffer.shrink_to(BUFFER_KEPT_BYTES.max(self.buffer.len() + missing));
        }
        let Some(file) = &mut self.file else { return self.await_bytes(missing) };
        // Twice as much as before for a large value, so that reading it anew each time costs as much again at most.
        let wanted = (missing.max(PIECE_BYTES).max(self.buffer.len()) as u64).min(left);
        let read = file.as_mut().take(wanted).read_to_end(&mut self.buffer);
        let read = read.map_err(|error| LoadError::io(end, error))?;
        if read < missing { Err(self.truncated((missing - read) as u64)) } else { Ok(()) }
    }

    /// Says that so many bytes have to be fed first, and a good part of a large value more, so that reading it anew each time
    /// costs a few times as much at most; or goes on where they are there.
    fn await_bytes(&mut self, missing: usize) -> Result<(), LoadError> {
        self.wanted = 0;
        if missing == 0 {
            return Ok(());
        }
        if self.is_fed {
            return Err(self.truncated(missing as u64));
        }
        let part = if self.buffer.len() >= PIECE_BYTES { self.buffer.len() / 4 } else { 0 };
        self.wanted = self.buffer.len().saturating_add(missing.max(part));
        Err(self.wait())
    }

    fn truncated(&self, missing: u64) -> LoadError {
        let reason = format!(
            "the file ends early: at least {missing} more bytes belong to what begins at byte {}",
            self.offset + self.at as u64
        );
        LoadError { offset: self.offset + self.buffer.len() as u64, fault: Fault::Truncated, reason }
    }

    /// Compares the checksum behind the end.
    fn end(&mut self) -> Result<Item, LoadError> {
        if self.version < VERSION_CHECKSUM {
            return Ok(Item::End(Checksum::None));
        }
        let missing = 8usize.saturating_sub(self.buffer.len() - self.at);
        if missing > 0 {
            self.fill(missing)?;
        }
        let offset = self.offset();
        let sum = *self.buffer[self.at..].first_chunk::<8>().expect("so many bytes are there");
        let stated = u64::from_le_bytes(sum);
        let digest = self.digest.take();
        let checksum = match digest {
            _ if stated == 0 => Checksum::None,
            None => Checksum::Unchecked,
            Some(mut digest) => {
                digest.update(&self.buffer[..self.at]);
                match digest.finish() {
                    computed if computed == stated => Checksum::Right(stated),
                    computed => {
                        let reason =
                            format!("the checksum is {stated:016x}, that of the bytes before it {computed:016x}");
                        return Err(LoadError { offset, fault: Fault::Checksum { computed, stated }, reason });
                    }
                }
            }
        };
        self.at += sum.len();
        Ok(Item::End(checksum))
    }
}

impl LoadError {
    fn io(offset: u64, error: io::Error) -> LoadError {
        LoadError { offset, reason: format!("it cannot be read: {error}"), fault: Fault::Io(error) }
    }
}

/// What the parts before a key say of it.
#[derive(Debug, Default)]
struct Next {
    deadline_ms: Option<i64>,
    idle_s: Option<u64>,
    frequency: Option<u8>,
    is_blessed: bool,
}

/// What a part of the file is.
enum Part {
    /// It says something of the next key.
    Attribute,
    Item(Item),
    /// It is not whole: the slice is over, or so many bytes have to come at least.
    Large(Box<Large>, Option<usize>),
    End,
}

/// A key whose value is being read.
#[derive(Debug)]
struct Large {
    key: Vec<u8>,
    building: Building,
}

/// Why a part is none.
struct Refused {
    broken: Broken,
    /// Whose value it was.
    key: Option<Vec<u8>>,
    /// That it is another program's data, and whose.
    foreign: Option<String>,
}

impl From<Broken> for Refused {
    fn from(broken: Broken) -> Refused {
        Refused { broken, key: None, foreign: None }
    }
}

impl Refused {
    fn of_value(broken: Broken, key: &[u8]) -> Refused {
        // The name is of use where the fault is shown, which is not where bytes have run out.
        let key = (!matches!(broken, Broken::RanOut(_))).then(|| key.to_owned());
        Refused { key, ..broken.into() }
    }

    fn foreign(what: String) -> Refused {
        Refused { broken: Broken::Invalid(""), key: None, foreign: Some(what) }
    }

    fn at(self, offset: u64) -> LoadError {
        let key = self.key.map(|key| format!("the value of the key '{}': ", key.escape_ascii())).unwrap_or_default();
        let is_foreign = self.foreign.is_some() || matches!(self.broken, Broken::Module(_));
        let reason = format!("{key}{}", self.foreign.unwrap_or_else(|| self.broken.to_string()));
        LoadError { offset, fault: if is_foreign { Fault::Foreign } else { Fault::Broken }, reason }
    }
}

impl Next {
    /// Reads a part; `left` is how many bytes the file has at most from here on.
    fn part(
        &mut self,
        reader: &mut Reader<'_, '_>,
        shapes: &Shapes,
        left: u64,
        go_on: impl FnMut(usize, usize) -> bool,
    ) -> Result<Part, Refused> {
        let [code] = reader.take()?;
        let part = match code {
            opcode::EXPIRE_MS => {
                self.deadline_ms = deadline(i64::from_le_bytes(reader.take()?));
                Part::Attribute
            }
            opcode::EXPIRE_S => {
                let seconds = i64::from(i32::from_le_bytes(reader.take()?));
                self.deadline_ms = deadline(if seconds == -1 { -1 } else { 1000 * seconds });
                Part::Attribute
            }
            opcode::IDLE => {
                self.idle_s = Some(reader.length()?);
                Part::Attribute
            }
            opcode::FREQ => {
                let [frequency] = reader.take()?;
                self.frequency = Some(frequency);
                Part::Attribute
            }
            opcode::AUX => {
                let (name, value) = (reader.string()?.into_owned(), reader.string()?.into_owned());
                if (&*name, &*value) == (BLESSED_FIELD, NO_EVICT) {
                    self.is_blessed = true;
                    return Ok(Part::Attribute);
                }
                Part::Item(if name == SCRIPT_FIELD { Item::Script(value) } else { Item::Aux { name, value } })
            }
            opcode::SELECT_DB => Part::Item(Item::Select(reader.length()?)),
            opcode::RESIZE_DB => {
                let most = left / KEY_BYTES_MIN;
                let (keys, timed) = (reader.length()?.min(most), reader.length()?.min(most));
                Part::Item(Item::Resize { keys, timed })
            }
            opcode::FUNCTION => Part::Item(Item::Function(reader.string()?.into_owned())),
            opcode::FUNCTION_PRE_GA => {
                return Err(Refused::foreign("functions in the form of a release candidate of Redis 7.0".to_owned()));
            }
            opcode::SLOT_INFO => {
                let (_slot, _keys, _timed) = (reader.length()?, reader.length()?, reader.length()?);
                Part::Attribute
            }
            opcode::MODULE_AUX => Part::Item(module_aux(reader)?),
            opcode::KEY_META => key_metadata(reader)?,
            opcode::END => Part::End,
            form => self.entry(form, reader, shapes, go_on)?,
        };
        Ok(part)
    }

    fn entry(
        &mut self,
        form: u8,
        reader: &mut Reader<'_, '_>,
        shapes: &Shapes,
        go_on: impl FnMut(usize, usize) -> bool,
    ) -> Result<Part, Refused> {
        let key = reader.string()?;
        let building = Building::begin(form, reader, shapes).map_err(|broken| Refused::of_value(broken, &key))?;
        let read = match building {
            None => reader.value_of(form, shapes),
            Some(mut building) => match building.go_on(reader, shapes, go_on) {
                Ok(Some(value)) => Ok(value),
                Ok(None) => return Ok(Part::Large(Box::new(Large { key: key.into_owned(), building }), None)),
                Err(Broken::RanOut(missing)) => {
                    return Ok(Part::Large(Box::new(Large { key: key.into_owned(), building }), Some(missing)));
                }
                Err(broken) => Err(broken),
            },
        };
        let value = read.map_err(|broken| Refused::of_value(broken, &key))?;
        Ok(self.whole(&key, value))
    }

    /// Goes on with a value that is being read.
    fn go_on_with(
        &mut self,
        mut large: Box<Large>,
        reader: &mut Reader<'_, '_>,
        shapes: &Shapes,
        go_on: impl FnMut(usize, usize) -> bool,
    ) -> Result<Part, Refused> {
        match large.building.go_on(reader, shapes, go_on) {
            Ok(Some(value)) => Ok(self.whole(&large.key, value)),
            Ok(None) => Ok(Part::Large(large, None)),
            Err(Broken::RanOut(missing)) => Ok(Part::Large(large, Some(missing))),
            Err(broken) => Err(Refused::of_value(broken, &large.key)),
        }
    }

    /// A key with its value and what has been said of it.
    fn whole(&mut self, key: &[u8], mut value: Value<'_>) -> Part {
        let Next { deadline_ms, idle_s, frequency, is_blessed } = std::mem::take(self);
        let mut entry = Entry::new(key, value.as_new(), deadline_ms);
        entry.set_blessed(is_blessed);
        Part::Item(Item::Entry(Loaded { entry, idle_s, frequency }))
    }
}

/// A deadline as it is kept; -1 is none.
fn deadline(unix_ms: i64) -> Option<i64> {
    (unix_ms != -1).then(|| unix_ms.max(DEADLINE_MIN_MS))
}

/// What a module has written beside the keys.
fn module_aux(reader: &mut Reader<'_, '_>) -> Result<Item, Refused> {
    let module = module_name(reader.length()?);
    let (kind, _when) = (reader.length()?, reader.length()?);
    if kind != module_field::UNSIGNED {
        return Err(Broken::Invalid("data of a module that does not begin with when it was written").into());
    }
    match module_fields(reader)? {
        Content::Nothing => Ok(Item::Passed(format!("the module '{module}' has saved that it has nothing"))),
        Content::Something => Err(Refused::foreign(format!("data of the module '{module}', which there is not"))),
    }
}

/// What modules of Redis 8.6 keep of the key that follows. Each says whether it may be left out.
fn key_metadata(reader: &mut Reader<'_, '_>) -> Result<Part, Refused> {
    const MAY_BE_IGNORED: u32 = 1;
    // Valkey announces slots that are being imported by the same byte, which no such class begins with.
    if reader.dialect() == Dialect::Valkey {
        debug_assert_eq!(opcode::KEY_META, opcode::SLOT_IMPORT);
        return Err(Refused::foreign(
            "slots that a node of a cluster was importing, which goes on there alone".to_owned(),
        ));
    }
    let mut names = Vec::new();
    for _ in 0..reader.length()? {
        let class = u32::from_le_bytes(reader.take()?);
        // Four characters above five bits of version and three of flags, as the end of the name of a module's type.
        let name = module_name(u64::from(class >> 8) << 10)[5..].to_owned();
        module_fields(reader)?;
        if class & MAY_BE_IGNORED == 0 {
            return Err(Refused::foreign(format!("what the module class '{name}' keeps of a key")));
        }
        names.push(name);
    }
    Ok(Part::Item(Item::Passed(format!("what the module classes {} keep of a key", names.join(", ")))))
}

/// The kinds of what modules write.
mod module_field {
    pub const END: u64 = 0;
    pub const SIGNED: u64 = 1;
    pub const UNSIGNED: u64 = 2;
    pub const FLOAT: u64 = 3;
    pub const DOUBLE: u64 = 4;
    pub const STRING: u64 = 5;
}

/// Whether a module has written anything but zeros and empty strings.
enum Content {
    Nothing,
    Something,
}

/// Passes what a module has written, up to its end.
fn module_fields(reader: &mut Reader<'_, '_>) -> Result<Content, Broken> {
    let mut content = Content::Nothing;
    loop {
        let is_zero = match reader.length()? {
            module_field::END => return Ok(content),
            module_field::SIGNED | module_field::UNSIGNED => reader.length()? == 0,
            module_field::FLOAT => reader.take::<4>()? == [0; 4],
            module_field::DOUBLE => reader.take::<8>()? == [0; 8],
            module_field::STRING => reader.string()?.is_empty(),
            _ => return Err(Broken::Invalid("data of a module that is of no known kind")),
        };
        if !is_zero {
            content = Content::Something;
        }
    }
}
