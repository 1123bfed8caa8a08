//! Replays what the fuzzers started from and what they found, through the very functions they run.
//!
//! A crash that a fuzzer finds goes into the target's corpus as a small file whose name says what was wrong.

#[path = "fuzz/bodies.rs"]
mod bodies;

use std::fs;
use std::path::Path;

/// Fewer files than this mean that the corpus was not found.
const FILES_MIN: usize = 12;

fn replay(target: &str, body: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&dir).expect("the corpus is there") {
        let path = entry.expect("the corpus can be read").path();
        let data = fs::read(&path).expect("the corpus can be read");
        let outcome = std::panic::catch_unwind(|| body(&data));
        assert!(outcome.is_ok(), "{} fails", path.display());
        // Every beginning of a seed is an input too: requests break off anywhere.
        (0..data.len()).for_each(|end| body(&data[..end]));
        count += 1;
    }
    assert!(count >= FILES_MIN, "{count} files in {}", dir.display());
}

#[test]
fn parser_corpus() {
    replay("parser", bodies::parser);
}

#[test]
fn http_corpus() {
    replay("http", bodies::http);
}

#[test]
fn inline_corpus() {
    replay("inline", bodies::inline);
}

#[test]
fn config_corpus() {
    replay("config", bodies::config);
}

#[test]
fn acl_corpus() {
    replay("acl", bodies::acl);
}

#[test]
fn restore_corpus() {
    replay("restore", bodies::restore);
}

#[test]
fn rdb_corpus() {
    replay("rdb", bodies::rdb);
}

#[test]
fn aof_corpus() {
    replay("aof", bodies::aof);
}

#[test]
fn manifest_corpus() {
    replay("manifest", bodies::manifest);
}

#[test]
fn glob_corpus() {
    replay("glob", bodies::glob);
}

#[test]
fn commands_corpus() {
    replay("commands", bodies::commands);
}

#[test]
fn cjson_corpus() {
    replay("cjson", bodies::cjson);
}

#[test]
fn cmsgpack_corpus() {
    replay("cmsgpack", bodies::cmsgpack);
}

#[test]
fn struct_corpus() {
    replay("struct", bodies::structs);
}

#[test]
fn bit_corpus() {
    replay("bit", bodies::bit);
}

/// `scripts/fuzz.sh` builds with `--locked`, and nothing else ever does.
#[test]
fn the_fuzzers_lock_file_knows_every_dependency() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let locked = |path: &str| {
        let text = read(path);
        let package = text.split("\n\n").find(|package| package.contains("name = \"aleadb\""));
        let names = package.expect("the package itself").lines().filter_map(|line| line.strip_prefix(" \""));
        names.map(|name| name.trim_end_matches(['"', ',']).to_owned()).collect::<Vec<_>>()
    };
    let (ours, fuzzers) = (locked("Cargo.lock"), locked("tests/fuzz/Cargo.lock"));
    let manifest = read("Cargo.toml");
    let section = manifest.split("\n[").find_map(|section| section.strip_prefix("dependencies]\n"));
    let wanted: Vec<&str> = section
        .expect("there are dependencies")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once(" = ")?.0))
        .collect();
    assert!(wanted.len() > 5, "{wanted:?}");
    for name in wanted {
        assert!(ours.iter().any(|known| known == name), "{name} is in no lock file");
        assert!(fuzzers.iter().any(|known| known == name), "run `cargo +nightly update -w` in tests/fuzz: no {name}");
    }
}

#[test]
fn script_corpus() {
    replay("script", bodies::script);
}
