//! What a server without cluster and modules answers to questions about them: as Redis 8.6.2 does.

use crate::memory::Memory;

#[test]
fn cluster_support_is_disabled() {
    let disabled = r"-ERR This instance has cluster support disabled\r\n";
    for line in [
        "CLUSTER INFO",
        "CLUSTER KEYSLOT foo",
        "CLUSTER SLOTS",
        "CLUSTER SHARDS",
        "CLUSTER NODES",
        "CLUSTER MYID",
        "CLUSTER COUNTKEYSINSLOT 1",
        "CLUSTER RESET",
        "CLUSTER HELP",
        "READONLY",
        "READWRITE",
        "ASKING",
    ] {
        Memory::new().expect(&[(line, disabled)]);
    }
    Memory::new().expect(&[
        ("CLUSTER", r"-ERR wrong number of arguments for \'cluster\' command\r\n"),
        ("CLUSTER FOO", r"-ERR unknown subcommand \'FOO\'. Try CLUSTER HELP.\r\n"),
        ("CLUSTER KEYSLOT", r"-ERR wrong number of arguments for \'cluster|keyslot\' command\r\n"),
        ("INFO cluster", r"$30\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n"),
    ]);
}

#[test]
fn there_are_no_modules_and_none_is_loaded() {
    let refused = concat!(
        r#"-ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", you can run it from a "#,
        r"local connection, otherwise you need to set this option in the configuration file, and then restart the server.",
        r"\r\n"
    );
    Memory::new().expect(&[
        ("MODULE LIST", r"*0\r\n"),
        ("MODULE LOAD /x.so", refused),
        ("MODULE LOADEX /x.so CONFIG a b", refused),
        ("MODULE UNLOAD x", refused),
        ("INFO modules", r"$11\r\n# Modules\r\n\r\n"),
    ]);
}
