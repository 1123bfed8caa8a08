//! The ACL file: a line `user name rule ...` for each user. It is taken as a whole or not at all.

use std::collections::BTreeMap;

use super::rules::{RuleError, Rules, has_spaces, merge};
use super::user::User;
use super::{DEFAULT_NAME, Users};

/// The text of a file that makes these users.
pub fn write(users: &Users) -> Vec<u8> {
    users.iter().flat_map(|(_, user)| [user.line(), b"\n".to_vec()].concat()).collect()
}

/// The users of a file, in the order of their names; the default one is among them. `path` is what errors call the file.
///
/// # Errors
/// What is wrong with its lines, in Redis's words.
pub fn read(text: &[u8], path: &str, rules: Rules<'_>) -> Result<Vec<User>, Vec<u8>> {
    let mut users: BTreeMap<Vec<u8>, User> = BTreeMap::new();
    let mut errors: Vec<u8> = Vec::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let at = format!("{path}:{}", index + 1);
        let words = line.trim_ascii().split(|byte| *byte == b' ');
        let words: Vec<&[u8]> = words.map(|word| trim(word, b"\t\r\n")).collect();
        let (name, given) = match words.as_slice() {
            [[]] => continue,
            [b"user", name, given @ ..] => (*name, given),
            _ => {
                errors.extend(format!("{at} should start with user keyword followed by the username. ").into_bytes());
                continue;
            }
        };
        if has_spaces(name) {
            errors.extend([format!("'{at}: username '").as_bytes(), name, b"' contains invalid characters. "].concat());
            continue;
        }
        if users.contains_key(name) {
            let tail = format!("' found on line {}. ", index + 1);
            errors.extend([b"WARNING: Duplicate user '", name, tail.as_bytes()].concat());
            continue;
        }
        let mut user = User::new(name, rules);
        match merge(given) {
            Ok(merged) => apply(&mut user, &merged, &at, rules, &mut errors),
            Err(_) => errors.extend(format!("{at}: Unmatched parenthesis in selector definition.").into_bytes()),
        }
        users.insert(name.to_vec(), user);
    }
    if !errors.is_empty() {
        errors.extend_from_slice(
            b"WARNING: ACL errors detected, no change to the previously active ACL rules was performed",
        );
        return Err(errors);
    }
    users.entry(DEFAULT_NAME.to_vec()).or_insert_with(|| User::unlimited(DEFAULT_NAME, rules.catalog));
    Ok(users.into_values().collect())
}

/// Applies the rules of a line. Every unknown name is told, and of what else is wrong the first: it may be what the others
/// come from, and rules may be secret.
fn apply(user: &mut User, merged: &[Vec<u8>], at: &str, rules: Rules<'_>, errors: &mut Vec<u8>) {
    let mut is_told = false;
    for rule in merged {
        match user.apply(rule, rules) {
            Ok(()) => {}
            Err(error @ RuleError::Unknown) => {
                let head = format!("{at}: Error in applying operation '");
                errors.extend([head.as_bytes(), rule, b"': ", error.text().as_bytes(), b". "].concat());
            }
            Err(error) if !is_told => {
                is_told = true;
                errors.extend(format!("{at}: {}. ", error.text()).into_bytes());
            }
            Err(_) => {}
        }
    }
}

/// The word without these bytes at its ends.
fn trim<'a>(word: &'a [u8], bytes: &[u8]) -> &'a [u8] {
    let start = word.iter().position(|byte| !bytes.contains(byte)).unwrap_or(word.len());
    let end = word.iter().rposition(|byte| !bytes.contains(byte)).map_or(start, |last| last + 1);
    &word[start..end]
}
