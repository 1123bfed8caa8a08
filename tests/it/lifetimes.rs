//! Deadlines of fields and members, asked for wrongly or with a condition: one table for hashes, sets and sorted sets, whose commands
//! differ in letters and in the word for what they hold.

use crate::memory::Memory;

/// A line, its reply, and the letters of the types that it is not for. `L` stands for the letter that begins the commands of a type,
/// `W` for FIELDS or MEMBERS; in replies `{l}` and `{W}`, and `{name}` and `{Name}` for the same in small letters.
const ROWS: &[(&str, &str, &str)] = &[
    ("LEXPIRE k x W 1 a", r"-ERR value is not an integer or out of range\r\n", ""),
    ("LEXPIRE k -1 W 1 a", r"-ERR invalid expire time, must be >= 0\r\n", ""),
    ("LEXPIRE k 9223372036854775807 W 1 a", r"-ERR invalid expire time in \'{l}expire\' command\r\n", ""),
    ("LPEXPIREAT k 70368744177664 W 1 a", r"-ERR invalid expire time in \'{l}pexpireat\' command\r\n", ""),
    ("LEXPIRE k 10 OTHERS 1 a", r"-ERR unknown argument: OTHERS\r\n", ""),
    ("LEXPIRE k 10 NX XX W 1 a", r"-ERR Multiple condition flags specified\r\n", ""),
    ("LEXPIRE k 10 W 0 a", r"-ERR Parameter `num{Name}` should be greater than 0\r\n", ""),
    ("LEXPIRE k 10 W x a", r"-ERR Parameter `num{Name}` should be greater than 0\r\n", ""),
    ("LEXPIRE k 10 W 2 a", r"-ERR wrong number of arguments\r\n", ""),
    ("LEXPIRE k 10 W 1 a W 1 b", r"-ERR {W} keyword specified multiple times\r\n", ""),
    ("LTTL k W 0 a", r"-ERR Number of {name} must be a positive integer\r\n", ""),
    ("LTTL k W 2 a", r"-ERR The `num{name}` parameter must match the number of arguments\r\n", ""),
    ("LTTL k OTHERS 1 a", r"-ERR Mandatory argument {W} is missing or not at the right position\r\n", ""),
    (
        "LADDEX k EX 0 PX 1 W 1 1 a",
        r"-ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified\r\n",
        "H",
    ),
    ("LADDEX k MNX MXX W 1 1 a", r"-ERR Only one of MXX or MNX arguments can be specified\r\n", "H"),
    ("LADDEX k PERSIST W 1 1 a", r"-ERR unknown argument\r\n", "H"),
    ("LADDEX k W 0 1 a", r"-ERR invalid number of members\r\n", "H"),
    ("LADDEX k W 3 1 a", r"-ERR wrong number of arguments\r\n", "H"),
    ("LADDEX k EX W 1 1 a", r"-ERR value is not an integer or out of range\r\n", "H"),
    ("LADDEX string EX 10 W 2 1 a 2 b", "WRONGTYPE", "HS"),
    ("LADDEX string EX 10 W 2 a b", "WRONGTYPE", "HZ"),
    ("LEXPIRE string 10 W 1 a", "WRONGTYPE", ""),
    ("LTTL string W 1 a", "WRONGTYPE", ""),
    ("LPERSIST string W 1 a", "WRONGTYPE", ""),
    ("LEXPIRE none 10 W 2 a b", r"*2\r\n:-2\r\n:-2\r\n", ""),
    ("EXISTS none", r":0\r\n", ""),
    ("LEXPIRE k 10 GT W 1 a", r"*1\r\n:0\r\n", ""),
    ("LEXPIRE k 10 LT W 1 a", r"*1\r\n:1\r\n", ""),
    ("LEXPIRE k 20 GT W 1 a", r"*1\r\n:1\r\n", ""),
    ("LEXPIRE k 30 XX W 3 a b c", r"*3\r\n:1\r\n:0\r\n:-2\r\n", ""),
    ("LTTL k W 3 a b c", r"*3\r\n:30\r\n:-1\r\n:-2\r\n", ""),
    ("LPERSIST k W 3 a b c", r"*3\r\n:1\r\n:-1\r\n:-2\r\n", ""),
];

const WRONG_TYPE: &str = r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

#[test]
fn deadlines_are_refused_and_set_alike_whatever_holds_the_elements() {
    for (letter, make, name) in
        [("H", "HSET k a 1 b 2", "fields"), ("S", "SADD k a b", "members"), ("Z", "ZADD k 1 a 2 b", "members")]
    {
        let mut m = Memory::new();
        m.run(make);
        m.run("SET string v");
        let (word, capital) = (name.to_uppercase(), name[..1].to_uppercase() + &name[1..]);
        for (line, reply, _) in ROWS.iter().filter(|(_, _, others)| !others.contains(letter)) {
            let begun = if line.starts_with('L') { line.replacen('L', letter, 1) } else { (*line).to_owned() };
            let line = begun.replace(" W ", &format!(" {word} "));
            let reply = reply
                .replace("{l}", &letter.to_lowercase())
                .replace("{W}", &word)
                .replace("{name}", name)
                .replace("{Name}", &capital);
            let reply = if reply == "WRONGTYPE" { WRONG_TYPE.to_owned() } else { reply };
            assert_eq!(m.run(&line), reply, "{line}");
        }
    }
}
