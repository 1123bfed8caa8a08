//! `scripts/abuse.sh`'s attacks at their small size, so that the script and the server still fit together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::process::{binary, python};

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The first words of a text's lines, once each.
fn first_words(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn abuse_plays_every_line_and_the_server_passes_all() {
    let Some(mut command) = python("abuse_plays_every_line_and_the_server_passes_all") else { return };
    command.arg(scripts().join("abuse.py"));
    let list = Command::new(command.get_program()).args(command.get_args()).arg("--list").output().expect("it runs");
    let lines = first_words(&text(&list));
    assert!(lines.len() > 20, "{lines:?}");
    command.args(["--smoke", "--no-redis", "--server"]).arg(binary());
    let output = command.output().expect("it runs");
    let report = text(&output);
    assert!(lines.is_subset(&first_words(&report)), "{report}");
    assert_eq!(output.status.code(), Some(0), "{report}");
}

#[test]
fn abuse_sh_explains_itself_without_building_anything() {
    let script = scripts().join("abuse.sh");
    // The arguments that abuse.sh passes on are the ones that abuse.py explains.
    let output = Command::new(&script).arg("--help").env("CARGO", "false").output().expect("it runs");
    let help = text(&output);
    assert!(output.status.success() && help.starts_with("usage: abuse.sh"), "{help}");
    for option in ["--server", "--redis", "--no-redis", "--smoke", "--list"] {
        assert!(help.contains(option), "{option}: {help}");
    }
    let unknown =
        Command::new("python3").arg(scripts().join("abuse.py")).args(["--server", "x", "no-such-line"]).output();
    let unknown = unknown.expect("it runs");
    assert!(!unknown.status.success() && text(&unknown).contains("no such line: no-such-line"), "{}", text(&unknown));
}
