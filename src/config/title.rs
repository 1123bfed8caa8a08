//! What the list of processes shows of the server: a text with variables in braces, as in Redis.
//!
//! `{title}` is the name the program was started by, `{listen-addr}` the first address with the port, or the Unix socket
//! where there is no port, `{server-mode}` what kind of server it is (nothing, for one that stands alone), `{port}`,
//! `{tls-port}`, `{unixsocket}` and `{config-file}` what their names say. `{{` is a brace. Whoever shows the text is `sys`.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::params::Config;
use super::value::{Reason, print_path, single};

/// The text a configuration asks for, for a program started as `program` with a configuration file or none.
pub fn title(config: &Config, program: &[u8], config_file: Option<&Path>) -> Vec<u8> {
    let value = |name: &[u8]| {
        Some(match name {
            b"title" => program.to_vec(),
            b"listen-addr" => listen_address(config),
            b"server-mode" => Vec::new(),
            b"port" => config.port.to_string().into_bytes(),
            b"tls-port" => config.text_of("tls-port")?,
            b"unixsocket" => print_path(&config.unixsocket),
            b"config-file" => config_file.map(|path| path.as_os_str().as_bytes().to_vec()).unwrap_or_default(),
            _ => return None,
        })
    };
    let text = expand(&config.proc_title_template, value).unwrap_or_default();
    let is_text = |byte: &u8| *byte != b' ';
    let start = text.iter().position(is_text).unwrap_or(text.len());
    let end = text.iter().rposition(is_text).map_or(start, |last| last + 1);
    text[start..end].to_vec()
}

fn listen_address(config: &Config) -> Vec<u8> {
    if config.port == 0 {
        return [b"unixsocket:".as_slice(), &print_path(&config.unixsocket)].concat();
    }
    // COMPAT: an address keeps the `-` that makes it optional, and none at all shows as every one.
    let host = match config.bind.first() {
        Some(address) => format!("{}{}", if address.optional { "-" } else { "" }, address.host),
        None => "*".to_owned(),
    };
    format!("{host}:{}", config.port).into_bytes()
}

/// A template whose variables all exist.
pub(super) fn parse(args: &[&[u8]]) -> Result<Vec<u8>, Reason> {
    const KNOWN: [&[u8]; 7] =
        [b"title", b"listen-addr", b"server-mode", b"port", b"tls-port", b"unixsocket", b"config-file"];
    let template = single(args)?;
    let expanded = expand(template, |name| KNOWN.contains(&name).then(Vec::new));
    match expanded.filter(|_| !template.is_empty()) {
        Some(_) => Ok(template.to_vec()),
        None => Err("template format is invalid or contains unknown variables".into()),
    }
}

/// The template with the values of its variables; `None` if one is not known or a brace is not closed.
fn expand(template: &[u8], value: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(template.len());
    let mut rest = template;
    while let Some(open) = rest.iter().position(|byte| *byte == b'{') {
        text.extend_from_slice(&rest[..open]);
        rest = &rest[open + 1..];
        if let Some(after) = rest.strip_prefix(b"{") {
            text.push(b'{');
            rest = after;
            continue;
        }
        let close = rest.iter().position(|byte| *byte == b'}')?;
        text.extend_from_slice(&value(&rest[..close])?);
        rest = &rest[close + 1..];
    }
    text.extend_from_slice(rest);
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::value;

    fn shown(template: &str, config: Config) -> String {
        let template = parse(&[template.as_bytes()]).expect(template);
        let config = Config { proc_title_template: template, ..config };
        String::from_utf8(title(&config, b"redis-server", Some(Path::new("/d/t.conf")))).expect("text")
    }

    /// The right column is what the list of processes showed of a Redis 7.0.15 with the same settings.
    #[test]
    fn titles_are_those_of_redis() {
        let config =
            |host: &str, port: u16| Config { bind: vec![value::address(host, false)], port, ..Config::default() };
        let default = "{title} {listen-addr} {server-mode}";
        assert_eq!(shown(default, config("*", 21306)), "redis-server *:21306");
        assert_eq!(shown(default, config("::1", 21306)), "redis-server ::1:21306");
        let optional = Config { bind: vec![value::address("::1", true)], port: 21306, ..Config::default() };
        assert_eq!(shown(default, optional), "redis-server -::1:21306");
        let none = Config { bind: vec![], port: 21306, ..Config::default() };
        assert_eq!(shown(default, none), "redis-server *:21306");
        let local = Config { port: 0, unixsocket: Some(PathBuf::from("/tmp/s")), ..Config::default() };
        assert_eq!(shown(default, local), "redis-server unixsocket:/tmp/s");
        let all = "{title}|{listen-addr}|{server-mode}|{port}|{tls-port}|{unixsocket}|{config-file}|x  ";
        assert_eq!(shown(all, config("*", 21306)), "redis-server|*:21306||21306|0||/d/t.conf|x");
        for (template, text) in [("{config-file} {{x", "/d/t.conf {x"), ("   ", ""), ("a}b", "a}b"), ("{{x}", "{x}")] {
            assert_eq!(shown(template, Config::default()), text);
        }
    }

    #[test]
    fn templates_with_unknown_variables_are_refused() {
        for template in ["", "{nope}", "{title", "{", "{}", "{Title}", "{title {port}"] {
            let refused = parse(&[template.as_bytes()]).expect_err(template);
            assert_eq!(refused, "template format is invalid or contains unknown variables");
        }
    }
}
