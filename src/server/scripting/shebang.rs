//! The first line of a script or of a library: `#!lua flags=no-writes,allow-oom`, `#!lua name=mylib`.

use crate::base::quote::split_args;
use crate::resp::error::ReplyError;

/// What a script or a function says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptFlags(u8);

impl ScriptFlags {
    /// It only reads.
    pub const NO_WRITES: ScriptFlags = ScriptFlags(1);
    /// It may run when memory is short.
    pub const ALLOW_OOM: ScriptFlags = ScriptFlags(1 << 1);
    /// It may run on a replica that has lost its primary.
    pub const ALLOW_STALE: ScriptFlags = ScriptFlags(1 << 2);
    /// It may not run in a cluster.
    pub const NO_CLUSTER: ScriptFlags = ScriptFlags(1 << 3);
    /// It may use keys of several slots of a cluster.
    pub const ALLOW_CROSS_SLOT_KEYS: ScriptFlags = ScriptFlags(1 << 4);

    /// The names of the flags: the bit of each is at its place in this list.
    pub const NAMES: &'static [&'static str] =
        &["no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys"];

    /// The flag at a place in the list of names.
    pub fn of_index(index: usize) -> Option<ScriptFlags> {
        (index < ScriptFlags::NAMES.len()).then(|| ScriptFlags(1 << index))
    }

    /// The flag of a name.
    pub fn named(name: &[u8]) -> Option<ScriptFlags> {
        ScriptFlags::NAMES.iter().position(|known| known.as_bytes() == name).and_then(ScriptFlags::of_index)
    }

    /// Both together.
    pub const fn with(self, other: ScriptFlags) -> ScriptFlags {
        ScriptFlags(self.0 | other.0)
    }

    /// True if any flag of the other is in this one.
    pub const fn has(self, other: ScriptFlags) -> bool {
        self.0 & other.0 != 0
    }

    /// The names of those that are set.
    pub fn set_names(self) -> impl ExactSizeIterator<Item = &'static str> {
        let is_set = |index: &usize| self.0 & 1 << index != 0;
        let set: Vec<_> = (0..ScriptFlags::NAMES.len()).filter(is_set).map(|index| ScriptFlags::NAMES[index]).collect();
        set.into_iter()
    }
}

/// The words of a first line; `None` if its quotes do not match, or if there are none.
fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    split_args(line).filter(|words| !words.is_empty())
}

/// Where the first line ends. COMPAT: it has no end if there is a NUL byte in it.
fn line_end(text: &[u8]) -> Option<usize> {
    text.iter().position(|byte| matches!(byte, b'\n' | 0)).filter(|end| text[*end] == b'\n')
}

/// What the first line of a script of EVAL says, and where the body begins: behind it, with the line's end, so that lines keep
/// their numbers. `None` for a script without such a line.
///
/// # Errors
/// Redis's texts.
pub fn of_script(body: &[u8]) -> Result<(Option<ScriptFlags>, &[u8]), ReplyError> {
    if !body.starts_with(b"#!") {
        return Ok((None, body));
    }
    let end = line_end(body).ok_or(ReplyError::new("ERR Invalid script shebang"))?;
    let words = words(&body[..end]).ok_or(ReplyError::new("ERR Invalid engine in script shebang"))?;
    if words[0] != b"#!lua" {
        return Err(ReplyError::about("ERR Unexpected engine in script shebang: ", &words[0], ""));
    }
    let mut flags = ScriptFlags::default();
    for word in &words[1..] {
        let Some(names) = word.strip_prefix(b"flags=") else {
            return Err(ReplyError::about("ERR Unknown lua shebang option: ", word, ""));
        };
        for name in names.split(|byte| *byte == b',').filter(|_| !names.is_empty()) {
            let flag = ScriptFlags::named(name);
            flags =
                flags.with(flag.ok_or_else(|| ReplyError::about("ERR Unexpected flag in script shebang: ", name, ""))?);
        }
    }
    Ok((Some(flags), &body[end..]))
}

/// What the first line of a library says.
#[derive(Debug, PartialEq, Eq)]
pub struct Heading<'a> {
    /// The language, in whichever case.
    pub engine: Vec<u8>,
    /// The library's name.
    pub name: Vec<u8>,
    /// The code behind the line, with the line's end.
    pub code: &'a [u8],
}

/// Reads the first line of a library.
///
/// # Errors
/// Redis's texts.
pub fn of_library(code: &[u8]) -> Result<Heading<'_>, ReplyError> {
    const INVALID: ReplyError = ReplyError::new("ERR Invalid library metadata");
    if !code.starts_with(b"#!") {
        return Err(ReplyError::new("ERR Missing library metadata"));
    }
    let end = line_end(code).ok_or(INVALID)?;
    let words = words(&code[..end]).ok_or(INVALID)?;
    let engine = words[0][2..].to_vec();
    let mut name = None;
    for word in &words[1..] {
        let prefix = word.split_at_checked(5).filter(|(prefix, _)| prefix.eq_ignore_ascii_case(b"name="));
        let Some((_, value)) = prefix else {
            return Err(ReplyError::about("ERR Invalid metadata value given: ", word, ""));
        };
        if name.replace(value.to_vec()).is_some() {
            return Err(ReplyError::new("ERR Invalid metadata value, name argument was given multiple times"));
        }
    }
    let name = name.ok_or(ReplyError::new("ERR Library name was not given"))?;
    Ok(Heading { engine, name, code: &code[end..] })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a Redis 8.2.3 answers.
    #[test]
    fn a_first_line_with_a_nul_byte_has_no_end() {
        let text = |error: ReplyError| String::from_utf8_lossy(error.text()).into_owned();
        let script = of_script(b"#!lua\0 flags=no-writes\nreturn 1");
        assert_eq!(script.map_err(text), Err("ERR Invalid script shebang".to_owned()));
        assert_eq!(of_library(b"#!lua name=a\0b\nx").map_err(text), Err("ERR Invalid library metadata".to_owned()));
        assert!(of_script(b"#!lua\nreturn '\0'").is_ok());
    }
}
