//! What is wrong with a rule, in Redis's words; and the words of a line as rules.

use super::Catalog;

/// What rules are read by.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The commands and categories.
    pub catalog: &'a Catalog,
    /// `acl-pubsub-default`: a new user, or a new selector, may use every channel.
    pub all_channels: bool,
}

/// Why a rule was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// No command or category has this name.
    Unknown,
    /// It has none of the known forms.
    Syntax,
    /// A key pattern where every key is allowed already.
    KeysAllowed,
    /// A channel pattern where every channel is allowed already.
    ChannelsAllowed,
    /// A password to be removed that the user does not have.
    NoSuchPassword,
    /// No SHA-256 digest in hexadecimal digits.
    BadDigest,
    /// A first argument behind a subcommand.
    FirstArgOfSubcommand,
    /// A user that was declared before.
    Duplicate,
}

impl RuleError {
    /// Redis's text.
    pub fn text(self) -> &'static str {
        match self {
            RuleError::Unknown => "Unknown command or category name in ACL",
            RuleError::Syntax => "Syntax error",
            RuleError::KeysAllowed => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try \
                 'resetkeys' to start with an empty list of patterns"
            }
            RuleError::ChannelsAllowed => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. \
                 Try 'resetchannels' to start with an empty list of channels"
            }
            RuleError::NoSuchPassword => "The password you are trying to remove from the user does not exist",
            RuleError::BadDigest => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            RuleError::FirstArgOfSubcommand => "Allowing first-arg of a subcommand is not supported",
            RuleError::Duplicate => "Duplicate user found. A user can only be defined once in config files",
        }
    }
}

/// The words of a line as rules: those between parentheses are one rule.
///
/// # Errors
/// The place of a word whose parenthesis is not closed.
pub fn merge(words: &[&[u8]]) -> Result<Vec<Vec<u8>>, usize> {
    let mut rules: Vec<Vec<u8>> = Vec::new();
    let mut open: Option<(usize, Vec<u8>)> = None;
    for (place, word) in words.iter().enumerate() {
        match &mut open {
            Some((_, selector)) => {
                selector.push(b' ');
                selector.extend_from_slice(word);
                if word.ends_with(b")") {
                    rules.extend(open.take().map(|(_, selector)| selector));
                }
            }
            None if word.starts_with(b"(") && !word.ends_with(b")") => open = Some((place, word.to_vec())),
            None => rules.push(word.to_vec()),
        }
    }
    match open {
        Some((place, _)) => Err(place),
        None => Ok(rules),
    }
}

/// True for white space as C's `isspace` tells it, and for NUL: what a name or a pattern must not have, because it would not
/// be one word of a file.
pub fn has_spaces(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b' ' | b'\t'..=b'\r' | 0))
}

/// The text as C reads it: up to the first NUL.
pub(super) fn as_c_string(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}
