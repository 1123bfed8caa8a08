//! Errors as scripts raise them: objects or texts, read into what a reply and the error statistics need.

use super::super::state::{Frame, Kind};

/// What an error says.
pub(super) struct ErrorInfo {
    pub text: Vec<u8>,
    /// Source and line.
    pub place: Option<(Vec<u8>, Vec<u8>)>,
    pub is_counted: bool,
}

/// Reads the error on the top: a table with the field `err`, or a text.
pub(super) fn error_of(frame: &mut Frame<'_>) -> ErrorInfo {
    let mut info = ErrorInfo { text: b"ERR unknown error".to_vec(), place: None, is_counted: false };
    if let Some(text) = frame.coerce_bytes(-1) {
        info.text = [b"ERR ", c_string(text)].concat();
    }
    if frame.kind(-1) != Some(Kind::Table) {
        return info;
    }
    if let Some(text) = field(frame, "err") {
        info.text = text;
    }
    info.place = field(frame, "source").zip(field(frame, "line"));
    frame.raw_get_name(-1, "ignore_error_stats_update");
    info.is_counted = frame.boolean(-1);
    frame.pop(1);
    info
}

/// A field of the table on the top, if it is a string or number.
fn field(frame: &mut Frame<'_>, name: &str) -> Option<Vec<u8>> {
    frame.raw_get_name(-1, name);
    let text = frame.coerce_bytes(-1).map(|text| c_string(text).to_vec());
    frame.pop(1);
    text
}

/// COMPAT: the texts of errors end at their first NUL byte.
pub(in crate::lua) fn c_string(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// The text of a value, as `tostring` has it where there is no metatable.
pub(in crate::lua) fn text_of(frame: &mut Frame<'_>, index: i32) -> Vec<u8> {
    match frame.kind(index) {
        Some(Kind::Nil) | None => b"nil".to_vec(),
        Some(Kind::Boolean) if frame.boolean(index) => b"true".to_vec(),
        Some(Kind::Boolean) => b"false".to_vec(),
        Some(Kind::Number | Kind::String) => frame.coerce_bytes(index).unwrap_or_default().to_vec(),
        Some(kind) => format!("{}: {:p}", kind.name(), frame.address(index)).into_bytes(),
    }
}
