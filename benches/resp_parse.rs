//! The request parser alone: pipelines of small commands, and a large value arriving in pieces.
//!
//! `cargo bench --bench resp_parse` prints nanoseconds a command; with `--test` (or without `--bench`) it runs a tiny
//! size that only checks the answers.

use std::time::Instant;

use aleadb::resp::parse::{Limits, Parsed, Parser};

const LIMITS: Limits = Limits { bulk_bytes_max: 512 << 20, authenticated: true };

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let smoke = arguments.iter().any(|argument| argument == "--test")
        || !arguments.iter().any(|argument| argument == "--bench");
    let rounds = if smoke { 10 } else { 100_000 };
    let get = b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n".repeat(64);
    let set = b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000001\r\n$32\r\nabcdefghabcdefghabcdefghabcdefgh\r\n".repeat(64);
    pipeline("GET, 64 in a pipeline", &get, 2, rounds);
    pipeline("SET, 64 in a pipeline", &set, 3, rounds);
    pipeline("inline PING, 64 in a pipeline", &b"PING\r\n".repeat(64), 1, rounds / 10);
    pieces(if smoke { 1 << 16 } else { 64 << 20 });
}

fn pipeline(name: &str, bytes: &[u8], arguments: usize, rounds: usize) {
    let (mut parser, mut spans) = (Parser::default(), Vec::new());
    let start = Instant::now();
    for _ in 0..rounds {
        let (mut at, mut commands) = (0, 0);
        while at < bytes.len() {
            spans.clear();
            match parser.parse(&bytes[at..], LIMITS, &mut spans).expect("well-formed") {
                Parsed::Command(taken) => {
                    assert_eq!(spans.len(), arguments);
                    at += taken;
                }
                Parsed::Inline(taken, words) => {
                    assert_eq!(words.len(), arguments);
                    at += taken;
                }
                other => panic!("{other:?}"),
            }
            commands += 1;
        }
        assert_eq!(commands, 64);
    }
    println!("{name:<48} {:>10.1} ns each", start.elapsed().as_nanos() as f64 / (rounds * 64) as f64);
}

fn pieces(len: usize) {
    let mut bytes = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${len}\r\n").into_bytes();
    bytes.resize(bytes.len() + len, b'v');
    bytes.extend_from_slice(b"\r\n");
    let (mut parser, mut spans, mut calls) = (Parser::default(), Vec::new(), 0u32);
    let start = Instant::now();
    for end in (0..bytes.len()).step_by(1448).chain([bytes.len()]) {
        calls += 1;
        if let Parsed::Command(taken) = parser.parse(&bytes[..end], LIMITS, &mut spans).expect("well-formed") {
            assert_eq!((taken, spans.len()), (bytes.len(), 3));
        }
    }
    let each = start.elapsed().as_nanos() as f64 / f64::from(calls);
    println!("{:<48} {each:>10.1} ns a piece", format!("{len} bytes in packets of 1,448"));
}
