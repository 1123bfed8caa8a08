//! A live query with the `redis` crate: prints what a query answers, and what it answers anew whenever a key that it names
//! changes.
//!
//! ```sh
//! cargo run --example watch -- GET greeting
//! redis-cli -p 7379 SET greeting hello               # in another terminal
//! ```
//!
//! prints the name, the fingerprint and the result of each frame:
//!
//! ```text
//! GET 2846808687 nil
//! GET 2846808687 bulk-string('"hello"')
//! ```
//!
//! `ALEADB_URL` names another server than `redis://127.0.0.1:7379`. It ends with Ctrl-C, or with the connection.
//!
//! How it works. The first answer is an ordinary reply, the later ones are RESP3 pushes, which the connection hands to its
//! push sender whenever it reads: while it waits for the reply to another command, or in `recv_response`, which waits for
//! nothing else here.

use std::process::ExitCode;
use std::sync::mpsc;

use redis::{IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind, RedisResult, Value};

/// Calls `on_frame` with the name, the fingerprint and the result of the first answer and of every later one.
fn watch(url: &str, command: &str, args: &[String], mut on_frame: impl FnMut(&str, &str, &Value)) -> RedisResult<()> {
    let info = url.into_connection_info()?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let mut connection = redis::Client::open(info.set_redis_settings(settings))?.get_connection()?;
    let (sender, frames) = mpsc::channel();
    connection.set_push_sender(sender);
    let (name, fingerprint, result): (String, String, Value) =
        redis::cmd(&format!("{command}.WATCH")).arg(args).query(&mut connection)?;
    on_frame(&name, &fingerprint, &result);
    loop {
        for PushInfo { kind, data } in frames.try_iter() {
            // `redis::from_redis_value` makes a type of yours of the result.
            if let (PushKind::Other(name), [fingerprint, result]) = (kind, &data[..]) {
                on_frame(&name, &redis::from_redis_value_ref::<String>(fingerprint)?, result);
            }
        }
        connection.recv_response()?;
    }
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(command) = args.next() else {
        eprintln!("usage: watch COMMAND [ARGUMENT...]");
        return ExitCode::from(2);
    };
    let args: Vec<String> = args.collect();
    let url = std::env::var("ALEADB_URL").unwrap_or_else(|_| "redis://127.0.0.1:7379".to_owned());
    let ended = watch(&url, &command, &args, |name, fingerprint, result| println!("{name} {fingerprint} {result:?}"));
    if let Err(error) = ended {
        eprintln!("{error}");
    }
    ExitCode::FAILURE
}
