//! The settings of cjson's functions, and the functions that ask for and change them.
//!
//! Each function takes up to as many arguments as it has settings, sets what is given, and answers what is set then. What was set
//! before an argument turned out wrong stays set.

use crate::lua::lib::check_integer;
use crate::lua::state::{Answer, Frame, Function, Kind, Raised};

/// What encode and decode go by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Settings {
    /// Whether a sparse array becomes an object, and no error.
    pub sparse_convert: bool,
    /// An array is sparse if its highest index is above this many times the number of its elements; 0: never.
    pub sparse_ratio: i32,
    /// An array up to this index is never sparse.
    pub sparse_safe: i32,
    pub encode_max_depth: i32,
    pub decode_max_depth: i32,
    /// Significant digits, 1 to 14.
    pub number_precision: i32,
    /// What becomes of infinities and of what is no number: 0 an error, 1 written as C writes them, 2 null.
    pub encode_invalid_numbers: i32,
    /// Whether the buffer of encode is kept for the next call.
    pub keep_buffer: bool,
    /// Whether hexadecimal and other numbers that are not JSON's are read.
    pub decode_invalid_numbers: bool,
    /// Whether arrays that are read are marked as such, so that empty ones are written as arrays again.
    pub mark_arrays: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_max_depth: 1000,
            decode_max_depth: 1000,
            number_precision: 14,
            encode_invalid_numbers: 0,
            keep_buffer: true,
            decode_invalid_numbers: true,
            mark_arrays: false,
        }
    }
}

/// Bytes of packed settings: ten numbers.
const PACKED_BYTES: usize = 40;

impl Settings {
    /// The settings of the running function.
    pub fn load(frame: &mut Frame<'_>) -> Settings {
        frame.push_upvalue(1);
        frame.raw_get_index(-1, 1);
        let packed = frame.bytes(-1).and_then(|packed| packed.first_chunk());
        let settings = packed.map_or_else(Settings::default, Settings::unpack);
        frame.pop(2);
        settings
    }

    /// Stores them in the table on the top.
    pub fn save(&self, frame: &mut Frame<'_>) {
        frame.push_bytes(&self.pack());
        frame.set_own_index(-2, 1);
    }

    fn pack(&self) -> [u8; PACKED_BYTES] {
        let numbers = [
            i32::from(self.sparse_convert),
            self.sparse_ratio,
            self.sparse_safe,
            self.encode_max_depth,
            self.decode_max_depth,
            self.number_precision,
            self.encode_invalid_numbers,
            i32::from(self.keep_buffer),
            i32::from(self.decode_invalid_numbers),
            i32::from(self.mark_arrays),
        ];
        let mut packed = [0; PACKED_BYTES];
        for (bytes, number) in packed.chunks_exact_mut(4).zip(numbers) {
            bytes.copy_from_slice(&number.to_ne_bytes());
        }
        packed
    }

    fn unpack(packed: &[u8; PACKED_BYTES]) -> Settings {
        let number = |index: usize| {
            let at = index * 4;
            i32::from_ne_bytes([packed[at], packed[at + 1], packed[at + 2], packed[at + 3]])
        };
        Settings {
            sparse_convert: number(0) != 0,
            sparse_ratio: number(1),
            sparse_safe: number(2),
            encode_max_depth: number(3),
            decode_max_depth: number(4),
            number_precision: number(5),
            encode_invalid_numbers: number(6),
            keep_buffer: number(7) != 0,
            decode_invalid_numbers: number(8) != 0,
            mark_arrays: number(9) != 0,
        }
    }

    /// Stores the settings of the running function.
    fn update(&self, frame: &mut Frame<'_>) {
        frame.push_upvalue(1);
        self.save(frame);
        frame.pop(1);
    }
}

/// Checks the number of arguments, and fills up with nil.
fn begin(frame: &mut Frame<'_>, arguments: usize) -> Result<Settings, Raised> {
    if frame.top() > arguments {
        return Err(frame.raise_argument(arguments as i32 + 1, b"found too many arguments"));
    }
    frame.set_top(arguments);
    Ok(Settings::load(frame))
}

/// Sets a number between two bounds, if the argument is not nil.
fn set_number(
    frame: &mut Frame<'_>,
    argument: i32,
    (least, most): (i32, i32),
    setting: fn(&mut Settings) -> &mut i32,
) -> Result<(), Raised> {
    let mut settings = Settings::load(frame);
    if frame.kind(argument) != Some(Kind::Nil) {
        // The integer is cut to 32 bits.
        let number = check_integer(frame, argument)? as i32;
        if number < least || number > most {
            let text = format!("expected integer between {least} and {most}");
            return Err(frame.raise_argument(1, text.as_bytes()));
        }
        *setting(&mut settings) = number;
        settings.update(frame);
    }
    frame.push_number(f64::from(*setting(&mut settings)));
    Ok(())
}

/// Sets one of several choices, of which the first is also given as false and the second as true, if the argument is
/// not nil. These two are answered as booleans.
fn set_choice(
    frame: &mut Frame<'_>,
    argument: i32,
    choices: &[&str],
    get: fn(&Settings) -> i32,
    set: fn(&mut Settings, i32),
) -> Result<(), Raised> {
    let mut settings = Settings::load(frame);
    match frame.kind(argument) {
        Some(Kind::Nil) => {}
        kind => {
            let choice = match kind {
                Some(Kind::Boolean) => i32::from(frame.boolean(argument)),
                _ => choice(frame, argument, choices)?,
            };
            set(&mut settings, choice);
            settings.update(frame);
        }
    }
    match get(&settings) {
        chosen @ (0 | 1) => frame.push_boolean(chosen == 1),
        chosen => frame.push_bytes(choices[chosen as usize].as_bytes()),
    }
    Ok(())
}

/// Which of the choices a string is.
fn choice(frame: &mut Frame<'_>, argument: i32, choices: &[&str]) -> Result<i32, Raised> {
    let given = frame.check_bytes(argument)?;
    // A string of C's ends at its first NUL.
    let given = given.split(|&byte| byte == 0).next().unwrap_or_default().to_vec();
    match choices.iter().position(|choice| choice.as_bytes() == given) {
        Some(index) => Ok(index as i32),
        None => Err(frame.raise_argument(argument, &[b"invalid option '", &given[..], b"'"].concat())),
    }
}

/// The choices of what is on or off.
const SWITCH: &[&str] = &["off", "on"];

/// `encode_sparse_array([convert [, ratio [, safe]]])`
pub(super) struct EncodeSparseArray;

impl Function for EncodeSparseArray {
    fn call(frame: &mut Frame<'_>) -> Answer {
        begin(frame, 3)?;
        set_choice(frame, 1, SWITCH, |all| i32::from(all.sparse_convert), |all, on| all.sparse_convert = on != 0)?;
        set_number(frame, 2, (0, i32::MAX), |all| &mut all.sparse_ratio)?;
        set_number(frame, 3, (0, i32::MAX), |all| &mut all.sparse_safe)?;
        Ok(3)
    }
}

/// `encode_max_depth([depth])`
pub(super) struct EncodeMaxDepth;

impl Function for EncodeMaxDepth {
    fn call(frame: &mut Frame<'_>) -> Answer {
        begin(frame, 1)?;
        set_number(frame, 1, (1, i32::MAX), |all| &mut all.encode_max_depth)?;
        Ok(1)
    }
}

/// `decode_max_depth([depth])`
pub(super) struct DecodeMaxDepth;

impl Function for DecodeMaxDepth {
    fn call(frame: &mut Frame<'_>) -> Answer {
        begin(frame, 1)?;
        set_number(frame, 1, (1, i32::MAX), |all| &mut all.decode_max_depth)?;
        Ok(1)
    }
}

/// `encode_number_precision([digits])`
pub(super) struct EncodeNumberPrecision;

impl Function for EncodeNumberPrecision {
    fn call(frame: &mut Frame<'_>) -> Answer {
        begin(frame, 1)?;
        set_number(frame, 1, (1, 14), |all| &mut all.number_precision)?;
        Ok(1)
    }
}

/// `encode_keep_buffer([keep])`
pub(super) struct EncodeKeepBuffer;

impl Function for EncodeKeepBuffer {
    fn call(frame: &mut Frame<'_>) -> Answer {
        begin(frame, 1)?;
        set_choice(frame, 1, SWITCH, |all| i32::from(all.keep_buffer), |all, on| all.keep_buffer = on != 0)?;
        Ok(1)
    }
}

/// `encode_invalid_numbers([what])`
pub(super) struct EncodeInvalidNumbers;

impl Function for EncodeInvalidNumbers {
    fn call(frame: &mut Frame<'_>) -> Answer {
        begin(frame, 1)?;
        let choices = &["off", "on", "null"];
        set_choice(frame, 1, choices, |all| all.encode_invalid_numbers, |all, what| all.encode_invalid_numbers = what)?;
        Ok(1)
    }
}

/// `decode_invalid_numbers([on])`
pub(super) struct DecodeInvalidNumbers;

impl Function for DecodeInvalidNumbers {
    fn call(frame: &mut Frame<'_>) -> Answer {
        begin(frame, 1)?;
        let set = |all: &mut Settings, on| all.decode_invalid_numbers = on != 0;
        set_choice(frame, 1, SWITCH, |all| i32::from(all.decode_invalid_numbers), set)?;
        Ok(1)
    }
}

/// `decode_array_with_array_mt([on])`
pub(super) struct DecodeArrayWithArrayMt;

impl Function for DecodeArrayWithArrayMt {
    fn call(frame: &mut Frame<'_>) -> Answer {
        begin(frame, 1)?;
        set_choice(frame, 1, SWITCH, |all| i32::from(all.mark_arrays), |all, on| all.mark_arrays = on != 0)?;
        Ok(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_settings_unpack_as_they_were() {
        let settings = Settings {
            sparse_convert: true,
            sparse_ratio: i32::MAX,
            sparse_safe: 3,
            encode_max_depth: 4,
            decode_max_depth: 5,
            number_precision: 6,
            encode_invalid_numbers: 2,
            keep_buffer: false,
            decode_invalid_numbers: false,
            mark_arrays: true,
        };
        assert_eq!(Settings::unpack(&settings.pack()), settings);
        assert_eq!(Settings::unpack(&Settings::default().pack()), Settings::default());
    }
}
