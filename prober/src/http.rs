//! HTTP/1.1 as far as a probe needs it: a GET as text, and what an answer's head says (RFC 9112).

use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX};
use crate::reason;
use control::probe::HttpProbe;
use std::fmt::Write as _;

/// The text of a request.
///
/// # Errors
/// With the reason, for what would not be one request: a blank in the path, a line end in a header.
pub(crate) fn request(probe: &HttpProbe) -> Result<String, String> {
    let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !probe.path.starts_with('/') || !visible(&probe.path) {
        let path = reason::shown(probe.path.as_bytes());
        return Err(format!(
            "{path} is no path: it begins with / and has no blanks"
        ));
    }
    let host = match (&probe.host, probe.port) {
        (Some(host), _) => host.clone(),
        (None, 80) => "localhost".to_owned(),
        (None, port) => format!("localhost:{port}"),
    };
    let agent = concat!("keelson-prober/", env!("CARGO_PKG_VERSION"));
    let own = [
        ("Host", host.as_str()),
        ("User-Agent", agent),
        ("Accept", "*/*"),
        // One question, one answer: the service ends the connection, and so keeps the address pair (TIME_WAIT).
        ("Connection", "close"),
    ];
    let given = |name: &str| {
        let is_same = |(other, _): &(String, String)| other.eq_ignore_ascii_case(name);
        probe.headers.iter().any(is_same)
    };
    let mut text = format!("GET {} HTTP/1.1\r\n", probe.path);
    let own = own.into_iter().filter(|(name, _)| !given(name));
    let headers = probe.headers.iter();
    let headers = headers.map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in own.chain(headers) {
        if name.is_empty() || !name.bytes().all(is_token) || value.contains(['\r', '\n', '\0']) {
            let name = reason::shown(name.as_bytes());
            return Err(format!("the header {name} can't be sent"));
        }
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n");
    Ok(text)
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What has come so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    Incomplete,
    Status(u16),
    Wrong(String),
}

/// Judge an answer's first bytes. Interim answers (100, 103) are passed over (RFC 9110, section 15.2).
pub(crate) fn head(mut bytes: &[u8]) -> Head {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        // The status is what counts; a header that is not quite right is the service's own affair.
        let parsed = httparse::ParserConfig::default()
            .allow_multiple_spaces_in_response_status_delimiters(true)
            .ignore_invalid_headers_in_responses(true)
            .parse_response(&mut response, bytes);
        match (parsed, response.code) {
            (Ok(httparse::Status::Complete(length)), Some(100 | 102..200)) => {
                bytes = bytes.get(length..).unwrap_or_default();
            }
            (Ok(httparse::Status::Complete(_)), Some(code)) => return Head::Status(code),
            (Ok(_), _) if bytes.len() < HEAD_BYTES_MAX => return Head::Incomplete,
            (Ok(_), _) => {
                let limit = HEAD_BYTES_MAX >> 10;
                return Head::Wrong(format!("the head of the answer has more than {limit} KiB"));
            }
            (Err(httparse::Error::TooManyHeaders), _) => {
                return Head::Wrong(format!("the answer has more than {HEADERS_MAX} headers"));
            }
            (Err(_), _) => return Head::Wrong(format!("not HTTP: {}", reason::shown(bytes))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn probe(path: &str, headers: &[(&str, &str)]) -> HttpProbe {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        HttpProbe {
            port: 8080,
            path: path.to_owned(),
            host: None,
            status: vec![(200, 399)],
            headers: headers.iter().map(owned).collect(),
        }
    }

    #[test]
    fn a_request_asks_once_and_says_who_asks() {
        let text = request(&probe("/healthz?full=1", &[("X-Token", "a b")])).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            text,
            format!(
                "GET /healthz?full=1 HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: keelson-prober/{version}\r\n\
                 Accept: */*\r\nConnection: close\r\nX-Token: a b\r\n\r\n"
            )
        );
    }

    #[test]
    fn the_units_headers_replace_ours() {
        let text = request(&probe(
            "/",
            &[("host", "shop.example"), ("ACCEPT", "text/plain")],
        ));
        let text = text.unwrap();
        assert!(
            text.contains("\r\nhost: shop.example\r\n")
                && text.contains("\r\nACCEPT: text/plain\r\n")
        );
        assert!(!text.contains("localhost") && !text.contains("*/*"));
        let mut named = probe("/", &[]);
        named.host = Some("shop.example".into());
        assert!(
            request(&named)
                .unwrap()
                .contains("\r\nHost: shop.example\r\n")
        );
        let mut standard = probe("/", &[]);
        standard.port = 80;
        assert!(
            request(&standard)
                .unwrap()
                .contains("\r\nHost: localhost\r\n")
        );
    }

    #[test]
    fn what_would_be_two_requests_is_refused() {
        for path in ["", "healthz", "/a b", "/a\r\nX: y", "/ä"] {
            assert!(
                request(&probe(path, &[]))
                    .unwrap_err()
                    .contains("is no path"),
                "{path}"
            );
        }
        for header in [
            ("X", "a\r\nY: b"),
            ("X:", "a"),
            ("", "a"),
            ("X Y", "a"),
            ("X", "\n"),
        ] {
            assert!(
                request(&probe("/", &[header]))
                    .unwrap_err()
                    .contains("can't be sent")
            );
        }
        let mut named = probe("/", &[]);
        named.host = Some("a\r\nX: y".into());
        assert_eq!(
            request(&named).unwrap_err(),
            "the header \"Host\" can't be sent"
        );
    }

    #[test]
    fn a_status_counts_when_the_head_is_complete() {
        assert_eq!(head(b""), Head::Incomplete);
        assert_eq!(head(b"HTTP/1.1 200"), Head::Incomplete);
        assert_eq!(head(b"HTTP/1.1 200 OK\r\nA: b\r\n"), Head::Incomplete);
        assert_eq!(
            head(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody"),
            Head::Status(200)
        );
        assert_eq!(head(b"HTTP/1.0 503\r\n\r\n"), Head::Status(503));
        assert_eq!(head(b"HTTP/1.1  301  Moved\n\n"), Head::Status(301));
        assert_eq!(
            head(b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n"),
            Head::Status(200)
        );
    }

    #[test]
    fn interim_answers_are_passed_over() {
        let hints = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".to_vec();
        assert_eq!(head(&hints), Head::Incomplete);
        let answered = [
            &hints[..],
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        ];
        assert_eq!(head(&answered.concat()), Head::Status(204));
        assert_eq!(
            head(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
            Head::Status(101)
        );
    }

    #[test]
    fn another_protocol_is_named_by_its_first_words() {
        let wrong = |text: &str| Head::Wrong(text.to_owned());
        assert_eq!(
            head(b"SSH-2.0-OpenSSH_10.0\r\n"),
            wrong("not HTTP: \"SSH-2.0-OpenSSH_10.0\"")
        );
        assert_eq!(
            head(b"-ERR unknown command\r\n"),
            wrong("not HTTP: \"-ERR unknown command\"")
        );
        assert_eq!(
            head(b"\x15\x03\x01\0\x02\x02F"),
            wrong("not HTTP: \"\\u{15}\\u{3}\\u{1}\\0\\u{2}\\u{2}F\"")
        );
    }

    #[test]
    fn an_endless_head_is_given_up() {
        let long = [&b"HTTP/1.1 200 OK\r\nA: "[..], &[b'x'; HEAD_BYTES_MAX]].concat();
        assert_eq!(head(&long[..HEAD_BYTES_MAX - 1]), Head::Incomplete);
        assert_eq!(
            head(&long),
            Head::Wrong("the head of the answer has more than 16 KiB".into())
        );
        let many = [
            &b"HTTP/1.1 200 OK\r\n"[..],
            &b"A: b\r\n".repeat(HEADERS_MAX + 1),
        ]
        .concat();
        assert_eq!(
            head(&many),
            Head::Wrong("the answer has more than 128 headers".into())
        );
    }

    proptest! {
        #[test]
        fn no_answer_is_judged_twice(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..300usize) {
            let text = [b"HTTP/1.1 200 OK\r\n", &bytes[..]].concat();
            let part = head(&text[..cut.min(text.len())]);
            // More bytes never turn a judgement into another.
            if let Head::Status(_) = part {
                prop_assert_eq!(head(&text), part);
            } else if let Head::Wrong(_) = part {
                prop_assert!(matches!(head(&text), Head::Wrong(_)));
            }
        }
    }
}
