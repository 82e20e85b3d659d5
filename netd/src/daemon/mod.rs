//! The event loop: one thread, poll(2) over PID 1's socket, the kernel's notices about links and the DHCP socket.
//!
//! ```text
//! fd 3 ──────────▶ requests ─▶ Containers (attach, detach)                 replies ─▶ fd 3
//! link notices ──▶ notices ─┬▶ Machine (pure) ─▶ actions ─▶ own_link ─▶ kernel, DHCP socket, resolv.conf
//! DHCP messages ────────────┘
//! ```
//!
//! Each part knows its next time; the loop sleeps until the smallest. When PID 1 goes, so does this program, and
//! leaves everything as it is.
//!
//! The machine's own link comes first: while a DHCP server thinks, the bridge, the firewall and the first containers
//! are made. This program may be started before the state is mounted and before the drivers are there: it asks for an
//! address when PID 1 has said that what the machine has kept can be read, and makes the bridge at PID 1's first word of runs.

mod notices;
mod own_link;
mod requests;

use crate::address_file::{self, AddressWriter};
use crate::bridge::Surroundings;
use crate::containers::Containers;
use crate::dhcp::port::DhcpPort;
use crate::lease_file;
use crate::link;
use crate::machine::{Event, Kept, Listening, Machine, Outset};
use crate::namespace::Namespaces;
use crate::netlink::Socket;
use crate::netlink::route::{self, Link};
use crate::places::Places;
use crate::plan::command_line::{self, Wish};
use crate::reserved_ports::ReservedPorts;
use requests::{Unanswered, Waiting};
use std::collections::VecDeque;
use std::error::Error;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use sys::clock::since_boot_ms;
use sys::epoll::Interest;

/// A request names a unit, its ports and its extra hosts.
const REQUEST_BYTES_MAX: usize = 256 << 10;
/// While an answer of a DHCP server is to be expected, nothing else is begun.
const DHCP_QUIET: Duration = Duration::from_millis(20);
/// After a run has got its network, its launcher goes on: what is only for later waits so long, and is done when it takes
/// no processor from a start. A burst of starts that is quicker makes what it needs as it needs it.
const START_QUIET: Duration = Duration::from_millis(100);
/// So long after PID 1's first word of runs containers wait for the name servers of the machine's first lease: most leases are
/// there by then, and a machine without a network is not kept from starting.
const SETTLE_WAIT_MS: u64 = 2_000;
/// Of the network namespace that this program is in.
const RESERVED_PORTS: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";
const EPHEMERAL_PORTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";

#[derive(Debug)]
pub(crate) struct Daemon {
    init: OwnedFd,
    buffer: Vec<u8>,
    places: Places,
    started_ms: u64,
    /// When PID 1 said its first word of runs.
    begun_ms: Option<u64>,
    /// A run has asked for a network.
    has_attached: bool,
    notices: Socket,
    route: Socket,
    machine: Machine,
    /// With the link and the kind it was opened for.
    dhcp: Option<(Listening, DhcpPort)>,
    /// For containers to come; theirs as soon as there are any.
    namespaces: Option<Namespaces>,
    /// None until PID 1 has said its first word of runs.
    containers: Option<Containers>,
    waiting: VecDeque<Waiting>,
    /// When the link of a former run went last.
    gone_ms: u64,
    unanswered: Vec<Unanswered>,
    writer: AddressWriter,
    reserved_ports: ReservedPorts,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Continue,
    End,
}

impl Daemon {
    pub(crate) fn new(init: OwnedFd, places: Places) -> Result<Self, Box<dyn Error>> {
        let now_ms = since_boot_ms();
        // Listen first, list then: nothing is missed in between.
        let notices = Socket::listener(route::GROUP_LINK)?;
        let mut route = Socket::route()?;
        let outset = Outset {
            wish: wish(&places),
            found: route::addresses(&mut route)?,
            seed: RandomState::new().hash_one(now_ms),
        };
        let mut daemon = Self {
            init,
            buffer: vec![0; REQUEST_BYTES_MAX],
            started_ms: now_ms,
            begun_ms: None,
            has_attached: false,
            notices,
            route,
            machine: Machine::new(outset),
            dhcp: None,
            namespaces: Some(Namespaces::new()?),
            containers: None,
            waiting: VecDeque::new(),
            gone_ms: 0,
            unanswered: Vec::new(),
            writer: AddressWriter::new(places.addresses()),
            reserved_ports: ReservedPorts::new(
                RESERVED_PORTS.into(),
                EPHEMERAL_PORTS.into(),
                places.reserved_ports(),
            ),
            places,
        };
        daemon.list_links()?;
        let down = |link: &&Link| link.loopback && !link.up;
        let loopback = daemon.machine.links().find(down).map(|link| link.index);
        if let Some(loopback) = loopback {
            link::bring_up(&mut daemon.route, loopback)?;
        }
        Ok(daemon)
    }

    /// Until PID 1 closes its end.
    pub(crate) fn run(&mut self) -> Result<(), Box<dyn Error>> {
        loop {
            let now_ms = since_boot_ms();
            self.do_what_is_due(now_ms);
            let wait = self
                .deadline_ms()
                .map(|at| at.saturating_sub(since_boot_ms()));
            let wait = wait.map(Duration::from_millis);
            let ready = if self.has_quiet_work() {
                let quiet = self.quiet();
                let ready = self.poll(Some(wait.map_or(quiet, |wait| wait.min(quiet))))?;
                if ready.is_empty() && wait.is_none_or(|wait| wait >= quiet) {
                    self.use_quiet_moment();
                }
                ready
            } else {
                self.poll(wait)?
            };
            // The machine's address first: what PID 1 asks for waits for it.
            for token in ready.into_iter().rev() {
                let flow = match token {
                    TOKEN_INIT => self.hear_init()?,
                    TOKEN_NOTICES => self.hear_notices(),
                    _ => self.hear_dhcp(),
                };
                if flow == Flow::End {
                    if let Some(containers) = &mut self.containers {
                        self.writer.finish(containers.addresses());
                    }
                    return Ok(());
                }
            }
        }
    }

    fn poll(&self, timeout: Option<Duration>) -> io::Result<Vec<u64>> {
        let mut watched = vec![
            (self.init.as_fd(), Interest::Read),
            (self.notices.descriptor(), Interest::Read),
        ];
        if let Some((_, port)) = &self.dhcp {
            watched.push((port.descriptor(), Interest::Read));
        }
        let ready = sys::poll::wait(&watched, timeout)?;
        Ok(ready.into_iter().map(|ready| ready.token).collect())
    }

    fn deadline_ms(&self) -> Option<u64> {
        let until_ms = |waiting: &Waiting| waiting.until_ms(self.gone_ms);
        let waiting = self.waiting.iter().map(until_ms).min();
        let unanswered = self.answer_at_ms().filter(|_| !self.unanswered.is_empty());
        [
            self.machine.deadline_ms(),
            waiting,
            unanswered,
            self.containers.as_ref().and_then(Containers::kept_until_ms),
            self.writer.deadline_ms(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn do_what_is_due(&mut self, now_ms: u64) {
        if self.machine.deadline_ms().is_some_and(|at| at <= now_ms) {
            self.tell_machine(Event::Tick);
        }
        if self
            .waiting
            .iter()
            .any(|waiting| waiting.until_ms(self.gone_ms) <= now_ms)
        {
            self.retry_waiting();
        }
        self.answer_if_settled(now_ms);
        if let Some(containers) = &mut self.containers {
            containers.give_up_kept(now_ms);
            self.writer.work(now_ms, containers.addresses());
        }
    }

    /// There is something that can be done while nobody waits.
    fn has_quiet_work(&self) -> bool {
        match (&self.containers, &self.namespaces) {
            (Some(containers), _) => containers.has_quiet_work(),
            (None, Some(namespaces)) => !namespaces.is_stocked(),
            (None, None) => false,
        }
    }

    /// So long nothing must have happened before what is for later is begun.
    fn quiet(&self) -> Duration {
        if self.has_attached {
            START_QUIET
        } else if self.dhcp.is_some() {
            DHCP_QUIET
        } else {
            Duration::ZERO
        }
    }

    fn use_quiet_moment(&mut self) {
        let containers = self.containers.as_mut();
        // They are held meanwhile: reserved they must be for the time in which nobody holds them.
        if let Some(held) = containers.and_then(|all| all.host_ports().take_changed()) {
            self.reserved_ports.settle(&held);
        }
        let done = match (&mut self.containers, &mut self.namespaces) {
            (Some(containers), _) => containers.use_quiet_moment(),
            (None, Some(namespaces)) => namespaces.stock(),
            (None, None) => Ok(()),
        };
        if let Err(error) = done {
            log::warn!("{error}");
        }
    }

    /// What was kept can be read.
    fn read_what_was_kept(&mut self) {
        let kept = Kept {
            hostname: hostname(),
            remembered: lease_file::read(&self.places.lease()),
        };
        self.tell_machine(Event::Kept(&kept));
    }

    fn make_containers(&mut self) -> Result<Containers, Box<dyn Error>> {
        let namespaces = match self.namespaces.take() {
            Some(namespaces) => namespaces,
            None => Namespaces::new()?,
        };
        let surroundings = Surroundings {
            links: self.machine.links().collect(),
            addresses: self.machine.found(),
            networks: self.machine.networks(),
        };
        let file = address_file::read(&self.places.addresses());
        // Grows by more than one for each start of a container, and so never repeats over a restart.
        let first_link = u32::try_from(self.started_ms & u64::from(u32::MAX)).unwrap_or(0);
        Containers::new(&surroundings, namespaces, file, first_link)
    }
}

const TOKEN_INIT: u64 = 0;
const TOKEN_NOTICES: u64 = 1;

fn wish(places: &Places) -> Wish {
    let path = places.command_line();
    let text = fs::read_to_string(&path).unwrap_or_else(|error| {
        log::warn!("can't read {}: {error}; using DHCP", path.display());
        String::new()
    });
    command_line::wish(&text).unwrap_or_else(|error| {
        log::error!("{error}; using DHCP");
        Wish::Dhcp { device: None }
    })
}

/// Not the names that a machine has before it has one.
fn hostname() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()?
        .trim()
        .to_owned();
    (!name.is_empty() && name != "(none)" && name != "localhost").then_some(name)
}
