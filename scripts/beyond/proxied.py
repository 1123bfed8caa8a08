"""A line for every command that twemproxy lets through, in the order in which twemproxy-test.py sends them.

Words are split as a shell does. Keys share the tag `{2}`, and so the server, except where the proxy takes a command apart and sends each
server its part. Of a line that begins with `~` the reply is a set: its elements come in any order. Of one with `?` only the
kind of reply is compared. `$dump` and `$sha` are filled in. nutcracker 0.5.0 sends an EXISTS of several keys to the server of the
first as it is, other than its manual says: so it needs the tag as well. And of ZUNION, ZINTER and ZDIFF it takes the number of keys for
the key that says which server: so the tag is that number here, which is no help to applications.
"""

LINES = """
PING
SET {2}s hello
GET {2}s
APPEND {2}s ' world'
STRLEN {2}s
GETRANGE {2}s 0 4
SETRANGE {2}s 6 there
GETSET {2}s other
SETNX {2}s no
SETNX {2}new yes
GETDEL {2}new
GETEX {2}s EX 100
TTL {2}s
PERSIST {2}s
EXPIRE {2}s 1000
EXPIREAT {2}s 4102444800
PEXPIRE {2}s 1000000
?PTTL {2}s
PEXPIREAT {2}s 4102444800000
SETEX {2}e 1000 value
PSETEX {2}e 1000000 value
TYPE {2}s
TOUCH {2}s {2}e
COPY {2}s {2}copy
SET {2}n 10
INCR {2}n
INCRBY {2}n 5
DECR {2}n
DECRBY {2}n 3
INCRBYFLOAT {2}n 0.5
SETBIT {2}b 7 1
GETBIT {2}b 7
BITCOUNT {2}b
BITPOS {2}b 1
BITFIELD {2}b SET u8 0 255 GET u4 0 OVERFLOW FAIL INCRBY u8 0 10
MSET one 1 two 2 three 3 four 4 five 5 six 6
MGET one two three missing four five six
EXISTS {2}s {2}missing {2}n
TOUCH one two missing
DEL one two missing
UNLINK three four missing
MGET one two three four five six
?DUMP {2}s
RESTORE {2}restored 0 $dump
GET {2}restored
HSET {2}h a 1 b 2 c 3
HMSET {2}h d 4
HSETNX {2}h a 9
HGET {2}h a
HMGET {2}h a x d
~HGETALL {2}h
~HKEYS {2}h
~HVALS {2}h
HLEN {2}h
HEXISTS {2}h b
HINCRBY {2}h a 5
HINCRBYFLOAT {2}h b 0.5
HSTRLEN {2}h b
?HSCAN {2}h 0 COUNT 100
HRANDFIELD {2}h 0
HDEL {2}h a x
RPUSH {2}l a b c d
LPUSH {2}l z
LPUSHX {2}l y
RPUSHX {2}l e
LINDEX {2}l 1
LINSERT {2}l BEFORE b x
LLEN {2}l
LPOS {2}l c
LRANGE {2}l 0 -1
LSET {2}l 0 Y
LREM {2}l 1 x
LTRIM {2}l 0 4
LPOP {2}l
RPOP {2}l 1
RPOPLPUSH {2}l {2}m
LMOVE {2}l {2}m LEFT RIGHT
SORT {2}m ALPHA DESC
LRANGE {2}m 0 -1
SADD {2}x 1 2 3 4
SADD {2}y 3 4 5
SCARD {2}x
SISMEMBER {2}x 3
SMISMEMBER {2}x 3 9
~SMEMBERS {2}x
~SUNION {2}x {2}y
~SINTER {2}x {2}y
~SDIFF {2}x {2}y
SUNIONSTORE {2}u {2}x {2}y
SINTERSTORE {2}i {2}x {2}y
SDIFFSTORE {2}d {2}x {2}y
SMOVE {2}x {2}y 1
~SRANDMEMBER {2}x 9
?SSCAN {2}x 0 COUNT 100
SREM {2}x 2 9
~SPOP {2}x 9
ZADD {2}z 1 a 2 b 3 c 4 d
ZADD {2}w NX 2 b 5 e
ZCARD {2}z
ZCOUNT {2}z 2 3
ZINCRBY {2}z 1.5 a
ZSCORE {2}z a
ZMSCORE {2}z a nobody
ZRANK {2}z c
ZREVRANK {2}z c
ZRANGE {2}z 0 -1 WITHSCORES
ZRANGE {2}z 0 1 REV
ZREVRANGE {2}z 0 -1
ZRANGEBYSCORE {2}z 2 4 WITHSCORES LIMIT 0 2
ZREVRANGEBYSCORE {2}z 4 2
ZRANGEBYLEX {2}z - +
ZREVRANGEBYLEX {2}z + -
ZLEXCOUNT {2}z - +
ZRANGESTORE {2}r {2}z 0 1
ZUNIONSTORE {2}zu 2 {2}z {2}w WEIGHTS 1 2
ZINTERSTORE {2}zi 2 {2}z {2}w AGGREGATE MAX
ZDIFFSTORE {2}zd 2 {2}z {2}w
ZUNION 2 {2}z {2}w WITHSCORES
ZINTER 2 {2}z {2}w
ZDIFF 2 {2}z {2}w
ZRANDMEMBER {2}zi 1
?ZSCAN {2}z 0 COUNT 100
ZPOPMIN {2}z
ZPOPMAX {2}z 1
ZREM {2}z b nobody
ZREMRANGEBYRANK {2}zu 0 0
ZREMRANGEBYSCORE {2}zu 3 3
ZREMRANGEBYLEX {2}zd - +
PFADD {2}p a b c
PFADD {2}q c d
PFCOUNT {2}p
PFMERGE {2}pq {2}p {2}q
PFCOUNT {2}pq
GEOADD {2}g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
GEODIST {2}g Palermo Catania km
GEOHASH {2}g Palermo nowhere
GEOPOS {2}g Catania
GEORADIUS {2}g 15 37 200 km ASC
GEORADIUSBYMEMBER {2}g Palermo 200 km ASC
GEOSEARCH {2}g FROMLONLAT 15 37 BYRADIUS 200 km ASC WITHDIST
GEOSEARCHSTORE {2}gs {2}g FROMMEMBER Catania BYBOX 10 10 km
EVAL 'return {KEYS[1], ARGV[1], redis.call("GET", KEYS[1])}' 1 {2}s argument
EVALSHA $sha 1 {2}s argument
LPUSH {2}s x
HGET {2}l field
INCR {2}s
SET {2}s
?COMMAND
?LOLWUT
"""
SCRIPT = 'return {KEYS[1], ARGV[1], redis.call("GET", KEYS[1])}'
