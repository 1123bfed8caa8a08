//! Trees of Redis's own commands, written down by hand from what `COMMAND DOCS` of a Redis 8.2 answers. The differential
//! test reads every command of a running Redis in the same way.

use super::*;

/// One line an argument: `name:kind`, its token, `?` optional, `+` multiple, `++` with its token, children in braces.
fn brief(args: &[Arg]) -> String {
    let one = |arg: &Arg| {
        let mut text = format!("{}:{}", arg.name, arg.kind.as_str());
        if let Some(token) = &arg.token {
            text.push_str(&format!("={token}"));
        }
        if arg.optional {
            text.push('?');
        }
        if arg.multiple {
            text.push_str(if arg.multiple_token { "++" } else { "+" });
        }
        if !arg.children.is_empty() {
            text.push_str(&format!("{{{}}}", brief(&arg.children)));
        }
        text
    };
    args.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn commands_read_as_redis_documents_them() {
    let cases = [
        ("ping", "[message]", "message:string?"),
        ("dbsize", "", ""),
        ("mset", "key value [key value ...]", "data:block+{key:key value:string}"),
        ("del", "key [key ...]", "key:key+"),
        ("command|info", "[command-name [command-name ...]]", "command-name:string?+"),
        ("flushall", "[ASYNC | SYNC]", "flush-type:oneof?{async:pure-token=ASYNC sync:pure-token=SYNC}"),
        (
            "set",
            "key value [NX | XX] [GET] [EX seconds | PX milliseconds | KEEPTTL]",
            "key:key value:string condition:oneof?{nx:pure-token=NX xx:pure-token=XX} get:pure-token=GET? \
             expiration:oneof?{seconds:integer=EX milliseconds:integer=PX keepttl:pure-token=KEEPTTL}",
        ),
        (
            "scan",
            "cursor [MATCH pattern] [COUNT count] [TYPE type]",
            "cursor:integer pattern:pattern=MATCH? count:integer=COUNT? type:string=TYPE?",
        ),
        (
            "sort",
            "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA] [STORE destination]",
            "key:key by-pattern:pattern=BY? limit:block=LIMIT?{offset:integer count:integer} get-pattern:pattern=GET?++ \
             order:oneof?{asc:pure-token=ASC desc:pure-token=DESC} sorting:pure-token=ALPHA? destination:key=STORE?",
        ),
        (
            "zunion",
            "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
            "numkeys:integer key:key+ weight:integer=WEIGHTS?+ \
             aggregate:oneof=AGGREGATE?{sum:pure-token=SUM min:pure-token=MIN max:pure-token=MAX} withscores:pure-token=WITHSCORES?",
        ),
        (
            "hsetex",
            "key [NX | XX] [FNX | FXX] FIELDS numfields field value [field value ...]",
            "key:key key-condition:oneof?{nx:pure-token=NX xx:pure-token=XX} condition:oneof?{fnx:pure-token=FNX fxx:pure-token=FXX} \
             fields:block=FIELDS{numfields:integer data:block+{field:string value:string}}",
        ),
        (
            "lmove",
            "source destination <LEFT | RIGHT> <LEFT | RIGHT>",
            "source:key destination:key wherefrom:oneof{left:pure-token=LEFT right:pure-token=RIGHT} \
             whereto:oneof{left:pure-token=LEFT right:pure-token=RIGHT}",
        ),
        (
            "bitfield",
            "key [GET encoding offset | [OVERFLOW <WRAP | SAT>] <SET encoding offset value | INCRBY encoding offset increment> \
             [GET encoding offset | [OVERFLOW <WRAP | SAT>] <SET encoding offset value | INCRBY encoding offset increment> ...]]",
            "key:key operation:oneof?+{get-block:block=GET{encoding:string offset:integer} write:block{\
             overflow-block:oneof=OVERFLOW?{wrap:pure-token=WRAP sat:pure-token=SAT} write-operation:oneof{\
             set-block:block=SET{encoding:string offset:integer value:integer} \
             incrby-block:block=INCRBY{encoding:string offset:integer increment:integer}}}}",
        ),
        (
            "xread",
            "[COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]",
            "count:integer=COUNT? milliseconds:integer=BLOCK? streams:block=STREAMS{key:key+ id:string+}",
        ),
        (
            "geosearch",
            "key <FROMMEMBER member | FROMLONLAT longitude latitude> <BYRADIUS radius <M | KM> | BYBOX width height <M | KM>> \
             [COUNT count [ANY]]",
            "key:key from:oneof{member:string=FROMMEMBER fromlonlat:block=FROMLONLAT{longitude:double latitude:double}} \
             by:oneof{circle:block{radius:double=BYRADIUS unit:oneof{m:pure-token=M km:pure-token=KM}} \
             box:block{width:double=BYBOX height:double unit:oneof{m:pure-token=M km:pure-token=KM}}} \
             count-block:block?{count:integer=COUNT any:pure-token=ANY?}",
        ),
        (
            "failover",
            "[TO host port [FORCE]] [ABORT]",
            "target:block=TO?{host:string port:integer force:pure-token=FORCE?} abort:pure-token=ABORT?",
        ),
        (
            "client|list",
            "[TYPE <NORMAL | PUBSUB>] [ID client-id [client-id ...]]",
            "client-type:oneof=TYPE?{normal:pure-token=NORMAL pubsub:pure-token=PUBSUB} client-id:integer=ID?+",
        ),
        (
            "client|kill",
            "<ip:port | <[ID client-id] | [USER username] [[ID client-id] | [USER username] ...]>>",
            "filter:oneof{old-format:string new-format:oneof+{client-id:integer=ID? username:string=USER?}}",
        ),
        (
            "replicaof",
            "<host port | NO ONE>",
            "args:oneof{host-port:block{host:string port:integer} no-one:block{no:pure-token=NO one:pure-token=ONE}}",
        ),
        ("getrange", "key start end", "key:key start:integer end:integer"),
        ("xrange", "key start end [COUNT count]", "key:key start:string end:string count:integer=COUNT?"),
    ];
    for (command, syntax, tree) in cases {
        let args = parse_command(command, syntax).unwrap_or_else(|error| panic!("{command}: {error}"));
        assert_eq!(brief(&args), tree, "{command}");
    }
}

#[test]
fn short_repetition_of_a_choice_reads_as_the_long_one() {
    let long = parse("<[ID client-id] | [USER username] [[ID client-id] | [USER username] ...]>");
    assert_eq!(parse("<[ID client-id] | [USER username] ...>"), long);
}

#[test]
fn empty_word_is_written_as_quotes() {
    let args = parse("<key | \"\">").unwrap();
    assert_eq!(args[0].children[1].token.as_deref(), Some(""));
    assert_eq!(args[0].name, "key-selector");
}

#[test]
fn unknown_choices_and_blocks_get_a_name() {
    assert_eq!(brief(&parse("[RED | BLUE]").unwrap()), "choice:oneof?{red:pure-token=RED blue:pure-token=BLUE}");
    assert_eq!(brief(&parse("[BRUSH width colour]").unwrap()), "brush:block=BRUSH?{width:double colour:string}");
    assert_eq!(brief(&parse("[colour [shade]]").unwrap()), "colour-block:block?{colour:string shade:string?}");
}

#[test]
fn malformed_notation_is_refused_with_its_place() {
    let cases = [
        ("key [NX", 4),
        ("key NX]", 6),
        ("key [NX>", 7),
        ("key []", 5),
        ("[NX | ]", 6),
        ("...", 0),
        ("key <NX | XX", 4),
        ("(key value)", 0),
        ("key ...", 4),
    ];
    for (syntax, offset) in cases {
        assert_eq!(parse(syntax).map_err(|error| error.offset), Err(offset), "{syntax}");
    }
    let deep = format!("{}key{}", "[".repeat(40), "]".repeat(40));
    assert_eq!(parse(&deep).map_err(|error| error.what), Err("brackets nested too deeply"));
}
