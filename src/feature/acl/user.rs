//! A user: whether it may log in and by which passwords, and what it may do then.
//!
//! # Invariants
//! - There is at least one selector; the first is the one that rules outside of parentheses change.
//! - A user that needs no password has none.

use sha2::{Digest, Sha256};

use super::catalog::Catalog;
use super::rules::{RuleError, Rules, as_c_string, merge};
use super::selector::{Asked, Channel, Denied, KeyAccess, Reason, Selector, allows_channel, quoted_if_needed};
use crate::base::quote;

/// What is kept of a password.
type PasswordDigest = [u8; 32];

/// Which rule was refused, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The word whose parenthesis is not closed.
    Unmatched(Vec<u8>),
    /// The rule, a selector being one.
    Rule(Vec<u8>, RuleError),
}

impl Refused {
    /// What ACL SETUSER answers.
    pub fn text(&self) -> Vec<u8> {
        match self {
            Refused::Unmatched(word) => {
                [b"Unmatched parenthesis in acl selector starting at '", as_c_string(word), b"'."].concat()
            }
            Refused::Rule(rule, error) => {
                let shown = as_c_string(rule);
                [b"Error in ACL SETUSER modifier '", shown, b"': ", error.text().as_bytes()].concat()
            }
        }
    }

    /// What is said where more people read it than the one who wrote the rule: no password.
    pub fn text_for_logs(&self) -> Vec<u8> {
        match self {
            Refused::Rule(rule, error) => {
                let shown = without_password(as_c_string(rule));
                [b"Error in user declaration '", &*shown, b"': ", error.text().as_bytes()].concat()
            }
            unmatched => unmatched.text(),
        }
    }
}

/// A rule as it may be logged.
pub fn without_password(rule: &[u8]) -> Vec<u8> {
    match rule {
        [mark @ (b'>' | b'<'), ..] => [&[*mark], b"(redacted)".as_slice()].concat(),
        _ => rule.to_vec(),
    }
}

/// A user.
#[derive(Clone, Debug)]
pub struct User {
    name: Box<[u8]>,
    enabled: bool,
    needs_no_password: bool,
    skips_sanitizing: bool,
    passwords: Vec<PasswordDigest>,
    selectors: Vec<Selector>,
}

impl User {
    /// A new user, who may not even log in.
    pub fn new(name: &[u8], rules: Rules<'_>) -> User {
        User {
            name: name.into(),
            enabled: false,
            needs_no_password: false,
            skips_sanitizing: false,
            passwords: Vec::new(),
            selectors: vec![Selector::new(rules.catalog, rules.all_channels)],
        }
    }

    /// A user who may do everything and needs no password.
    pub fn unlimited(name: &[u8], catalog: &Catalog) -> User {
        let mut user = User::new(name, Rules { catalog, all_channels: true });
        (user.enabled, user.needs_no_password) = (true, true);
        for rule in ["+@all", "~*"] {
            user.selectors[0].apply(rule.as_bytes(), catalog).expect("a rule that is always valid");
        }
        user
    }

    /// The name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The user as rules change it, in the form of the words of ACL SETUSER.
    ///
    /// # Errors
    /// The first rule that is refused.
    pub fn changed(&self, words: &[&[u8]], rules: Rules<'_>) -> Result<User, Refused> {
        let merged = merge(words).map_err(|place| Refused::Unmatched(words[place].to_vec()))?;
        let mut user = self.clone();
        for rule in merged {
            if let Err(error) = user.apply(&rule, rules) {
                return Err(Refused::Rule(rule, error));
            }
        }
        Ok(user)
    }

    /// Applies one rule; those of a selector are one.
    ///
    /// # Errors
    /// It is none, or it does not fit what there is. Nothing has changed then.
    pub fn apply(&mut self, rule: &[u8], rules: Rules<'_>) -> Result<(), RuleError> {
        let word = as_c_string(rule);
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        match rule {
            // COMPAT: an empty rule changes nothing.
            [] => {}
            _ if is("on") => self.enabled = true,
            _ if is("off") => self.enabled = false,
            _ if is("nopass") => (self.needs_no_password, self.passwords) = (true, Vec::new()),
            _ if is("resetpass") => (self.needs_no_password, self.passwords) = (false, Vec::new()),
            _ if is("skip-sanitize-payload") => self.skips_sanitizing = true,
            _ if is("sanitize-payload") => self.skips_sanitizing = false,
            [b'>', password @ ..] => self.add_password(digest(password)),
            [b'#', digits @ ..] => self.add_password(parse_digest(digits)?),
            [b'<', password @ ..] => return self.remove_password(&digest(password)),
            [b'!', digits @ ..] => return self.remove_password(&parse_digest(digits)?),
            [b'(', inner @ .., b')'] => {
                let mut selector = Selector::new(rules.catalog, rules.all_channels);
                for rule in quote::split_args(inner).unwrap_or_default() {
                    selector.apply(&rule, rules.catalog)?;
                }
                self.selectors.push(selector);
            }
            _ if is("clearselectors") => self.selectors.truncate(1),
            _ if is("reset") => *self = User::new(&self.name, rules),
            _ => return self.selectors[0].apply(rule, rules.catalog),
        }
        Ok(())
    }

    /// Makes this the only password, or none needed if it is empty: what `requirepass` does to the default user.
    pub fn set_only_password(&mut self, password: &[u8]) {
        self.passwords.clear();
        self.needs_no_password = password.is_empty();
        if !password.is_empty() {
            self.passwords.push(digest(password));
        }
    }

    fn add_password(&mut self, password: PasswordDigest) {
        if !self.passwords.contains(&password) {
            self.passwords.push(password);
        }
        self.needs_no_password = false;
    }

    fn remove_password(&mut self, password: &PasswordDigest) -> Result<(), RuleError> {
        let place = self.passwords.iter().position(|known| known == password).ok_or(RuleError::NoSuchPassword)?;
        self.passwords.remove(place);
        Ok(())
    }

    /// True if the user may log in with this password.
    pub fn accepts(&self, password: &[u8]) -> bool {
        // Every password is looked at, and the digest is made even if it is not needed: the time tells nothing.
        let given = digest(password);
        let is_known = self.passwords.iter().fold(false, |found, known| found | same_digest(known, &given));
        self.enabled && (self.needs_no_password || is_known)
    }

    /// True if the user may log in at all.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// True if any password will do.
    pub fn needs_no_password(&self) -> bool {
        self.needs_no_password
    }

    /// True if connections are this user's, without a word, from the beginning: asked of the default user.
    pub fn is_open(&self) -> bool {
        self.enabled && self.needs_no_password
    }

    /// The digests of the passwords in hexadecimal digits.
    pub fn passwords(&self) -> impl ExactSizeIterator<Item = String> {
        self.passwords.iter().map(|digest| hex(digest))
    }

    /// The words for what is not a permission, in Redis's order.
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.enabled { "on" } else { "off" }];
        flags.extend(self.needs_no_password.then_some("nopass"));
        flags.push(if self.skips_sanitizing { "skip-sanitize-payload" } else { "sanitize-payload" });
        flags
    }

    /// The permissions, of which one is enough; the first is what rules outside of parentheses change.
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// All rules that make the user, a selector being one: what a file has behind the name.
    pub fn words(&self) -> Vec<Vec<u8>> {
        let mut words: Vec<Vec<u8>> = self.flags().into_iter().map(|flag| flag.as_bytes().to_vec()).collect();
        words.extend(self.passwords().map(|digest| format!("#{digest}").into_bytes()));
        words.extend(self.selectors[0].words());
        words.extend(self.selectors[1..].iter().map(Selector::in_parentheses));
        words
    }

    /// The line of a file that makes the user.
    pub fn line(&self) -> Vec<u8> {
        [b"user ", self.name(), b" ", &*self.words().join(&b' ')].concat()
    }

    /// The same for a configuration file, without the word `user`: there words may stand in quotes, so those with quotes do.
    pub fn config_line(&self) -> Vec<u8> {
        let words: Vec<Vec<u8>> = self.words().iter().map(|word| quoted_if_needed(word)).collect();
        [&*quoted_if_needed(self.name()), b" ", &*words.join(&b' ')].concat()
    }

    /// True if what a key holds may be read, by whichever command.
    pub fn may_read(&self, key: &[u8]) -> bool {
        self.selectors.iter().any(|selector| selector.may_read(key))
    }

    /// True if nothing needs to be checked for this user.
    pub fn is_unlimited(&self) -> bool {
        self.selectors.iter().any(Selector::is_unlimited)
    }

    /// True if the keys of a line are needed to check it.
    #[inline]
    pub fn looks_at_keys(&self) -> bool {
        self.selectors.iter().any(Selector::looks_at_keys)
    }

    /// True if a command is allowed whatever its line says but for one key, used in this way. Where it is not, the whole
    /// line may still be.
    #[inline]
    pub fn allows_on_key(&self, command: usize, key: &[u8], access: KeyAccess) -> bool {
        self.selectors.iter().any(|selector| selector.allows_on_key(command, key, access))
    }

    /// Whether the line is allowed; if not, what says most about why.
    #[inline]
    pub fn check(&self, asked: &Asked<'_>) -> Result<(), Denied> {
        let mut worst = Denied { reason: Reason::Command, place: 0 };
        for selector in &self.selectors {
            match selector.check(asked) {
                Ok(()) => return Ok(()),
                Err(denied) => worst = worst.max(denied),
            }
        }
        Err(worst)
    }

    /// True if a selector allows the line and, beyond it, to use every key in this way.
    pub fn check_with_all_keys(&self, asked: &Asked<'_>, access: KeyAccess) -> bool {
        self.selectors.iter().any(|selector| selector.check(asked).is_ok() && selector.allows_all_keys(access))
    }

    /// The channels that are allowed, if they are fewer than before; `None` if whoever was allowed to listen still is.
    pub fn channels_if_fewer<'a>(&'a self, before: &User) -> Option<Vec<Channel<'a>>> {
        if self.selectors.iter().any(Selector::allows_all_channels) {
            return None;
        }
        let left: Vec<Channel<'a>> = self.selectors.iter().flat_map(Selector::channels).collect();
        let is_left = |channel: Channel<'_>| left.iter().any(|known| known.text() == channel.text());
        let all_left = before.selectors.iter().all(|old| !old.allows_all_channels() && old.channels().all(is_left));
        (!all_left).then_some(left)
    }
}

/// True if one who may use these channels may listen to this one, or by this pattern.
pub fn may_listen(channels: &[Channel<'_>], name: &[u8], is_pattern: bool) -> bool {
    allows_channel(channels.iter().copied(), name, is_pattern)
}

fn digest(password: &[u8]) -> PasswordDigest {
    Sha256::digest(password).into()
}

/// Compares in a time that does not depend on where the two differ.
fn same_digest(left: &PasswordDigest, right: &PasswordDigest) -> bool {
    let difference = left.iter().zip(right).fold(0, |difference, (l, r)| {
        // The barrier keeps the compiler from leaving the loop at the first difference.
        std::hint::black_box(difference | (l ^ r))
    });
    difference == 0
}

fn parse_digest(digits: &[u8]) -> Result<PasswordDigest, RuleError> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(RuleError::BadDigest),
    };
    let mut digest = PasswordDigest::default();
    if digits.len() != 2 * digest.len() {
        return Err(RuleError::BadDigest);
    }
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Ok(digest)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
