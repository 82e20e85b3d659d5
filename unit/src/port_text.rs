//! The short form of a published port: `[ip:][host[-end]:]container[-end][/protocol]`.

use crate::Protocol;
use crate::fault::Fault;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortText {
    pub host_ip: Option<IpAddr>,
    /// `None`: any free port.
    pub host: Option<RangeInclusive<u16>>,
    pub container: RangeInclusive<u16>,
    pub protocol: Option<Protocol>,
}

impl PortText {
    /// The host range is longer than the one port in the container: one of it is to be chosen.
    #[must_use]
    pub fn is_choice(&self) -> bool {
        self.host
            .as_ref()
            .is_some_and(|host| host.start() < host.end())
            && self.container.start() == self.container.end()
    }
}

fn fault() -> Fault {
    Fault::new(
        "is not a port",
        "[ip:][host[-end]:]container[-end][/tcp|udp]",
    )
}

pub fn parse(text: &str) -> Result<PortText, Fault> {
    let (rest, protocol) = match text.split_once('/') {
        Some((rest, name)) => {
            let protocol = parse_protocol(name).map_err(|fault| match meant(name) {
                Some(name) => fault.hint(format!("write \"{rest}/{name}\"")),
                None if both(name) => fault.hint(format!(
                    "write two `[[ports]]`, \"{rest}/tcp\" and \"{rest}/udp\""
                )),
                None => fault,
            })?;
            (rest, Some(protocol))
        }
        None => (text, None),
    };
    let (ip, ports) = split_address(rest)?;
    let (host, container) = match ports.split_once(':') {
        None => (None, ports),
        Some(("", _)) if ip.is_none() => {
            return Err(fault().hint("for any free host port leave out the `:` before it"));
        }
        Some(("", container)) => (None, container),
        Some((host, container)) => (Some(parse_range(host)?), container),
    };
    let container = parse_range(container)?;
    if let Some(host) = &host {
        let length = |range: &RangeInclusive<u16>| range.end() - range.start();
        if length(host) != length(&container) && length(&container) > 0 {
            let expected = "as many host ports as container ports, or one container port";
            return Err(Fault::new("has ranges of different length", expected));
        }
    }
    Ok(PortText {
        host_ip: ip,
        host,
        container,
        protocol,
    })
}

pub fn parse_protocol(name: &str) -> Result<Protocol, Fault> {
    match name {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "sctp" => Err(Fault::new(
            "asks for sctp, which is not supported yet",
            "tcp or udp",
        )),
        _ => {
            let fault = Fault::new("has an unknown protocol", "tcp or udp");
            Err(match meant(name) {
                Some(name) => fault.hint(format!("write \"{name}\"")),
                None if both(name) => fault.hint("write two `[[ports]]`, one for each"),
                None => fault,
            })
        }
    }
}

/// The protocol, in capitals or with blanks.
fn meant(name: &str) -> Option<String> {
    let plain = name.trim().to_ascii_lowercase();
    (plain != name && matches!(plain.as_str(), "tcp" | "udp")).then_some(plain)
}

/// `tcp,udp`, `tcp+udp`, `tcp/udp`
fn both(name: &str) -> bool {
    let mut names: Vec<&str> = name.split([',', '+', '/', '|']).map(str::trim).collect();
    names.sort_unstable();
    names == ["tcp", "udp"]
}

pub fn parse_address(text: &str) -> Result<IpAddr, Fault> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let fault = || {
        Fault::new(
            "is not an IP address",
            "such as \"192.0.2.1\" or \"2001:db8::1\"",
        )
    };
    match bare {
        Some(bare) => bare
            .parse::<Ipv6Addr>()
            .map(IpAddr::V6)
            .map_err(|_| fault()),
        None => text.parse::<IpAddr>().map_err(|_| fault()),
    }
}

/// `127.0.0.1:8080:80`, `[::1]:8080:80`: the address, and what follows its colon.
fn split_address(text: &str) -> Result<(Option<IpAddr>, &str), Fault> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or_else(fault)?;
        let address: Ipv6Addr = address
            .parse()
            .map_err(|_| fault().hint("between `[` and `]` stands an IPv6 address"))?;
        let ports = rest.strip_prefix(':').ok_or_else(fault)?;
        if !ports.contains(':') {
            return Err(fault().hint(format!(
                "after an address come two ports: `[{address}]::{ports}` for any free host port"
            )));
        }
        return Ok((Some(IpAddr::V6(address)), ports));
    }
    match text.matches(':').count() {
        0 | 1 => Ok((None, text)),
        2 => {
            let (address, ports) = text.split_once(':').ok_or_else(fault)?;
            let address: Ipv4Addr = address
                .parse()
                .map_err(|_| fault().hint(format!("`{address}` is not an IPv4 address")))?;
            Ok((Some(IpAddr::V4(address)), ports))
        }
        _ => Err(fault().hint("put an IPv6 address in brackets: `[::1]:8080:80`")),
    }
}

fn parse_range(text: &str) -> Result<RangeInclusive<u16>, Fault> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (parse_port(first)?, parse_port(last)?);
    if first > last {
        return Err(Fault::new(
            "has a range that ends before it starts",
            "the smaller port first",
        )
        .hint(format!("write `{last}-{first}`")));
    }
    Ok(first..=last)
}

fn parse_port(text: &str) -> Result<u16, Fault> {
    if text.is_empty() || !text.chars().all(|c| c.is_ascii_digit()) {
        return Err(fault());
    }
    match text.parse::<u16>() {
        Ok(0) => Err(fault()
            .hint("there is no port 0; for any free host port name the container's alone: \"80\"")),
        Ok(port) => Ok(port),
        Err(_) => Err(fault().hint("ports go up to 65535")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn port(
        ip: Option<&str>,
        host: Option<RangeInclusive<u16>>,
        container: RangeInclusive<u16>,
    ) -> Result<PortText, Fault> {
        Ok(PortText {
            host_ip: ip.map(|ip| ip.parse().unwrap()),
            host,
            container,
            protocol: None,
        })
    }

    #[test]
    fn every_form_is_read() {
        assert_eq!(parse("80"), port(None, None, 80..=80));
        assert_eq!(parse("8080:80"), port(None, Some(8080..=8080), 80..=80));
        assert_eq!(
            parse("127.0.0.1:8080:80"),
            port(Some("127.0.0.1"), Some(8080..=8080), 80..=80)
        );
        assert_eq!(
            parse("127.0.0.1::80"),
            port(Some("127.0.0.1"), None, 80..=80)
        );
        assert_eq!(
            parse("[::1]:8080:80"),
            port(Some("::1"), Some(8080..=8080), 80..=80)
        );
        assert_eq!(
            parse("[2001:db8::1]::80"),
            port(Some("2001:db8::1"), None, 80..=80)
        );
        assert_eq!(
            parse("7001-7005:7001-7005"),
            port(None, Some(7001..=7005), 7001..=7005)
        );
        assert_eq!(
            parse("7001-7100:6379"),
            port(None, Some(7001..=7100), 6379..=6379)
        );
        assert_eq!(parse("8000-8010"), port(None, None, 8000..=8010));
        assert_eq!(
            parse("5000:5000/udp").unwrap().protocol,
            Some(Protocol::Udp)
        );
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for bad in [
            "",
            ":",
            ":80",
            "80:",
            "0",
            "80:0",
            "65536",
            "a",
            "80/",
            "80/icmp",
            "80/sctp",
            "::1:80:80",
            "[::1]:80",
            "[::1:80:80",
            "localhost:80:80",
            "1.2.3:80:80",
            "80-70",
            "80:80-81",
            "1-2:3-5",
            "+80",
            "80 ",
            "1.2.3.4:80",
            "-",
            "1-",
            "-1",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_parts_come_back(host in 1u16.., container in 1u16.., length in 0u16..50, v6: bool) {
            prop_assume!(host.checked_add(length).is_some() && container.checked_add(length).is_some());
            let ip = if v6 { "[2001:db8::7]" } else { "192.0.2.7" };
            let text = format!("{ip}:{host}-{}:{container}-{}/udp", host + length, container + length);
            let parsed = parse(&text).unwrap();
            prop_assert_eq!(parsed.host, Some(host..=host + length));
            prop_assert_eq!(parsed.container, container..=container + length);
            prop_assert_eq!(parsed.host_ip, Some(parse_address(ip).unwrap()));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse(&text);
        }

        #[test]
        fn no_text_of_its_letters_panics(text in "[0-9:.\\[\\]/a-f-]{0,40}") {
            let _ = parse(&text);
        }
    }
}
