//! Streams. The replies are those of Redis 8.2.3.

use crate::memory::{Memory, START_MS};

#[test]
fn entries_are_added_in_the_order_of_their_ids() {
    let mut m = Memory::new();
    m.expect(&[
        ("XADD s 0-0 f v", r"-ERR The ID specified in XADD must be greater than 0-0\r\n"),
        ("XADD s 1-1 f v g 1", r"$3\r\n1-1\r\n"),
        ("XADD s 1-1 f v", r"-ERR The ID specified in XADD is equal or smaller than the target stream top item\r\n"),
        ("XADD s 1-* f v", r"$3\r\n1-2\r\n"),
        ("XADD s 0-* f v", r"-ERR The ID specified in XADD is equal or smaller than the target stream top item\r\n"),
        ("XADD s 2 f v", r"$3\r\n2-0\r\n"),
        (r#"XADD s "7- -9" f v"#, r"$22\r\n7-18446744073709551607\r\n"),
        ("XADD s +8-007 f v", r"$3\r\n8-7\r\n"),
        ("XADD s x f v", r"-ERR Invalid stream ID specified as stream command argument\r\n"),
        ("XADD s 9-x f v", r"-ERR Invalid stream ID specified as stream command argument\r\n"),
        ("XADD s - f v", r"-ERR Invalid stream ID specified as stream command argument\r\n"),
        ("XADD s 9-1", r"-ERR wrong number of arguments for \'xadd\' command\r\n"),
        ("XADD s 9-1 f", r"-ERR wrong number of arguments for \'xadd\' command\r\n"),
        ("XADD s 9-1 f v g", r"-ERR wrong number of arguments for \'xadd\' command\r\n"),
        ("XADD s NOMKSTREAM", r"-ERR wrong number of arguments for \'xadd\' command\r\n"),
        ("XADD nos NOMKSTREAM 1 f v", r"$-1\r\n"),
        ("EXISTS nos", r":0\r\n"),
        ("XADD s 18446744073709551615-* f v", r"$22\r\n18446744073709551615-0\r\n"),
        ("XADD s 18446744073709551615-18446744073709551615 f v", r"$41\r\n18446744073709551615-18446744073709551615\r\n"),
        ("XADD s * f v", r"-ERR The stream has exhausted the last possible ID, unable to add more items\r\n"),
        ("XADD s 18446744073709551615-* f v", r"-ERR The stream has exhausted the last possible ID, unable to add more items\r\n"),
        ("XLEN s", r":7\r\n"),
        ("XLEN nos", r":0\r\n"),
        ("XRANGE s - + COUNT 3", r"*3\r\n*2\r\n$3\r\n1-1\r\n*4\r\n$1\r\nf\r\n$1\r\nv\r\n$1\r\ng\r\n$1\r\n1\r\n*2\r\n$3\r\n1-2\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n*2\r\n$3\r\n2-0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"),
        ("TYPE s", r"+stream\r\n"),
        ("OBJECT ENCODING s", r"$6\r\nstream\r\n"),
    ]);
}

#[test]
fn ranges_go_both_ways_and_leave_out_what_a_bracket_marks() {
    let mut m = Memory::new();
    m.expect(&[
        ("XADD s 1-1 a 1", r"$3\r\n1-1\r\n"),
        ("XADD s 1-2 a 2", r"$3\r\n1-2\r\n"),
        ("XADD s 2-0 a 3", r"$3\r\n2-0\r\n"),
        ("XADD s 3-0 b 4", r"$3\r\n3-0\r\n"),
        ("XRANGE s - +", r"*4\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$3\r\n1-2\r\n*2\r\n$1\r\na\r\n$1\r\n2\r\n*2\r\n$3\r\n2-0\r\n*2\r\n$1\r\na\r\n$1\r\n3\r\n*2\r\n$3\r\n3-0\r\n*2\r\n$1\r\nb\r\n$1\r\n4\r\n"),
        ("XREVRANGE s + -", r"*4\r\n*2\r\n$3\r\n3-0\r\n*2\r\n$1\r\nb\r\n$1\r\n4\r\n*2\r\n$3\r\n2-0\r\n*2\r\n$1\r\na\r\n$1\r\n3\r\n*2\r\n$3\r\n1-2\r\n*2\r\n$1\r\na\r\n$1\r\n2\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
        ("XRANGE s 1 1", r"*2\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$3\r\n1-2\r\n*2\r\n$1\r\na\r\n$1\r\n2\r\n"),
        ("XRANGE s (1-1 (3-0", r"*2\r\n*2\r\n$3\r\n1-2\r\n*2\r\n$1\r\na\r\n$1\r\n2\r\n*2\r\n$3\r\n2-0\r\n*2\r\n$1\r\na\r\n$1\r\n3\r\n"),
        ("XREVRANGE s (3 (1-1", r"*3\r\n*2\r\n$3\r\n3-0\r\n*2\r\n$1\r\nb\r\n$1\r\n4\r\n*2\r\n$3\r\n2-0\r\n*2\r\n$1\r\na\r\n$1\r\n3\r\n*2\r\n$3\r\n1-2\r\n*2\r\n$1\r\na\r\n$1\r\n2\r\n"),
        ("XREVRANGE s 1 1", r"*2\r\n*2\r\n$3\r\n1-2\r\n*2\r\n$1\r\na\r\n$1\r\n2\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
        ("XRANGE s + -", r"*0\r\n"),
        ("XRANGE s - + COUNT 0", r"*-1\r\n"),
        ("XRANGE s - + COUNT -1", r"*-1\r\n"),
        ("XRANGE s - + COUNT 1 COUNT 2", r"*2\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$3\r\n1-2\r\n*2\r\n$1\r\na\r\n$1\r\n2\r\n"),
        ("XRANGE s - + COUNT", r"-ERR syntax error\r\n"),
        ("XRANGE s - + COUNT x", r"-ERR value is not an integer or out of range\r\n"),
        ("XRANGE s - + FOO 1", r"-ERR syntax error\r\n"),
        ("XRANGE s ( +", r"-ERR Invalid stream ID specified as stream command argument\r\n"),
        ("XRANGE s (- +", r"-ERR Invalid stream ID specified as stream command argument\r\n"),
        ("XRANGE s x +", r"-ERR Invalid stream ID specified as stream command argument\r\n"),
        ("XRANGE s (18446744073709551615-18446744073709551615 +", r"-ERR invalid start ID for the interval\r\n"),
        ("XRANGE s - (0-0", r"-ERR invalid end ID for the interval\r\n"),
        ("XRANGE nos - +", r"*0\r\n"),
        ("XRANGE nos - + COUNT 0", r"*0\r\n"),
        ("XREVRANGE nos x -", r"-ERR Invalid stream ID specified as stream command argument\r\n"),
    ]);
}

#[test]
fn trimming_keeps_whole_nodes_if_it_may() {
    let mut m = Memory::new();
    m.expect(&[
        ("CONFIG SET stream-node-max-entries 3", r"+OK\r\n"),
        ("XADD s 1 a 1", r"$3\r\n1-0\r\n"),
        ("XADD s 2 a 2", r"$3\r\n2-0\r\n"),
        ("XADD s 3 a 3", r"$3\r\n3-0\r\n"),
        ("XADD s 4 a 4", r"$3\r\n4-0\r\n"),
        ("XADD s 5 a 5", r"$3\r\n5-0\r\n"),
        ("XADD s 6 a 6", r"$3\r\n6-0\r\n"),
        ("XADD s 7 a 7", r"$3\r\n7-0\r\n"),
        ("XTRIM s MAXLEN ~ 5", r":0\r\n"),
        ("XTRIM s MAXLEN ~ 4", r":3\r\n"),
        ("XTRIM s MAXLEN 3", r":1\r\n"),
        ("XTRIM s MINID ~ 6", r":0\r\n"),
        ("XTRIM s MINID 6", r":1\r\n"),
        ("XLEN s", r":2\r\n"),
        ("XADD s MAXLEN 1 8 a 8", r"$3\r\n8-0\r\n"),
        ("XADD s MAXLEN ~ 0 LIMIT 0 9 a 9", r"$3\r\n9-0\r\n"),
        ("XLEN s", r":0\r\n"),
        ("XTRIM s MAXLEN = 0", r":0\r\n"),
        ("XLEN s", r":0\r\n"),
        ("EXISTS s", r":1\r\n"),
        ("XTRIM nos MAXLEN 0", r":0\r\n"),
        ("XTRIM s", r"-ERR wrong number of arguments for \'xtrim\' command\r\n"),
        ("XTRIM s FOO 1", r"-ERR syntax error\r\n"),
        ("XTRIM s MAXLEN x", r"-ERR value is not an integer or out of range\r\n"),
        ("XTRIM s MAXLEN -1", r"-ERR The MAXLEN argument must be >= 0.\r\n"),
        ("XTRIM s MINID x", r"-ERR Invalid stream ID specified as stream command argument\r\n"),
        ("XTRIM s MAXLEN 1 LIMIT 2", r"-ERR syntax error, LIMIT cannot be used without the special ~ option\r\n"),
        ("XTRIM s MAXLEN 1 LIMIT 0", r"-ERR syntax error, LIMIT cannot be used without the special ~ option\r\n"),
        ("XTRIM s MAXLEN ~ 1 LIMIT -1", r"-ERR The LIMIT argument must be >= 0.\r\n"),
        ("XTRIM s MAXLEN ~ 1 LIMIT x", r"-ERR value is not an integer or out of range\r\n"),
        ("XTRIM s LIMIT 1", r"-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy\r\n"),
        ("XTRIM s KEEPREF LIMIT 0", r"-ERR syntax error, XTRIM must be called with a trimming strategy\r\n"),
        (
            "XTRIM s MAXLEN 1 MINID 2",
            r"-ERR syntax error, MAXLEN and MINID options at the same time are not compatible\r\n",
        ),
        ("XTRIM s KEEPREF DELREF MAXLEN 5", r"-ERR syntax error\r\n"),
        (
            "XADD s LIMIT 3 9-9 a b",
            r"-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy\r\n",
        ),
        (
            "XADD s MAXLEN 3 MINID 5 9-9 a b",
            r"-ERR syntax error, MAXLEN and MINID options at the same time are not compatible\r\n",
        ),
        ("XADD s MAXLEN 3", r"-ERR wrong number of arguments for \'xadd\' command\r\n"),
        ("CONFIG SET stream-node-max-entries 100", r"+OK\r\n"),
    ]);
}

#[test]
fn deleting_regards_the_references_of_groups() {
    let mut m = Memory::new();
    m.expect(&[
        ("XADD s 1 a 1", r"$3\r\n1-0\r\n"),
        ("XADD s 2 a 2", r"$3\r\n2-0\r\n"),
        ("XADD s 3 a 3", r"$3\r\n3-0\r\n"),
        ("XADD s 4 a 4", r"$3\r\n4-0\r\n"),
        ("XGROUP CREATE s g 0", r"+OK\r\n"),
        ("XREADGROUP GROUP g c COUNT 2 STREAMS s >", r"*1\r\n*2\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$3\r\n2-0\r\n*2\r\n$1\r\na\r\n$1\r\n2\r\n"),
        ("XDELEX s ACKED IDS 4 1 2 3 9", r"*4\r\n:2\r\n:2\r\n:2\r\n:2\r\n"),
        ("XACK s g 1", r":1\r\n"),
        ("XDELEX s ACKED IDS 2 1 2", r"*2\r\n:1\r\n:2\r\n"),
        ("XDELEX s IDS 1 2", r"*1\r\n:1\r\n"),
        ("XPENDING s g", r"*4\r\n:1\r\n$3\r\n2-0\r\n$3\r\n2-0\r\n*1\r\n*2\r\n$1\r\nc\r\n$1\r\n1\r\n"),
        ("XACKDEL s g IDS 2 2 3", r"*2\r\n:1\r\n:-1\r\n"),
        ("XREADGROUP GROUP g c STREAMS s >", r"*1\r\n*2\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n3-0\r\n*2\r\n$1\r\na\r\n$1\r\n3\r\n*2\r\n$3\r\n4-0\r\n*2\r\n$1\r\na\r\n$1\r\n4\r\n"),
        ("XDELEX s DELREF IDS 1 3", r"*1\r\n:1\r\n"),
        ("XPENDING s g", r"*4\r\n:1\r\n$3\r\n4-0\r\n$3\r\n4-0\r\n*1\r\n*2\r\n$1\r\nc\r\n$1\r\n1\r\n"),
        ("XGROUP CREATE s h 0", r"+OK\r\n"),
        ("XACKDEL s g ACKED IDS 1 4", r"*1\r\n:2\r\n"),
        ("XTRIM s MAXLEN 0 ACKED", r":0\r\n"),
        ("XTRIM s MAXLEN ~ 0 DELREF", r":1\r\n"),
        ("XTRIM s MAXLEN 0 DELREF", r":0\r\n"),
        ("XDEL s 4", r":0\r\n"),
        ("XDEL s 1 x", r"-ERR Invalid stream ID specified as stream command argument\r\n"),
        ("XDEL nos x", r":0\r\n"),
        ("XDELEX nos IDS 2 1 2", r"*2\r\n:-1\r\n:-1\r\n"),
        ("XACKDEL nos g IDS 2 1 2", r"*2\r\n:-1\r\n:-1\r\n"),
        ("XACKDEL s nog IDS 1 1", r"*1\r\n:-1\r\n"),
        ("XDELEX s IDS 1 9 ACKED", r"*1\r\n:2\r\n"),
        ("XDELEX s KEEPREF KEEPREF IDS 1 9", r"-ERR syntax error\r\n"),
        ("XDELEX s IDS 0 1", r"-ERR Number of IDs must be a positive integer\r\n"),
        ("XDELEX s IDS x 1", r"-ERR Number of IDs must be a positive integer\r\n"),
        ("XDELEX s IDS 2 1", r"-ERR The `numids` parameter must match the number of arguments\r\n"),
        ("XDELEX s IDS 1 1 2", r"-ERR syntax error\r\n"),
        ("XDELEX s IDS 1 x", r"-ERR Invalid stream ID specified as stream command argument\r\n"),
        ("XDELEX s FOO IDS 1 1", r"-ERR syntax error\r\n"),
        ("XDELEX s IDS 1", r"-ERR wrong number of arguments for \'xdelex\' command\r\n"),
        ("XACKDEL s g FOO 1 1", r"-ERR syntax error\r\n"),
    ]);
}

#[test]
fn a_group_gives_each_entry_once_and_remembers_it() {
    let mut m = Memory::new();
    m.expect(&[
        ("XADD s 1-1 a 1", r"$3\r\n1-1\r\n"),
        ("XADD s 1-2 a 2", r"$3\r\n1-2\r\n"),
        ("XADD s 2-1 a 3", r"$3\r\n2-1\r\n"),
        ("XGROUP CREATE s g 0", r"+OK\r\n"),
        ("XGROUP CREATE s g 0", r"-BUSYGROUP Consumer Group name already exists\r\n"),
        ("XREADGROUP GROUP g c COUNT 2 STREAMS s >", r"*1\r\n*2\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$3\r\n1-2\r\n*2\r\n$1\r\na\r\n$1\r\n2\r\n"),
        ("XREADGROUP GROUP g d STREAMS s >", r"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n2-1\r\n*2\r\n$1\r\na\r\n$1\r\n3\r\n"),
        ("XREADGROUP GROUP g d STREAMS s >", r"*-1\r\n"),
        ("XREADGROUP GROUP g c STREAMS s 0", r"*1\r\n*2\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$3\r\n1-2\r\n*2\r\n$1\r\na\r\n$1\r\n2\r\n"),
        ("XREADGROUP GROUP g c COUNT 1 STREAMS s 1-1", r"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-2\r\n*2\r\n$1\r\na\r\n$1\r\n2\r\n"),
        ("XREADGROUP GROUP g e STREAMS s 0", r"*1\r\n*2\r\n$1\r\ns\r\n*0\r\n"),
        ("XPENDING s g", r"*4\r\n:3\r\n$3\r\n1-1\r\n$3\r\n2-1\r\n*2\r\n*2\r\n$1\r\nc\r\n$1\r\n2\r\n*2\r\n$1\r\nd\r\n$1\r\n1\r\n"),
        ("XPENDING s g - + 10", r"*3\r\n*4\r\n$3\r\n1-1\r\n$1\r\nc\r\n:0\r\n:2\r\n*4\r\n$3\r\n1-2\r\n$1\r\nc\r\n:0\r\n:3\r\n*4\r\n$3\r\n2-1\r\n$1\r\nd\r\n:0\r\n:1\r\n"),
        ("XPENDING s g (1-1 + 10 c", r"*1\r\n*4\r\n$3\r\n1-2\r\n$1\r\nc\r\n:0\r\n:3\r\n"),
        ("XPENDING s g - + 1", r"*1\r\n*4\r\n$3\r\n1-1\r\n$1\r\nc\r\n:0\r\n:2\r\n"),
        ("XPENDING s g - + 10 nobody", r"*0\r\n"),
        ("XPENDING s g IDLE 10000 - + 10", r"*0\r\n"),
        ("XDEL s 1-2", r":1\r\n"),
        ("XREADGROUP GROUP g c STREAMS s 0", r"*1\r\n*2\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$3\r\n1-2\r\n*-1\r\n"),
        ("XACK s g 1-1 1-1 9-9", r":1\r\n"),
        ("XPENDING s g", r"*4\r\n:2\r\n$3\r\n1-2\r\n$3\r\n2-1\r\n*2\r\n*2\r\n$1\r\nc\r\n$1\r\n1\r\n*2\r\n$1\r\nd\r\n$1\r\n1\r\n"),
        ("XCLAIM s g e 0 1-2 2-1", r"*1\r\n*2\r\n$3\r\n2-1\r\n*2\r\n$1\r\na\r\n$1\r\n3\r\n"),
        ("XCLAIM s g e 0 2-1 JUSTID", r"*1\r\n$3\r\n2-1\r\n"),
        ("XCLAIM s g c 10000 2-1", r"*0\r\n"),
        ("XCLAIM s g c 0 9-9 1-1 FORCE", r"*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
        ("XPENDING s g - + 10", r"*2\r\n*4\r\n$3\r\n1-1\r\n$1\r\nc\r\n:0\r\n:2\r\n*4\r\n$3\r\n2-1\r\n$1\r\ne\r\n:0\r\n:2\r\n"),
        ("XCLAIM s g c 0 1-1 FORCE RETRYCOUNT 7 JUSTID", r"*1\r\n$3\r\n1-1\r\n"),
        ("XPENDING s g - + 10", r"*2\r\n*4\r\n$3\r\n1-1\r\n$1\r\nc\r\n:0\r\n:7\r\n*4\r\n$3\r\n2-1\r\n$1\r\ne\r\n:0\r\n:2\r\n"),
        ("XADD s 3-1 a 4", r"$3\r\n3-1\r\n"),
        ("XADD s 3-2 a 5", r"$3\r\n3-2\r\n"),
        ("XREADGROUP GROUP g c STREAMS s >", r"*1\r\n*2\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n3-1\r\n*2\r\n$1\r\na\r\n$1\r\n4\r\n*2\r\n$3\r\n3-2\r\n*2\r\n$1\r\na\r\n$1\r\n5\r\n"),
        ("XDEL s 3-1", r":1\r\n"),
        ("XAUTOCLAIM s g d 0 0 COUNT 1", r"*3\r\n$3\r\n2-1\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*0\r\n"),
        ("XAUTOCLAIM s g d 0 2-1 COUNT 2", r"*3\r\n$3\r\n3-2\r\n*1\r\n*2\r\n$3\r\n2-1\r\n*2\r\n$1\r\na\r\n$1\r\n3\r\n*1\r\n$3\r\n3-1\r\n"),
        ("XAUTOCLAIM s g d 0 3-2 JUSTID", r"*3\r\n$3\r\n0-0\r\n*1\r\n$3\r\n3-2\r\n*0\r\n"),
        ("XAUTOCLAIM s g d 10000 0", r"*3\r\n$3\r\n0-0\r\n*0\r\n*0\r\n"),
        ("XGROUP DELCONSUMER s g d", r":3\r\n"),
        ("XGROUP DELCONSUMER s g d", r":0\r\n"),
        ("XGROUP CREATECONSUMER s g d", r":1\r\n"),
        ("XGROUP CREATECONSUMER s g d", r":0\r\n"),
        ("XGROUP DESTROY s g", r":1\r\n"),
        ("XGROUP DESTROY s g", r":0\r\n"),
    ]);
}

#[test]
fn commands_of_groups_refuse_what_makes_no_sense() {
    let mut m = Memory::new();
    m.expect(&[
        ("XADD s 1-1 a 1", r"$3\r\n1-1\r\n"),
        ("XGROUP CREATE s g 0", r"+OK\r\n"),
        ("XGROUP CREATE nos g 0", r"-ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.\r\n"),
        ("XGROUP CREATE s h x", r"-ERR Invalid stream ID specified as stream command argument\r\n"),
        ("XGROUP CREATE s h 0 FOO", r"-ERR unknown subcommand or wrong number of arguments for \'CREATE\'. Try XGROUP HELP.\r\n"),
        ("XGROUP CREATE s h 0 ENTRIESREAD", r"-ERR unknown subcommand or wrong number of arguments for \'CREATE\'. Try XGROUP HELP.\r\n"),
        ("XGROUP CREATE s h 0 ENTRIESREAD x", r"-ERR value is not an integer or out of range\r\n"),
        ("XGROUP CREATE s h 0 ENTRIESREAD -2", r"-ERR value for ENTRIESREAD must be positive or -1\r\n"),
        ("XGROUP CREATE s h 0 ENTRIESREAD 1 ENTRIESREAD 1", r"-ERR unknown subcommand or wrong number of arguments for \'CREATE\'. Try XGROUP HELP.\r\n"),
        ("XGROUP CREATE new h $ MKSTREAM", r"+OK\r\n"),
        ("XGROUP SETID s nog 0", r"-NOGROUP No such consumer group \'nog\' for key name \'s\'\r\n"),
        ("XGROUP SETID s g +", r"+OK\r\n"),
        ("XGROUP SETID s g 0 MKSTREAM", r"-ERR unknown subcommand or wrong number of arguments for \'SETID\'. Try XGROUP HELP.\r\n"),
        ("XGROUP SETID nos g 0", r"-ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.\r\n"),
        ("XGROUP DESTROY nos g", r"-ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.\r\n"),
        ("XGROUP CREATECONSUMER s nog c", r"-NOGROUP No such consumer group \'nog\' for key name \'s\'\r\n"),
        ("XGROUP DELCONSUMER s nog c", r"-NOGROUP No such consumer group \'nog\' for key name \'s\'\r\n"),
        ("XGROUP DELCONSUMER s g", r"-ERR wrong number of arguments for \'xgroup|delconsumer\' command\r\n"),
        ("XGROUP FOO", r"-ERR unknown subcommand \'FOO\'. Try XGROUP HELP.\r\n"),
        ("XREADGROUP GROUP nog c STREAMS s >", r"-NOGROUP No such key \'s\' or consumer group \'nog\' in XREADGROUP with GROUP option\r\n"),
        ("XREADGROUP GROUP g c STREAMS nos >", r"-NOGROUP No such key \'nos\' or consumer group \'g\' in XREADGROUP with GROUP option\r\n"),
        ("XREADGROUP GROUP g c STREAMS s $", r"-ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.\r\n"),
        ("XREADGROUP GROUP g c STREAMS s +", r"-ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The + ID would just return an empty result set.\r\n"),
        ("XREADGROUP GROUP g c STREAMS s x", r"-ERR Invalid stream ID specified as stream command argument\r\n"),
        ("XREADGROUP GROUP g c STREAMS s s >", r"-ERR Unbalanced \'xreadgroup\' list of streams: for each stream key an ID or \'>\' must be specified.\r\n"),
        ("XREADGROUP COUNT 1 NOACK STREAMS s 0", r"-ERR Missing GROUP option for XREADGROUP\r\n"),
        ("XREADGROUP GROUP g c COUNT x STREAMS s >", r"-ERR value is not an integer or out of range\r\n"),
        ("XREADGROUP GROUP g c FOO STREAMS s >", r"-ERR syntax error\r\n"),
        ("XREADGROUP GROUP g c BLOCK -1 STREAMS s >", r"-ERR timeout is negative\r\n"),
        ("XREADGROUP GROUP g c BLOCK x STREAMS s >", r"-ERR timeout is not an integer or out of range\r\n"),
        ("XPENDING s nog", r"-NOGROUP No such key \'s\' or consumer group \'nog\'\r\n"),
        ("XPENDING s g - +", r"-ERR syntax error\r\n"),
        ("XPENDING s g IDLE 0 -", r"-ERR syntax error\r\n"),
        ("XPENDING s g - + x", r"-ERR value is not an integer or out of range\r\n"),
        ("XPENDING s g x + 1", r"-ERR Invalid stream ID specified as stream command argument\r\n"),
        ("XPENDING s g (18446744073709551615-18446744073709551615 + 1", r"-ERR invalid start ID for the interval\r\n"),
        ("XCLAIM s nog c 0 1-1", r"-NOGROUP No such key \'s\' or consumer group \'nog\'\r\n"),
        ("XCLAIM s g c x 1-1", r"-ERR Invalid min-idle-time argument for XCLAIM\r\n"),
        ("XCLAIM s g c 0 1-1 FOO", r"-ERR Unrecognized XCLAIM option \'FOO\'\r\n"),
        ("XCLAIM s g c 0 x", r"-ERR Unrecognized XCLAIM option \'x\'\r\n"),
        ("XCLAIM s g c 0 1-1 IDLE x", r"-ERR Invalid IDLE option argument for XCLAIM\r\n"),
        ("XCLAIM s g c 0 1-1 TIME x", r"-ERR Invalid TIME option argument for XCLAIM\r\n"),
        ("XCLAIM s g c 0 1-1 RETRYCOUNT x", r"-ERR Invalid RETRYCOUNT option argument for XCLAIM\r\n"),
        ("XCLAIM s g c 0 1-1 LASTID x", r"-ERR Invalid stream ID specified as stream command argument\r\n"),
        ("XAUTOCLAIM s nog c 0 0", r"-NOGROUP No such key \'s\' or consumer group \'nog\'\r\n"),
        ("XAUTOCLAIM s g c x 0", r"-ERR Invalid min-idle-time argument for XAUTOCLAIM\r\n"),
        ("XAUTOCLAIM s g c 0 x", r"-ERR Invalid stream ID specified as stream command argument\r\n"),
        ("XAUTOCLAIM s g c 0 0 COUNT 0", r"-ERR COUNT must be > 0\r\n"),
        ("XAUTOCLAIM s g c 0 0 COUNT 9223372036854775807", r"-ERR COUNT must be > 0\r\n"),
        ("XAUTOCLAIM s g c 0 0 FOO", r"-ERR syntax error\r\n"),
        ("XACK s g x", r"-ERR Invalid stream ID specified as stream command argument\r\n"),
        ("XACK nos g x", r":0\r\n"),
        ("XINFO CONSUMERS s nog", r"-NOGROUP No such consumer group \'nog\' for key name \'s\'\r\n"),
        ("XINFO GROUPS nos", r"-ERR no such key\r\n"),
        ("XINFO STREAM nos", r"-ERR no such key\r\n"),
        ("XINFO STREAM s FOO", r"-ERR unknown subcommand or wrong number of arguments for \'STREAM\'. Try XINFO HELP.\r\n"),
        ("XINFO STREAM s FULL COUNT", r"-ERR unknown subcommand or wrong number of arguments for \'STREAM\'. Try XINFO HELP.\r\n"),
        ("XINFO STREAM s FULL COUNT x", r"-ERR value is not an integer or out of range\r\n"),
        ("XSETID nos 1", r"-ERR no such key\r\n"),
        ("XSETID s x", r"-ERR Invalid stream ID specified as stream command argument\r\n"),
        ("XSETID s 0-1", r"-ERR The ID specified in XSETID is smaller than the target stream top item\r\n"),
        ("XSETID s 5 ENTRIESADDED 0", r"-ERR The entries_added specified in XSETID is smaller than the target stream length\r\n"),
        ("XSETID s 5 ENTRIESADDED -1", r"-ERR entries_added must be positive\r\n"),
        ("XSETID s 5 MAXDELETEDID 6", r"-ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id\r\n"),
        ("XSETID s 5 ENTRIESADDED 7 MAXDELETEDID 4", r"+OK\r\n"),
        ("XSETID s 3", r"-ERR The ID specified in XSETID is smaller than current max_deleted_entry_id\r\n"),
        ("XSETID s 5 FOO 1", r"-ERR syntax error\r\n"),
    ]);
}

#[test]
fn keys_of_other_types_are_refused() {
    let mut m = Memory::new();
    m.expect(&[
        ("SET str x", r"+OK\r\n"),
        ("XADD str * a b", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XLEN str", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XRANGE str - +", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XREVRANGE str + -", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XREAD STREAMS str 0", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XREAD STREAMS str $", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        (
            "XREADGROUP GROUP g c STREAMS str >",
            r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        ),
        ("XDEL str 1", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XDELEX str IDS 1 1", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XACKDEL str g IDS 1 1", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XACK str g 1", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XTRIM str MAXLEN 1", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XSETID str 1", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XGROUP CREATE str g 0", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XGROUP SETID str g 0", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XGROUP DESTROY str g", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XGROUP CREATECONSUMER str g c", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XGROUP DELCONSUMER str g c", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XPENDING str g", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XCLAIM str g c 0 1", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XAUTOCLAIM str g c 0 0", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XINFO STREAM str", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XINFO GROUPS str", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XINFO CONSUMERS str g", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
    ]);
}

#[test]
fn reading_several_streams_in_resp2() {
    let mut m = Memory::new();
    m.expect(&[
        ("XADD s 1-1 a 1", r"$3\r\n1-1\r\n"),
        ("XADD s 1-2 a 2 b 3", r"$3\r\n1-2\r\n"),
        ("XADD t 7-0 c 4", r"$3\r\n7-0\r\n"),
        ("XREAD STREAMS s 0", r"*1\r\n*2\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$3\r\n1-2\r\n*4\r\n$1\r\na\r\n$1\r\n2\r\n$1\r\nb\r\n$1\r\n3\r\n"),
        ("XREAD COUNT 1 STREAMS s t nos 0 0 0", r"*2\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$1\r\nt\r\n*1\r\n*2\r\n$3\r\n7-0\r\n*2\r\n$1\r\nc\r\n$1\r\n4\r\n"),
        ("XREAD STREAMS s $", r"*-1\r\n"),
        ("XREAD STREAMS s t + $", r"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-2\r\n*4\r\n$1\r\na\r\n$1\r\n2\r\n$1\r\nb\r\n$1\r\n3\r\n"),
        ("XREAD STREAMS s 1-2", r"*-1\r\n"),
        ("XREAD COUNT 0 STREAMS s 1", r"*1\r\n*2\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$3\r\n1-2\r\n*4\r\n$1\r\na\r\n$1\r\n2\r\n$1\r\nb\r\n$1\r\n3\r\n"),
        ("XREAD COUNT -1 STREAMS s 1-1", r"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-2\r\n*4\r\n$1\r\na\r\n$1\r\n2\r\n$1\r\nb\r\n$1\r\n3\r\n"),
        ("XGROUP CREATE s g $ ENTRIESREAD 9", r"+OK\r\n"),
        ("XGROUP CREATE s h 0", r"+OK\r\n"),
        ("XREADGROUP GROUP h c COUNT 1 NOACK STREAMS s >", r"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
        ("XREADGROUP GROUP h c STREAMS s 0", r"*1\r\n*2\r\n$1\r\ns\r\n*0\r\n"),
        ("XREADGROUP GROUP g c STREAMS s >", r"*-1\r\n"),
        ("XINFO GROUPS s", r"*2\r\n*12\r\n$4\r\nname\r\n$1\r\ng\r\n$9\r\nconsumers\r\n:1\r\n$7\r\npending\r\n:0\r\n$17\r\nlast-delivered-id\r\n$3\r\n1-2\r\n$12\r\nentries-read\r\n:2\r\n$3\r\nlag\r\n:0\r\n*12\r\n$4\r\nname\r\n$1\r\nh\r\n$9\r\nconsumers\r\n:1\r\n$7\r\npending\r\n:0\r\n$17\r\nlast-delivered-id\r\n$3\r\n1-1\r\n$12\r\nentries-read\r\n:1\r\n$3\r\nlag\r\n:1\r\n"),
        ("XINFO STREAM s", r"*32\r\n$6\r\nlength\r\n:2\r\n$15\r\nradix-tree-keys\r\n:1\r\n$16\r\nradix-tree-nodes\r\n:2\r\n$17\r\nlast-generated-id\r\n$3\r\n1-2\r\n$20\r\nmax-deleted-entry-id\r\n$3\r\n0-0\r\n$13\r\nentries-added\r\n:2\r\n$23\r\nrecorded-first-entry-id\r\n$3\r\n1-1\r\n$13\r\nidmp-duration\r\n:100\r\n$12\r\nidmp-maxsize\r\n:100\r\n$12\r\npids-tracked\r\n:0\r\n$12\r\niids-tracked\r\n:0\r\n$10\r\niids-added\r\n:0\r\n$15\r\niids-duplicates\r\n:0\r\n$6\r\ngroups\r\n:2\r\n$11\r\nfirst-entry\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n$10\r\nlast-entry\r\n*2\r\n$3\r\n1-2\r\n*4\r\n$1\r\na\r\n$1\r\n2\r\n$1\r\nb\r\n$1\r\n3\r\n"),
        ("XPENDING s h", r"*4\r\n:0\r\n$-1\r\n$-1\r\n*-1\r\n"),
        ("XRANGE s - + COUNT 0", r"*-1\r\n"),
        ("XADD nos NOMKSTREAM * a b", r"$-1\r\n"),
        ("XDEL t 7-0", r":1\r\n"),
        ("XINFO STREAM t", r"*32\r\n$6\r\nlength\r\n:0\r\n$15\r\nradix-tree-keys\r\n:0\r\n$16\r\nradix-tree-nodes\r\n:1\r\n$17\r\nlast-generated-id\r\n$3\r\n7-0\r\n$20\r\nmax-deleted-entry-id\r\n$3\r\n7-0\r\n$13\r\nentries-added\r\n:1\r\n$23\r\nrecorded-first-entry-id\r\n$3\r\n0-0\r\n$13\r\nidmp-duration\r\n:100\r\n$12\r\nidmp-maxsize\r\n:100\r\n$12\r\npids-tracked\r\n:0\r\n$12\r\niids-tracked\r\n:0\r\n$10\r\niids-added\r\n:0\r\n$15\r\niids-duplicates\r\n:0\r\n$6\r\ngroups\r\n:0\r\n$11\r\nfirst-entry\r\n$-1\r\n$10\r\nlast-entry\r\n$-1\r\n"),
        ("XINFO STREAM t FULL", r"*30\r\n$6\r\nlength\r\n:0\r\n$15\r\nradix-tree-keys\r\n:0\r\n$16\r\nradix-tree-nodes\r\n:1\r\n$17\r\nlast-generated-id\r\n$3\r\n7-0\r\n$20\r\nmax-deleted-entry-id\r\n$3\r\n7-0\r\n$13\r\nentries-added\r\n:1\r\n$23\r\nrecorded-first-entry-id\r\n$3\r\n0-0\r\n$13\r\nidmp-duration\r\n:100\r\n$12\r\nidmp-maxsize\r\n:100\r\n$12\r\npids-tracked\r\n:0\r\n$12\r\niids-tracked\r\n:0\r\n$10\r\niids-added\r\n:0\r\n$15\r\niids-duplicates\r\n:0\r\n$7\r\nentries\r\n*0\r\n$6\r\ngroups\r\n*0\r\n"),
        ("XREAD STREAMS t +", r"*-1\r\n"),
        ("XREAD COUNT x STREAMS s 0", r"-ERR value is not an integer or out of range\r\n"),
        ("XREAD BLOCK x STREAMS s 0", r"-ERR timeout is not an integer or out of range\r\n"),
        ("XREAD BLOCK -1 STREAMS s 0", r"-ERR timeout is negative\r\n"),
        ("XREAD BLOCK 9223372036854775807 STREAMS s 0", r"-ERR timeout is out of range\r\n"),
        ("XREAD STREAMS s", r"-ERR wrong number of arguments for \'xread\' command\r\n"),
        ("XREAD STREAMS s t 0", r"-ERR Unbalanced \'xread\' list of streams: for each stream key an ID, \'+\', or \'$\' must be specified.\r\n"),
        ("XREAD STREAMS s x", r"-ERR Invalid stream ID specified as stream command argument\r\n"),
        ("XREAD STREAMS s >", r"-ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.\r\n"),
        ("XREAD COUNT 1 STREAMS", r"-ERR syntax error\r\n"),
        ("XREAD GROUP g c STREAMS s 0", r"-ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.\r\n"),
        ("XREAD NOACK STREAMS s 0", r"-ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.\r\n"),
        ("XREAD FOO STREAMS s 0", r"-ERR syntax error\r\n"),
    ]);
}

#[test]
fn reading_several_streams_in_resp3() {
    let mut m = Memory::new();
    m.run("HELLO 3");
    m.expect(&[
        ("XADD s 1-1 a 1", r"$3\r\n1-1\r\n"),
        ("XADD s 1-2 a 2 b 3", r"$3\r\n1-2\r\n"),
        ("XADD t 7-0 c 4", r"$3\r\n7-0\r\n"),
        ("XREAD STREAMS s 0", r"%1\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$3\r\n1-2\r\n*4\r\n$1\r\na\r\n$1\r\n2\r\n$1\r\nb\r\n$1\r\n3\r\n"),
        ("XREAD COUNT 1 STREAMS s t nos 0 0 0", r"%2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nt\r\n*1\r\n*2\r\n$3\r\n7-0\r\n*2\r\n$1\r\nc\r\n$1\r\n4\r\n"),
        ("XREAD STREAMS s $", r"_\r\n"),
        ("XREAD STREAMS s t + $", r"%1\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-2\r\n*4\r\n$1\r\na\r\n$1\r\n2\r\n$1\r\nb\r\n$1\r\n3\r\n"),
        ("XREAD STREAMS s 1-2", r"_\r\n"),
        ("XREAD COUNT 0 STREAMS s 1", r"%1\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$3\r\n1-2\r\n*4\r\n$1\r\na\r\n$1\r\n2\r\n$1\r\nb\r\n$1\r\n3\r\n"),
        ("XREAD COUNT -1 STREAMS s 1-1", r"%1\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-2\r\n*4\r\n$1\r\na\r\n$1\r\n2\r\n$1\r\nb\r\n$1\r\n3\r\n"),
        ("XGROUP CREATE s g $ ENTRIESREAD 9", r"+OK\r\n"),
        ("XGROUP CREATE s h 0", r"+OK\r\n"),
        ("XREADGROUP GROUP h c COUNT 1 NOACK STREAMS s >", r"%1\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
        ("XREADGROUP GROUP h c STREAMS s 0", r"%1\r\n$1\r\ns\r\n*0\r\n"),
        ("XREADGROUP GROUP g c STREAMS s >", r"_\r\n"),
        ("XINFO GROUPS s", r"*2\r\n%6\r\n$4\r\nname\r\n$1\r\ng\r\n$9\r\nconsumers\r\n:1\r\n$7\r\npending\r\n:0\r\n$17\r\nlast-delivered-id\r\n$3\r\n1-2\r\n$12\r\nentries-read\r\n:2\r\n$3\r\nlag\r\n:0\r\n%6\r\n$4\r\nname\r\n$1\r\nh\r\n$9\r\nconsumers\r\n:1\r\n$7\r\npending\r\n:0\r\n$17\r\nlast-delivered-id\r\n$3\r\n1-1\r\n$12\r\nentries-read\r\n:1\r\n$3\r\nlag\r\n:1\r\n"),
        ("XINFO STREAM s", r"%16\r\n$6\r\nlength\r\n:2\r\n$15\r\nradix-tree-keys\r\n:1\r\n$16\r\nradix-tree-nodes\r\n:2\r\n$17\r\nlast-generated-id\r\n$3\r\n1-2\r\n$20\r\nmax-deleted-entry-id\r\n$3\r\n0-0\r\n$13\r\nentries-added\r\n:2\r\n$23\r\nrecorded-first-entry-id\r\n$3\r\n1-1\r\n$13\r\nidmp-duration\r\n:100\r\n$12\r\nidmp-maxsize\r\n:100\r\n$12\r\npids-tracked\r\n:0\r\n$12\r\niids-tracked\r\n:0\r\n$10\r\niids-added\r\n:0\r\n$15\r\niids-duplicates\r\n:0\r\n$6\r\ngroups\r\n:2\r\n$11\r\nfirst-entry\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n$10\r\nlast-entry\r\n*2\r\n$3\r\n1-2\r\n*4\r\n$1\r\na\r\n$1\r\n2\r\n$1\r\nb\r\n$1\r\n3\r\n"),
        ("XPENDING s h", r"*4\r\n:0\r\n_\r\n_\r\n_\r\n"),
        ("XRANGE s - + COUNT 0", r"_\r\n"),
        ("XADD nos NOMKSTREAM * a b", r"_\r\n"),
        ("XDEL t 7-0", r":1\r\n"),
        ("XINFO STREAM t", r"%16\r\n$6\r\nlength\r\n:0\r\n$15\r\nradix-tree-keys\r\n:0\r\n$16\r\nradix-tree-nodes\r\n:1\r\n$17\r\nlast-generated-id\r\n$3\r\n7-0\r\n$20\r\nmax-deleted-entry-id\r\n$3\r\n7-0\r\n$13\r\nentries-added\r\n:1\r\n$23\r\nrecorded-first-entry-id\r\n$3\r\n0-0\r\n$13\r\nidmp-duration\r\n:100\r\n$12\r\nidmp-maxsize\r\n:100\r\n$12\r\npids-tracked\r\n:0\r\n$12\r\niids-tracked\r\n:0\r\n$10\r\niids-added\r\n:0\r\n$15\r\niids-duplicates\r\n:0\r\n$6\r\ngroups\r\n:0\r\n$11\r\nfirst-entry\r\n_\r\n$10\r\nlast-entry\r\n_\r\n"),
        ("XINFO STREAM t FULL", r"%15\r\n$6\r\nlength\r\n:0\r\n$15\r\nradix-tree-keys\r\n:0\r\n$16\r\nradix-tree-nodes\r\n:1\r\n$17\r\nlast-generated-id\r\n$3\r\n7-0\r\n$20\r\nmax-deleted-entry-id\r\n$3\r\n7-0\r\n$13\r\nentries-added\r\n:1\r\n$23\r\nrecorded-first-entry-id\r\n$3\r\n0-0\r\n$13\r\nidmp-duration\r\n:100\r\n$12\r\nidmp-maxsize\r\n:100\r\n$12\r\npids-tracked\r\n:0\r\n$12\r\niids-tracked\r\n:0\r\n$10\r\niids-added\r\n:0\r\n$15\r\niids-duplicates\r\n:0\r\n$7\r\nentries\r\n*0\r\n$6\r\ngroups\r\n*0\r\n"),
        ("XREAD STREAMS t +", r"_\r\n"),
        ("XREAD COUNT x STREAMS s 0", r"-ERR value is not an integer or out of range\r\n"),
        ("XREAD BLOCK x STREAMS s 0", r"-ERR timeout is not an integer or out of range\r\n"),
        ("XREAD BLOCK -1 STREAMS s 0", r"-ERR timeout is negative\r\n"),
        ("XREAD BLOCK 9223372036854775807 STREAMS s 0", r"-ERR timeout is out of range\r\n"),
        ("XREAD STREAMS s", r"-ERR wrong number of arguments for \'xread\' command\r\n"),
        ("XREAD STREAMS s t 0", r"-ERR Unbalanced \'xread\' list of streams: for each stream key an ID, \'+\', or \'$\' must be specified.\r\n"),
        ("XREAD STREAMS s x", r"-ERR Invalid stream ID specified as stream command argument\r\n"),
        ("XREAD STREAMS s >", r"-ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.\r\n"),
        ("XREAD COUNT 1 STREAMS", r"-ERR syntax error\r\n"),
        ("XREAD GROUP g c STREAMS s 0", r"-ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.\r\n"),
        ("XREAD NOACK STREAMS s 0", r"-ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.\r\n"),
        ("XREAD FOO STREAMS s 0", r"-ERR syntax error\r\n"),
    ]);
}

#[test]
fn help_is_redis_own() {
    let mut m = Memory::new();
    m.expect(&[
        ("XGROUP HELP", r"*17\r\n+XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n+CREATE <key> <groupname> <id|$> [option]\r\n+    Create a new consumer group. Options are:\r\n+    * MKSTREAM\r\n+      Create the empty stream if it does not exist.\r\n+    * ENTRIESREAD entries_read\r\n+      Set the group\'s entries_read counter (internal use).\r\n+CREATECONSUMER <key> <groupname> <consumer>\r\n+    Create a new consumer in the specified group.\r\n+DELCONSUMER <key> <groupname> <consumer>\r\n+    Remove the specified consumer.\r\n+DESTROY <key> <groupname>\r\n+    Remove the specified group.\r\n+SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]\r\n+    Set the current group ID and entries_read counter.\r\n+HELP\r\n+    Print this help.\r\n"),
        ("XINFO HELP", r"*9\r\n+XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n+CONSUMERS <key> <groupname>\r\n+    Show consumers of <groupname>.\r\n+GROUPS <key>\r\n+    Show the stream consumer groups.\r\n+STREAM <key> [FULL [COUNT <count>]\r\n+    Show information about the stream.\r\n+HELP\r\n+    Print this help.\r\n"),
    ]);
}

#[test]
fn the_clock_gives_ids_that_never_go_back() {
    let mut m = Memory::new();
    let id = |ms: i64, seq: u64| {
        let id = format!("{ms}-{seq}");
        format!(r"${}\r\n{id}\r\n", id.len())
    };
    assert_eq!(m.run("XADD s * a b"), id(START_MS, 0));
    assert_eq!(m.run("XADD s * a b"), id(START_MS, 1));
    m.advance_ms(5);
    assert_eq!(m.run("XADD s * a b"), id(START_MS + 5, 0));
    m.clock.step_wall_ms(-1000);
    assert_eq!(m.run("XADD s * a b"), id(START_MS + 5, 1));
    assert_eq!(m.run("XADD s 9999999999999-18446744073709551615 a b"), id(9_999_999_999_999, u64::MAX));
    assert_eq!(m.run("XADD s * a b"), id(10_000_000_000_000, 0));
}

#[test]
fn idle_times_count_from_the_last_delivery_and_the_last_sight() {
    let mut m = Memory::new();
    for line in ["XADD s 1-1 a b", "XGROUP CREATE s g 0", "XREADGROUP GROUP g c STREAMS s >"] {
        m.run(line);
    }
    m.advance_ms(1500);
    m.expect(&[
        ("XPENDING s g - + 5", r"*1\r\n*4\r\n$3\r\n1-1\r\n$1\r\nc\r\n:1500\r\n:1\r\n"),
        ("XPENDING s g IDLE 1501 - + 5", r"*0\r\n"),
        ("XCLAIM s g d 1501 1-1 JUSTID", r"*0\r\n"),
        ("XCLAIM s g d 1500 1-1 IDLE 700 JUSTID", r"*1\r\n$3\r\n1-1\r\n"),
        ("XPENDING s g - + 5", r"*1\r\n*4\r\n$3\r\n1-1\r\n$1\r\nd\r\n:700\r\n:1\r\n"),
        ("XAUTOCLAIM s g c 701 - JUSTID", r"*3\r\n$3\r\n0-0\r\n*0\r\n*0\r\n"),
    ]);
    m.advance_ms(250);
    m.expect(&[
        (
            "XINFO CONSUMERS s g",
            r"*2\r\n*8\r\n$4\r\nname\r\n$1\r\nc\r\n$7\r\npending\r\n:0\r\n$4\r\nidle\r\n:250\r\n$8\r\ninactive\r\n:1750\r\n*8\r\n$4\r\nname\r\n$1\r\nd\r\n$7\r\npending\r\n:1\r\n$4\r\nidle\r\n:250\r\n$8\r\ninactive\r\n:250\r\n",
        ),
        ("XAUTOCLAIM s g c 701 -", r"*3\r\n$3\r\n0-0\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n*0\r\n"),
    ]);
}

/// A stream that was named twice, and had nothing left the second time, was thought to have something.
#[test]
fn a_stream_named_twice_is_read_on_by_a_group() {
    let entry = |id: &str, n: u8| format!(r"*2\r\n${}\r\n{id}\r\n*2\r\n$1\r\nf\r\n$1\r\n{n}\r\n", id.len());
    let (first, last) = (entry("1-1", 1), entry("18446744073709551615-18446744073709551615", 2));
    for (count, reply) in [
        ("", format!(r"*1\r\n*2\r\n$1\r\ns\r\n*2\r\n{first}{last}")),
        ("COUNT 1", format!(r"*2\r\n*2\r\n$1\r\ns\r\n*1\r\n{first}*2\r\n$1\r\ns\r\n*1\r\n{last}")),
    ] {
        let mut m = Memory::new();
        m.run("XADD s 1-1 f 1");
        m.run("XADD s 18446744073709551615-18446744073709551615 f 2");
        m.run("XGROUP CREATE s g 0");
        m.expect(&[(&format!("XREADGROUP GROUP g c {count} STREAMS s s s > > >"), &reply)]);
    }
}

#[test]
fn a_stream_named_twice_gives_its_new_entries_once() {
    let mut m = Memory::new();
    m.expect(&[
        ("XGROUP CREATE s g 0 MKSTREAM", r"+OK\r\n"),
        ("XADD s 1-1 a 1", r"$3\r\n1-1\r\n"),
        ("XADD s 2-1 a 2", r"$3\r\n2-1\r\n"),
        (
            "XREADGROUP GROUP g c COUNT 1 STREAMS s s s > > >",
            r"*2\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n2-1\r\n*2\r\n$1\r\na\r\n$1\r\n2\r\n",
        ),
    ]);
    // Nothing comes after the last id there can be.
    m.expect(&[
        ("DEL s", r":1\r\n"),
        ("XGROUP CREATE s g 0 MKSTREAM", r"+OK\r\n"),
        (
            "XADD s 18446744073709551615-18446744073709551615 a 1",
            r"$41\r\n18446744073709551615-18446744073709551615\r\n",
        ),
        (
            "XREADGROUP GROUP g c NOACK STREAMS s s > >",
            r"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$41\r\n18446744073709551615-18446744073709551615\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n",
        ),
        ("XREADGROUP GROUP g c STREAMS s s > >", r"*-1\r\n"),
    ]);
}

#[test]
fn xadd_limit_without_a_trimming_is_refused() {
    let exact = r"-ERR syntax error, LIMIT cannot be used without the special ~ option\r\n";
    let alone = r"-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy\r\n";
    let no_strategy = r"-ERR syntax error, XTRIM must be called with a trimming strategy\r\n";
    Memory::new().expect(&[
        ("XADD s LIMIT 0 * f v", exact),
        ("XADD s LIMIT 0 0-0 f v", exact),
        ("XADD s LIMIT 0 * f", exact),
        ("XADD s NOMKSTREAM LIMIT 0 1-1 f v", exact),
        ("XADD s MAXLEN 5 LIMIT 0 1-1 f v", exact),
        ("XADD s LIMIT 5 1-1 f v", alone),
        ("XTRIM s ACKED LIMIT 0", no_strategy),
        ("XTRIM s ACKED LIMIT 5", alone),
        ("XTRIM s MAXLEN 5 LIMIT 0", exact),
        ("EXISTS s", r":0\r\n"),
    ]);
}

#[test]
fn xsetid_lowers_what_groups_have_read_to_what_was_added() {
    let mut m = Memory::new();
    for id in 1..=9 {
        m.run(&format!("XADD s {id}-1 f v"));
    }
    m.run("XGROUP CREATE s g 0");
    m.run("XGROUP CREATE s early 0 ENTRIESREAD 1");
    m.run("XGROUP CREATE s unknown 5-1");
    m.run("XREADGROUP GROUP g c STREAMS s >");
    m.run("XTRIM s MAXLEN 2");
    m.expect(&[("XSETID s 9-1 ENTRIESADDED 2", r"+OK\r\n")]);
    let groups = m.run("XINFO GROUPS s");
    let read: Vec<&str> =
        groups.split("entries-read").skip(1).map(|rest| rest.split(r"\r\n").nth(1).unwrap()).collect();
    assert_eq!(read, [":1", ":2", "$-1"], "{groups}");
    assert!(groups.contains(r"$3\r\n9-1\r\n$12\r\nentries-read\r\n:2\r\n$3\r\nlag\r\n:0\r\n"), "{groups}");
}

/// A stream of nodes of four entries, the first three of which were given to a consumer that acknowledged one.
fn nodes_of_four() -> Memory {
    let mut m = Memory::new();
    m.run("CONFIG SET stream-node-max-entries 4");
    for id in 1..=10 {
        m.run(&format!("XADD s {id}-1 f v"));
    }
    m.run("XGROUP CREATE s g 0");
    m.run("XREADGROUP GROUP g c COUNT 3 STREAMS s >");
    m.run("XACK s g 1-1");
    m
}

/// What Redis 8.6.2 answers: entries are looked at one by one anyway, so that half a node may go.
#[test]
fn approximate_trimming_minds_references() {
    nodes_of_four().expect(&[
        ("XTRIM s MAXLEN ~ 7 ACKED", r":1\r\n"),
        ("XTRIM s MAXLEN ~ 7 KEEPREF", r":0\r\n"),
        ("XTRIM s MAXLEN ~ 7 DELREF", r":2\r\n"),
        ("XPENDING s g", r"*4\r\n:0\r\n$-1\r\n$-1\r\n*-1\r\n"),
        ("XTRIM s MAXLEN ~ 5 LIMIT 2 DELREF", r":1\r\n"),
        ("XTRIM s MINID ~ 6-1 DELREF", r":1\r\n"),
        ("XADD s DELREF MAXLEN ~ 4 11-1 f v", r"$4\r\n11-1\r\n"),
        ("XLEN s", r":4\r\n"),
    ]);
}

/// An entry that XDEL took keeps its place in the node and in the lists of the groups.
#[test]
fn trimming_with_delref_forgets_what_was_deleted_before() {
    let mut m = nodes_of_four();
    let pending = |m: &mut Memory| m.run("XPENDING s g").split(r"\r\n").nth(1).map(str::to_owned);
    m.expect(&[("XDEL s 2-1", r":1\r\n")]);
    assert_eq!(pending(&mut m), Some(":2".to_owned()));
    let before = m.server.stats.dirty;
    m.expect(&[("XTRIM s MINID 3-1 DELREF", r":1\r\n")]);
    assert_eq!((pending(&mut m), m.server.stats.dirty - before), (Some(":1".to_owned()), 2));
    // Nothing of the stream goes, only the reference.
    m.expect(&[("XDEL s 3-1", r":1\r\n")]);
    let before = m.server.stats.dirty;
    m.expect(&[("XTRIM s MINID 4-1 DELREF", r":0\r\n")]);
    assert_eq!((pending(&mut m), m.server.stats.dirty - before), (Some(":0".to_owned()), 1));
}

#[test]
fn xdelex_that_only_forgets_references_counts_as_a_change_without_an_event() {
    let mut m = nodes_of_four();
    m.run("HELLO 3");
    m.run("PSUBSCRIBE __keyevent*");
    let listener = m.client;
    m.connect();
    m.run("CONFIG SET notify-keyspace-events KEA");
    m.run("XDEL s 2-1 3-1");
    m.take_sent(listener);
    for (line, reply, changes) in [
        ("XDELEX s DELREF IDS 2 2-1 77-1", r"*2\r\n:-1\r\n:-1\r\n", 1),
        ("XDELEX s DELREF IDS 1 2-1", r"*1\r\n:-1\r\n", 0),
        ("XDELEX s KEEPREF IDS 1 3-1", r"*1\r\n:-1\r\n", 0),
    ] {
        let before = m.server.stats.dirty;
        m.expect(&[(line, reply)]);
        assert_eq!(m.server.stats.dirty - before, changes, "{line}");
        assert_eq!(m.take_sent(listener), "", "{line}");
    }
    m.expect(&[("XPENDING s g", r"*4\r\n:1\r\n$3\r\n3-1\r\n$3\r\n3-1\r\n*1\r\n*2\r\n$1\r\nc\r\n$1\r\n1\r\n")]);
}
