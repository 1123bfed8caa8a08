//! The argument notation of the command pages, read into the tree that `COMMAND DOCS` reports.
//!
//! Owns the notation and the names that the notation leaves unsaid. In it, a word without a lower-case letter is a literal
//! token and any other word is the name of an argument; `[x]` may be left out, `<a | b>` is a choice that must be made,
//! `[a | b]` one that may be, and `x [x ...]` repeats what stands before it. A token takes the names that follow it:
//! `LIMIT offset count` is one argument with two parts.
//!
//! ```text
//! key value [NX | XX] [EX seconds | KEEPTTL]
//!   key         key
//!   value       string
//!   condition   oneof, optional      nx (token NX), xx (token XX)
//!   expiration  oneof, optional      seconds (token EX), keepttl (token KEEPTTL)
//! ```
//!
//! Invariants of a parsed tree: `children` is empty exactly for the kinds other than [`ArgKind::OneOf`] and
//! [`ArgKind::Block`]; a pure token always has its `token`; `multiple_token` implies `multiple` and a `token`.
//!
//! Names of choices and blocks, and the types of a few arguments whose name is used in two ways, cannot be read off the
//! notation; the tables of `names` hold them, and [`parse_command`] applies those that depend on the command.
//!
//! Called by `COMMAND DOCS` and by the generator of the differential test. Knows nothing of handlers, key positions or
//! replies, and does not judge whether a given command line fits the tree.

mod names;

use std::fmt;

/// How deep brackets may nest. The deepest row of Redis nests four; the limit keeps the recursion small.
const DEPTH_MAX: usize = 16;

/// What an argument is, as `COMMAND DOCS` calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArgKind {
    /// The name of a key.
    Key,
    /// Any bytes.
    String,
    /// A whole number.
    Integer,
    /// A floating-point number.
    Double,
    /// A glob pattern.
    Pattern,
    /// A point in time, in seconds or milliseconds as the name says.
    UnixTime,
    /// A literal word without a value.
    PureToken,
    /// Exactly one of the children.
    OneOf,
    /// All of the children, in order.
    Block,
}

impl ArgKind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ArgKind::Key => "key",
            ArgKind::String => "string",
            ArgKind::Integer => "integer",
            ArgKind::Double => "double",
            ArgKind::Pattern => "pattern",
            ArgKind::UnixTime => "unix-time",
            ArgKind::PureToken => "pure-token",
            ArgKind::OneOf => "oneof",
            ArgKind::Block => "block",
        }
    }

    /// Whether an argument of this kind consists of its children.
    pub fn has_children(self) -> bool {
        matches!(self, ArgKind::OneOf | ArgKind::Block)
    }
}

/// One argument of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    /// Its name, unique enough to speak of it.
    pub name: String,
    /// What to show a reader in its place; none for choices and blocks, which show their children.
    pub display_text: Option<String>,
    /// What it is.
    pub kind: ArgKind,
    /// The literal word before it, or the word itself for a pure token.
    pub token: Option<String>,
    /// It may be left out.
    pub optional: bool,
    /// It may be given several times in a row.
    pub multiple: bool,
    /// When it is given several times, its token is repeated too.
    pub multiple_token: bool,
    /// The alternatives of a choice, or the parts of a block.
    pub children: Vec<Arg>,
}

/// Why a syntax string was refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Byte offset in the string.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)
    }
}

impl std::error::Error for SyntaxError {}

/// Reads the arguments of a command from its syntax, the command's own name left out. An empty string has no arguments.
///
/// Costs time quadratic in the nesting, linear in everything else; meant for tables, not for a request.
///
/// # Errors
///
/// Unbalanced brackets, an empty alternative, a `...` that follows nothing, parentheses, or nesting beyond 16.
///
/// ```
/// use aleadb::command::spec::syntax::{ArgKind, parse};
/// let args = parse("key seconds [NX | XX | GT | LT]").unwrap();
/// assert_eq!(args[1].kind, ArgKind::Integer);
/// assert_eq!(args[2].name, "condition");
/// assert!(args[2].optional);
/// ```
pub fn parse(syntax: &str) -> Result<Vec<Arg>, SyntaxError> {
    let lexemes = lex(syntax)?;
    if lexemes.is_empty() {
        return Ok(Vec::new());
    }
    let end = syntax.len();
    if has_bar(&lexemes) {
        return Ok(vec![group(&lexemes, end, 0)?]);
    }
    let mut args = sequence(&lexemes, end, 0)?;
    names::tell_ends_apart(&mut args);
    Ok(args)
}

/// Like [`parse`], with the types and names that only the command tells: `start` is an index in `GETRANGE` and an entry's
/// name in `XRANGE`. `command` is the full name as `COMMAND DOCS` writes it, any case, with `|` before a subcommand.
///
/// # Errors
///
/// Those of [`parse`].
pub fn parse_command(command: &str, syntax: &str) -> Result<Vec<Arg>, SyntaxError> {
    let mut args = parse(syntax)?;
    names::correct_for(command, &mut args);
    Ok(args)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark<'a> {
    OpenSquare,
    CloseSquare,
    OpenAngle,
    CloseAngle,
    Bar,
    Dots,
    Word(&'a str),
}

#[derive(Clone, Copy)]
struct Lexeme<'a> {
    mark: Mark<'a>,
    offset: usize,
}

fn lex(syntax: &str) -> Result<Vec<Lexeme<'_>>, SyntaxError> {
    let mut lexemes = Vec::new();
    let mut word_start = None;
    for (offset, c) in syntax.char_indices().chain([(syntax.len(), ' ')]) {
        let mark = match c {
            '[' => Some(Mark::OpenSquare),
            ']' => Some(Mark::CloseSquare),
            '<' => Some(Mark::OpenAngle),
            '>' => Some(Mark::CloseAngle),
            '|' => Some(Mark::Bar),
            '(' | ')' => return Err(SyntaxError { offset, what: "parentheses have no meaning" }),
            _ => None,
        };
        if mark.is_none() && !c.is_whitespace() {
            word_start.get_or_insert(offset);
            continue;
        }
        if let Some(start) = word_start.take() {
            let word = &syntax[start..offset];
            let mark = if word == "..." { Mark::Dots } else { Mark::Word(word) };
            lexemes.push(Lexeme { mark, offset: start });
        }
        if let Some(mark) = mark {
            lexemes.push(Lexeme { mark, offset });
        }
    }
    Ok(lexemes)
}

/// The index of the bracket that closes the one at `open`.
fn closing(lexemes: &[Lexeme<'_>], open: usize) -> Result<usize, SyntaxError> {
    let mut awaited = Vec::new();
    for (index, lexeme) in lexemes.iter().enumerate().skip(open) {
        match lexeme.mark {
            Mark::OpenSquare => awaited.push(Mark::CloseSquare),
            Mark::OpenAngle => awaited.push(Mark::CloseAngle),
            Mark::CloseSquare | Mark::CloseAngle => {
                if awaited.pop() != Some(lexeme.mark) {
                    return Err(SyntaxError { offset: lexeme.offset, what: "closing bracket of the wrong kind" });
                }
                if awaited.is_empty() {
                    return Ok(index);
                }
            }
            Mark::Bar | Mark::Dots | Mark::Word(_) => {}
        }
    }
    Err(SyntaxError { offset: lexemes[open].offset, what: "bracket never closed" })
}

/// Splits at the bars that stand outside all brackets.
fn alternatives<'l, 'a>(lexemes: &'l [Lexeme<'a>]) -> Vec<&'l [Lexeme<'a>]> {
    let mut depth = 0usize;
    lexemes
        .split(|lexeme| {
            match lexeme.mark {
                Mark::OpenSquare | Mark::OpenAngle => depth += 1,
                Mark::CloseSquare | Mark::CloseAngle => depth = depth.saturating_sub(1),
                Mark::Bar | Mark::Dots | Mark::Word(_) => {}
            }
            depth == 0 && lexeme.mark == Mark::Bar
        })
        .collect()
}

fn has_bar(lexemes: &[Lexeme<'_>]) -> bool {
    alternatives(lexemes).len() > 1
}

fn same_text(left: &[Lexeme<'_>], right: &[Lexeme<'_>]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(l, r)| l.mark == r.mark)
}

/// If `lexemes` is a choice that ends in a repetition of itself, `a | b [a | b ...]` or `a | b ...`, what is repeated.
fn repeated_choice<'l, 'a>(lexemes: &'l [Lexeme<'a>]) -> Option<&'l [Lexeme<'a>]> {
    if let [choice @ .., last] = lexemes
        && last.mark == Mark::Dots
        && has_bar(choice)
    {
        return Some(choice);
    }
    // `a | b` of n lexemes, then `[`, the same n, `...` and `]`.
    let count = lexemes.len().checked_sub(3)? / 2;
    let (choice, rest) = lexemes.split_at(count);
    let [open, again @ .., dots, close] = rest else { return None };
    let framed = open.mark == Mark::OpenSquare && dots.mark == Mark::Dots && close.mark == Mark::CloseSquare;
    (framed && has_bar(choice) && same_text(choice, again)).then_some(choice)
}

/// What stands between two brackets, as one argument.
fn group(lexemes: &[Lexeme<'_>], end: usize, depth: usize) -> Result<Arg, SyntaxError> {
    let at = lexemes.first().map_or(end, |lexeme| lexeme.offset);
    if depth > DEPTH_MAX {
        return Err(SyntaxError { offset: at, what: "brackets nested too deeply" });
    }
    if let Some(choice) = repeated_choice(lexemes) {
        let mut arg = group(choice, end, depth + 1)?;
        arg.multiple = true;
        return Ok(arg);
    }
    let mut children = Vec::new();
    for alternative in alternatives(lexemes) {
        let mut args = sequence(alternative, end, depth)?;
        names::tell_ends_apart(&mut args);
        children.push(joined(args).ok_or(SyntaxError { offset: at, what: "nothing between brackets or bars" })?);
    }
    if children.len() == 1 {
        return Ok(children.swap_remove(0));
    }
    let mut choice = composite(ArgKind::OneOf, children);
    choice.name = names::name_of_choice(&choice);
    Ok(choice)
}

/// A piece of a sequence: an argument, and where in the sequence's lexemes it began.
struct Piece {
    arg: Arg,
    start: usize,
    /// A literal token outside brackets, which may take the names that follow it.
    takes_names: bool,
    /// A name, or a repetition of names, which a token before it may take.
    may_be_taken: bool,
}

/// What stands between two bars, or all of a syntax.
fn sequence(lexemes: &[Lexeme<'_>], end: usize, depth: usize) -> Result<Vec<Arg>, SyntaxError> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut index = 0;
    while let Some(lexeme) = lexemes.get(index) {
        let start = index;
        index += 1;
        let fail = |what| Err(SyntaxError { offset: lexeme.offset, what });
        match lexeme.mark {
            Mark::Word(word) => {
                let arg = leaf(word);
                let is_token = arg.kind == ArgKind::PureToken;
                pieces.push(Piece { arg, start, takes_names: is_token, may_be_taken: !is_token });
            }
            Mark::OpenAngle => {
                let close = closing(lexemes, start)?;
                let arg = group(&lexemes[start + 1..close], lexemes[close].offset, depth + 1)?;
                pieces.push(Piece { arg, start, takes_names: false, may_be_taken: false });
                index = close + 1;
            }
            Mark::OpenSquare => {
                let close = closing(lexemes, start)?;
                optional(&mut pieces, lexemes, start..close, depth)?;
                index = close + 1;
            }
            Mark::Dots => return fail("repetition of nothing"),
            Mark::Bar => return fail("bar outside a choice"),
            Mark::CloseSquare | Mark::CloseAngle => return fail("closing bracket that nothing opened"),
        }
    }
    if pieces.is_empty() {
        return Err(SyntaxError { offset: end, what: "nothing between brackets or bars" });
    }
    Ok(bind_tokens(pieces))
}

/// Reads `[...]`, whose brackets stand at the ends of `span`: a repetition of what stands before it, or an optional argument.
fn optional(
    pieces: &mut Vec<Piece>,
    lexemes: &[Lexeme<'_>],
    span: std::ops::Range<usize>,
    depth: usize,
) -> Result<(), SyntaxError> {
    let inner = &lexemes[span.start + 1..span.end];
    let end = lexemes[span.end].offset;
    let mut body = inner;
    if let [again @ .., last] = inner
        && last.mark == Mark::Dots
        && !has_bar(again)
    {
        body = again;
        let start = span.start.checked_sub(again.len()).filter(|&s| same_text(&lexemes[s..span.start], again));
        if let Some(from) = start.and_then(|start| pieces.iter().position(|piece| piece.start == start)) {
            let repeated = pieces.split_off(from);
            let start = repeated[0].start;
            let may_be_taken = !repeated[0].takes_names;
            let arg = repeat(bind_tokens(repeated));
            pieces.push(Piece { arg, start, takes_names: false, may_be_taken });
            return Ok(());
        }
    }
    let mut arg = group(body, end, depth + 1)?;
    arg.optional = true;
    arg.multiple |= body.len() < inner.len();
    pieces.push(Piece { arg, start: span.start, takes_names: false, may_be_taken: false });
    Ok(())
}

/// Gives each token outside brackets the names, or the one choice, that follow it.
fn bind_tokens(pieces: Vec<Piece>) -> Vec<Arg> {
    let mut args = Vec::new();
    let mut pieces = pieces.into_iter().peekable();
    while let Some(piece) = pieces.next() {
        if !piece.takes_names {
            args.push(piece.arg);
            continue;
        }
        let mut taken = Vec::new();
        while let Some(next) = pieces.next_if(|next| next.may_be_taken) {
            taken.push(next.arg);
        }
        if taken.is_empty()
            && let Some(choice) = pieces.next_if(|next| next.arg.kind == ArgKind::OneOf && !next.arg.optional)
        {
            taken.push(choice.arg);
        }
        args.push(with_token(piece.arg, taken));
    }
    args
}

fn with_token(token: Arg, mut taken: Vec<Arg>) -> Arg {
    if taken.is_empty() {
        return token;
    }
    let mut arg = match taken.len() {
        1 => taken.swap_remove(0),
        _ => composite(ArgKind::Block, taken),
    };
    arg.token = token.token;
    match arg.kind {
        ArgKind::Block => arg.name = names::name_of_block(&arg),
        ArgKind::OneOf => arg.name = names::name_of_choice(&arg),
        _ => names::rename_after_token(&mut arg),
    }
    arg
}

/// Several arguments in a row as one, or none if there is none.
fn joined(mut args: Vec<Arg>) -> Option<Arg> {
    if args.len() <= 1 {
        return args.pop();
    }
    // `TO host port [FORCE]`: what follows a token's parts belongs to that token as well.
    let leads = args[0].kind == ArgKind::Block && args[0].token.is_some() && !args[0].multiple;
    let mut block = if leads {
        let rest = args.split_off(1);
        let mut block = args.swap_remove(0);
        block.children.extend(rest);
        block
    } else {
        composite(ArgKind::Block, args)
    };
    if block.token.as_deref() == Some("BYBOX") {
        block.children[0].token = block.token.take();
    }
    if block.children[0].token.as_deref() == Some("ORDERBY") {
        block.token = block.children[0].token.take();
    }
    block.name = names::name_of_block(&block);
    Some(block)
}

fn repeat(args: Vec<Arg>) -> Arg {
    let mut arg = match args.len() {
        1 => args.into_iter().next().expect("the length was just checked"),
        _ => {
            let mut block = composite(ArgKind::Block, args);
            block.multiple = true;
            block.name = names::name_of_block(&block);
            block
        }
    };
    arg.multiple = true;
    arg.multiple_token = arg.token.is_some();
    arg
}

fn composite(kind: ArgKind, children: Vec<Arg>) -> Arg {
    Arg {
        name: String::new(),
        display_text: None,
        kind,
        token: None,
        optional: false,
        multiple: false,
        multiple_token: false,
        children,
    }
}

fn leaf(word: &str) -> Arg {
    let mut arg = composite(ArgKind::PureToken, Vec::new());
    if word.bytes().any(|byte| byte.is_ascii_lowercase()) {
        arg.name = names::name_of_arg(word).to_owned();
        arg.kind = names::kind_of_name(word);
        arg.display_text = Some(word.to_owned());
        return arg;
    }
    arg.name = names::name_of_token(word);
    arg.display_text = Some(arg.name.clone());
    // A pair of quotes is how the notation writes the empty word.
    arg.token = Some(if word == "\"\"" { String::new() } else { word.to_owned() });
    arg
}

#[cfg(test)]
mod tests;
