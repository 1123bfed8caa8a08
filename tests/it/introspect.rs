//! COMMAND. The expected bytes are those of a Redis 8.2, or follow its shapes where the words are our own.

use aleadb::command;
use aleadb::resp::reply::Proto;

use crate::memory::Memory;

fn resp3() -> Memory {
    let mut m = Memory::new();
    m.session(m.client).proto = Proto::Resp3;
    m
}

const GET_RESP2: &str = r"*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*3\r\n+@read\r\n+@string\r\n+@fast\r\n*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n+access\r\n$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n*6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n";
const CONFIG_GET_RESP2: &str = r"*10\r\n$10\r\nconfig|get\r\n:-3\r\n*4\r\n+admin\r\n+noscript\r\n+loading\r\n+stale\r\n:0\r\n:0\r\n:0\r\n*3\r\n+@admin\r\n+@slow\r\n+@dangerous\r\n*0\r\n*0\r\n*0\r\n";
const MEMORY_USAGE_RESP3: &str = r"*10\r\n$12\r\nmemory|usage\r\n:-3\r\n~1\r\n+readonly\r\n:2\r\n:2\r\n:1\r\n~2\r\n+@read\r\n+@slow\r\n~0\r\n~1\r\n%3\r\n$5\r\nflags\r\n~1\r\n+RO\r\n$12\r\nbegin_search\r\n%2\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n%1\r\n$5\r\nindex\r\n:2\r\n$9\r\nfind_keys\r\n%2\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n%3\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n~0\r\n";

#[test]
fn info_describes_named_commands() {
    let mut m = Memory::new();
    m.expect(&[
        ("COMMAND INFO get nosuch CONFIG|GET", &[r"*3\r\n", GET_RESP2, r"$-1\r\n", CONFIG_GET_RESP2].concat()),
        ("COMMAND INFO config|nosuch get|x config|get|x", r"*3\r\n$-1\r\n$-1\r\n$-1\r\n"),
    ]);
    let mut m = resp3();
    m.expect(&[("COMMAND INFO memory|usage x", &[r"*2\r\n", MEMORY_USAGE_RESP3, r"_\r\n"].concat())]);
}

#[test]
fn info_without_names_and_command_alone_describe_everything() {
    let mut m = Memory::new();
    let all = m.run("COMMAND");
    assert_eq!(m.run("COMMAND INFO"), all);
    assert!(all.starts_with(&format!(r"*{}\r\n*10\r\n", command::all().len())));
    assert_eq!(m.run("COMMAND COUNT"), format!(r":{}\r\n", command::all().len()));
    // Subcommands are inside their container's tenth element.
    assert!(all.contains(CONFIG_GET_RESP2));
}

#[test]
fn docs_are_maps() {
    let (summary, complexity) = ("Tells how many bytes a key takes.", "O(N) where N is the number of samples.");
    let args = |map4: &str, map5: &str, set: &str| {
        format!(
            r"$9\r\narguments\r\n*2\r\n{map4}\r\n$4\r\nname\r\n$3\r\nkey\r\n$4\r\ntype\r\n$3\r\nkey\r\n$12\r\ndisplay_text\r\n$3\r\nkey\r\n$14\r\nkey_spec_index\r\n:0\r\n{map5}\r\n$4\r\nname\r\n$5\r\ncount\r\n$4\r\ntype\r\n$7\r\ninteger\r\n$12\r\ndisplay_text\r\n$5\r\ncount\r\n$5\r\ntoken\r\n$7\r\nSAMPLES\r\n$5\r\nflags\r\n{set}\r\n+optional\r\n"
        )
    };
    let facts = format!(
        r"$7\r\nsummary\r\n${}\r\n{summary}\r\n$5\r\nsince\r\n$5\r\n4.0.0\r\n$5\r\ngroup\r\n$6\r\nserver\r\n$10\r\ncomplexity\r\n${}\r\n{complexity}\r\n",
        summary.len(),
        complexity.len()
    );
    let name = r"$12\r\nmemory|usage\r\n";
    Memory::new().expect(&[
        ("COMMAND DOCS memory|usage nosuch", &[r"*2\r\n", name, r"*10\r\n", &facts, &args("*8", "*10", "*1")].concat()),
        ("COMMAND DOCS nosuch", r"*0\r\n"),
    ]);
    resp3().expect(&[
        ("COMMAND DOCS MEMORY|usage", &[r"%1\r\n", name, r"%5\r\n", &facts, &args("%4", "%5", "~1")].concat()),
        ("COMMAND DOCS nosuch", r"%0\r\n"),
    ]);
}

#[test]
fn key_specs_tell_their_notes_first() {
    let mut m = resp3();
    let notes = "RW and ACCESS due to the optional `GET` argument";
    let info = m.run("COMMAND INFO set");
    assert!(
        info.contains(&format!(r"~1\r\n%4\r\n$5\r\nnotes\r\n${}\r\n{notes}\r\n$5\r\nflags\r\n", notes.len())),
        "{info}"
    );
}

#[test]
fn docs_leave_out_what_is_not_known() {
    let mut m = resp3();
    let docs = m.run("COMMAND DOCS lolwut");
    assert!(docs.starts_with(r"%1\r\n$6\r\nlolwut\r\n%4\r\n$7\r\nsummary\r\n"), "{docs}");
    assert!(!docs.contains("complexity"), "{docs}");
}

#[test]
fn docs_tell_history_and_flags_and_nest_subcommands() {
    let mut m = resp3();
    let docs = m.run("COMMAND DOCS config");
    assert!(docs.starts_with(r"%1\r\n$6\r\nconfig\r\n%5\r\n$7\r\nsummary\r\n"), "{docs}");
    assert!(docs.contains(r"$11\r\nsubcommands\r\n%5\r\n$10\r\nconfig|get\r\n%6\r\n"), "{docs}");
    assert!(docs.contains(r"$7\r\nhistory\r\n~1\r\n*2\r\n$5\r\n7.0.0\r\n"), "{docs}");
    let docs = m.run("COMMAND DOCS debug");
    assert!(docs.ends_with(r"$9\r\ndoc_flags\r\n~1\r\n+syscmd\r\n"), "{docs}");
    // Without names every command is documented, under its own name.
    let all = m.run("COMMAND DOCS");
    assert!(all.starts_with(&format!(r"%{}\r\n", command::all().len())));
    for command in command::all() {
        assert!(all.contains(&format!(r"${}\r\n{}\r\n", command.full_name.len(), command.full_name)));
    }
}

#[test]
fn list_names_commands_and_their_subcommands() {
    let mut m = Memory::new();
    let everything: usize = command::all().iter().map(|command| 1 + command.subcommands.len()).sum();
    assert!(m.run("COMMAND LIST").starts_with(&format!(r"*{everything}\r\n")));
    m.expect(&[
        (
            "COMMAND LIST FILTERBY PATTERN conf*",
            r"*6\r\n$6\r\nconfig\r\n$10\r\nconfig|get\r\n$11\r\nconfig|help\r\n$16\r\nconfig|resetstat\r\n$14\r\nconfig|rewrite\r\n$10\r\nconfig|set\r\n",
        ),
        ("COMMAND LIST filterby pattern CONFIG|s*", r"*1\r\n$10\r\nconfig|set\r\n"),
        ("COMMAND LIST FILTERBY ACLCAT nosuch", r"*0\r\n"),
        ("COMMAND LIST FILTERBY MODULE foo", r"*0\r\n"),
        ("COMMAND LIST FILTERBY FOO foo", r"-ERR syntax error\r\n"),
        ("COMMAND LIST FOO PATTERN foo", r"-ERR syntax error\r\n"),
        ("COMMAND LIST FILTERBY PATTERN", r"-ERR syntax error\r\n"),
        ("COMMAND LIST FILTERBY PATTERN a b", r"-ERR syntax error\r\n"),
    ]);
    let strings = m.run("COMMAND LIST FILTERBY ACLCAT STRING");
    assert!(strings.contains(r"\r\n$3\r\nget\r\n") && !strings.contains("config"), "{strings}");
}

#[test]
fn getkeys_picks_the_keys_out() {
    Memory::new().expect(&[
        ("COMMAND GETKEYS get a", r"*1\r\n$1\r\na\r\n"),
        ("COMMAND GETKEYS memory usage foo", r"*1\r\n$3\r\nfoo\r\n"),
        ("COMMAND GETKEYS get", r"-ERR Invalid number of arguments specified for command\r\n"),
        ("COMMAND GETKEYS memory usage", r"-ERR Invalid number of arguments specified for command\r\n"),
        ("COMMAND GETKEYS ping", r"-ERR The command has no key arguments\r\n"),
        ("COMMAND GETKEYS config get a", r"-ERR The command has no key arguments\r\n"),
        ("COMMAND GETKEYS config", r"-ERR The command has no key arguments\r\n"),
        ("COMMAND GETKEYS nosuch a", r"-ERR Invalid command specified\r\n"),
        ("COMMAND GETKEYS memory nosuch foo", r"-ERR Invalid command specified\r\n"),
        ("COMMAND GETKEYS", r"-ERR wrong number of arguments for \'command|getkeys\' command\r\n"),
        ("COMMAND GETKEYSANDFLAGS get a", r"*1\r\n*2\r\n$1\r\na\r\n*2\r\n+RO\r\n+access\r\n"),
        ("COMMAND GETKEYSANDFLAGS set a b", r"*1\r\n*2\r\n$1\r\na\r\n*2\r\n+OW\r\n+update\r\n"),
        ("COMMAND GETKEYSANDFLAGS ping", r"-ERR The command has no key arguments\r\n"),
    ]);
    resp3().expect(&[
        ("COMMAND GETKEYS get a", r"*1\r\n$1\r\na\r\n"),
        ("COMMAND GETKEYSANDFLAGS set a b nx get", r"*1\r\n*2\r\n$1\r\na\r\n~3\r\n+RW\r\n+access\r\n+update\r\n"),
    ]);
}

#[test]
fn help_and_errors_are_redis_s() {
    Memory::new().expect(&[
        (
            "COMMAND HELP",
            r"*21\r\n+COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n+(no subcommand)\r\n+    Return details about all Redis commands.\r\n+COUNT\r\n+    Return the total number of commands in this Redis server.\r\n+LIST\r\n+    Return a list of all commands in this Redis server.\r\n+INFO [<command-name> ...]\r\n+    Return details about multiple Redis commands.\r\n+    If no command names are given, documentation details for all\r\n+    commands are returned.\r\n+DOCS [<command-name> ...]\r\n+    Return documentation details about multiple Redis commands.\r\n+    If no command names are given, documentation details for all\r\n+    commands are returned.\r\n+GETKEYS <full-command>\r\n+    Return the keys from a full Redis command.\r\n+GETKEYSANDFLAGS <full-command>\r\n+    Return the keys and the access flags from a full Redis command.\r\n+HELP\r\n+    Print this help.\r\n",
        ),
        ("COMMAND FOO", r"-ERR unknown subcommand \'FOO\'. Try COMMAND HELP.\r\n"),
        ("COMMAND COUNT x", r"-ERR wrong number of arguments for \'command|count\' command\r\n"),
    ]);
}

#[test]
fn getkeys_of_pfmerge_without_sources_is_the_destination() {
    Memory::new().expect(&[
        ("COMMAND GETKEYS PFMERGE d", r"*1\r\n$1\r\nd\r\n"),
        ("COMMAND GETKEYSANDFLAGS PFMERGE d", r"*1\r\n*2\r\n$1\r\nd\r\n*3\r\n+RW\r\n+access\r\n+insert\r\n"),
        ("COMMAND GETKEYS PFMERGE d s t", r"*3\r\n$1\r\nd\r\n$1\r\ns\r\n$1\r\nt\r\n"),
        ("COMMAND GETKEYS PFMERGE", r"-ERR Invalid number of arguments specified for command\r\n"),
    ]);
}
