//! Published ports: which host ports a unit asks for, who has them, and how they are shown.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use unit::{Port, Protocol};

/// One port of the machine. `0.0.0.0` is every address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostPort {
    pub(crate) address: Ipv4Addr,
    pub(crate) transport: Transport,
    pub(crate) port: u16,
}

/// `unit::Protocol`, with an order and its number (IANA).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Transport {
    Tcp = 6,
    Udp = 17,
}

impl Transport {
    pub(crate) fn number(self) -> u8 {
        self as u8
    }
}

impl From<Protocol> for Transport {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Self::Tcp,
            Protocol::Udp => Self::Udp,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.address, self.port, self.transport)
    }
}

impl HostPort {
    /// Whether a packet could be meant for both.
    pub(crate) fn collides_with(&self, other: &Self) -> bool {
        let any = |port: &Self| port.address.is_unspecified();
        self.port == other.port
            && self.transport == other.transport
            && (self.address == other.address || any(self) || any(other))
    }
}

/// A host port and where its packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) host: HostPort,
    pub(crate) container: Ipv4Addr,
    pub(crate) container_port: u16,
}

/// What a unit asks for, port by port; no host port: any free one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) address: Ipv4Addr,
    pub(crate) transport: Transport,
    pub(crate) host_port: Option<u16>,
    pub(crate) container_port: u16,
}

/// Ranges taken apart.
///
/// # Errors
/// In one readable line.
pub(crate) fn wanted(ports: &[Port]) -> Result<Vec<Wanted>, String> {
    let mut wanted = Vec::new();
    for port in ports {
        let address = match port.host_ip {
            None => Ipv4Addr::UNSPECIFIED,
            Some(IpAddr::V4(address)) => address,
            Some(IpAddr::V6(address)) => {
                return Err(format!(
                    "can't publish on [{address}]: IPv6 addresses are not supported yet, leave the address out or give an IPv4 one"
                ));
            }
        };
        for step in 0..port.count.max(1) {
            let after = |first: u16| {
                first.checked_add(step).ok_or_else(|| {
                    format!(
                        "range of {} ports from {first} ends above 65535",
                        port.count
                    )
                })
            };
            wanted.push(Wanted {
                address,
                transport: port.protocol.into(),
                host_port: port.host_port.map(after).transpose()?,
                container_port: after(port.container_port)?,
            });
        }
    }
    if wanted.len() > Port::PER_UNIT_MAX {
        return Err(format!(
            "{} published ports, the limit for one unit is {}",
            wanted.len(),
            Port::PER_UNIT_MAX
        ));
    }
    Ok(wanted)
}

/// `0.0.0.0:7001->6379/tcp`, neighbours together as `0.0.0.0:8000-8010->9000-9010/tcp`.
pub(crate) fn shown(published: &[Published]) -> Vec<String> {
    let follows = |a: &Published, b: &Published| {
        a.host.address == b.host.address
            && a.host.transport == b.host.transport
            && a.host.port.checked_add(1) == Some(b.host.port)
            && a.container_port.checked_add(1) == Some(b.container_port)
    };
    let range = |first: u16, last: u16| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    };
    published
        .chunk_by(follows)
        .filter_map(|run| {
            let (first, last) = (run.first()?, run.last()?);
            let HostPort {
                address,
                transport,
                port,
            } = first.host;
            let host = range(port, last.host.port);
            let container = range(first.container_port, last.container_port);
            Some(format!("{address}:{host}->{container}/{transport}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(host_port: Option<u16>, container_port: u16, count: u16) -> Port {
        Port {
            host_ip: None,
            host_port,
            container_port,
            count,
            protocol: Protocol::Tcp,
        }
    }

    #[test]
    fn a_range_is_shown_as_it_was_written() {
        let published: Vec<_> = wanted(&[port(Some(8000), 9000, 3), port(Some(7001), 6379, 1)])
            .unwrap()
            .into_iter()
            .map(|wanted| Published {
                host: HostPort {
                    address: wanted.address,
                    transport: wanted.transport,
                    port: wanted.host_port.unwrap(),
                },
                container: Ipv4Addr::new(10, 88, 0, 2),
                container_port: wanted.container_port,
            })
            .collect();
        assert_eq!(
            shown(&published),
            ["0.0.0.0:8000-8002->9000-9002/tcp", "0.0.0.0:7001->6379/tcp"]
        );
    }

    #[test]
    fn a_range_above_the_last_port_and_too_many_ports_are_refused() {
        assert!(
            wanted(&[port(Some(65535), 80, 2)])
                .unwrap_err()
                .contains("above 65535")
        );
        assert!(
            wanted(&[port(Some(1), 1, 5000)])
                .unwrap_err()
                .contains("the limit for one unit")
        );
        let six = Port {
            host_ip: Some("::1".parse().unwrap()),
            ..port(Some(1), 1, 1)
        };
        assert!(wanted(&[six]).unwrap_err().contains("[::1]"));
    }

    #[test]
    fn every_address_collides_with_each() {
        let host = |address, transport| HostPort {
            address,
            transport,
            port: 80,
        };
        let any = host(Ipv4Addr::UNSPECIFIED, Transport::Tcp);
        let one = host(Ipv4Addr::new(10, 0, 0, 1), Transport::Tcp);
        let two = host(Ipv4Addr::new(10, 0, 0, 2), Transport::Tcp);
        assert!(any.collides_with(&one) && one.collides_with(&any) && one.collides_with(&one));
        assert!(!one.collides_with(&two));
        assert!(!any.collides_with(&host(Ipv4Addr::UNSPECIFIED, Transport::Udp)));
    }
}
