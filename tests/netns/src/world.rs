//! The machine, the outside, and the cable between them.

use crate::{DhcpServer, Namespace, Netd, Offer};
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// Address of the outside: router, resolver and DHCP server of the machine.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);
/// Address that the DHCP server gives to the machine.
pub const MACHINE: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 50);

/// Why these tests can't run here, in one line.
#[must_use]
pub fn missing() -> Option<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root, to make network namespaces and links");
    }
    // Installed once for all tests of this process; what can't be installed is a failure, not a reason to skip.
    static TOOLS: std::sync::Once = std::sync::Once::new();
    TOOLS.call_once(|| {
        if let Err(error) = host::packages::ensure(&[host::packages::Need::NetworkTools]) {
            panic!("{error}");
        }
    });
    None
}

#[derive(Debug)]
pub struct World {
    pub machine: Namespace,
    pub outside: Namespace,
    /// Of netd's files.
    pub root: PathBuf,
    pub dhcp: Option<DhcpServer>,
}

impl World {
    /// Machine and outside joined, the outside configured, the machine's link down; `ip=eth0:dhcp`.
    ///
    /// # Panics
    /// When something of it can't be made.
    #[must_use]
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = format!("keelson-netns-{}-{number}", std::process::id());
        let world = Self {
            machine: Namespace::new(),
            outside: Namespace::new(),
            root: std::env::temp_dir().join(folder),
            dhcp: None,
        };
        world.outside.ip("link set lo up");
        let machine = world.machine.path();
        world.outside.ip(&format!(
            "link add wan0 type veth peer name eth0 netns {machine}"
        ));
        world.outside.ip(&format!("addr add {OUTSIDE}/24 dev wan0"));
        world.outside.ip("link set wan0 up");
        for folder in ["proc", "var/network", "run/keelson"] {
            fs::create_dir_all(world.root.join(folder)).expect("folder");
        }
        // The cable's end is a link made by software, so it must be named.
        world.command_line("console=ttyS0 ip=eth0:dhcp");
        world
    }

    /// With a DHCP server outside, and netd ready.
    ///
    /// # Panics
    /// When it doesn't get ready.
    #[must_use]
    pub fn ready() -> (Self, Netd) {
        let mut world = Self::new();
        world.serve_dhcp(Offer::default());
        let mut netd = world.start();
        netd.synced();
        netd.wait_ready();
        (world, netd)
    }

    pub fn command_line(&self, text: &str) {
        fs::write(self.root.join("proc/cmdline"), text).expect("command line");
    }

    pub fn serve_dhcp(&mut self, offer: Offer) {
        self.dhcp = Some(DhcpServer::start(&self.outside, offer));
    }

    #[must_use]
    pub fn start(&self) -> Netd {
        Netd::start(&self.machine, &self.root)
    }

    /// Text of a file of netd's.
    #[must_use]
    pub fn file(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap_or_default()
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}
