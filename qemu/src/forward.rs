//! Ports of this host that lead to ports of the guest.
//!
//! A port is forwarded to the same number on loopback, or to any free one when that is taken. QEMU itself binds it, by its
//! monitor, so that "taken" is known for sure and not guessed beforehand.

use crate::arguments::NETWORK_ID;
use crate::folder::names;
use crate::qmp::Qmp;
use crate::{QmpError, RunFolder};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;
use unit::Protocol;

/// Each costs QEMU a descriptor, of which it has 1024 by default.
pub(crate) const FORWARDS_MAX: usize = 800;
/// A free port can be taken by another program between our look and QEMU's bind.
const FREE_PORT_TRIES: usize = 8;

/// What should be reachable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub protocol: Protocol,
    pub guest: u16,
    /// On this host; none: any free port.
    pub host: Option<u16>,
    /// Whose port it is, when a unit publishes it.
    pub unit: Option<String>,
}

impl Wanted {
    #[must_use]
    pub fn tcp(guest: u16) -> Self {
        Self {
            protocol: Protocol::Tcp,
            guest,
            host: None,
            unit: None,
        }
    }

    #[must_use]
    pub fn udp(guest: u16) -> Self {
        Self {
            protocol: Protocol::Udp,
            ..Self::tcp(guest)
        }
    }

    #[must_use]
    pub fn on(mut self, host: u16) -> Self {
        self.host = Some(host);
        self
    }
}

/// What is reachable. `ports.json` is a list of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    pub protocol: Protocol,
    pub guest_port: u16,
    /// Always a loopback address.
    pub host_address: Ipv4Addr,
    pub host_port: u16,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unit: Option<String>,
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = protocol_name(self.protocol);
        write!(
            f,
            "{}:{}/{protocol} -> {}",
            self.host_address, self.host_port, self.guest_port
        )?;
        self.unit.iter().try_for_each(|unit| write!(f, " ({unit})"))
    }
}

#[derive(Debug)]
pub enum ForwardError {
    Monitor(QmpError),
    /// QEMU refuses every port.
    Refused {
        guest: u16,
        reason: String,
    },
    TooMany {
        limit: usize,
    },
    Io {
        path: std::path::PathBuf,
        source: io::Error,
    },
}

impl fmt::Display for ForwardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Monitor(error) => error.fmt(f),
            Self::Refused { guest, reason } => write!(
                f,
                "port {guest} of the machine can't be forwarded: {reason}"
            ),
            Self::TooMany { limit } => {
                write!(f, "more than {limit} ports to forward: publish fewer")
            }
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for ForwardError {}

impl From<QmpError> for ForwardError {
    fn from(error: QmpError) -> Self {
        Self::Monitor(error)
    }
}

/// All forwarded ports of a running machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwards(Vec<Forward>);

impl Forwards {
    /// Those of the machine in a run folder.
    #[must_use]
    pub fn read(folder: &RunFolder) -> Self {
        let bytes = std::fs::read(folder.ports_file()).unwrap_or_default();
        Self(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    #[must_use]
    pub fn all(&self) -> &[Forward] {
        &self.0
    }

    /// The port of this host that leads to a port of the guest.
    #[must_use]
    pub fn to_guest(&self, protocol: Protocol, guest: u16) -> Option<&Forward> {
        self.0
            .iter()
            .find(|forward| forward.protocol == protocol && forward.guest_port == guest)
    }

    /// Forward what is not forwarded yet; answers what is new.
    pub(crate) fn add(
        &mut self,
        folder: &RunFolder,
        wanted: &[Wanted],
    ) -> Result<Vec<Forward>, ForwardError> {
        let missing: Vec<&Wanted> = wanted
            .iter()
            .filter(|wanted| self.to_guest(wanted.protocol, wanted.guest).is_none())
            .collect();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let mut qmp = folder.qmp()?;
        let mut added = Vec::new();
        for wanted in missing {
            if self.to_guest(wanted.protocol, wanted.guest).is_some() {
                continue;
            }
            if self.0.len() >= FORWARDS_MAX {
                return Err(ForwardError::TooMany {
                    limit: FORWARDS_MAX,
                });
            }
            let forward = forward(wanted, |host| bind(&mut qmp, wanted, host))?;
            self.0.push(forward.clone());
            added.push(forward);
        }
        self.write(
            &folder.ports_file(),
            &folder.file(&format!("{}.new", names::PORTS)),
        )?;
        Ok(added)
    }

    /// Whole or not at all: other programs read it.
    fn write(&self, path: &Path, temporary: &Path) -> Result<(), ForwardError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| ForwardError::Io { path, source }
        };
        let text = serde_json::to_string_pretty(&self.0)
            .map_err(io::Error::from)
            .map_err(at(path))?;
        std::fs::write(temporary, text + "\n").map_err(at(temporary))?;
        std::fs::rename(temporary, path).map_err(at(path))
    }
}

/// Bind the wanted port, else any free one. `bind` answers why not.
fn forward(
    wanted: &Wanted,
    mut bind: impl FnMut(u16) -> Result<Option<String>, QmpError>,
) -> Result<Forward, ForwardError> {
    let made = |host_port| Forward {
        protocol: wanted.protocol,
        guest_port: wanted.guest,
        host_address: Ipv4Addr::LOCALHOST,
        host_port,
        unit: wanted.unit.clone(),
    };
    let mut reason = "no free port on this host".to_owned();
    if let Some(host) = wanted.host {
        match bind(host)? {
            None => return Ok(made(host)),
            Some(why) => reason = why,
        }
    }
    for _ in 0..FREE_PORT_TRIES {
        let Ok(host) = free_port(wanted.protocol) else {
            break;
        };
        match bind(host)? {
            None => return Ok(made(host)),
            Some(why) => reason = why,
        }
    }
    Err(ForwardError::Refused {
        guest: wanted.guest,
        reason,
    })
}

fn bind(qmp: &mut Qmp, wanted: &Wanted, host: u16) -> Result<Option<String>, QmpError> {
    let protocol = protocol_name(wanted.protocol);
    let rule = format!(
        "{protocol}:{}:{host}-:{}",
        Ipv4Addr::LOCALHOST,
        wanted.guest
    );
    let said = qmp.human(&format!("hostfwd_add {NETWORK_ID} {rule}"))?;
    Ok((!said.is_empty()).then_some(said))
}

fn free_port(protocol: Protocol) -> io::Result<u16> {
    let any = (Ipv4Addr::LOCALHOST, 0);
    let address = match protocol {
        Protocol::Tcp => TcpListener::bind(any)?.local_addr()?,
        Protocol::Udp => UdpSocket::bind(any)?.local_addr()?,
    };
    Ok(address.port())
}

pub(crate) fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_port_is_taken_when_it_is_free() {
        let forward = forward(&Wanted::tcp(7001).on(7001), |_| Ok(None)).unwrap();
        assert_eq!((forward.host_port, forward.guest_port), (7001, 7001));
        assert_eq!(forward.to_string(), "127.0.0.1:7001/tcp -> 7001");
    }

    #[test]
    fn another_one_is_taken_when_it_is_not() {
        let taken =
            |host| Ok((host == 7001).then(|| "could not set up host forwarding rule".to_owned()));
        let forward = forward(&Wanted::tcp(7001).on(7001), taken).unwrap();
        assert_ne!(forward.host_port, 7001);
        assert_eq!(forward.guest_port, 7001);
    }

    #[test]
    fn a_machine_without_network_is_an_error_with_its_reason() {
        let error =
            forward(&Wanted::tcp(80), |_| Ok(Some("no such netdev".to_owned()))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "port 80 of the machine can't be forwarded: no such netdev"
        );
    }

    #[test]
    fn ports_json_is_what_it_was_settled_to_be() {
        let forward = Forward {
            protocol: Protocol::Tcp,
            guest_port: 7001,
            host_address: Ipv4Addr::LOCALHOST,
            host_port: 40123,
            unit: Some("redis@1".to_owned()),
        };
        let json = serde_json::to_string(&forward).unwrap();
        let expected = r#"{"protocol":"tcp","guest_port":7001,"host_address":"127.0.0.1","host_port":40123,"unit":"redis@1"}"#;
        assert_eq!(json, expected);
    }
}
