//! A small blocking client of Redis's protocol, versions 2 and 3, for tests only.
//!
//! Deliberately independent of the server's own parser and writer, whose oracle it is part of. Every reply comes as its exact
//! bytes and decoded; pushes that arrive between replies are set aside in order. Test binaries include this file with
//! `#[path]`.
#![allow(dead_code, reason = "each test binary that includes this file uses its own part of it")]

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a reply may take before the test gives up, on a busy machine.
const REPLY_MS_MAX: u64 = 10_000;

/// How deep a reply may nest, far beyond anything a server sends.
const DEPTH_MAX: usize = 64;

/// A decoded reply.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// `+`
    Simple(Vec<u8>),
    /// `-`, and RESP3's `!`
    Error(Vec<u8>),
    /// `:`
    Integer(i64),
    /// `$`
    Bulk(Vec<u8>),
    /// `*`
    Array(Vec<Value>),
    /// `$-1`
    NullBulk,
    /// `*-1`
    NullArray,
    /// `_`
    Null,
    /// `,` as it was written
    Double(Vec<u8>),
    /// `#`
    Boolean(bool),
    /// `(` as it was written
    BigNumber(Vec<u8>),
    /// `=` with its format prefix
    Verbatim(Vec<u8>),
    /// `%`
    Map(Vec<(Value, Value)>),
    /// `~`
    Set(Vec<Value>),
    /// `>`
    Push(Vec<Value>),
}

impl Value {
    /// The bytes of a string of any kind.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Simple(b) | Value::Bulk(b) | Value::Verbatim(b) | Value::Double(b) | Value::BigNumber(b) => Some(b),
            _ => None,
        }
    }

    /// The bytes of a string of any kind as text, invalid parts replaced; empty for anything else.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes().unwrap_or_default()).into_owned()
    }

    /// The integer, if it is one.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Value::Integer(n) => Some(*n),
            _ => None,
        }
    }

    /// The elements of an array, set or push.
    pub fn items(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => Some(items),
            _ => None,
        }
    }

    /// The value under `key` in a map, or in an array of alternating keys and values.
    pub fn field(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Map(pairs) => pairs.iter().find(|(k, _)| k.bytes() == Some(key.as_bytes())).map(|(_, v)| v),
            Value::Array(items) => {
                items.chunks_exact(2).find(|pair| pair[0].bytes() == Some(key.as_bytes())).map(|pair| &pair[1])
            }
            _ => None,
        }
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Value::Error(_))
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Simple(b) => write!(f, "+{}", b.escape_ascii()),
            Value::Error(b) => write!(f, "-{}", b.escape_ascii()),
            Value::Integer(n) => write!(f, ":{n}"),
            Value::Bulk(b) => write!(f, "\"{}\"", b.escape_ascii()),
            Value::Array(items) => f.debug_list().entries(items).finish(),
            Value::NullBulk => write!(f, "(nil)"),
            Value::NullArray => write!(f, "(nil array)"),
            Value::Null => write!(f, "(null)"),
            Value::Double(b) => write!(f, ",{}", b.escape_ascii()),
            Value::Boolean(b) => write!(f, "#{b}"),
            Value::BigNumber(b) => write!(f, "({}", b.escape_ascii()),
            Value::Verbatim(b) => write!(f, "={}", b.escape_ascii()),
            Value::Map(pairs) => f.debug_map().entries(pairs.iter().map(|(k, v)| (k, v))).finish(),
            Value::Set(items) => f.debug_set().entries(items).finish(),
            Value::Push(items) => {
                write!(f, ">")?;
                f.debug_list().entries(items).finish()
            }
        }
    }
}

/// One reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The exact bytes.
    pub raw: Vec<u8>,
    /// What they say.
    pub value: Value,
}

/// A connection.
pub struct Client {
    stream: TcpStream,
    /// Bytes received and not yet part of a reply.
    unread: Vec<u8>,
    pushes: VecDeque<Reply>,
}

impl Client {
    /// Connects, with a limit on how long any read may take.
    pub fn connect(addr: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_millis(REPLY_MS_MAX)))?;
        stream.set_write_timeout(Some(Duration::from_millis(REPLY_MS_MAX)))?;
        Ok(Client { stream, unread: Vec::new(), pushes: VecDeque::new() })
    }

    /// Changes how long a read may take.
    pub fn set_timeout(&mut self, limit: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(limit))
    }

    /// Sends a command and waits for its reply.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Reply> {
        self.send_raw(&encode(args))?;
        self.read_reply()
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Tells the server that nothing more will be sent.
    pub fn finish_sending(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Waits for the next reply; pushes that come before it are set aside.
    pub fn read_reply(&mut self) -> io::Result<Reply> {
        loop {
            let reply = self.read_any()?;
            if matches!(reply.value, Value::Push(_)) {
                self.pushes.push_back(reply);
            } else {
                return Ok(reply);
            }
        }
    }

    /// The oldest push not yet taken, waiting for one if need be. A reply that comes first is an error.
    pub fn read_push(&mut self) -> io::Result<Reply> {
        if let Some(push) = self.pushes.pop_front() {
            return Ok(push);
        }
        let reply = self.read_any()?;
        match reply.value {
            Value::Push(_) => Ok(reply),
            other => Err(invalid(&format!("a reply instead of a push: {other:?}"))),
        }
    }

    /// The next reply or push, whichever comes first.
    pub fn read_any(&mut self) -> io::Result<Reply> {
        loop {
            if let Some((value, used)) = parse(&self.unread, 0, 0)? {
                let rest = self.unread.split_off(used);
                let raw = std::mem::replace(&mut self.unread, rest);
                return Ok(Reply { raw, value });
            }
            if self.fill()? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed by the server"));
            }
        }
    }

    /// Receives once; 0 when the server has closed the connection. Bytes pile up until taken.
    pub fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0u8; 65_536];
        let count = loop {
            match self.stream.read(&mut chunk) {
                Ok(count) => break count,
                // Closed with our bytes still unread: closed all the same.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break 0,
                // Whoever stops and continues this process, as a debugger does, has ended a wait.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        self.unread.extend_from_slice(&chunk[..count]);
        Ok(count)
    }

    /// Takes what has been received and no reply has taken.
    pub fn take_unread(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unread)
    }

    /// Received bytes that no reply has taken.
    pub fn unread(&self) -> &[u8] {
        &self.unread
    }
}

/// A command as an array of bulk strings.
pub fn encode<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The values that `bytes` consist of; an error when the last one is cut off.
pub fn decode_all(bytes: &[u8]) -> io::Result<Vec<Value>> {
    let (mut values, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let (value, end) = parse(bytes, at, 0)?.ok_or_else(|| invalid("the last value is cut off"))?;
        values.push(value);
        at = end;
    }
    Ok(values)
}

/// The whole values at the start of `bytes`, and how many bytes they take.
pub fn decode_whole(bytes: &[u8]) -> io::Result<(Vec<Value>, usize)> {
    let (mut values, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let Some((value, end)) = parse(bytes, at, 0)? else { break };
        values.push(value);
        at = end;
    }
    Ok((values, at))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Decodes the value at `at` and says where it ends; none when more bytes are needed.
fn parse(buf: &[u8], at: usize, depth: usize) -> io::Result<Option<(Value, usize)>> {
    if depth > DEPTH_MAX {
        return Err(invalid("reply nested too deeply"));
    }
    let Some(line_len) = buf[at..].windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let line = &buf[at..at + line_len];
    let next = at + line_len + 2;
    let Some((&kind, rest)) = line.split_first() else { return Err(invalid("empty line instead of a reply")) };
    let number = || {
        let text = std::str::from_utf8(rest).ok();
        text.and_then(|text| text.parse::<i64>().ok())
            .ok_or_else(|| invalid(&format!("bad number: {}", line.escape_ascii())))
    };
    let value = match kind {
        b'+' => Value::Simple(rest.to_vec()),
        b'-' => Value::Error(rest.to_vec()),
        b':' => Value::Integer(number()?),
        b',' => Value::Double(rest.to_vec()),
        b'(' => Value::BigNumber(rest.to_vec()),
        b'_' => Value::Null,
        b'#' => Value::Boolean(rest == b"t"),
        b'$' | b'=' | b'!' => {
            let count = number()?;
            if count == -1 {
                return Ok(Some((Value::NullBulk, next)));
            }
            let count = usize::try_from(count).map_err(|_| invalid("negative length"))?;
            let Some(body) = buf.get(next..next + count + 2) else { return Ok(None) };
            let Some(body) = body.strip_suffix(b"\r\n") else { return Err(invalid("string without its line end")) };
            let body = body.to_vec();
            let value = match kind {
                b'$' => Value::Bulk(body),
                b'=' => Value::Verbatim(body),
                _ => Value::Error(body),
            };
            return Ok(Some((value, next + count + 2)));
        }
        b'*' | b'~' | b'>' | b'%' => {
            let count = number()?;
            if count == -1 {
                return Ok(Some((Value::NullArray, next)));
            }
            let count = usize::try_from(count).map_err(|_| invalid("negative count"))?;
            let total = if kind == b'%' { count * 2 } else { count };
            let Some((items, end)) = parse_many(buf, next, total, depth)? else { return Ok(None) };
            let value = match kind {
                b'*' => Value::Array(items),
                b'~' => Value::Set(items),
                b'>' => Value::Push(items),
                _ => Value::Map(items.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()),
            };
            return Ok(Some((value, end)));
        }
        _ => return Err(invalid(&format!("not a reply: {}", line.escape_ascii()))),
    };
    Ok(Some((value, next)))
}

fn parse_many(buf: &[u8], at: usize, count: usize, depth: usize) -> io::Result<Option<(Vec<Value>, usize)>> {
    let mut items = Vec::new();
    let mut at = at;
    for _ in 0..count {
        let Some((value, next)) = parse(buf, at, depth + 1)? else { return Ok(None) };
        items.push(value);
        at = next;
    }
    Ok(Some((items, at)))
}
