//! HTTP/1.1 as far as a page of metrics needs it: the head of a request from bytes, a response to bytes. No sockets, no clock, and
//! nothing of what the pages say. `httparse` finds the parts of a head; this module says what they mean (RFC 9110, RFC 9112).
//!
//! # Limits
//! A head has at most [`HEAD_BYTES_MAX`] bytes and `HEADERS_MAX` headers. A request with a body is answered, and its connection
//! closed: no page takes one.

use httparse::{EMPTY_HEADER, Error, Header, Status};

/// Bytes of a request's head.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Headers of a request. Prometheus sends six, a browser some fifteen.
const HEADERS_MAX: usize = 64;

/// What the bytes of a connection are.
#[derive(Clone, Debug, PartialEq)]
pub enum Parsed {
    /// The beginning of a head, or nothing.
    Partial,
    /// A request, whose head has so many bytes.
    Request(Request, usize),
    /// No request. What follows cannot be understood, so the connection is to be closed after this answer.
    Bad(Refusal),
}

/// Why bytes are no request that can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not HTTP/1.1, or not as it has to be.
    Malformed,
    /// More than the limits of the module allow.
    TooLong,
}

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What it asks for.
    pub method: Method,
    /// The path without the query.
    pub path: String,
    /// It comes from HTTP/1.0.
    pub is_old: bool,
    /// Another request may follow on this connection.
    pub keeps_alive: bool,
    /// It wants OpenMetrics rather than plain text.
    pub wants_openmetrics: bool,
}

/// A method, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD: the response without its body.
    Head,
    /// Any other.
    Other,
}

/// Looks for the head of a request at the beginning of what a connection has sent. O(bytes).
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    match head.parse(bytes) {
        Ok(Status::Complete(len)) if len > HEAD_BYTES_MAX => Parsed::Bad(Refusal::TooLong),
        Ok(Status::Complete(len)) => match request(&head) {
            Some(request) => Parsed::Request(request, len),
            None => Parsed::Bad(Refusal::Malformed),
        },
        Ok(Status::Partial) if bytes.len() >= HEAD_BYTES_MAX => Parsed::Bad(Refusal::TooLong),
        Ok(Status::Partial) => Parsed::Partial,
        Err(Error::TooManyHeaders) => Parsed::Bad(Refusal::TooLong),
        Err(_) => Parsed::Bad(Refusal::Malformed),
    }
}

/// What a head means; `None` if it is not as it has to be.
fn request(head: &httparse::Request<'_, '_>) -> Option<Request> {
    let is_old = head.version? == 0;
    let (mut hosts, mut has_body, mut closes, mut stays) = (0, false, false, false);
    let mut accepted = Preference::default();
    for Header { name, value } in &*head.headers {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        if is("host") {
            hosts += 1;
        } else if is("content-length") {
            has_body |= std::str::from_utf8(value).ok()?.trim().parse::<u64>().ok()? > 0;
        } else if is("transfer-encoding") {
            has_body = true;
        } else if is("connection") {
            closes |= words(value, b',').any(|word| word.eq_ignore_ascii_case(b"close"));
            stays |= words(value, b',').any(|word| word.eq_ignore_ascii_case(b"keep-alive"));
        } else if is("accept") {
            words(value, b',').for_each(|range| accepted.note(range));
        }
    }
    // RFC 9112, 3.2: exactly one, from HTTP/1.1 on.
    if hosts > 1 || (hosts == 0 && !is_old) {
        return None;
    }
    let method = match head.method? {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        _ => Method::Other,
    };
    Some(Request {
        method,
        path: path(head.path?).to_owned(),
        is_old,
        keeps_alive: !closes && !has_body && (stays || !is_old),
        wants_openmetrics: accepted.wants_openmetrics(),
    })
}

/// The path of a request's target, which a proxy may have sent with scheme and host before it.
fn path(target: &str) -> &str {
    let local = match target.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            &rest[rest.find(['/', '?', '#']).unwrap_or(rest.len())..]
        }
        _ => target,
    };
    local.split(['?', '#']).next().unwrap_or_default()
}

/// The parts of a header's value between separators, without the space around them.
fn words(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    value.split(move |byte| *byte == separator).map(<[u8]>::trim_ascii)
}

/// How much each of the formats is wanted, by an Accept header's weights.
#[derive(Clone, Copy, Debug, Default)]
struct Preference {
    openmetrics: f32,
    plain: f32,
}

impl Preference {
    fn note(&mut self, range: &[u8]) {
        let mut parts = words(range, b';');
        let Some(media) = parts.next() else { return };
        let weight = parts.find_map(|part| {
            let weight = part.strip_prefix(b"q=").or(part.strip_prefix(b"Q="))?;
            Some(std::str::from_utf8(weight).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0))
        });
        let weight = weight.unwrap_or(1.0);
        if media.eq_ignore_ascii_case(b"application/openmetrics-text") {
            self.openmetrics = self.openmetrics.max(weight);
        } else if media.eq_ignore_ascii_case(b"text/plain") {
            self.plain = self.plain.max(weight);
        }
    }

    fn wants_openmetrics(self) -> bool {
        self.openmetrics > 0.0 && self.openmetrics >= self.plain
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Response<'a> {
    /// The status.
    pub code: Code,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: &'a [u8],
    /// HEAD was asked: everything but the body is sent.
    pub is_head: bool,
    /// Another request may follow.
    pub keeps_alive: bool,
    /// When it is sent, in Unix seconds.
    pub unix_s: i64,
}

/// The statuses that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 200.
    Ok,
    /// 400.
    BadRequest,
    /// 404.
    NotFound,
    /// 405.
    MethodNotAllowed,
    /// 431.
    HeadTooLong,
    /// 503.
    Unavailable,
}

impl Code {
    /// Number and phrase, as the status line has them.
    pub fn text(self) -> &'static str {
        match self {
            Code::Ok => "200 OK",
            Code::BadRequest => "400 Bad Request",
            Code::NotFound => "404 Not Found",
            Code::MethodNotAllowed => "405 Method Not Allowed",
            Code::HeadTooLong => "431 Request Header Fields Too Large",
            Code::Unavailable => "503 Service Unavailable",
        }
    }
}

impl Response<'_> {
    /// Appends it to what is to be sent. O(bytes).
    pub fn write(&self, out: &mut Vec<u8>) {
        let Response { code, content_type, body, is_head, keeps_alive, unix_s } = self;
        let allow = if *code == Code::MethodNotAllowed { "Allow: GET, HEAD\r\n" } else { "" };
        let connection = if *keeps_alive { "keep-alive" } else { "close" };
        let head = format!(
            "HTTP/1.1 {}\r\nDate: {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             Vary: Accept\r\n{allow}Connection: {connection}\r\n\r\n",
            code.text(),
            date(*unix_s),
            body.len()
        );
        out.extend_from_slice(head.as_bytes());
        if !is_head {
            out.extend_from_slice(body);
        }
    }
}

/// A time as headers have it, such as `Sun, 06 Nov 1994 08:49:37 GMT`. O(1).
fn date(unix_s: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];
    let (day, second) = (unix_s.div_euclid(86_400), unix_s.rem_euclid(86_400));
    // Howard Hinnant's `civil_from_days`: years begin in March, so that the leap day is the last.
    let since_0000 = day + 719_468;
    let (era, of_era) = (since_0000.div_euclid(146_097), since_0000.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let year = year_of_era + era * 400 + i64::from(month >= 10);
    format!(
        "{}, {of_month:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        DAYS[day.rem_euclid(7) as usize],
        MONTHS[month as usize],
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Request {
        match parse(text.as_bytes()) {
            Parsed::Request(request, len) => {
                assert_eq!(len, text.len());
                request
            }
            other => panic!("{other:?} for {text:?}"),
        }
    }

    const PROMETHEUS: &str = "GET /metrics?x=1 HTTP/1.1\r\nHost: localhost:9121\r\nUser-Agent: Prometheus/3.5.0\r\n\
        Accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;\
        q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n\
        Accept-Encoding: gzip\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n";

    #[test]
    fn a_head_is_found_wherever_its_bytes_are_split() {
        let whole = asked(PROMETHEUS);
        assert_eq!((whole.method, whole.path.as_str()), (Method::Get, "/metrics"));
        assert!(whole.keeps_alive && whole.wants_openmetrics && !whole.is_old);
        for end in 0..PROMETHEUS.len() {
            assert_eq!(parse(&PROMETHEUS.as_bytes()[..end]), Parsed::Partial, "{end} bytes");
        }
        let two = PROMETHEUS.repeat(2);
        assert_eq!(parse(two.as_bytes()), Parsed::Request(whole, PROMETHEUS.len()), "the next one stays");
    }

    #[test]
    fn garbage_is_malformed() {
        for text in [
            "PING\r\n\r\n",
            "*1\r\n$4\r\nPING\r\n",
            "\x16\x03\x01\x02\x00",
            "GET /metrics\r\n\r\n",
            "GET  /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /metrics HTTP/3.0\r\nHost: a\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "GET /metrics HTTP/1.1\r\n\r\n",
            "GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET /metrics HTTP/1.1\r\nHost: a\r\nNo colon\r\n\r\n",
            "GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
            "GET /metrics HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
        ] {
            assert_eq!(parse(text.as_bytes()), Parsed::Bad(Refusal::Malformed), "{text:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_refused_before_more_is_read() {
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(HEAD_BYTES_MAX));
        assert_eq!(parse(&long.as_bytes()[..HEAD_BYTES_MAX]), Parsed::Bad(Refusal::TooLong));
        assert_eq!(parse(&long.as_bytes()[..HEAD_BYTES_MAX - 1]), Parsed::Partial);
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(parse(many.as_bytes()), Parsed::Bad(Refusal::TooLong));
        let whole = format!("GET / HTTP/1.1\r\nHost: a\r\nb: {}\r\n\r\n", "c".repeat(HEAD_BYTES_MAX));
        assert_eq!(parse(whole.as_bytes()), Parsed::Bad(Refusal::TooLong));
    }

    #[test]
    fn connections_stay_as_the_version_and_the_header_say() {
        for (rest, keeps_alive) in [
            ("1.1\r\nHost: a\r\n\r\n", true),
            ("1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", false),
            ("1.1\r\nHost: a\r\nConnection: te, close\r\n\r\n", false),
            ("1.0\r\n\r\n", false),
            ("1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
            ("1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", true),
            ("1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", false),
            ("1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", false),
        ] {
            assert_eq!(asked(&format!("GET / HTTP/{rest}")).keeps_alive, keeps_alive, "{rest:?}");
        }
    }

    #[test]
    fn a_target_may_name_the_host() {
        for (target, path) in [
            ("/metrics", "/metrics"),
            ("/metrics?a=http://b/c", "/metrics"),
            ("http://localhost:9121/metrics", "/metrics"),
            ("http://localhost:9121", ""),
            ("http://localhost:9121?a=/metrics", ""),
            ("/a://b", "/a://b"),
            ("*", "*"),
        ] {
            assert_eq!(asked(&format!("GET {target} HTTP/1.0\r\n\r\n")).path, path);
        }
        assert_eq!(asked("HEAD / HTTP/1.0\r\n\r\n").method, Method::Head);
        assert_eq!(asked("get / HTTP/1.0\r\n\r\n").method, Method::Other, "methods have a case");
    }

    #[test]
    fn openmetrics_is_written_for_those_who_name_it() {
        for (accept, wants) in [
            ("application/openmetrics-text", true),
            ("Application/OpenMetrics-Text; version=1.0.0", true),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=0.3,text/plain;q=0.4", false),
            ("text/plain", false),
            ("*/*", false),
            ("application/openmetrics-text;q=much", false),
        ] {
            let request = asked(&format!("GET / HTTP/1.0\r\nAccept: {accept}\r\n\r\n"));
            assert_eq!(request.wants_openmetrics, wants, "{accept}");
        }
    }

    #[test]
    fn head_is_told_the_length_of_the_body_that_it_does_not_get() {
        let response = Response {
            code: Code::MethodNotAllowed,
            content_type: "text/plain",
            body: b"no\n",
            is_head: true,
            keeps_alive: false,
            unix_s: 784_111_777,
        };
        let mut out = Vec::new();
        response.write(&mut out);
        let expected = "HTTP/1.1 405 Method Not Allowed\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n\
            Content-Length: 3\r\nCache-Control: no-store\r\nVary: Accept\r\nAllow: GET, HEAD\r\nConnection: close\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
        out.clear();
        Response { is_head: false, ..response }.write(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), format!("{expected}no\n"));
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix_s, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (4_102_444_799, "Thu, 31 Dec 2099 23:59:59 GMT"),
            (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
        ] {
            assert_eq!(date(unix_s), text);
        }
    }
}
