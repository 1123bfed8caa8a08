//! Broken and unusual requests, byte by byte: the bytes that come back and whether the connection lives must be Redis's.
//!
//! After each input a request of a known reply, the sentinel, shows what the server makes of the connection: it answers,
//! has closed, or still waits for the rest of an unfinished request. Each input is then sent to our server once more in
//! two parts for every place it can be split at, which must change nothing.
//!
//! Inputs that begin with a command of [`AWAITED`] take part as soon as our server has it.

use crate::pair::Pair;
use crate::resp::Client;
use crate::server::Server;
use aleadb::command;
use std::io;
use std::time::{Duration, Instant};

/// A request that shows whether the connection still works, and its reply, which no input of the same list gets.
struct Sentinel {
    request: &'static [u8],
    reply: &'static [u8],
}

const PING: Sentinel =
    Sentinel { request: b"*2\r\n$4\r\nPING\r\n$15\r\nend-of-the-test\r\n", reply: b"$15\r\nend-of-the-test\r\n" };

/// The same without a password, which `PING` would need.
const HELLO: Sentinel =
    Sentinel { request: b"*2\r\n$5\r\nHELLO\r\n$1\r\n9\r\n", reply: b"-NOPROTO unsupported protocol version\r\n" };

/// How long a connection may take to come to its outcome.
const OUTCOME_S_MAX: u64 = 3;

/// How a difference says that the outcome did not come.
const NO_OUTCOME: &str = "no outcome: ";

/// After so many outcomes that do not come, the server is not asked for more.
const STUCK_MAX: usize = 3;

/// Inputs longer than this are not split at every byte.
const SPLIT_BYTES_MAX: usize = 200;

/// What a connection is like after an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// It answered the sentinel.
    Alive,
    /// The server closed it.
    Closed,
    /// It took the sentinel for a part of the request; closed once we finished sending.
    Waiting,
}

/// Families of commands that inputs are about and that may not be there.
const AWAITED: &[&str] = &["MULTI", "SUBSCRIBE", "UNSUBSCRIBE"];

/// How an input ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// Requests are whole, or broken beyond doubt.
    Whole,
    /// The last request lacks its end; the sentinel would become part of it, so none is sent.
    Open,
}

use Ends::{Open, Whole};

/// Inputs for a connection without a password, or one that has given it.
const INPUTS: &[(&str, Ends, &[u8])] = &[
    ("plain command", Whole, b"*1\r\n$4\r\nPING\r\n"),
    ("two commands", Whole, b"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n"),
    ("lower case", Whole, b"*1\r\n$4\r\npinG\r\n"),
    ("empty argument", Whole, b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n"),
    ("empty command name", Whole, b"*1\r\n$0\r\n\r\n"),
    ("binary argument", Whole, b"*2\r\n$4\r\nECHO\r\n$5\r\na\r\n\x00b\r\n"),
    ("unknown command", Whole, b"*2\r\n$3\r\nFOO\r\n$3\r\nbar\r\n"),
    ("unknown command with line ends in it", Whole, b"*2\r\n$5\r\nF\r\nOO\r\n$4\r\nb\nar\r\n"),
    ("unknown command with a zero byte in it", Whole, b"*2\r\n$3\r\nF\x00O\r\n$3\r\nb\x00r\r\n"),
    ("unknown command with quotes", Whole, b"*2\r\n$3\r\nF'O\r\n$3\r\nb\"r\r\n"),
    (
        "unknown command with a long name",
        Whole,
        b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
          xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n",
    ),
    (
        "unknown command with many arguments",
        Whole,
        b"FOO aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb ccccccccccccccccccccccccccccccccccccccccccccccc dddddddddddd eeeee\r\n",
    ),
    ("unknown subcommand", Whole, b"CLIENT nosuch a b\r\n"),
    ("container alone", Whole, b"*1\r\n$6\r\nCLIENT\r\n"),
    ("too few arguments", Whole, b"*1\r\n$3\r\nGET\r\n"),
    ("too many arguments", Whole, b"*3\r\n$3\r\nGET\r\n$1\r\na\r\n$1\r\nb\r\n"),
    ("too few for a subcommand", Whole, b"OBJECT ENCODING\r\n"),
    ("count 0", Whole, b"*0\r\n"),
    ("count 0, then a command", Whole, b"*0\r\n*1\r\n$4\r\nPING\r\n"),
    ("count -1", Whole, b"*-1\r\n"),
    ("count -2", Whole, b"*-2\r\n"),
    ("count very negative", Whole, b"*-9223372036854775808\r\n"),
    ("count not a number", Whole, b"*abc\r\n"),
    ("count missing", Whole, b"*\r\n"),
    ("count with a plus", Whole, b"*+1\r\n$4\r\nPING\r\n"),
    ("count with a leading zero", Whole, b"*01\r\n$4\r\nPING\r\n"),
    ("count with a space before", Whole, b"* 1\r\n$4\r\nPING\r\n"),
    ("count with a space after", Whole, b"*1 \r\n$4\r\nPING\r\n"),
    ("count a fraction", Whole, b"*1.0\r\n$4\r\nPING\r\n"),
    ("count minus zero", Whole, b"*-0\r\n"),
    ("count beyond the limit", Whole, b"*1048577\r\n"),
    ("count beyond 31 bits", Whole, b"*2147483648\r\n"),
    ("count at 31 bits", Open, b"*2147483647\r\n"),
    ("count beyond 63 bits", Whole, b"*9223372036854775808\r\n"),
    ("count ends in a line feed alone", Open, b"*1\n$4\nPING\n"),
    ("count ends in a return and something else", Whole, b"*1\rx$4\r\nPING\r\n"),
    ("no dollar", Whole, b"*1\r\n4\r\nPING\r\n"),
    ("a colon for a dollar", Whole, b"*1\r\n:4\r\nPING\r\n"),
    ("a high byte for a dollar", Whole, b"*1\r\n\xff4\r\nPING\r\n"),
    ("a line end for a dollar", Whole, b"*1\r\n\r\nPING\r\n"),
    ("a count inside a count", Whole, b"*2\r\n*1\r\n$4\r\nPING\r\n"),
    ("no dollar at the second argument", Whole, b"*2\r\n$4\r\nECHO\r\nhi\r\n"),
    ("length not a number", Whole, b"*1\r\n$abc\r\n"),
    ("length missing", Whole, b"*1\r\n$\r\n"),
    ("length negative", Whole, b"*1\r\n$-1\r\n"),
    ("length very negative", Whole, b"*1\r\n$-9223372036854775808\r\n"),
    ("length with a plus", Whole, b"*1\r\n$+4\r\nPING\r\n"),
    ("length with a leading zero", Whole, b"*1\r\n$04\r\nPING\r\n"),
    ("length with a space", Whole, b"*1\r\n$ 4\r\nPING\r\n"),
    ("length at the limit", Open, b"*2\r\n$4\r\nECHO\r\n$536870912\r\nab"),
    ("length beyond the limit", Whole, b"*1\r\n$536870913\r\n"),
    ("length beyond 63 bits", Whole, b"*1\r\n$9223372036854775808\r\n"),
    ("length of the second argument bad", Whole, b"*2\r\n$4\r\nECHO\r\n$x\r\nhi\r\n"),
    ("length too small, a new request misread", Whole, b"*1\r\n$3\r\nPING\r\nPING\r\n"),
    ("length too large", Open, b"*1\r\n$6\r\nPING\r\n"),
    ("wrong bytes after an argument", Whole, b"*1\r\n$4\r\nPINGxx"),
    ("wrong bytes between arguments", Whole, b"*2\r\n$4\r\nECHOxx$2\r\nhi\r\n"),
    ("bad after good", Whole, b"*1\r\n$4\r\nPING\r\n*x\r\n"),
    ("good after bad", Whole, b"*x\r\n*1\r\n$4\r\nPING\r\n"),
    ("unfinished count", Open, b"*1"),
    ("unfinished length", Open, b"*1\r\n$4"),
    ("unfinished argument", Open, b"*1\r\n$4\r\nPI"),
    ("unfinished end", Open, b"*1\r\n$4\r\nPING\r"),
    ("unfinished inline", Open, b"PING"),
    ("inline", Whole, b"PING\r\n"),
    ("inline with a line feed alone", Whole, b"PING\n"),
    ("inline with spaces around", Whole, b"   PING   hello  \r\n"),
    ("inline with tabs", Whole, b"ECHO\thello\r\n"),
    ("inline with other white space", Whole, b"ECHO\x0bhello\x0c\r\n"),
    ("empty inline", Whole, b"\r\n"),
    ("empty inline of a line feed", Whole, b"\n\n\n"),
    ("inline of spaces", Whole, b"     \r\n"),
    ("inline with double quotes", Whole, b"ECHO \"hello world\"\r\n"),
    ("inline with single quotes", Whole, b"ECHO 'hello world'\r\n"),
    ("inline with escapes", Whole, b"ECHO \"a\\n\\r\\t\\b\\a\\x41\\xzz\\q\\\\\\\"\"\r\n"),
    ("inline with escapes in single quotes", Whole, b"ECHO 'a\\n\\'b\\x41'\r\n"),
    ("inline with an empty quoted word", Whole, b"ECHO \"\"\r\n"),
    ("inline with quotes inside a word", Whole, b"ECHO a\"b c\"\r\n"),
    ("inline with text after a quote", Whole, b"ECHO \"a\"b\r\n"),
    ("inline with text after a single quote", Whole, b"ECHO 'a'b\r\n"),
    ("inline with an open double quote", Whole, b"ECHO \"hello\r\n"),
    ("inline with an open single quote", Whole, b"ECHO 'hello\r\n"),
    ("inline with a quote that a backslash leaves open", Whole, b"ECHO \"hello\\\"\r\n"),
    ("inline with a backslash at the end of a quote", Whole, b"ECHO \"hello\\\r\n"),
    ("inline with high bytes", Whole, b"ECHO \xff\xfe\x80\r\n"),
    ("inline with a return inside", Whole, b"ECHO a\rb\r\n"),
    ("inline with two returns", Whole, b"PING\r\r\n"),
    ("inline that looks like a reply", Whole, b"+OK\r\n"),
    ("inline that looks like an argument", Whole, b"$4\r\nPING\r\n"),
    ("inline that looks like version 3", Whole, b"%1\r\n$1\r\na\r\n"),
    ("a web request", Whole, b"GET / HTTP/1.1\r\nAccept: x\r\n\r\n"),
    ("a posted form", Whole, b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("a form as an array", Whole, b"*2\r\n$4\r\nPOST\r\n$1\r\n/\r\n"),
    ("a host line", Whole, b"Host: localhost\r\n"),
    ("inline, then a count", Whole, b"PING\r\n*1\r\n$4\r\nPING\r\n"),
    ("a name with a zero byte in it", Whole, b"CLIENT SETNAME \"a\\x00\\nb\"\r\nCLIENT GETNAME\r\n"),
    ("an error that would end in line ends", Whole, b"EXPIRE a 1 \"x\\r\\ny\\r\\n\\n\"\r\n"),
    ("quit", Whole, b"*1\r\n$4\r\nQUIT\r\n"),
    ("quit inline with more behind", Whole, b"QUIT\r\nPING\r\n"),
    ("quit with an argument", Whole, b"QUIT now\r\n"),
    ("HELLO with a bad version", Whole, b"HELLO 4\r\n"),
    ("HELLO with no number", Whole, b"HELLO x\r\n"),
    ("HELLO with an unknown option", Whole, b"HELLO 3 NOSUCH\r\n"),
    ("HELLO with AUTH cut short", Whole, b"HELLO 3 AUTH user\r\n"),
    ("HELLO with a bad name", Whole, b"HELLO 2 SETNAME \"a b\"\r\n"),
    ("HELLO with a wrong password", Whole, b"HELLO 2 AUTH nobody nothing\r\n"),
    ("AUTH with no password set", Whole, b"AUTH nothing\r\n"),
    ("AUTH with a wrong user", Whole, b"AUTH nobody nothing\r\n"),
    ("AUTH with too much", Whole, b"AUTH a b c\r\n"),
    ("errors inside a transaction", Whole, b"MULTI\r\nNOSUCH\r\nGET\r\nEXEC\r\nEXEC\r\n"),
    ("a broken request inside a transaction", Whole, b"MULTI\r\nPING\r\n*1\r\nPING\r\n"),
    ("nested transactions", Whole, b"MULTI\r\nMULTI\r\nPING\r\nEXEC\r\nDISCARD\r\n"),
    ("WATCH inside a transaction", Whole, b"MULTI\r\nWATCH a\r\nEXEC\r\n"),
    ("RESET", Whole, b"MULTI\r\nRESET\r\nEXEC\r\n"),
    ("a command while subscribed", Whole, b"SUBSCRIBE ch\r\nGET a\r\nPING\r\nUNSUBSCRIBE\r\nGET a\r\n"),
    ("PING while subscribed", Whole, b"SUBSCRIBE ch\r\nPING hello\r\nUNSUBSCRIBE ch\r\n"),
    ("unsubscribe from nothing", Whole, b"UNSUBSCRIBE\r\nPUNSUBSCRIBE\r\nUNSUBSCRIBE a b\r\n"),
    ("CLIENT REPLY SKIP", Whole, b"CLIENT REPLY SKIP\r\nPING a\r\nPING b\r\n"),
    ("CLIENT REPLY OFF and ON", Whole, b"CLIENT REPLY OFF\r\nPING a\r\nCLIENT REPLY ON\r\nPING b\r\n"),
    ("an error while replies are off", Whole, b"CLIENT REPLY OFF\r\nNOSUCH\r\nCLIENT REPLY ON\r\n"),
];

/// Inputs for a connection that owes a password.
const INPUTS_UNAUTHENTICATED: &[(&str, Ends, &[u8])] = &[
    ("command without a password", Whole, b"GET a\r\n"),
    ("PING without a password", Whole, b"PING\r\n"),
    ("unknown command without a password", Whole, b"NOSUCH\r\n"),
    ("wrong arity without a password", Whole, b"GET\r\n"),
    ("unknown subcommand without a password", Whole, b"CLIENT nosuch\r\n"),
    ("ten arguments", Whole, b"*10\r\n$4\r\nPING\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n"),
    ("more than ten arguments", Whole, b"*11\r\n"),
    ("an argument of 16 KiB announced", Open, b"*2\r\n$4\r\nPING\r\n$16384\r\nab"),
    ("an argument of more than 16 KiB", Whole, b"*2\r\n$4\r\nPING\r\n$16385\r\n"),
    ("wrong password", Whole, b"AUTH nothing\r\n"),
    ("wrong user", Whole, b"AUTH nobody secret\r\n"),
    ("right password", Whole, b"AUTH secret\r\nGET a\r\n"),
    ("right user and password", Whole, b"AUTH default secret\r\nGET a\r\n"),
    ("limits lifted by the password", Whole, b"AUTH secret\r\n*12\r\n$4\r\nPING\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n"),
    ("HELLO without a password", Whole, b"HELLO 3\r\n"),
    ("HELLO with a wrong password", Whole, b"HELLO 3 AUTH default nothing\r\n"),
    ("transaction without a password", Whole, b"MULTI\r\nEXEC\r\n"),
    ("RESET takes the password back", Whole, b"AUTH secret\r\nRESET\r\nGET a\r\n"),
    ("quit without a password", Whole, b"QUIT\r\n"),
];

fn finish(client: &mut Client, sentinel: &Sentinel, ends: Ends) -> io::Result<(Vec<u8>, After)> {
    if ends == Open {
        // Fails when the server has closed already, which reading will show.
        let _ = client.finish_sending();
    }
    let deadline = Instant::now() + Duration::from_secs(OUTCOME_S_MAX);
    loop {
        // Zero would wait for ever.
        client.set_timeout(deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)))?;
        if client.unread().ends_with(sentinel.reply) {
            let bytes = client.unread();
            return Ok((bytes[..bytes.len() - sentinel.reply.len()].to_vec(), After::Alive));
        }
        if client.fill()? == 0 {
            let after = if ends == Open { After::Waiting } else { After::Closed };
            return Ok((client.unread().to_vec(), after));
        }
    }
}

/// What the server makes of an input that arrives at once.
fn outcome(server: &Server, sentinel: &Sentinel, ends: Ends, input: &[u8]) -> io::Result<(Vec<u8>, After)> {
    let mut client = server.connect()?;
    let mut bytes = input.to_vec();
    if ends == Whole {
        bytes.extend_from_slice(sentinel.request);
    }
    // The server may close before it has taken everything; what it said before that still counts.
    let _ = client.send_raw(&bytes);
    finish(&mut client, sentinel, ends)
}

/// The same for an input that arrives in two parts. A `PING` over the other connection makes sure that the server has had a
/// turn, and so has seen the first part alone.
fn outcome_split(
    server: &Server,
    other: &mut Client,
    sentinel: &Sentinel,
    ends: Ends,
    parts: (&[u8], &[u8]),
) -> io::Result<(Vec<u8>, After)> {
    let mut client = server.connect()?;
    client.send_raw(parts.0)?;
    other.call(&["PING"])?;
    let mut rest = parts.1.to_vec();
    if ends == Whole {
        rest.extend_from_slice(sentinel.request);
    }
    // The first part may have been enough to be closed.
    let _ = client.send_raw(&rest);
    finish(&mut client, sentinel, ends)
}

fn show((bytes, after): &(Vec<u8>, After)) -> String {
    format!("{after:?} \"{}\"", bytes.escape_ascii())
}

fn inputs_match(pair: &Pair, sentinel: &Sentinel, inputs: &[(&str, Ends, &[u8])]) {
    let mut differences: Vec<String> = Vec::new();
    for (name, ends, input) in inputs {
        if waits_for_a_command(input) {
            continue;
        }
        match outcome(&pair.oracle, sentinel, *ends, input) {
            Ok(expected) => differences.extend(input_difference(pair, sentinel, (name, *ends, input), &expected)),
            Err(error) => differences.push(format!("{name}: the oracle gives {NO_OUTCOME}{error}")),
        }
        if differences.iter().filter(|text| text.contains(NO_OUTCOME)).count() >= STUCK_MAX {
            break;
        }
    }
    assert!(differences.is_empty(), "{} inputs differ\n{}", differences.len(), differences.join("\n"));
}

/// Whether the input begins with one of the commands in [`AWAITED`] that we do not have yet.
fn waits_for_a_command(input: &[u8]) -> bool {
    let word = input.split(|byte| b" \r\n".contains(byte)).next().unwrap_or_default();
    AWAITED.iter().any(|name| name.as_bytes() == word) && command::lookup(word).is_none()
}

/// The first way of sending the input to which the subject reacts otherwise than expected.
fn input_difference(
    pair: &Pair,
    sentinel: &Sentinel,
    (name, ends, input): (&str, Ends, &[u8]),
    expected: &(Vec<u8>, After),
) -> Option<String> {
    let different = |how: &str, found: io::Result<(Vec<u8>, After)>| {
        let text = match found {
            Ok(found) if found == *expected => return None,
            Ok(found) => show(&found),
            Err(error) => format!("{NO_OUTCOME}{error}"),
        };
        let input = &input[..input.len().min(SPLIT_BYTES_MAX)];
        let expected = show(expected);
        Some(format!("{name}{how}: \"{}\"\n    subject {text}\n    oracle  {expected}", input.escape_ascii()))
    };
    if let Some(found) = different("", outcome(&pair.subject, sentinel, ends, input)) {
        return Some(found);
    }
    if input.len() > SPLIT_BYTES_MAX {
        return None;
    }
    let mut other = pair.subject.connect().expect("it answered a moment ago");
    (1..input.len()).find_map(|at| {
        let found = outcome_split(&pair.subject, &mut other, sentinel, ends, input.split_at(at));
        different(&format!(", split at {at}"), found)
    })
}

#[test]
fn odd_requests_are_answered_as_redis_answers() {
    let Some(pair) = Pair::start(&[]) else { return };
    if !pair.is_target_version() {
        return;
    }
    inputs_match(&pair, &PING, INPUTS);
}

/// Not among the inputs, because replies of an earlier turn are sent: this one only works in one piece.
#[test]
fn replies_before_a_posted_form_are_dropped_and_their_commands_stay_done() {
    let Some(pair) = Pair::start(&[]) else { return };
    for server in [&pair.subject, &pair.oracle] {
        let input = b"PING\r\nSET posted yes\r\npost / HTTP/1.1\r\nSET posted more\r\n";
        assert_eq!(outcome(server, &PING, Whole, input).expect("closed"), (Vec::new(), After::Closed));
        let mut client = server.connect().expect("still running");
        assert_eq!(client.call(&["GET", "posted"]).expect("still answers").raw, b"$3\r\nyes\r\n");
    }
}

#[test]
fn inline_line_beyond_the_limit_is_refused_as_redis_refuses() {
    // Redis 8.6 keeps whatever comes for the length of an argument, up to the limit of the query buffer; 8.2 does not.
    let Some(pair) = Pair::start_with((8, 2, 0), &[]) else { return };
    let line = vec![b'x'; 70_000];
    let count_line = [&b"*"[..], &vec![b'1'; 70_000]].concat();
    let length_line = [&b"*1\r\n$"[..], &vec![b'1'; 70_000]].concat();
    let word = [&b"ECHO "[..], &vec![b'a'; 60_000], b"\r\n"].concat();
    inputs_match(
        &pair,
        &PING,
        &[
            ("line without an end", Open, &line),
            ("line of 60,000 bytes", Whole, &word),
            ("count without an end", Open, &count_line),
            ("length without an end", Open, &length_line),
        ],
    );
}

#[test]
fn requests_without_a_password_are_limited_as_redis_limits() {
    let Some(pair) = Pair::start(&["--requirepass", "secret"]) else { return };
    if !pair.is_target_version() {
        return;
    }
    inputs_match(&pair, &HELLO, INPUTS_UNAUTHENTICATED);
}

/// Redis looks for line ends with a function that stops at a zero byte, so it waits for ever on these. That is not worth
/// following, and neither is any answer: the server must only stay in good health.
#[test]
fn zero_bytes_before_a_line_end_do_no_harm() {
    let Some(pair) = Pair::start(&[]) else { return };
    let inputs: [&[u8]; 4] =
        [b"*1\x00\r\n$4\r\nPING\r\n", b"*1\r\n\x004\r\nPING\r\n", b"ECHO a\x00b\r\n", b"\x00PING\r\n"];
    for input in inputs {
        let (bytes, _) = outcome(&pair.subject, &PING, Open, input).expect("the connection ends when we stop sending");
        assert!(bytes.len() < 200, "{} bytes for \"{}\"", bytes.len(), input.escape_ascii());
    }
    let mut client = pair.subject.connect().expect("still running");
    assert_eq!(client.call(&["PING"]).expect("still answers").raw, b"+PONG\r\n");
}
