//! The virtio-serial ports of the control channel, and when the relay is needed for them.
//!
//! ```text
//! nobody at the other side   PID 1 has the ports open, and waits for an edge: a host that comes wakes it
//! somebody is there          the relay gets them, and PID 1 does not look at them
//! the relay has ended        because nobody was there any more: PID 1 waits again
//! ```
//!
//! A port can be opened once only (drivers/char/virtio_console.c: `port_fops_open`), so what the relay gets is the same open
//! file. What a host says before the relay runs waits in the port. A port that stays hung up is told once (`EPOLLET`), and
//! at every change; adding it to the set tells how it is just then, so that nobody is missed who came in between.

use crate::carried;
use crate::drivers::Rest;
use crate::limits;
use crate::machine::Machine;
use crate::source::{HelperKind, Source};
use control::serial::PORT_NAME;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use sys::clock::since_boot_ms;
use sys::epoll::{Interest, Ready};

const CLASS: &str = "/sys/class/virtio-ports";
const DEVICES: &str = "/dev";

/// A port that is open.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ControlPort {
    /// `keelson.control.0`
    pub(crate) name: String,
    path: PathBuf,
    #[serde(with = "carried")]
    pub(crate) device: File,
    /// While it is waited for.
    token: Option<u64>,
}

impl ControlPort {
    fn open(name: String, path: PathBuf) -> io::Result<Self> {
        let device = File::options().read(true).write(true).open(&path)?;
        sys::descriptor::set_nonblocking(device.as_fd(), true)?;
        Ok(Self {
            name,
            path,
            device,
            token: None,
        })
    }

    fn is_called(&self) -> bool {
        !sys::poll::hung_up(&self.device)
    }
}

impl Machine {
    /// There may be ports now.
    pub(crate) fn find_control_ports(&mut self) {
        let kind = HelperKind::Relay;
        let relay = self.helpers.iter_mut().find(|helper| helper.kind == kind);
        let Some(relay) = relay.filter(|it| it.pid.is_none() && it.start_at.is_none()) else {
            // They are looked for when it ends, or is due.
            return;
        };
        if names(Path::new(CLASS)).is_empty() {
            return;
        }
        if self.rest == Rest::Done {
            return self.start_helper(kind);
        }
        // Nobody talks to a machine in its first second, and its units have a use for the processors.
        relay.start_at = Some(since_boot_ms().saturating_add(limits::RELAY_DELAY_MS));
    }

    /// A port has gone.
    pub(crate) fn forget_control_ports(&mut self) {
        let gone = |port: &mut ControlPort| !port.path.exists();
        for port in self.hardware.control_ports.extract_if(.., gone) {
            if let Some(token) = port.token {
                self.registry.unwatch(&port.device, token);
            }
        }
    }

    pub(crate) fn control_port_ready(&mut self, ready: Ready) {
        if !ready.hung_up {
            self.start_helper(HelperKind::Relay);
        }
    }

    /// Whether somebody is at one of the ports. When nobody is, they are waited for.
    pub(crate) fn is_called(&mut self) -> bool {
        self.open_control_ports();
        let called = self
            .hardware
            .control_ports
            .iter()
            .any(ControlPort::is_called);
        for port in &mut self.hardware.control_ports {
            match (called, port.token) {
                (true, Some(token)) => {
                    self.registry.unwatch(&port.device, token);
                    port.token = None;
                }
                (false, None) => {
                    let source = Source::ControlPort;
                    match self.registry.watch(&port.device, Interest::Edges, source) {
                        Ok(token) => port.token = Some(token),
                        Err(error) => log::error!("{}: {error}", port.name),
                    }
                }
                (true, None) | (false, Some(_)) => {}
            }
        }
        called
    }

    fn open_control_ports(&mut self) {
        let ports = &mut self.hardware.control_ports;
        for (name, device) in names(Path::new(CLASS)) {
            let path = Path::new(DEVICES).join(device);
            if ports.iter().any(|port| port.path == path) {
                continue;
            }
            match ControlPort::open(name, path.clone()) {
                Ok(port) => ports.push(port),
                // A relay that an older PID 1 has started opened them itself.
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
                Err(error) => log::error!("{}: {error}; no control by it", path.display()),
            }
        }
        ports.sort_by(|one, other| one.name.cmp(&other.name));
    }
}

/// Names of the ports that are ours, and of their devices, as sysfs has them under `class`.
fn names(class: &Path) -> Vec<(String, String)> {
    let Ok(ports) = fs::read_dir(class) else {
        return Vec::new();
    };
    let named = ports.flatten().filter_map(|port| {
        // A port without a name has an empty or no such file.
        let name = fs::read_to_string(port.path().join("name")).ok()?;
        let device = port.file_name().into_string().ok()?;
        let name = name.trim();
        name.starts_with(PORT_NAME)
            .then(|| (name.to_owned(), device))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use sys::epoll::Epoll;

    #[test]
    fn only_ports_with_our_name_are_ours() {
        let class = std::env::temp_dir().join(format!("control-ports-{}", std::process::id()));
        for (device, name) in [
            ("vport0p3", "keelson.control.1\n"),
            ("vport0p1", "keelson.control.2\n"),
            ("vport0p2", "org.qemu.guest_agent.0\n"),
            ("vport0p4", ""),
        ] {
            fs::create_dir_all(class.join(device)).unwrap();
            fs::write(class.join(device).join("name"), name).unwrap();
        }
        let mut found = names(&class);
        found.sort();
        let port = |name: &str, device: &str| (name.to_owned(), device.to_owned());
        let ours = [
            port("keelson.control.1", "vport0p3"),
            port("keelson.control.2", "vport0p1"),
        ];
        assert_eq!(found, ours);
        fs::remove_dir_all(&class).unwrap();
        assert!(names(&class).is_empty());
    }

    /// Somebody who came before the port was waited for is seen as well; one who stays away is told of once.
    #[test]
    fn a_port_is_called_when_its_other_side_is_there() {
        let open = |device: UnixStream| ControlPort {
            name: "keelson.control.0".into(),
            path: PathBuf::new(),
            device: File::from(OwnedFd::from(device)),
            token: None,
        };
        let (ours, host) = UnixStream::pair().unwrap();
        let port = open(ours);
        assert!(port.is_called());
        let set = Epoll::new().unwrap();
        set.add(&port.device, Interest::Edges, 7).unwrap();
        assert!(set.wait(Some(0)).unwrap().iter().any(|it| !it.hung_up));
        drop(host);
        assert!(!port.is_called());
        assert!(set.wait(Some(0)).unwrap().iter().all(|it| it.hung_up));
        assert!(set.wait(Some(0)).unwrap().is_empty());
    }
}
