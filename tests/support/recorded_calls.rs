//! Calls of the libraries that scripts have, with the results that a Redis gave.
#![allow(dead_code, reason = "each test binary that includes this file uses its own part of it")]

use std::path::PathBuf;

/// What shows the results of a call as text.
const SHOW: &str = include_str!("../differential/script_libraries.lua");

/// A call and its results.
pub struct Recorded {
    /// A chunk or an expression.
    pub call: String,
    /// What the script made of it answers, without line ends.
    pub results: String,
}

/// The file that holds them.
pub fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/differential/script_libraries.txt")
}

/// All of them, in the order in which they have to be run: some change settings for those after them.
pub fn all() -> Vec<Recorded> {
    let text = std::fs::read_to_string(path()).expect("the file is there");
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let recorded = lines.chunks(2).map(|pair| match pair {
        [call, results] => Recorded {
            call: call.strip_prefix("> ").expect("a call").to_owned(),
            results: results.strip_prefix("= ").expect("its results").to_owned(),
        },
        _ => panic!("a call without results: {pair:?}"),
    });
    recorded.collect()
}

/// A script on one line that makes a call, and answers its results as text.
pub fn script(call: &str) -> String {
    let is_chunk = call.contains("return ")
        || call.starts_with("local ")
        || call.split('(').next().is_some_and(|start| start.contains(" = "));
    let begin = if is_chunk { "" } else { "return " };
    format!("{} local function case() {begin}{call} end return show(pcall(case))", SHOW.trim_end().replace('\n', " "))
}
