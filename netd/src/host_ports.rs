//! The machine's ports that units publish, each held by a bound socket that never listens: the kernel itself then
//! refuses the port to everyone else, and the conflict shows when it arises and not as a connection that goes astray.
//!
//! The sockets are not `SO_REUSEADDR`: with it, a process that also sets it could take the port away unseen.

use crate::plan::ports::{HostPort, Transport, Wanted};
use crate::port_owner;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket, sockopt,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use unit::UnitName;

/// Packets for a held UDP port that come before the map has its element stay in the socket: not many.
const RECEIVE_BUFFER_BYTES: usize = 2048;

#[derive(Debug)]
struct Holder {
    unit: UnitName,
    run: u64,
    /// None: it could not be bound again after a restart; the port is published all the same.
    _socket: Option<OwnedFd>,
}

#[derive(Debug, Default)]
pub(crate) struct HostPorts {
    holders: BTreeMap<(Transport, u16), Vec<(Ipv4Addr, Holder)>>,
    /// Since somebody has taken note of the numbers last.
    changed: bool,
}

impl HostPorts {
    /// Hold all of them, or none.
    ///
    /// # Errors
    /// One readable line that names both owners of a port in use.
    pub(crate) fn hold(
        &mut self,
        unit: &UnitName,
        run: u64,
        wanted: &[Wanted],
    ) -> Result<Vec<HostPort>, String> {
        let mut held = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            match self.hold_one(unit, run, wanted) {
                Ok(port) => held.push(port),
                Err(message) => {
                    self.release(&held);
                    return Err(message);
                }
            }
        }
        Ok(held)
    }

    fn hold_one(&mut self, unit: &UnitName, run: u64, wanted: &Wanted) -> Result<HostPort, String> {
        let Wanted {
            address,
            transport,
            host_port,
            ..
        } = *wanted;
        let asked = HostPort {
            address,
            transport,
            port: host_port.unwrap_or(0),
        };
        if let Some((other, existing)) = self.owner(&asked) {
            return Err(format!(
                "can't publish {asked} for unit {unit}: unit {other} publishes {existing}; give one of them another host port"
            ));
        }
        let socket = bound(&asked).map_err(|errno| match errno {
            Errno::EADDRINUSE if asked.port == 0 => format!(
                "can't publish a free port of {address} for unit {unit}: no port is free in the kernel's range (net.ipv4.ip_local_port_range)"
            ),
            Errno::EADDRINUSE => {
                let owner = port_owner::find(&asked);
                let advice = owner.advice();
                format!("can't publish {asked} for unit {unit}: {owner} has that port; {advice}")
            }
            errno => format!("can't publish {asked} for unit {unit}: {}", errno.desc()),
        })?;
        let port = port_of(&socket)
            .map_err(|errno| format!("can't publish {asked} for unit {unit}: {}", errno.desc()))?;
        let held = HostPort { port, ..asked };
        self.insert(held, unit, run, Some(socket));
        Ok(held)
    }

    /// What a run published before this program was started again. Whoever has the port now, the run goes on.
    pub(crate) fn hold_again(&mut self, unit: &UnitName, run: u64, ports: &[HostPort]) {
        for port in ports {
            let socket = bound(port);
            if let Err(errno) = &socket {
                let owner = port_owner::find(port);
                log::warn!(
                    "can't hold {port} of unit {unit} again: {} ({owner})",
                    errno.desc()
                );
            }
            self.insert(*port, unit, run, socket.ok());
        }
    }

    /// These are of another run of their unit from now on.
    pub(crate) fn hand_over(&mut self, unit: &UnitName, run: u64, ports: &[HostPort]) {
        for port in ports {
            let holders = self.holders.get_mut(&(port.transport, port.port));
            for (address, holder) in holders.into_iter().flatten() {
                if *address == port.address && holder.unit == *unit {
                    holder.run = run;
                }
            }
        }
    }

    /// The numbers of all of them, where they may not be those of the last time.
    pub(crate) fn take_changed(&mut self) -> Option<BTreeSet<u16>> {
        std::mem::take(&mut self.changed).then(|| self.numbers())
    }

    pub(crate) fn have_changed(&self) -> bool {
        self.changed
    }

    pub(crate) fn numbers(&self) -> BTreeSet<u16> {
        self.holders.keys().map(|(_, port)| *port).collect()
    }

    fn insert(&mut self, port: HostPort, unit: &UnitName, run: u64, socket: Option<OwnedFd>) {
        self.changed = true;
        let holder = Holder {
            unit: unit.clone(),
            run,
            _socket: socket,
        };
        let holders = self.holders.entry((port.transport, port.port)).or_default();
        holders.push((port.address, holder));
    }

    pub(crate) fn release(&mut self, ports: &[HostPort]) {
        self.changed |= !ports.is_empty();
        for port in ports {
            let key = (port.transport, port.port);
            if let Some(holders) = self.holders.get_mut(&key) {
                holders.retain(|(address, _)| *address != port.address);
                if holders.is_empty() {
                    self.holders.remove(&key);
                }
            }
        }
    }

    /// The unit whose port collides with this one, and that port.
    fn owner(&self, port: &HostPort) -> Option<(String, HostPort)> {
        let holders = self.holders.get(&(port.transport, port.port))?;
        holders.iter().find_map(|(address, holder)| {
            let existing = HostPort {
                address: *address,
                ..*port
            };
            let name = format!("{} (run {})", holder.unit, holder.run);
            existing.collides_with(port).then_some((name, existing))
        })
    }
}

/// A socket that has the port, or another one where it is 0. `IP_FREEBIND`: the machine may get the address later.
fn bound(port: &HostPort) -> Result<OwnedFd, Errno> {
    let kind = match port.transport {
        Transport::Tcp => SockType::Stream,
        Transport::Udp => SockType::Datagram,
    };
    let socket = socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::IpFreebind, &true)?;
    setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER_BYTES)?;
    let [a, b, c, d] = port.address.octets();
    bind(socket.as_raw_fd(), &SockaddrIn::new(a, b, c, d, port.port))?;
    Ok(socket)
}

fn port_of(socket: &OwnedFd) -> Result<u16, Errno> {
    getsockname::<SockaddrIn>(socket.as_raw_fd()).map(|address| address.port())
}

/// Most published ports of a machine: a socket each. As many as the kernel lets this program open.
pub(crate) fn raise_descriptor_limit() -> io::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> UnitName {
        UnitName::new(text).unwrap()
    }

    fn wanted(address: [u8; 4], host_port: Option<u16>) -> Wanted {
        let transport = Transport::Tcp;
        Wanted {
            address: address.into(),
            transport,
            host_port,
            container_port: 80,
        }
    }

    #[test]
    fn a_port_of_another_unit_is_refused_and_both_are_named() {
        let mut ports = HostPorts::default();
        let free = wanted([127, 0, 0, 1], None);
        let held = ports.hold(&name("web"), 3, &[free]).unwrap();
        let port = held[0].port;
        assert_ne!(port, 0);
        let message = ports
            .hold(&name("blog"), 4, &[wanted([0, 0, 0, 0], Some(port))])
            .unwrap_err();
        for part in [
            "unit blog",
            "unit web (run 3)",
            &format!("127.0.0.1:{port}/tcp"),
        ] {
            assert!(message.contains(part), "{message}");
        }
        ports.release(&held);
        assert!(
            ports
                .hold(&name("blog"), 4, &[wanted([127, 0, 0, 1], Some(port))])
                .is_ok()
        );
    }

    #[test]
    fn a_port_of_a_process_is_refused_and_the_process_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut ports = HostPorts::default();
        let message = ports
            .hold(&name("web"), 1, &[wanted([0, 0, 0, 0], Some(port))])
            .unwrap_err();
        assert!(
            message.contains(&format!("(pid {})", std::process::id())),
            "{message}"
        );
        assert!(message.contains("unit web"), "{message}");
    }

    #[test]
    fn nothing_is_held_when_one_of_several_is_refused() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut ports = HostPorts::default();
        let both = [
            wanted([127, 0, 0, 1], None),
            wanted([127, 0, 0, 1], Some(port)),
        ];
        assert!(ports.hold(&name("web"), 1, &both).is_err());
        assert!(ports.holders.is_empty());
    }

    #[test]
    fn an_address_that_the_machine_does_not_have_yet_can_be_published() {
        let mut ports = HostPorts::default();
        assert!(
            ports
                .hold(&name("web"), 1, &[wanted([203, 0, 113, 9], None)])
                .is_ok()
        );
    }
}
