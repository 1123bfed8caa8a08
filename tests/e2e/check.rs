//! The program that looks through files instead of serving.

use std::process::Command;

fn check(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_aleadb")).args(args).output().expect("the program runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_exit_status_says_whether_a_dump_file_is_good() {
    let good = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/rdb/valkey_9_1");
    let (status, text) = check(&["--check", good]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("dump file of version 80") && text.ends_with(": good\n"), "{text}");
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let (status, text) = check(&["--check", other]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("BAD, at byte 0: '[package]' is not how a dump file begins"), "{text}");
    assert_eq!(check(&["--check", "no such file"]).0, Some(1));
    let (status, text) = check(&["--check"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.ends_with("--check takes one file or directory and nothing else\n"), "{text}");
}
