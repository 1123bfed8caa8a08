//! From a command line to its row, or to what is said of a name that has none.

use super::registry::Command;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;

/// Bytes of an unknown command's name and arguments that its error repeats, as in Redis.
const ECHO_BYTES_MAX: usize = 128;

/// The row of a line whose first word is a command's name: its subcommand's if it has one.
///
/// # Errors
/// Redis's text for subcommands that have no row.
pub fn row_of(command: &'static Command, args: Args<'_>) -> Result<&'static Command, ReplyError> {
    match args.get(1) {
        Some(name) if !command.subcommands.is_empty() => {
            command.subcommand(name).ok_or_else(|| unknown_subcommand(command, name))
        }
        _ => Ok(command),
    }
}

/// Redis's error for a line whose first word has no row.
pub fn unknown_command(args: Args<'_>) -> ReplyError {
    let cut = |bytes: &[u8], max: usize| -> Vec<u8> {
        // Redis prints with `%.*s`, which stops at a NUL byte.
        bytes.iter().copied().take(max).take_while(|&b| b != 0).collect()
    };
    let mut echoed = Vec::new();
    for arg in args.iter_from(1) {
        if echoed.len() >= ECHO_BYTES_MAX {
            break;
        }
        let room = ECHO_BYTES_MAX - echoed.len();
        echoed.push(b'\'');
        echoed.extend(cut(arg, room));
        echoed.extend_from_slice(b"' ");
    }
    let mut text = b"ERR unknown command '".to_vec();
    text.extend(cut(args.at(0), ECHO_BYTES_MAX));
    text.push(b'\'');
    if !echoed.is_empty() {
        text.extend_from_slice(b", with args beginning with: ");
        text.extend(echoed);
    }
    ReplyError::owned(text)
}

fn unknown_subcommand(command: &Command, name: &[u8]) -> ReplyError {
    let mut text = b"ERR unknown subcommand '".to_vec();
    text.extend(name.iter().copied().take(ECHO_BYTES_MAX).take_while(|&b| b != 0));
    text.extend_from_slice(format!("'. Try {} HELP.", command.spec.name).as_bytes());
    ReplyError::owned(text)
}
