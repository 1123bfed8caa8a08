//! README.md holds the table of commands that the program itself would print.

use aleadb::command::readme::compatibility_table;

const START: &str = "<!-- commands -->";
const END: &str = "<!-- /commands -->";

#[test]
fn the_table_of_commands_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let text = std::fs::read_to_string(path).expect("README.md is there");
    let (head, rest) = text.split_once(START).expect("README.md has the marker before the table");
    let (old, tail) = rest.split_once(END).expect("README.md has the marker after the table");
    let new = format!("\n\n{}\n", compatibility_table());
    if std::env::var_os("ALEADB_UPDATE_README").is_some() {
        std::fs::write(path, [head, START, &new, END, tail].concat()).expect("README.md can be written");
        return;
    }
    assert!(
        old == new,
        "README.md's table of commands is not what the rows say; refresh it with\n\
         ALEADB_UPDATE_README=1 cargo test --test readme"
    );
}
