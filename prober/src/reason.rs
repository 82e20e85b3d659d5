//! Why a probe failed, in one line for operators.

use crate::limits::SHOWN_CHARS_MAX;
use std::io;
use std::net::SocketAddr;

/// `3 s`, `1.5 s`, `250 ms`
pub(crate) fn duration(ms: u64) -> String {
    match (ms / 1_000, ms % 1_000) {
        (0, ms) => format!("{ms} ms"),
        (s, 0) => format!("{s} s"),
        (s, ms) => {
            let fraction = format!("{ms:03}");
            format!("{s}.{} s", fraction.trim_end_matches('0'))
        }
    }
}

/// The first line of something, at most so many characters, in quotes, with nothing in it that a terminal would obey.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next();
    let text = String::from_utf8_lossy(line.unwrap_or_default());
    let more = if text.chars().count() > SHOWN_CHARS_MAX {
        "…"
    } else {
        ""
    };
    let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("\"{}{more}\"", start.escape_debug())
}

/// Nobody could be connected to: what was tried, in order.
pub(crate) fn unconnected(failures: &[(SocketAddr, io::Error)]) -> String {
    let refused: Vec<SocketAddr> = failures
        .iter()
        .filter(|(_, error)| error.kind() == io::ErrorKind::ConnectionRefused)
        .map(|(address, _)| *address)
        .collect();
    // Not to have an address is no news beside being refused on another.
    let other = failures
        .iter()
        .find(|(_, error)| error.kind() != io::ErrorKind::ConnectionRefused && !is_absence(error));
    match (refused.as_slice(), other.or(failures.first())) {
        ([.., _], _) if other.is_none() => format!("connection refused on {}", list(&refused)),
        (_, Some((address, error))) => format!("no connection to {address}: {}", plain(error)),
        (_, None) => "no address to connect to".to_owned(),
    }
}

/// This namespace has no such address, or no IPv6 at all.
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, NetworkUnreachable, Unsupported};
    matches!(
        error.kind(),
        AddrNotAvailable | NetworkUnreachable | Unsupported
    ) || error.raw_os_error() == Some(nix::errno::Errno::EAFNOSUPPORT as i32)
}

/// `a, b and c`
fn list(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    match texts.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// What went wrong, without the number that Rust puts behind it, in lower case.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(characters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    fn failure(address: &str, errno: Errno) -> (SocketAddr, io::Error) {
        (address.parse().unwrap(), errno.into())
    }

    #[test]
    fn durations_are_read_aloud() {
        let texts = [0, 250, 1_000, 1_500, 3_000, 3_050, 90_000].map(duration);
        let expected = ["0 ms", "250 ms", "1 s", "1.5 s", "3 s", "3.05 s", "90 s"];
        assert_eq!(texts, expected);
    }

    #[test]
    fn what_a_service_sends_is_shown_short_and_harmless() {
        assert_eq!(
            shown(b"SSH-2.0-OpenSSH_10.0\r\nmore"),
            "\"SSH-2.0-OpenSSH_10.0\""
        );
        assert_eq!(
            shown(b"\x1b[31mred\x07\xff"),
            "\"\\u{1b}[31mred\\u{7}\u{fffd}\""
        );
        assert_eq!(shown(&[b'x'; 99]), format!("\"{}…\"", "x".repeat(40)));
        assert_eq!(shown(b""), "\"\"");
    }

    #[test]
    fn refusals_are_listed_and_missing_addresses_are_not() {
        let refused = failure("127.0.0.1:80", Errno::ECONNREFUSED);
        assert_eq!(
            unconnected(&[refused]),
            "connection refused on 127.0.0.1:80"
        );
        let all = [
            failure("127.0.0.1:80", Errno::ECONNREFUSED),
            failure("[::1]:80", Errno::ECONNREFUSED),
            failure("10.88.0.2:80", Errno::ECONNREFUSED),
        ];
        assert_eq!(
            unconnected(&all),
            "connection refused on 127.0.0.1:80, [::1]:80 and 10.88.0.2:80"
        );
        for absence in [
            Errno::EADDRNOTAVAIL,
            Errno::EAFNOSUPPORT,
            Errno::ENETUNREACH,
        ] {
            let some = [
                failure("127.0.0.1:80", Errno::ECONNREFUSED),
                failure("[::1]:80", absence),
            ];
            assert_eq!(unconnected(&some), "connection refused on 127.0.0.1:80");
        }
        let other = [
            failure("127.0.0.1:80", Errno::ECONNREFUSED),
            failure("10.88.0.2:80", Errno::EHOSTUNREACH),
        ];
        assert_eq!(
            unconnected(&other),
            "no connection to 10.88.0.2:80: no route to host"
        );
        let none = [failure("127.0.0.1:80", Errno::ENETUNREACH)];
        assert_eq!(
            unconnected(&none),
            "no connection to 127.0.0.1:80: network is unreachable"
        );
    }
}
