//! README.md agrees with the tree: the table of commands that the program itself would print, the files it names, the
//! compiler it asks for.

use std::path::Path;

use aleadb::command;
use aleadb::command::spec::readme::compatibility_table;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const START: &str = "<!-- commands -->";
const END: &str = "<!-- /commands -->";

fn readme() -> String {
    std::fs::read_to_string(PATH).expect("README.md is there")
}

#[test]
fn files_that_are_named_exist() {
    let text = readme();
    let words =
        text.split(|c: char| c.is_whitespace() || "`()<>|,;".contains(c)).map(|word| word.trim_end_matches(['.', ':']));
    let paths = words.filter(|word| ["src/", "scripts/", "tests/"].iter().any(|dir| word.starts_with(dir)));
    let paths: Vec<&str> = paths.collect();
    assert!(paths.len() > 10, "{paths:?}");
    for path in paths {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists(), "{path}");
    }
}

#[test]
fn the_compiler_that_is_asked_for_is_cargo_s() {
    assert!(readme().contains(concat!("Rust ", env!("CARGO_PKG_RUST_VERSION"), " or later")));
}

#[test]
fn the_table_of_commands_is_up_to_date() {
    let text = readme();
    let (head, rest) = text.split_once(START).expect("README.md has the marker before the table");
    let (old, tail) = rest.split_once(END).expect("README.md has the marker after the table");
    let new = format!("\n\n{}\n", compatibility_table(command::all()));
    if std::env::var_os("ALEADB_UPDATE_README").is_some() {
        std::fs::write(PATH, [head, START, &new, END, tail].concat()).expect("README.md can be written");
        return;
    }
    assert!(
        old == new,
        "README.md's table of commands is not what the rows say; refresh it with\n\
         ALEADB_UPDATE_README=1 cargo test --test readme"
    );
}
