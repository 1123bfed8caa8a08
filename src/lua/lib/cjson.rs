//! The library `cjson`: values as JSON, as lua-cjson 2.1.0 writes and reads it.
//!
//! The functions of one table share their settings, which outlive a script, as they do in Redis: its scripts cannot replace the
//! functions, but they can set them. `cjson.new()` makes another table with settings of its own. The settings are a packed string
//! in a table that is the functions' upvalue.
//!
//! No library of JSON is used: what lua-cjson accepts is not JSON (hexadecimal numbers, `nan`, a NUL that ends the
//! text), its errors tell what was expected where, and its numbers are those of `%.14g`.

mod decode;
mod encode;
mod number;
mod settings;

pub use decode::{Reader, Token};
pub use number::{parse_number, write_number};

use decode::Decode;
use encode::Encode;
use settings::Settings;

use crate::lua::state::{Answer, Frame, Function, Kind, Raised};

/// Pushes a table of the library, with settings of its own.
pub(super) fn open(frame: &mut Frame<'_>) {
    frame.new_table(0, 16);
    frame.new_table(1, 0);
    Settings::default().save(frame);
    define::<Encode>(frame, "encode");
    define::<Decode>(frame, "decode");
    define::<settings::EncodeSparseArray>(frame, "encode_sparse_array");
    define::<settings::EncodeMaxDepth>(frame, "encode_max_depth");
    define::<settings::DecodeMaxDepth>(frame, "decode_max_depth");
    define::<settings::EncodeNumberPrecision>(frame, "encode_number_precision");
    define::<settings::EncodeKeepBuffer>(frame, "encode_keep_buffer");
    define::<settings::EncodeInvalidNumbers>(frame, "encode_invalid_numbers");
    define::<settings::DecodeInvalidNumbers>(frame, "decode_invalid_numbers");
    define::<settings::DecodeArrayWithArrayMt>(frame, "decode_array_with_array_mt");
    define::<New>(frame, "new");
    frame.pop(1);
    frame.push_light(NULL);
    frame.set_own(-2, "null");
    for (name, value) in [("_NAME", "cjson"), ("_VERSION", "2.1.0")] {
        frame.push_bytes(value.as_bytes());
        frame.set_own(-2, name);
    }
}

/// The light userdata that stands for JSON's null, since a table cannot hold nil.
const NULL: usize = 0;

/// The field of a metatable whose tables are arrays, also if they are empty.
const ARRAY_MARK: &str = "__is_cjson_array";

/// Sets a function of the table below the settings' table, which is on the top.
fn define<F: Function>(frame: &mut Frame<'_>, name: &str) {
    frame.push_copy(-1);
    frame.push_function::<F>(1);
    frame.set_own(-3, name);
}

struct New;

impl Function for New {
    fn call(frame: &mut Frame<'_>) -> Answer {
        super::ensure(frame, 5, "too many upvalues")?;
        open(frame);
        Ok(1)
    }
}

/// The error for a call that does not have exactly one argument.
fn check_one_argument(frame: &mut Frame<'_>) -> Result<(), Raised> {
    match frame.top() {
        1 => Ok(()),
        _ => Err(frame.raise_argument(1, b"expected 1 argument")),
    }
}

/// Whether the value on the top has a metatable with the mark of arrays.
fn is_marked_array(frame: &mut Frame<'_>) -> bool {
    if !frame.metatable(-1) {
        return false;
    }
    frame.raw_get_name(-1, ARRAY_MARK);
    let is_marked = !matches!(frame.kind(-1), Some(Kind::Nil)) && frame.boolean(-1);
    frame.pop(2);
    is_marked
}
