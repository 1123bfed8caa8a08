//! What only a whole process can show of users: that it starts with them, or not at all, and the names of its commands.

use std::fs;

use super::process::{DEADLINE, Dir, Process};
use super::resp::Client;
use super::server::wait_until;

fn reply(client: &mut Client, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    client.call(&words).expect("it answers").raw.escape_ascii().to_string()
}

#[test]
fn a_server_starts_with_the_users_of_its_file() {
    let dir = Dir::new();
    fs::write(dir.join("users.acl"), "user default on nopass +ping\nuser a on >x +@all ~a*\n").expect("writable");
    let process = Process::serving_in(dir, &["--aclfile", "{dir}/users.acl"], &[]);
    let mut client = process.connect();
    for (line, expected) in [
        ("GET a1", r"-NOPERM User default has no permissions to run the \'get\' command\r\n"),
        ("AUTH a x", r"+OK\r\n"),
        ("GET a1", r"$-1\r\n"),
        ("GET b", r"-NOPERM No permissions to access a key\r\n"),
    ] {
        assert_eq!(reply(&mut client, line), expected, "{line}");
    }
}

#[test]
fn a_server_does_not_start_with_a_file_of_users_that_is_wrong() {
    let dir = Dir::new();
    fs::write(dir.join("users.acl"), "user a on\nuser b +nope\n").expect("writable");
    let mut process =
        Process::spawn(dir, 0, &["--port", "0", "--unixsocket", "{dir}/s", "--aclfile", "{dir}/users.acl"], &[]);
    assert!(wait_until(DEADLINE, || process.has_ended()));
    let log = process.log();
    assert!(log.contains("users.acl:2: Error in applying operation '+nope'"), "{log}");
}

#[test]
fn commands_have_the_names_that_the_configuration_gives_them_and_logs_their_own() {
    let renames = ["--rename-command", "SET", "put", "--rename-command", "CONFIG", ""];
    let process = Process::serving(&[&renames[..], &["--appendonly", "yes"]].concat());
    let mut client = process.connect();
    // What is written before the log has begun is in its base.
    let has_begun = || process.log().contains("Background AOF rewrite finished successfully");
    assert!(wait_until(DEADLINE, has_begun), "{}", process.log());
    for (line, expected) in [
        ("SET k v", r"-ERR unknown command \'SET\', with args beginning with: \'k\' \'v\' \r\n"),
        ("PUT k v", r"+OK\r\n"),
        ("PUT k", r"-ERR wrong number of arguments for \'set\' command\r\n"),
        ("CONFIG GET port", r"-ERR unknown command \'CONFIG\', with args beginning with: \'GET\' \'port\' \r\n"),
    ] {
        assert_eq!(reply(&mut client, line), expected, "{line}");
    }
    let log = "appendonlydir/appendonly.aof.1.incr.aof";
    assert!(wait_until(DEADLINE, || process.read(log).contains("SET\r\n$1\r\nk\r\n$1\r\nv")), "{}", process.read(log));
    assert!(!process.read(log).to_ascii_lowercase().contains("put"));
}

#[test]
fn a_command_cannot_have_the_name_of_another() {
    let mut process = Process::spawn(Dir::new(), 0, &["--port", "0", "--rename-command", "GET", "SET"], &[]);
    assert_eq!(process.exit_status(), Some(1));
    assert!(process.log().contains("Target command name already exists"), "{}", process.log());
}
