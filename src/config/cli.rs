//! The command line: `aleadb [FILE] [--directive value ...] [-]`, with redis-server's rules, or `aleadb --check FILE`.
//!
//! Turns arguments into an [`Invocation`]. What a file says comes first, then standard input, then options, each
//! overriding what came before. Called once by `main`, which prints [`HELP`], [`version`] or the error; nothing is
//! printed here.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::file::{Files, LoadError, Loader, RealFiles, Sources};
use super::params::{Config, Param};

/// What the user asked for.
#[derive(Debug, PartialEq)]
pub enum Invocation {
    /// Start the server.
    Run {
        /// The settings in force. `dir` is absolute; the caller enters it before opening any relative path.
        config: Box<Config>,
        /// The absolute path of the configuration file, which CONFIG REWRITE writes; `None` if there is none.
        config_file: Option<PathBuf>,
        /// Where each setting was written.
        sources: Sources,
    },
    /// Look through this file or directory, say what is in it, and exit: with 0 if it could be loaded.
    Check(PathBuf),
    /// Write a new directory from what is good of another, say what that was, and exit.
    Recover {
        /// The directory that is read.
        dir: PathBuf,
        /// The one that is written.
        into: PathBuf,
    },
    /// Print [`version`] and exit.
    Version,
    /// Print [`HELP`] and exit.
    Help,
}

/// What `--help` prints.
pub const HELP: &str = "\
Usage: aleadb [/path/to/aleadb.conf] [options] [-]
       aleadb - (read config from stdin)
       aleadb -v or --version
       aleadb -h or --help
       aleadb --check /path/to/dump.rdb (say what is in a file or directory and whether it could be loaded)
       aleadb --recover /path/to/dir [--into /path/to/new] (write a new directory from what is good of a damaged one)

Every directive of the configuration file is an option too: --directive value ...
Options override the file. The syntax is that of redis.conf.

Examples:
       aleadb (run the server with default conf)
       echo 'maxmemory 128mb' | aleadb -
       aleadb /etc/aleadb/aleadb.conf
       aleadb --port 7777
       aleadb --bind 127.0.0.1 ::1 --requirepass secret
       aleadb /etc/aleadb/aleadb.conf --loglevel verbose -
       aleadb /etc/aleadb/aleadb.conf --loglevel verbose
";

/// What `--version` prints.
pub fn version() -> String {
    format!("AleaDB server v={} malloc=jemalloc bits={}", env!("CARGO_PKG_VERSION"), usize::BITS)
}

/// Reads this process's arguments, and the files and standard input they name.
pub fn from_environment() -> Result<Invocation, LoadError> {
    let working_dir = env::current_dir();
    let working_dir =
        working_dir.map_err(|error| LoadError::new(format!("can't tell the working directory: {error}")))?;
    read(env::args_os().skip(1), working_dir, &RealFiles)
}

/// Reads arguments (without the program's name) as if in the absolute directory `working_dir`.
pub fn read(
    args: impl IntoIterator<Item = OsString>,
    working_dir: PathBuf,
    files: &dyn Files,
) -> Result<Invocation, LoadError> {
    let args: Vec<Vec<u8>> = args.into_iter().map(OsString::into_vec).collect();
    match args.first().map(Vec::as_slice) {
        Some(b"-v" | b"--version") => return Ok(Invocation::Version),
        Some(b"-h" | b"--help") => return Ok(Invocation::Help),
        Some(b"--check") => {
            let [_, path] = args.as_slice() else {
                return Err(LoadError::new("--check takes one file or directory and nothing else"));
            };
            return Ok(Invocation::Check(to_path(path)));
        }
        Some(b"--recover") => return recovery(&args),
        _ => {}
    }
    let words = Words::split(&args)?;
    let config_file = words.file.map(|path| working_dir.join(Path::new(&OsString::from_vec(path.to_vec()))));
    let mut loader = Loader::new(files, working_dir);
    if let Some(path) = &config_file {
        loader.file(path)?;
    }
    if words.standard_input {
        loader.standard_input()?;
    }
    for (index, option) in words.options.iter().enumerate() {
        loader.option(index + 1, option)?;
    }
    let (config, sources) = loader.finish();
    Ok(Invocation::Run { config: Box::new(config), config_file, sources })
}

/// The new directory is beside the old one unless it is named.
fn recovery(args: &[Vec<u8>]) -> Result<Invocation, LoadError> {
    let (dir, into) = match args {
        [_, dir] => {
            let name = dir.strip_suffix(b"/").unwrap_or(dir);
            (dir, [name, b".recovered"].concat())
        }
        [_, dir, word, into] if word == b"--into" => (dir, into.clone()),
        _ => return Err(LoadError::new("--recover takes one directory, and with --into another")),
    };
    Ok(Invocation::Recover { dir: to_path(dir), into: to_path(&into) })
}

fn to_path(word: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(word.to_vec()))
}

/// The arguments by their role.
struct Words<'a> {
    file: Option<&'a [u8]>,
    standard_input: bool,
    /// Each a name without dashes and its values.
    options: Vec<Vec<Vec<u8>>>,
}

impl<'a> Words<'a> {
    fn split(args: &'a [Vec<u8>]) -> Result<Self, LoadError> {
        let mut words = Words { file: None, standard_input: false, options: Vec::new() };
        let mut rest = args;
        if let [first, tail @ ..] = rest
            && !first.starts_with(b"--")
        {
            match first.as_slice() {
                b"-" => words.standard_input = true,
                [b'-', ..] => return Err(unexpected(first)),
                path => words.file = Some(path),
            }
            rest = tail;
        }
        if let [head @ .., last] = rest
            && last == b"-"
        {
            words.standard_input = true;
            rest = head;
        }
        words.options = options(rest)?;
        Ok(words)
    }
}

fn unexpected(word: &[u8]) -> LoadError {
    let word = String::from_utf8_lossy(word);
    LoadError::new(format!("Unexpected argument '{word}': options start with two dashes, see aleadb --help"))
}

/// Groups `--name value ...`.
///
/// COMPAT: as in redis-server, the word after a name is its value even if it starts with two dashes (a password may),
/// except after `--save`, which may stand alone; and a name and its values may come as one word (`'--port 7380'`).
fn options(words: &[Vec<u8>]) -> Result<Vec<Vec<Vec<u8>>>, LoadError> {
    let mut options: Vec<Vec<Vec<u8>>> = Vec::new();
    for word in words {
        let expects_value =
            options.last().is_some_and(|option| option.len() == 1 && !option[0].eq_ignore_ascii_case(b"save"));
        match (word.strip_prefix(b"--"), options.last_mut()) {
            (Some(name), _) if !expects_value => {
                let split = crate::base::quote::split_args(name);
                let split = split.ok_or_else(|| LoadError::new("Unbalanced quotes in a command-line option"))?;
                // A lone `--` names nothing and is skipped.
                options.extend((!split.is_empty()).then_some(split));
            }
            (_, Some(option)) => option.push(word.clone()),
            (_, None) => return Err(unexpected(word)),
        }
    }
    options.iter_mut().for_each(split_single_value);
    Ok(options)
}

/// COMPAT: a directive that takes several words also takes them as one word of the shell, `--bind '127.0.0.1 ::1'`.
fn split_single_value(option: &mut Vec<Vec<u8>>) {
    let [name, value] = option.as_slice() else { return };
    if Param::find(name).is_some_and(|param| param.many) && !value.is_empty() {
        let words: Vec<Vec<u8>> = value.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect();
        option.splice(1.., words);
    }
}
