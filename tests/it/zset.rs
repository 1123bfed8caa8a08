//! Sorted sets. The replies are those of Redis 8.2.3.

use crate::keys::expect_each as expect;
use crate::memory::Memory;

#[test]
fn members_are_added_and_rescored() {
    expect(&[
        ("ZADD k 1 a 2 b 3 c", r":3\r\n", ""),
        ("ZADD k 1 a 5 b 4 d", r":1\r\n", ""),
        ("ZADD k CH 1 a 2 b 7 e", r":2\r\n", ""),
        ("ZADD k NX 9 a 8 f", r":1\r\n", ""),
        ("ZADD k XX 9 a 8 g", r":0\r\n", ""),
        ("ZADD k XX CH 10 a 8 g", r":1\r\n", ""),
        ("ZADD k GT CH 9 a 11 b 1 new", r":2\r\n", ""),
        ("ZADD k LT CH 9 a 11 b", r":1\r\n", ""),
        ("ZADD k INCR 1.5 a", r"$4\r\n10.5\r\n", r",10.5\r\n"),
        ("ZADD k NX INCR 1 a", r"$-1\r\n", r"_\r\n"),
        ("ZADD k XX INCR 1 nobody", r"$-1\r\n", r"_\r\n"),
        ("ZADD k GT INCR -1 a", r"$-1\r\n", r"_\r\n"),
        ("ZADD k INCR 0 a", r"$4\r\n10.5\r\n", r",10.5\r\n"),
        ("ZINCRBY k 0.1 z", r"$3\r\n0.1\r\n", r",0.1\r\n"),
        ("ZINCRBY k 0.2 z", r"$19\r\n0.30000000000000004\r\n", r",0.30000000000000004\r\n"),
        ("ZADD none XX 1 a", r":0\r\n", ""),
        ("ZADD none XX INCR 1 a", r"$-1\r\n", r"_\r\n"),
        ("EXISTS none", r":0\r\n", ""),
        (
            "ZRANGE k 0 -1 WITHSCORES",
            concat!(
                r"*16\r\n$1\r\nz\r\n$19\r\n0.30000000000000004\r\n$3\r\nnew\r\n$1\r\n1\r\n$1\r\nc\r\n$1\r\n3\r\n$1\r\n",
                r"d\r\n$1\r\n4\r\n$1\r\ne\r\n$1\r\n7\r\n$1\r\nf\r\n$1\r\n8\r\n$1\r\na\r\n$4\r\n10.5\r\n$1\r\nb\r\n",
                r"$2\r\n11\r\n"
            ),
            concat!(
                r"*8\r\n*2\r\n$1\r\nz\r\n,0.30000000000000004\r\n*2\r\n$3\r\nnew\r\n,1\r\n*2\r\n$1\r\nc\r\n,3\r\n",
                r"*2\r\n$1\r\nd\r\n,4\r\n*2\r\n$1\r\ne\r\n,7\r\n*2\r\n$1\r\nf\r\n,8\r\n*2\r\n$1\r\na\r\n,10.5\r\n",
                r"*2\r\n$1\r\nb\r\n,11\r\n"
            ),
        ),
        ("ZADD k 1 a 2 a", r":0\r\n", ""),
        ("ZSCORE k a", r"$1\r\n2\r\n", r",2\r\n"),
    ]);
}

#[test]
fn scores_are_numbers_of_all_sizes() {
    expect(&[
        ("ZADD k inf a -inf b +inf c -0 d 1e20 e 4.9e-324 f 0.1 g 9007199254740993 h 0x10 i 3.0 j", r":10\r\n", ""),
        (
            "ZRANGE k 0 -1 WITHSCORES",
            concat!(
                r"*20\r\n$1\r\nb\r\n$4\r\n-inf\r\n$1\r\nd\r\n$1\r\n0\r\n$1\r\nf\r\n$6\r\n5e-324\r\n$1\r\ng\r\n$3\r\n",
                r"0.1\r\n$1\r\nj\r\n$1\r\n3\r\n$1\r\ni\r\n$2\r\n16\r\n$1\r\nh\r\n$16\r\n9007199254740992\r\n$1\r\n",
                r"e\r\n$5\r\n1e+20\r\n$1\r\na\r\n$3\r\ninf\r\n$1\r\nc\r\n$3\r\ninf\r\n"
            ),
            concat!(
                r"*10\r\n*2\r\n$1\r\nb\r\n,-inf\r\n*2\r\n$1\r\nd\r\n,0\r\n*2\r\n$1\r\nf\r\n,5e-324\r\n*2\r\n$1\r\n",
                r"g\r\n,0.1\r\n*2\r\n$1\r\nj\r\n,3\r\n*2\r\n$1\r\ni\r\n,16\r\n*2\r\n$1\r\nh\r\n,9007199254740992\r\n",
                r"*2\r\n$1\r\ne\r\n,1e+20\r\n*2\r\n$1\r\na\r\n,inf\r\n*2\r\n$1\r\nc\r\n,inf\r\n"
            ),
        ),
        (
            "ZMSCORE k a b d nobody",
            r"*4\r\n$3\r\ninf\r\n$4\r\n-inf\r\n$1\r\n0\r\n$-1\r\n",
            r"*4\r\n,inf\r\n,-inf\r\n,0\r\n_\r\n",
        ),
        ("ZADD k nan a", r"-ERR value is not a valid float\r\n", ""),
        ("ZADD k 1e400 a", r"-ERR value is not a valid float\r\n", ""),
        ("ZADD k x a", r"-ERR value is not a valid float\r\n", ""),
        (r#"ZADD k "" a"#, r"-ERR value is not a valid float\r\n", ""),
        (r#"ZADD k " 1" a"#, r"-ERR value is not a valid float\r\n", ""),
        ("ZINCRBY k -inf a", r"-ERR resulting score is not a number (NaN)\r\n", ""),
        ("ZADD k INCR -inf a", r"-ERR resulting score is not a number (NaN)\r\n", ""),
        ("ZINCRBY k x a", r"-ERR value is not a valid float\r\n", ""),
        ("CONFIG SET zset-max-listpack-entries 0", r"+OK\r\n", ""),
        ("ZADD big -0 d 0.1 g", r":2\r\n", ""),
        (
            "ZRANGE big 0 -1 WITHSCORES",
            r"*4\r\n$1\r\nd\r\n$2\r\n-0\r\n$1\r\ng\r\n$3\r\n0.1\r\n",
            r"*2\r\n*2\r\n$1\r\nd\r\n,-0\r\n*2\r\n$1\r\ng\r\n,0.1\r\n",
        ),
        ("ZSCORE big d", r"$2\r\n-0\r\n", r",-0\r\n"),
        ("OBJECT ENCODING big", r"$8\r\nskiplist\r\n", ""),
    ]);
}

#[test]
fn wrong_additions_are_refused() {
    expect(&[
        ("SET s x", r"+OK\r\n", ""),
        ("ZADD k", r"-ERR wrong number of arguments for \'zadd\' command\r\n", ""),
        ("ZADD k 1", r"-ERR wrong number of arguments for \'zadd\' command\r\n", ""),
        ("ZADD k 1 a b", r"-ERR syntax error\r\n", ""),
        ("ZADD k NX XX 1 a", r"-ERR XX and NX options at the same time are not compatible\r\n", ""),
        ("ZADD k GT LT 1 a", r"-ERR GT, LT, and/or NX options at the same time are not compatible\r\n", ""),
        ("ZADD k NX GT 1 a", r"-ERR GT, LT, and/or NX options at the same time are not compatible\r\n", ""),
        ("ZADD k NX LT 1 a", r"-ERR GT, LT, and/or NX options at the same time are not compatible\r\n", ""),
        ("ZADD k INCR 1 a 2 b", r"-ERR INCR option supports a single increment-element pair\r\n", ""),
        ("ZADD k NX", r"-ERR wrong number of arguments for \'zadd\' command\r\n", ""),
        ("ZADD k NX CH", r"-ERR syntax error\r\n", ""),
        ("ZADD s 1 a", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZADD s x a", r"-ERR value is not a valid float\r\n", ""),
        ("ZINCRBY s 1 a", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZINCRBY k NX 1", r"-ERR syntax error\r\n", ""),
        ("ZINCRBY k 1", r"-ERR wrong number of arguments for \'zincrby\' command\r\n", ""),
    ]);
}

#[test]
fn keys_of_other_types_are_refused() {
    expect(&[
        ("SET s x", r"+OK\r\n", ""),
        ("ZCARD s", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZSCORE s a", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZMSCORE s a", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZRANK s a", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZREVRANK s a", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZCOUNT s 0 1", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZLEXCOUNT s - +", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZRANGE s 0 1", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZRANGEBYSCORE s 0 1", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZREVRANGEBYSCORE s 0 1", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZRANGEBYLEX s - +", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZREVRANGEBYLEX s + -", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZREVRANGE s 0 1", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZRANGESTORE d s 0 1", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZREM s a", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZREMRANGEBYRANK s 0 1", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZREMRANGEBYSCORE s 0 1", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZREMRANGEBYLEX s - +", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZPOPMIN s", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZPOPMAX s 0", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZMPOP 2 none s MIN", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("BZPOPMIN s 0", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("BZPOPMAX none s 0", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("BZMPOP 0 1 s MAX", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZUNION 2 none s", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZINTER 2 none s BAD", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZDIFF 1 s", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZUNIONSTORE d 1 s", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZINTERSTORE d 1 s", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZDIFFSTORE d 1 s", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZINTERCARD 1 s", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZRANDMEMBER s", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZRANDMEMBER s 1", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("ZSCAN s 0", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
    ]);
}

#[test]
fn ranks_count_from_either_end() {
    expect(&[
        ("ZADD k 1 a 2 b 3 c", r":3\r\n", ""),
        ("ZRANK k a", r":0\r\n", ""),
        ("ZREVRANK k a", r":2\r\n", ""),
        ("ZRANK k c WITHSCORE", r"*2\r\n:2\r\n$1\r\n3\r\n", r"*2\r\n:2\r\n,3\r\n"),
        ("ZREVRANK k c withscore", r"*2\r\n:0\r\n$1\r\n3\r\n", r"*2\r\n:0\r\n,3\r\n"),
        ("ZRANK k nobody", r"$-1\r\n", r"_\r\n"),
        ("ZRANK k nobody WITHSCORE", r"*-1\r\n", r"_\r\n"),
        ("ZRANK none a", r"$-1\r\n", r"_\r\n"),
        ("ZREVRANK none a WITHSCORE", r"*-1\r\n", r"_\r\n"),
        ("ZRANK k a WITHSCORES", r"-ERR syntax error\r\n", ""),
        ("ZRANK k a WITHSCORE x", r"-ERR wrong number of arguments for \'zrank\' command\r\n", ""),
        ("ZCARD k", r":3\r\n", ""),
        ("ZCARD none", r":0\r\n", ""),
        ("ZSCORE k b", r"$1\r\n2\r\n", r",2\r\n"),
        ("ZSCORE k nobody", r"$-1\r\n", r"_\r\n"),
        ("ZSCORE none a", r"$-1\r\n", r"_\r\n"),
        ("ZMSCORE none a b", r"*2\r\n$-1\r\n$-1\r\n", r"*2\r\n_\r\n_\r\n"),
    ]);
}

#[test]
fn ranges_of_ranks() {
    expect(&[
        ("ZADD k 1 a 2 b 3 c 4 d", r":4\r\n", ""),
        ("ZRANGE k 0 -1", r"*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n", ""),
        (
            "ZRANGE k 1 2 WITHSCORES",
            r"*4\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\nc\r\n$1\r\n3\r\n",
            r"*2\r\n*2\r\n$1\r\nb\r\n,2\r\n*2\r\n$1\r\nc\r\n,3\r\n",
        ),
        ("ZRANGE k -2 -1 REV", r"*2\r\n$1\r\nb\r\n$1\r\na\r\n", ""),
        (
            "ZRANGE k 0 1 REV WITHSCORES",
            r"*4\r\n$1\r\nd\r\n$1\r\n4\r\n$1\r\nc\r\n$1\r\n3\r\n",
            r"*2\r\n*2\r\n$1\r\nd\r\n,4\r\n*2\r\n$1\r\nc\r\n,3\r\n",
        ),
        (
            "ZREVRANGE k 0 1 WITHSCORES",
            r"*4\r\n$1\r\nd\r\n$1\r\n4\r\n$1\r\nc\r\n$1\r\n3\r\n",
            r"*2\r\n*2\r\n$1\r\nd\r\n,4\r\n*2\r\n$1\r\nc\r\n,3\r\n",
        ),
        ("ZREVRANGE k -1 -1", r"*1\r\n$1\r\na\r\n", ""),
        ("ZRANGE k 2 1", r"*0\r\n", ""),
        ("ZRANGE k 4 9", r"*0\r\n", ""),
        ("ZRANGE k -100 0", r"*1\r\n$1\r\na\r\n", ""),
        (
            "ZRANGE k -9223372036854775808 9223372036854775807",
            r"*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n",
            "",
        ),
        ("ZRANGE none 0 -1", r"*0\r\n", ""),
        ("ZRANGE k 0 -1 LIMIT 0 -1", r"*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n", ""),
        (
            "ZRANGE k 0 -1 LIMIT 0 1",
            r"-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX\r\n",
            "",
        ),
        ("ZRANGE k 0 x", r"-ERR value is not an integer or out of range\r\n", ""),
        ("ZRANGE k 0 -1 REV REV", r"-ERR syntax error\r\n", ""),
        ("ZRANGE k 0 -1 LIMIT 1", r"-ERR syntax error\r\n", ""),
        ("ZRANGE k 0 -1 LIMIT x 1", r"-ERR value is not an integer or out of range\r\n", ""),
        ("ZREVRANGE k 0 -1 REV", r"-ERR syntax error\r\n", ""),
        ("ZREVRANGE k 0 -1 BYSCORE", r"-ERR syntax error\r\n", ""),
    ]);
}

#[test]
fn ranges_of_scores() {
    expect(&[
        ("ZADD k 1 a 2 b 3 c 4 d 5 e", r":5\r\n", ""),
        ("ZRANGEBYSCORE k 2 4", r"*3\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n", ""),
        ("ZRANGEBYSCORE k (2 (4", r"*1\r\n$1\r\nc\r\n", ""),
        (
            "ZRANGEBYSCORE k -inf +inf WITHSCORES LIMIT 1 2",
            r"*4\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\nc\r\n$1\r\n3\r\n",
            r"*2\r\n*2\r\n$1\r\nb\r\n,2\r\n*2\r\n$1\r\nc\r\n,3\r\n",
        ),
        ("ZRANGEBYSCORE k -inf +inf LIMIT 1 -1", r"*4\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n", ""),
        ("ZRANGEBYSCORE k -inf +inf LIMIT -1 2", r"*0\r\n", ""),
        ("ZRANGEBYSCORE k -inf +inf LIMIT 9 2", r"*0\r\n", ""),
        ("ZRANGEBYSCORE k -inf +inf LIMIT 0 0", r"*0\r\n", ""),
        (
            "ZREVRANGEBYSCORE k 4 2 WITHSCORES",
            r"*6\r\n$1\r\nd\r\n$1\r\n4\r\n$1\r\nc\r\n$1\r\n3\r\n$1\r\nb\r\n$1\r\n2\r\n",
            r"*3\r\n*2\r\n$1\r\nd\r\n,4\r\n*2\r\n$1\r\nc\r\n,3\r\n*2\r\n$1\r\nb\r\n,2\r\n",
        ),
        ("ZREVRANGEBYSCORE k +inf (1 LIMIT 1 2", r"*2\r\n$1\r\nd\r\n$1\r\nc\r\n", ""),
        ("ZRANGE k 2 4 BYSCORE", r"*3\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n", ""),
        (
            "ZRANGE k 4 2 BYSCORE REV LIMIT 0 2 WITHSCORES",
            r"*4\r\n$1\r\nd\r\n$1\r\n4\r\n$1\r\nc\r\n$1\r\n3\r\n",
            r"*2\r\n*2\r\n$1\r\nd\r\n,4\r\n*2\r\n$1\r\nc\r\n,3\r\n",
        ),
        ("ZRANGE k 4 2 BYSCORE", r"*0\r\n", ""),
        ("ZRANGEBYSCORE k x 1", r"-ERR min or max is not a float\r\n", ""),
        ("ZRANGEBYSCORE k 1 nan", r"-ERR min or max is not a float\r\n", ""),
        ("ZRANGEBYSCORE k ((1 2", r"-ERR min or max is not a float\r\n", ""),
        ("ZRANGEBYSCORE k ( 2", r"*2\r\n$1\r\na\r\n$1\r\nb\r\n", ""),
        ("ZRANGEBYSCORE k 0 1 REV", r"-ERR syntax error\r\n", ""),
        ("ZRANGE k 0 1 BYSCORE BYLEX", r"-ERR syntax error\r\n", ""),
        ("ZCOUNT k (1 3", r":2\r\n", ""),
        ("ZCOUNT k 3 1", r":0\r\n", ""),
        ("ZCOUNT k (3 3", r":0\r\n", ""),
        ("ZCOUNT none 0 1", r":0\r\n", ""),
        ("ZCOUNT k x 1", r"-ERR min or max is not a float\r\n", ""),
    ]);
}

#[test]
fn ranges_of_members() {
    expect(&[
        ("ZADD k 0 a 0 b 0 c 0 dd 0 5", r":5\r\n", ""),
        ("ZRANGEBYLEX k - +", r"*5\r\n$1\r\n5\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$2\r\ndd\r\n", ""),
        ("ZRANGEBYLEX k [b (dd", r"*2\r\n$1\r\nb\r\n$1\r\nc\r\n", ""),
        ("ZRANGEBYLEX k (a + LIMIT 1 1", r"*1\r\n$1\r\nc\r\n", ""),
        ("ZREVRANGEBYLEX k + [b", r"*3\r\n$2\r\ndd\r\n$1\r\nc\r\n$1\r\nb\r\n", ""),
        ("ZREVRANGEBYLEX k [c - LIMIT 1 5", r"*3\r\n$1\r\nb\r\n$1\r\na\r\n$1\r\n5\r\n", ""),
        ("ZRANGE k [b [c BYLEX", r"*2\r\n$1\r\nb\r\n$1\r\nc\r\n", ""),
        ("ZRANGE k + - BYLEX REV LIMIT 1 2", r"*2\r\n$1\r\nc\r\n$1\r\nb\r\n", ""),
        ("ZRANGEBYLEX k + -", r"*0\r\n", ""),
        (
            "ZRANGEBYLEX k - + WITHSCORES",
            r"-ERR syntax error, WITHSCORES not supported in combination with BYLEX\r\n",
            "",
        ),
        (
            "ZRANGE k - + BYLEX WITHSCORES",
            r"-ERR syntax error, WITHSCORES not supported in combination with BYLEX\r\n",
            "",
        ),
        ("ZRANGEBYLEX k b +", r"-ERR min or max not valid string range item\r\n", ""),
        (r#"ZRANGEBYLEX k - """#, r"-ERR min or max not valid string range item\r\n", ""),
        ("ZLEXCOUNT k - +", r":5\r\n", ""),
        ("ZLEXCOUNT k (5 [b", r":2\r\n", ""),
        ("ZLEXCOUNT k a +", r"-ERR min or max not valid string range item\r\n", ""),
        ("ZLEXCOUNT none - +", r":0\r\n", ""),
    ]);
}

#[test]
fn ranges_are_stored() {
    expect(&[
        ("ZADD k 1 a 2 b 3 c", r":3\r\n", ""),
        ("ZRANGESTORE d k 0 1", r":2\r\n", ""),
        (
            "ZRANGE d 0 -1 WITHSCORES",
            r"*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n",
            r"*2\r\n*2\r\n$1\r\na\r\n,1\r\n*2\r\n$1\r\nb\r\n,2\r\n",
        ),
        ("ZRANGESTORE d k 3 2 BYSCORE REV", r":2\r\n", ""),
        (
            "ZRANGE d 0 -1 WITHSCORES",
            r"*4\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\nc\r\n$1\r\n3\r\n",
            r"*2\r\n*2\r\n$1\r\nb\r\n,2\r\n*2\r\n$1\r\nc\r\n,3\r\n",
        ),
        ("ZRANGESTORE d k - + BYLEX LIMIT 0 1", r":1\r\n", ""),
        ("ZRANGE d 0 -1", r"*1\r\n$1\r\na\r\n", ""),
        ("ZRANGESTORE d k 5 6", r":0\r\n", ""),
        ("EXISTS d", r":0\r\n", ""),
        ("ZRANGESTORE d none 0 1", r":0\r\n", ""),
        ("ZRANGESTORE d k 0 -1 WITHSCORES", r"-ERR syntax error\r\n", ""),
        ("ZRANGESTORE k k 1 1", r":1\r\n", ""),
        ("ZRANGE k 0 -1 WITHSCORES", r"*2\r\n$1\r\nb\r\n$1\r\n2\r\n", r"*1\r\n*2\r\n$1\r\nb\r\n,2\r\n"),
    ]);
}

#[test]
fn members_are_removed() {
    expect(&[
        ("ZADD k 1 a 2 b 3 c 4 d 5 e 6 f", r":6\r\n", ""),
        ("ZREM k a nobody b", r":2\r\n", ""),
        ("ZREM k nobody", r":0\r\n", ""),
        ("ZREM none a", r":0\r\n", ""),
        ("ZREMRANGEBYRANK k 0 0", r":1\r\n", ""),
        ("ZREMRANGEBYRANK k 9 10", r":0\r\n", ""),
        ("ZREMRANGEBYSCORE k (4 5", r":1\r\n", ""),
        ("ZREMRANGEBYSCORE k x 1", r"-ERR min or max is not a float\r\n", ""),
        ("ZREMRANGEBYRANK k x 1", r"-ERR value is not an integer or out of range\r\n", ""),
        ("ZREMRANGEBYLEX k a b", r"-ERR min or max not valid string range item\r\n", ""),
        ("ZRANGE k 0 -1", r"*2\r\n$1\r\nd\r\n$1\r\nf\r\n", ""),
        ("ZREMRANGEBYLEX k [d [d", r":1\r\n", ""),
        ("ZREMRANGEBYRANK k -1 -1", r":1\r\n", ""),
        ("EXISTS k", r":0\r\n", ""),
        ("ZREMRANGEBYSCORE none 0 1", r":0\r\n", ""),
        ("ZADD k 1 a 2 b", r":2\r\n", ""),
        ("ZREM k a b a", r":2\r\n", ""),
        ("EXISTS k", r":0\r\n", ""),
    ]);
}

#[test]
fn members_are_popped_from_either_end() {
    expect(&[
        ("ZADD k 1 a 2 b 3 c 4 d 5 e 6 f", r":6\r\n", ""),
        ("ZPOPMIN k", r"*2\r\n$1\r\na\r\n$1\r\n1\r\n", r"*2\r\n$1\r\na\r\n,1\r\n"),
        ("ZPOPMAX k", r"*2\r\n$1\r\nf\r\n$1\r\n6\r\n", r"*2\r\n$1\r\nf\r\n,6\r\n"),
        (
            "ZPOPMIN k 2",
            r"*4\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\nc\r\n$1\r\n3\r\n",
            r"*2\r\n*2\r\n$1\r\nb\r\n,2\r\n*2\r\n$1\r\nc\r\n,3\r\n",
        ),
        ("ZPOPMAX k 0", r"*0\r\n", ""),
        ("ZPOPMAX k -1", r"-ERR value is out of range, must be positive\r\n", ""),
        ("ZPOPMAX k x", r"-ERR value is out of range, must be positive\r\n", ""),
        ("ZPOPMAX k 1 2", r"-ERR syntax error\r\n", ""),
        ("ZPOPMIN none", r"*0\r\n", ""),
        ("ZPOPMIN none 3", r"*0\r\n", ""),
        (
            "ZPOPMAX k 9",
            r"*4\r\n$1\r\ne\r\n$1\r\n5\r\n$1\r\nd\r\n$1\r\n4\r\n",
            r"*2\r\n*2\r\n$1\r\ne\r\n,5\r\n*2\r\n$1\r\nd\r\n,4\r\n",
        ),
        ("EXISTS k", r":0\r\n", ""),
        ("ZADD k 1 a 2 b 3 c", r":3\r\n", ""),
        (
            "ZMPOP 2 none k MIN",
            r"*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n",
            r"*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$1\r\na\r\n,1\r\n",
        ),
        (
            "ZMPOP 1 k MAX COUNT 5",
            r"*2\r\n$1\r\nk\r\n*2\r\n*2\r\n$1\r\nc\r\n$1\r\n3\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n",
            r"*2\r\n$1\r\nk\r\n*2\r\n*2\r\n$1\r\nc\r\n,3\r\n*2\r\n$1\r\nb\r\n,2\r\n",
        ),
        ("ZMPOP 1 k MAX", r"*-1\r\n", r"_\r\n"),
        ("ZMPOP 0 k MIN", r"-ERR numkeys should be greater than 0\r\n", ""),
        ("ZMPOP x k MIN", r"-ERR numkeys should be greater than 0\r\n", ""),
        ("ZMPOP 1 k MID", r"-ERR syntax error\r\n", ""),
        ("ZMPOP 2 k MIN", r"-ERR syntax error\r\n", ""),
        ("ZMPOP 1 k MIN COUNT 0", r"-ERR count should be greater than 0\r\n", ""),
        ("ZMPOP 1 k MIN COUNT x", r"-ERR count should be greater than 0\r\n", ""),
        ("ZMPOP 1 k MIN COUNT 1 COUNT 1", r"-ERR syntax error\r\n", ""),
        ("ZMPOP 1 k MIN COUNT", r"-ERR syntax error\r\n", ""),
    ]);
}

#[test]
fn blocking_pops_take_what_is_there() {
    expect(&[
        ("ZADD k 1 a 2 b 3 c", r":3\r\n", ""),
        ("BZPOPMIN none k 0", r"*3\r\n$1\r\nk\r\n$1\r\na\r\n$1\r\n1\r\n", r"*3\r\n$1\r\nk\r\n$1\r\na\r\n,1\r\n"),
        ("BZPOPMAX k 0.5", r"*3\r\n$1\r\nk\r\n$1\r\nc\r\n$1\r\n3\r\n", r"*3\r\n$1\r\nk\r\n$1\r\nc\r\n,3\r\n"),
        (
            "BZMPOP 0 2 none k MIN COUNT 2",
            r"*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n",
            r"*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$1\r\nb\r\n,2\r\n",
        ),
        ("ZADD k 1 a", r":1\r\n", ""),
        ("BZPOPMIN k x", r"-ERR timeout is not a float or out of range\r\n", ""),
        ("BZPOPMIN k -1", r"-ERR timeout is negative\r\n", ""),
        ("BZPOPMIN k 1e300", r"-ERR timeout is out of range\r\n", ""),
        ("BZPOPMIN k inf", r"-ERR timeout is out of range\r\n", ""),
        ("BZPOPMIN k nan", r"-ERR timeout is not a float or out of range\r\n", ""),
        ("BZPOPMIN k 1e400", r"-ERR timeout is out of range\r\n", ""),
        ("BZPOPMIN k 9223372036854775", r"-ERR timeout is out of range\r\n", ""),
        ("BZMPOP x 1 k MIN", r"-ERR timeout is not a float or out of range\r\n", ""),
        ("BZMPOP 0 0 k MIN", r"-ERR numkeys should be greater than 0\r\n", ""),
        ("BZMPOP 0 1 k MID", r"-ERR syntax error\r\n", ""),
        ("BZMPOP 0 1 k MIN COUNT 0", r"-ERR count should be greater than 0\r\n", ""),
        ("BZMPOP -1 0 k MIN", r"-ERR numkeys should be greater than 0\r\n", ""),
    ]);
}

#[test]
fn unions_intersections_and_differences() {
    expect(&[
        ("ZADD a 1 x 2 y 3 z", r":3\r\n", ""),
        ("ZADD b 10 y 20 z 30 w", r":3\r\n", ""),
        ("ZADD c inf y -inf z", r":2\r\n", ""),
        ("ZUNION 2 a b", r"*4\r\n$1\r\nx\r\n$1\r\ny\r\n$1\r\nz\r\n$1\r\nw\r\n", ""),
        (
            "ZUNION 2 a b WITHSCORES",
            r"*8\r\n$1\r\nx\r\n$1\r\n1\r\n$1\r\ny\r\n$2\r\n12\r\n$1\r\nz\r\n$2\r\n23\r\n$1\r\nw\r\n$2\r\n30\r\n",
            r"*4\r\n*2\r\n$1\r\nx\r\n,1\r\n*2\r\n$1\r\ny\r\n,12\r\n*2\r\n$1\r\nz\r\n,23\r\n*2\r\n$1\r\nw\r\n,30\r\n",
        ),
        ("ZUNIONSTORE d 2 a b AGGREGATE COUNT", r":4\r\n", ""),
        ("ZMSCORE d x y z w", r"*4\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n2\r\n$1\r\n1\r\n", r"*4\r\n,1\r\n,2\r\n,2\r\n,1\r\n"),
        (
            "ZUNION 3 a b none WEIGHTS 2 0.5 9 AGGREGATE MAX WITHSCORES",
            r"*8\r\n$1\r\nx\r\n$1\r\n2\r\n$1\r\ny\r\n$1\r\n5\r\n$1\r\nz\r\n$2\r\n10\r\n$1\r\nw\r\n$2\r\n15\r\n",
            r"*4\r\n*2\r\n$1\r\nx\r\n,2\r\n*2\r\n$1\r\ny\r\n,5\r\n*2\r\n$1\r\nz\r\n,10\r\n*2\r\n$1\r\nw\r\n,15\r\n",
        ),
        (
            "ZINTER 2 a b WITHSCORES",
            r"*4\r\n$1\r\ny\r\n$2\r\n12\r\n$1\r\nz\r\n$2\r\n23\r\n",
            r"*2\r\n*2\r\n$1\r\ny\r\n,12\r\n*2\r\n$1\r\nz\r\n,23\r\n",
        ),
        (
            "ZINTER 2 a b AGGREGATE MIN WITHSCORES",
            r"*4\r\n$1\r\ny\r\n$1\r\n2\r\n$1\r\nz\r\n$1\r\n3\r\n",
            r"*2\r\n*2\r\n$1\r\ny\r\n,2\r\n*2\r\n$1\r\nz\r\n,3\r\n",
        ),
        ("ZINTER 2 a none", r"*0\r\n", ""),
        ("ZDIFF 2 a b WITHSCORES", r"*2\r\n$1\r\nx\r\n$1\r\n1\r\n", r"*1\r\n*2\r\n$1\r\nx\r\n,1\r\n"),
        ("ZDIFF 2 a a", r"*0\r\n", ""),
        ("ZDIFF 2 none a", r"*0\r\n", ""),
        (
            "ZUNION 2 a a WITHSCORES",
            r"*6\r\n$1\r\nx\r\n$1\r\n2\r\n$1\r\ny\r\n$1\r\n4\r\n$1\r\nz\r\n$1\r\n6\r\n",
            r"*3\r\n*2\r\n$1\r\nx\r\n,2\r\n*2\r\n$1\r\ny\r\n,4\r\n*2\r\n$1\r\nz\r\n,6\r\n",
        ),
        (
            "ZINTER 2 c c WEIGHTS 1 -1 WITHSCORES",
            r"*4\r\n$1\r\ny\r\n$1\r\n0\r\n$1\r\nz\r\n$1\r\n0\r\n",
            r"*2\r\n*2\r\n$1\r\ny\r\n,0\r\n*2\r\n$1\r\nz\r\n,0\r\n",
        ),
        (
            "ZINTER 1 c WEIGHTS 0 WITHSCORES",
            r"*4\r\n$1\r\ny\r\n$1\r\n0\r\n$1\r\nz\r\n$1\r\n0\r\n",
            r"*2\r\n*2\r\n$1\r\ny\r\n,0\r\n*2\r\n$1\r\nz\r\n,0\r\n",
        ),
        (
            "ZUNION 2 c a WEIGHTS 0 1 WITHSCORES",
            r"*6\r\n$1\r\nx\r\n$1\r\n1\r\n$1\r\ny\r\n$1\r\n2\r\n$1\r\nz\r\n$1\r\n3\r\n",
            r"*3\r\n*2\r\n$1\r\nx\r\n,1\r\n*2\r\n$1\r\ny\r\n,2\r\n*2\r\n$1\r\nz\r\n,3\r\n",
        ),
        ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", r":4\r\n", ""),
        (
            "ZRANGE d 0 -1 WITHSCORES",
            r"*8\r\n$1\r\nx\r\n$1\r\n1\r\n$1\r\ny\r\n$2\r\n22\r\n$1\r\nz\r\n$2\r\n43\r\n$1\r\nw\r\n$2\r\n60\r\n",
            r"*4\r\n*2\r\n$1\r\nx\r\n,1\r\n*2\r\n$1\r\ny\r\n,22\r\n*2\r\n$1\r\nz\r\n,43\r\n*2\r\n$1\r\nw\r\n,60\r\n",
        ),
        ("ZINTERSTORE d 2 a b AGGREGATE MAX", r":2\r\n", ""),
        (
            "ZRANGE d 0 -1 WITHSCORES",
            r"*4\r\n$1\r\ny\r\n$2\r\n10\r\n$1\r\nz\r\n$2\r\n20\r\n",
            r"*2\r\n*2\r\n$1\r\ny\r\n,10\r\n*2\r\n$1\r\nz\r\n,20\r\n",
        ),
        ("ZDIFFSTORE d 2 a b", r":1\r\n", ""),
        ("ZRANGE d 0 -1 WITHSCORES", r"*2\r\n$1\r\nx\r\n$1\r\n1\r\n", r"*1\r\n*2\r\n$1\r\nx\r\n,1\r\n"),
        ("ZDIFFSTORE d 2 a a", r":0\r\n", ""),
        ("EXISTS d", r":0\r\n", ""),
        ("ZUNIONSTORE a 2 a b", r":4\r\n", ""),
        (
            "ZRANGE a 0 -1 WITHSCORES",
            r"*8\r\n$1\r\nx\r\n$1\r\n1\r\n$1\r\ny\r\n$2\r\n12\r\n$1\r\nz\r\n$2\r\n23\r\n$1\r\nw\r\n$2\r\n30\r\n",
            r"*4\r\n*2\r\n$1\r\nx\r\n,1\r\n*2\r\n$1\r\ny\r\n,12\r\n*2\r\n$1\r\nz\r\n,23\r\n*2\r\n$1\r\nw\r\n,30\r\n",
        ),
        ("ZINTERCARD 2 a b", r":3\r\n", ""),
        ("ZINTERCARD 2 a b LIMIT 1", r":1\r\n", ""),
        ("ZINTERCARD 2 a b LIMIT 0", r":3\r\n", ""),
        ("ZINTERCARD 2 a none", r":0\r\n", ""),
    ]);
}

#[test]
fn wrong_combinations_are_refused() {
    expect(&[
        ("ZADD a 1 x", r":1\r\n", ""),
        ("ZUNION 0 a", r"-ERR at least 1 input key is needed for \'zunion\' command\r\n", ""),
        ("ZUNION -1 a", r"-ERR at least 1 input key is needed for \'zunion\' command\r\n", ""),
        ("ZUNION x a", r"-ERR value is not an integer or out of range\r\n", ""),
        ("ZUNION 2 a", r"-ERR syntax error\r\n", ""),
        ("ZUNIONSTORE d 0 a", r"-ERR at least 1 input key is needed for \'zunionstore\' command\r\n", ""),
        ("ZDIFFSTORE d 2 a", r"-ERR syntax error\r\n", ""),
        ("ZINTERCARD 0 a", r"-ERR at least 1 input key is needed for \'zintercard\' command\r\n", ""),
        ("ZINTER 1 a WITHSCORES WITHSCORES", r"*2\r\n$1\r\nx\r\n$1\r\n1\r\n", r"*1\r\n*2\r\n$1\r\nx\r\n,1\r\n"),
        ("ZINTER 1 a WEIGHTS x", r"-ERR weight value is not a float\r\n", ""),
        ("ZINTER 1 a WEIGHTS nan", r"-ERR weight value is not a float\r\n", ""),
        ("ZINTER 1 a WEIGHTS", r"-ERR syntax error\r\n", ""),
        ("ZINTER 1 a WEIGHTS 1 2", r"-ERR syntax error\r\n", ""),
        ("ZUNION 1 a AGGREGATE AVG", r"-ERR syntax error\r\n", ""),
        ("ZUNION 1 a AGGREGATE", r"-ERR syntax error\r\n", ""),
        ("ZDIFF 1 a WEIGHTS 1", r"-ERR syntax error\r\n", ""),
        ("ZUNIONSTORE d 1 a WITHSCORES", r"-ERR syntax error\r\n", ""),
        ("ZINTERCARD 1 a LIMIT -1", r"-ERR LIMIT can\'t be negative\r\n", ""),
        ("ZINTERCARD 1 a LIMIT x", r"-ERR LIMIT can\'t be negative\r\n", ""),
        ("ZINTERCARD 1 a WITHSCORES", r"-ERR syntax error\r\n", ""),
        ("ZINTERCARD 1 a LIMIT", r"-ERR syntax error\r\n", ""),
    ]);
}

#[test]
fn random_members_of_all_counts() {
    expect(&[
        ("ZADD k 1 a 2 b 3 c", r":3\r\n", ""),
        ("ZADD one 1.5 m", r":1\r\n", ""),
        ("ZRANDMEMBER one", r"$1\r\nm\r\n", ""),
        ("ZRANDMEMBER one 1", r"*1\r\n$1\r\nm\r\n", ""),
        ("ZRANDMEMBER one -3", r"*3\r\n$1\r\nm\r\n$1\r\nm\r\n$1\r\nm\r\n", ""),
        (
            "ZRANDMEMBER one -2 WITHSCORES",
            r"*4\r\n$1\r\nm\r\n$3\r\n1.5\r\n$1\r\nm\r\n$3\r\n1.5\r\n",
            r"*2\r\n*2\r\n$1\r\nm\r\n,1.5\r\n*2\r\n$1\r\nm\r\n,1.5\r\n",
        ),
        // More repetitions than any reply could hold: Redis writes them until memory is short.
        ("ZRANDMEMBER one -134217729", r"-ERR value is out of range\r\n", ""),
        ("ZRANDMEMBER one -9223372036854775807 WITHSCORES", r"-ERR value is out of range\r\n", ""),
        ("ZRANDMEMBER one 5 WITHSCORES", r"*2\r\n$1\r\nm\r\n$3\r\n1.5\r\n", r"*1\r\n*2\r\n$1\r\nm\r\n,1.5\r\n"),
        ("ZRANDMEMBER k 3", r"*3\r\n$1\r\nc\r\n$1\r\nb\r\n$1\r\na\r\n", ""),
        (
            "ZRANDMEMBER k 9 WITHSCORES",
            r"*6\r\n$1\r\nc\r\n$1\r\n3\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\na\r\n$1\r\n1\r\n",
            r"*3\r\n*2\r\n$1\r\nc\r\n,3\r\n*2\r\n$1\r\nb\r\n,2\r\n*2\r\n$1\r\na\r\n,1\r\n",
        ),
        ("ZRANDMEMBER k 0", r"*0\r\n", ""),
        ("ZRANDMEMBER none", r"$-1\r\n", r"_\r\n"),
        ("ZRANDMEMBER none 3", r"*0\r\n", ""),
        ("ZRANDMEMBER none -3 WITHSCORES", r"*0\r\n", ""),
        ("ZRANDMEMBER k x", r"-ERR value is not an integer or out of range\r\n", ""),
        ("ZRANDMEMBER k 1 SCORES", r"-ERR syntax error\r\n", ""),
        ("ZRANDMEMBER k 1 WITHSCORES x", r"-ERR syntax error\r\n", ""),
        (
            "ZRANDMEMBER k -9223372036854775808",
            r"-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807\r\n",
            "",
        ),
        ("ZRANDMEMBER k 9223372036854775807 WITHSCORES", r"-ERR value is out of range\r\n", ""),
    ]);
}

#[test]
fn walks_show_scores_as_redis_does() {
    expect(&[
        ("ZADD k 0.1 a 2 b inf c", r":3\r\n", ""),
        (
            "ZSCAN k 0",
            r"*2\r\n$1\r\n0\r\n*6\r\n$1\r\na\r\n$3\r\n0.1\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\nc\r\n$3\r\ninf\r\n",
            "",
        ),
        ("ZSCAN k 0 MATCH b", r"*2\r\n$1\r\n0\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n", ""),
        ("ZSCAN k 0 MATCH nope COUNT 100", r"*2\r\n$1\r\n0\r\n*0\r\n", ""),
        ("ZSCAN none 0", r"*2\r\n$1\r\n0\r\n*0\r\n", ""),
        ("ZSCAN none 0 BAD", r"*2\r\n$1\r\n0\r\n*0\r\n", ""),
        ("ZSCAN none x", r"-ERR invalid cursor\r\n", ""),
        ("ZSCAN k x", r"-ERR invalid cursor\r\n", ""),
        ("ZSCAN k 0 COUNT 0", r"-ERR syntax error\r\n", ""),
        ("ZSCAN k 0 COUNT x", r"-ERR value is not an integer or out of range\r\n", ""),
        ("ZSCAN k 0 NOVALUES", r"-ERR NOVALUES option can only be used in HSCAN\r\n", ""),
        ("ZSCAN k 0 MATCH", r"-ERR syntax error\r\n", ""),
        // Of Valkey.
        ("ZSCAN k 0 NOSCORES", r"*2\r\n$1\r\n0\r\n*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n", ""),
        ("ZSCAN k 0 noscores MATCH b COUNT 10 NOSCORES", r"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n", ""),
        ("CONFIG SET zset-max-listpack-entries 0", r"+OK\r\n", ""),
        ("ZADD big 0.1 a", r":1\r\n", ""),
        ("ZSCAN big 0", r"*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$19\r\n0.10000000000000001\r\n", ""),
        ("ZSCAN big 0 NOSCORES", r"*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n", ""),
        ("ZSCAN big 0 MATCH a*", r"*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$19\r\n0.10000000000000001\r\n", ""),
    ]);
}

#[test]
fn encodings_follow_the_configuration() {
    expect(&[
        ("CONFIG SET zset-max-listpack-entries 3 zset-max-listpack-value 4", r"+OK\r\n", ""),
        (
            "CONFIG GET zset-max-ziplist-value",
            r"*2\r\n$22\r\nzset-max-ziplist-value\r\n$1\r\n4\r\n",
            r"%1\r\n$22\r\nzset-max-ziplist-value\r\n$1\r\n4\r\n",
        ),
        ("ZADD k 1 a 2 b 3 c", r":3\r\n", ""),
        ("OBJECT ENCODING k", r"$8\r\nlistpack\r\n", ""),
        ("ZADD k 4 d", r":1\r\n", ""),
        ("OBJECT ENCODING k", r"$8\r\nskiplist\r\n", ""),
        ("ZREM k d c b", r":3\r\n", ""),
        ("OBJECT ENCODING k", r"$8\r\nskiplist\r\n", ""),
        ("ZADD l 1 aaaa", r":1\r\n", ""),
        ("OBJECT ENCODING l", r"$8\r\nlistpack\r\n", ""),
        ("ZADD l 1 bbbbb", r":1\r\n", ""),
        ("OBJECT ENCODING l", r"$8\r\nskiplist\r\n", ""),
        ("ZRANGESTORE m k 0 -1", r":1\r\n", ""),
        ("OBJECT ENCODING m", r"$8\r\nlistpack\r\n", ""),
        ("ZUNIONSTORE m 2 k l", r":3\r\n", ""),
        ("OBJECT ENCODING m", r"$8\r\nskiplist\r\n", ""),
        ("ZADD n 1 a 2 b 3 c 4 d", r":4\r\n", ""),
        ("OBJECT ENCODING n", r"$8\r\nskiplist\r\n", ""),
        ("ZADD n2 1 a", r":1\r\n", ""),
        ("ZADD n2 XX 1 a 1 a 1 a 1 a", r":0\r\n", ""),
        ("OBJECT ENCODING n2", r"$8\r\nskiplist\r\n", ""),
    ]);
}

#[test]
fn clients_wait_for_members_and_are_served_in_their_order() {
    let mut m = Memory::new();
    let first = m.client;
    let second = m.connect();
    let adds = m.connect();
    m.expect_of(&[(first, "BZPOPMIN none k 0", ""), (second, "BZMPOP 0 1 k MAX COUNT 2", "")]);
    m.expect_of(&[(adds, "SET k x", r"+OK\r\n"), (adds, "DEL k", r":1\r\n")]);
    assert_eq!(m.take_sent(first), "");
    m.expect_of(&[(adds, "ZADD k 3 c 1 a 2 b", r":3\r\n"), (adds, "EXISTS k", r":0\r\n")]);
    assert_eq!(m.take_sent(first), r"*3\r\n$1\r\nk\r\n$1\r\na\r\n$1\r\n1\r\n");
    assert_eq!(m.take_sent(second), r"*2\r\n$1\r\nk\r\n*2\r\n*2\r\n$1\r\nc\r\n$1\r\n3\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n");
    // Whatever makes a sorted set serves those who wait for one.
    m.expect_of(&[(first, "BZPOPMAX d 0", ""), (adds, "ZADD k 1 a 2 b", r":2\r\n")]);
    m.expect_of(&[(adds, "ZUNIONSTORE d 1 k", r":2\r\n"), (adds, "ZCARD d", r":1\r\n")]);
    assert_eq!(m.take_sent(first), r"*3\r\n$1\r\nd\r\n$1\r\nb\r\n$1\r\n2\r\n");
}

#[test]
fn waiting_ends_with_its_time_and_does_not_begin_in_a_transaction() {
    let mut m = Memory::new();
    let waits = m.client;
    m.expect(&[("BZPOPMIN k 0.5", "")]);
    assert!(m.is_waiting());
    m.advance_ms(499);
    assert_eq!(m.wake(), []);
    m.advance_ms(1);
    assert_eq!(m.wake(), [(waits, String::from(r"*-1\r\n"))]);
    m.connect();
    m.expect(&[
        ("MULTI", r"+OK\r\n"),
        ("BZPOPMIN k 0", r"+QUEUED\r\n"),
        ("BZMPOP 0 1 k MIN", r"+QUEUED\r\n"),
        ("EXEC", r"*2\r\n*-1\r\n*-1\r\n"),
    ]);
}

#[test]
fn random_members_are_equally_likely() {
    for entries in ["128", "0"] {
        let mut m = Memory::new();
        m.run(&format!("CONFIG SET zset-max-listpack-entries {entries}"));
        m.expect(&[("ZADD k 0 a 0 b 1 c 2 d 3 e 4 f 5 g 6 h", r":8\r\n")]);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..200 {
            for member in m.run("ZRANDMEMBER k -40").split(r"\r\n").skip(2).step_by(2) {
                *counts.entry(String::from(member)).or_insert(0u32) += 1;
            }
        }
        let chi_square: f64 = counts.values().map(|&count| (f64::from(count) - 1000.0).powi(2) / 1000.0).sum();
        // 7 degrees of freedom: 24.3 is exceeded once in a thousand.
        assert!(counts.len() == 8 && chi_square < 24.3, "{counts:?}");
    }
}

#[test]
fn a_walk_meets_every_member_that_stays() {
    let mut m = Memory::new();
    for n in 0..3000 {
        m.run(&format!("ZADD k {n} stays{n}"));
    }
    let (mut cursor, mut seen, mut step) = (String::from("0"), std::collections::BTreeSet::new(), 0);
    loop {
        let reply = m.run(&format!("ZSCAN k {cursor} COUNT 20"));
        let parts: Vec<&str> = reply.split(r"\r\n").collect();
        cursor = String::from(parts[2]);
        seen.extend(parts.iter().filter(|part| part.starts_with("stays")).map(|part| String::from(*part)));
        if cursor == "0" {
            break;
        }
        // Growing and shrinking meanwhile.
        for n in 0..40 {
            m.run(&format!("ZADD k 1 comes{}", step * 40 + n));
            m.run(&format!("ZREM k comes{}", (step * 40 + n) / 2));
        }
        step += 1;
    }
    assert_eq!(seen.len(), 3000);
}

#[test]
fn events_tell_of_changes_alone() {
    let mut m = Memory::new();
    let listens = m.client;
    m.expect(&[("CONFIG SET notify-keyspace-events Ezg", r"+OK\r\n")]);
    m.run("PSUBSCRIBE *");
    m.connect();
    m.take_sent(listens);
    let heard = |m: &mut Memory| -> Vec<String> {
        let sent = m.take_sent(listens);
        let parts: Vec<&str> = sent.split(r"\r\n").collect();
        let events = parts.iter().zip(parts.iter().skip(2)).filter(|(part, _)| part.starts_with("__keyevent@0__:"));
        events.map(|(part, key)| format!("{} {key}", part.trim_start_matches("__keyevent@0__:"))).collect()
    };
    for (line, expected) in [
        ("ZADD k 1 a 2 b 3 c 4 d 5 e 6 f", &["zadd k"][..]),
        ("ZADD k 1 a", &[]),
        ("ZADD k INCR 0 a", &[]),
        ("ZADD k INCR 1 a", &["zincr k"]),
        ("ZINCRBY k 1 a", &["zincr k"]),
        ("ZREM k nobody", &[]),
        ("ZREM k a", &["zrem k"]),
        ("ZREMRANGEBYRANK k 0 0", &["zremrangebyrank k"]),
        ("ZREMRANGEBYSCORE k 3 3", &["zremrangebyscore k"]),
        ("ZREMRANGEBYLEX k [x [y", &[]),
        ("ZPOPMIN k 0", &[]),
        ("ZPOPMIN k", &["zpopmin k"]),
        ("ZUNIONSTORE d 1 k", &["zunionstore d"]),
        ("ZINTERSTORE d 2 k d", &["zinterstore d"]),
        ("ZDIFFSTORE d 1 k", &["zdiffstore d"]),
        ("ZRANGESTORE d k 0 -1", &["zrangestore d"]),
        ("ZRANGESTORE d k 9 9", &["del d"]),
        ("ZRANGESTORE d k 9 9", &[]),
        ("ZMPOP 1 k MAX COUNT 9", &["zpopmax k", "del k"]),
        ("ZADD k 1 a", &["zadd k"]),
        ("BZPOPMIN k 0", &["zpopmin k", "del k"]),
        ("ZADD k 1 a", &["zadd k"]),
        ("ZREMRANGEBYLEX k - +", &["zremrangebylex k", "del k"]),
    ] {
        m.run(line);
        assert_eq!(heard(&mut m), expected, "{line}");
    }
}
