//! What ARGREP looks for in elements.
//!
//! Letters are those of ASCII where their case does not count, and texts are bytes. Regular expressions are those of the `regex` crate over
//! bytes: they look anywhere in the text, take no longer than its length times theirs, and know no references back.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

use super::walk::{Found, Visit, parse_limit};
use crate::base::glob::Pattern;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;

/// Predicates of a line at most.
const PREDICATES_MAX: usize = 250;
/// Bytes of a regular expression at most.
const EXPRESSION_BYTES_MAX: usize = 2048;
/// Bytes that the regular expressions of a line take when they have been compiled, at most: some milliseconds of work. Each may take
/// an equal part of them.
const COMPILED_BYTES_MAX: usize = 1 << 20;
/// What each may take where there are very many.
const COMPILED_PART_MIN: usize = 1 << 14;

/// Elements that are only answered which take as long as an expression is tried.
const EXPRESSION_COST: usize = 4;
/// An element of so many bytes is large: the predicates are tried on it one by one, in several slices if need be.
const LARGE_BYTES: usize = 1 << 16;

/// What an element is compared with.
enum Predicate {
    /// It is this text.
    Exact(Box<[u8]>),
    /// This text is in it, which is in small letters if their case does not count.
    Within(Box<[u8]>),
    Glob(Box<Pattern>),
    Expression(Box<Regex>),
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Predicate::Exact(_) => "Exact",
            Predicate::Within(_) => "Within",
            Predicate::Glob(_) => "Glob",
            Predicate::Expression(_) => "Expression",
        })
    }
}

impl Predicate {
    fn holds(&self, text: &[u8], ignores_case: bool) -> bool {
        match self {
            Predicate::Exact(wanted) if ignores_case => text.eq_ignore_ascii_case(wanted),
            Predicate::Exact(wanted) => *text == **wanted,
            // Both in small letters: searched in a time that grows with their lengths, and not with one times the other.
            Predicate::Within(part) if ignores_case => memchr::memmem::find(&text.to_ascii_lowercase(), part).is_some(),
            Predicate::Within(part) => memchr::memmem::find(text, part).is_some(),
            Predicate::Glob(pattern) => pattern.matches(text),
            Predicate::Expression(expression) => expression.is_match(text),
        }
    }
}

/// A search.
#[derive(Debug)]
pub(super) struct Grep {
    predicates: Vec<Predicate>,
    /// All of them have to hold, and not any.
    needs_all: bool,
    ignores_case: bool,
    found: Found,
    /// Of a large element that is being looked at: how many predicates have been tried, none of which has decided.
    tried: usize,
    /// Whether what is sought is in the large element that has been looked at.
    verdict: Option<bool>,
}

/// A predicate's word.
#[derive(Clone, Copy)]
enum Word {
    Exact,
    Match,
    Glob,
    Re,
}

impl Word {
    fn at(args: Args<'_>, index: usize) -> Option<Word> {
        let names = [("EXACT", Word::Exact), ("MATCH", Word::Match), ("GLOB", Word::Glob), ("RE", Word::Re)];
        names.into_iter().find(|(name, _)| args.is(index, name)).map(|(_, word)| word)
    }

    fn predicate(self, text: &[u8], ignores_case: bool, bytes_max: usize) -> Result<Predicate, ReplyError> {
        Ok(match self {
            Word::Exact => Predicate::Exact(text.into()),
            Word::Match if ignores_case => Predicate::Within(text.to_ascii_lowercase().into()),
            Word::Match => Predicate::Within(text.into()),
            Word::Glob => Predicate::Glob(Box::new(Pattern::new(text, ignores_case))),
            Word::Re => Predicate::Expression(Box::new(compile(text, ignores_case, bytes_max)?)),
        })
    }
}

fn compile(text: &[u8], ignores_case: bool, bytes_max: usize) -> Result<Regex, ReplyError> {
    if text.is_empty() {
        return Err(ReplyError::new("ERR regular expression is empty"));
    }
    let invalid = |why: &str| ReplyError::about("ERR invalid regular expression: ", why.as_bytes(), "");
    let text = std::str::from_utf8(text).map_err(|_| invalid("it is not UTF-8"))?;
    let mut builder = RegexBuilder::new(text);
    builder.unicode(false).case_insensitive(ignores_case).size_limit(bytes_max).dfa_size_limit(COMPILED_BYTES_MAX);
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => invalid("it is too large"),
        // What is wrong with it is told in the last line, below a drawing.
        error => invalid(error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ")),
    })
}

impl Grep {
    /// Reads the predicates and the options, which may stand in any order. The second number is how many are answered at most.
    pub fn parse(args: Args<'_>) -> Result<(Grep, usize), ReplyError> {
        let (mut words, mut needs_all, mut ignores_case) = (Vec::new(), false, false);
        let (mut limit, mut has_texts, mut i) = (usize::MAX, false, 4);
        while i < args.len() {
            if let Some(word) = Word::at(args, i) {
                let text = args.get(i + 1).ok_or(ReplyError::SYNTAX)?;
                if words.len() == PREDICATES_MAX {
                    return Err(ReplyError::new("ERR too many predicates, maximum is 250"));
                }
                if matches!(word, Word::Re) && text.len() > EXPRESSION_BYTES_MAX {
                    return Err(ReplyError::new("ERR regular expression is too long, maximum is 2048 bytes"));
                }
                words.push((word, text));
                i += 1;
            } else if args.is(i, "LIMIT") {
                limit = parse_limit(args.get(i + 1).ok_or(ReplyError::SYNTAX)?)?;
                i += 1;
            } else {
                match () {
                    () if args.is(i, "WITHVALUES") => has_texts = true,
                    () if args.is(i, "NOCASE") => ignores_case = true,
                    () if args.is(i, "AND") => needs_all = true,
                    () if args.is(i, "OR") => needs_all = false,
                    () => return Err(ReplyError::SYNTAX),
                }
            }
            i += 1;
        }
        if words.is_empty() {
            return Err(ReplyError::SYNTAX);
        }
        let expressions = words.iter().filter(|(word, _)| matches!(word, Word::Re)).count();
        let bytes_max = (COMPILED_BYTES_MAX / expressions.max(1)).max(COMPILED_PART_MIN);
        let predicates = words.into_iter().map(|(word, text)| word.predicate(text, ignores_case, bytes_max));
        let predicates = predicates.collect::<Result<_, _>>()?;
        Ok((
            Grep { predicates, needs_all, ignores_case, found: Found::new(0, has_texts), tried: 0, verdict: None },
            limit,
        ))
    }

    /// The same with an end.
    pub fn up_to(self, limit: usize) -> Grep {
        Grep { found: self.found.up_to(limit), ..self }
    }

    fn holds(&self, text: &[u8]) -> bool {
        let mut each = self.predicates.iter().map(|predicate| predicate.holds(text, self.ignores_case));
        if self.needs_all { each.all(|holds| holds) } else { each.any(|holds| holds) }
    }
}

impl Visit for Grep {
    fn cost(&self, bytes: usize) -> (usize, usize) {
        (EXPRESSION_COST * self.predicates.len(), bytes * self.predicates.len())
    }

    fn look(&mut self, text: &[u8], go_on: &mut dyn FnMut((usize, usize)) -> bool) -> bool {
        if text.len() < LARGE_BYTES || self.predicates.len() == 1 {
            return true;
        }
        while let Some(predicate) = self.predicates.get(self.tried) {
            if predicate.holds(text, self.ignores_case) != self.needs_all {
                break;
            }
            self.tried += 1;
            if !go_on((EXPRESSION_COST, text.len())) && self.tried < self.predicates.len() {
                return false;
            }
        }
        let is_decided = std::mem::take(&mut self.tried) < self.predicates.len();
        self.verdict = Some(is_decided != self.needs_all);
        true
    }

    fn see(&mut self, index: u64, text: &[u8], reply: &mut Reply<'_>) -> bool {
        let holds = self.verdict.take().unwrap_or_else(|| self.holds(text));
        !holds || self.found.write(index, text, reply)
    }

    fn end(&mut self, reply: &mut Reply<'_>) {
        self.found.end(reply);
    }
}
