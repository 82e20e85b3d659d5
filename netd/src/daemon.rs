//! The event loop: one thread, poll(2) over PID 1's socket, the kernel's notices about links and the DHCP socket.
//!
//! ```text
//! fd 3 ─────────▶ Containers (attach, detach)          replies ─▶ fd 3
//! link notices ─▶ Machine (pure) ─▶ actions ─▶ kernel, DHCP socket, resolv.conf
//! DHCP messages ─▶ Machine
//! ```
//!
//! Each part knows its next time; the loop sleeps until the smallest. When PID 1 goes, so does this program, and
//! leaves everything as it is.

use crate::address_file::{self, AddressWriter};
use crate::containers::{Attached, Containers, MachineFacts, Patience};
use crate::dhcp::port::DhcpPort;
use crate::link;
use crate::machine::{Action, Event, Listening, Machine};
use crate::netlink::route::{self, Link};
use crate::netlink::{NetlinkError, Socket};
use crate::places::{Keep, Places, replace};
use crate::plan::command_line::{self, Wish};
use crate::plan::files;
use crate::plan::subnet::Subnet;
use control::net::{AttachRequest, NetReply, NetRequest};
use std::collections::{BTreeSet, VecDeque};
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
/// So long a unit waits for the link of its former run to go before it gets another address. The kernel takes some
/// ten milliseconds; more only when somebody else holds the namespace.
const FORMER_LINK_WAIT_MS: u64 = 1_000;

/// While an answer of a DHCP server is to be expected, nothing else is begun.
const DHCP_QUIET: Duration = Duration::from_millis(20);

#[derive(Debug)]
struct Waiting {
    request: AttachRequest,
    until_ms: u64,
}

#[derive(Debug)]
pub(crate) struct Daemon {
    init: OwnedFd,
    buffer: Vec<u8>,
    places: Places,
    notices: Socket,
    route: Socket,
    machine: Machine,
    /// With the link and the kind it was opened for.
    dhcp: Option<(Listening, DhcpPort)>,
    containers: Containers,
    waiting: VecDeque<Waiting>,
    writer: AddressWriter,
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
        let found = route::addresses(&mut route)?;
        let wish = wish(&places);
        let links = route::links(&mut route)?;
        let mut taken: Vec<_> = links
            .iter()
            .filter(|link| link.physical)
            .flat_map(|link| found.iter().filter(move |found| found.link == link.index))
            .map(|found| Subnet::of(found.address, found.prefix))
            .collect();
        if let Wish::Static { config, .. } = &wish {
            taken.push(Subnet::of(config.address, config.prefix));
        }
        if let Some(loopback) = links.iter().find(|link| link.loopback) {
            link::bring_up(&mut route, loopback.index)?;
        }
        let seed = RandomState::new().hash_one(now_ms);
        let hostname = hostname();
        let machine = Machine::new(now_ms, wish, hostname, found, seed);
        // Grows by more than one for each start of a container, and so never repeats over a restart.
        let first_link = u32::try_from(now_ms & u64::from(u32::MAX)).unwrap_or(0);
        let mut daemon = Self {
            init,
            buffer: vec![0; REQUEST_BYTES_MAX],
            notices,
            route,
            machine,
            dhcp: None,
            containers: Containers::new(
                &taken,
                address_file::read(&places.addresses()),
                first_link,
            )?,
            waiting: VecDeque::new(),
            writer: AddressWriter::new(places.addresses()),
            places,
        };
        daemon.list_links()?;
        Ok(daemon)
    }

    /// Until PID 1 closes its end.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        loop {
            let now_ms = since_boot_ms();
            self.do_what_is_due(now_ms);
            let wait = self
                .deadline_ms()
                .map(|at| at.saturating_sub(since_boot_ms()));
            let wait = wait.map(Duration::from_millis);
            let ready = if self.containers.has_quiet_work() {
                let quiet = if self.dhcp.is_some() {
                    DHCP_QUIET
                } else {
                    Duration::ZERO
                };
                let ready = self.poll(Some(wait.map_or(quiet, |wait| wait.min(quiet))))?;
                if ready.is_empty() {
                    self.containers.use_quiet_moment();
                }
                ready
            } else {
                self.poll(wait)?
            };
            for token in ready {
                let flow = match token {
                    TOKEN_INIT => self.hear_init()?,
                    TOKEN_NOTICES => self.hear_notices(),
                    _ => self.hear_dhcp(),
                };
                if flow == Flow::End {
                    self.writer.finish(self.containers.addresses());
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
        let waiting = self.waiting.iter().map(|waiting| waiting.until_ms).min();
        [
            self.machine.deadline_ms(),
            waiting,
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
            .any(|waiting| waiting.until_ms <= now_ms)
        {
            self.retry_waiting();
        }
        self.writer.work(now_ms, self.containers.addresses());
    }

    fn hear_init(&mut self) -> io::Result<Flow> {
        let received = sys::socket::receive(self.init.as_fd(), &mut self.buffer);
        let (bytes, mut descriptors) = match received {
            Ok((0, _)) => return Ok(Flow::End),
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Flow::End),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                log::error!("ignoring a request of PID 1: {error}");
                return Ok(Flow::Continue);
            }
            Err(error) => return Err(error),
        };
        let request = match serde_json::from_slice(&self.buffer[..bytes]) {
            Ok(request) => request,
            Err(error) => {
                log::error!("ignoring a request of PID 1 that is not one: {error}");
                return Ok(Flow::Continue);
            }
        };
        match request {
            NetRequest::Held(request) => {
                let namespace = descriptors.pop();
                self.containers
                    .held(&request, namespace.as_ref().map(AsFd::as_fd));
            }
            NetRequest::Synced => self.containers.synced(),
            NetRequest::Attach(request) => {
                self.containers.synced();
                self.waiting
                    .retain(|waiting| waiting.request.unit != request.unit);
                let until_ms = since_boot_ms() + FORMER_LINK_WAIT_MS;
                self.attach(Waiting { request, until_ms });
            }
            NetRequest::Detach { unit, run } => {
                self.waiting
                    .retain(|w| w.request.unit != unit || w.request.run != run);
                self.containers.detach(&unit, run);
            }
        }
        Ok(Flow::Continue)
    }

    fn attach(&mut self, waiting: Waiting) {
        let now_ms = since_boot_ms();
        let patience = if now_ms < waiting.until_ms {
            Patience::Wait
        } else {
            Patience::TakeAnother
        };
        let facts = MachineFacts {
            resolution: self.machine.resolution(),
            mtu: self.machine.mtu(),
        };
        match self.containers.attach(&waiting.request, &facts, patience) {
            Attached::Now { reply, namespace } => self.send(&reply, namespace.as_ref()),
            Attached::Later => self.waiting.push_back(waiting),
            Attached::Failed(message) => {
                let AttachRequest { unit, run, .. } = waiting.request;
                self.send(&NetReply::AttachFailed { unit, run, message }, None);
            }
        }
        self.writer.notice(now_ms, self.containers.addresses());
    }

    fn retry_waiting(&mut self) {
        for waiting in std::mem::take(&mut self.waiting) {
            self.attach(waiting);
        }
    }

    fn hear_notices(&mut self) -> Flow {
        let mut seen = Vec::new();
        let complete = self
            .notices
            .events(|kind, body| match (kind, Link::parse(body)) {
                (route::RTM_NEWLINK, Some(link)) => seen.push((true, link)),
                (route::RTM_DELLINK, Some(link)) => seen.push((false, link)),
                _ => {}
            });
        let mut freed = false;
        for (there, link) in seen {
            if there {
                self.tell_machine(Event::Link(&link));
            } else {
                freed |= self.containers.link_gone(&link.name);
                self.tell_machine(Event::LinkGone(link.index));
            }
        }
        if !complete {
            if let Err(error) = self.list_links() {
                log::error!("{error}");
            }
            freed = true;
        }
        if freed {
            self.retry_waiting();
        }
        Flow::Continue
    }

    fn list_links(&mut self) -> Result<(), NetlinkError> {
        let links = route::links(&mut self.route)?;
        let names: BTreeSet<_> = links.iter().map(|link| link.name.clone()).collect();
        self.containers.links_are(&names);
        let indices: BTreeSet<_> = links.iter().map(|link| link.index).collect();
        for gone in self.machine.links_beside(&indices) {
            self.tell_machine(Event::LinkGone(gone));
        }
        for link in &links {
            self.tell_machine(Event::Link(link));
        }
        self.tell_machine(Event::Tick);
        Ok(())
    }

    fn hear_dhcp(&mut self) -> Flow {
        while let Some(message) = self.dhcp.as_ref().and_then(|(_, port)| port.receive()) {
            self.tell_machine(Event::Message(&message));
        }
        Flow::Continue
    }

    fn tell_machine(&mut self, event: Event<'_>) {
        let mut actions = Vec::new();
        self.machine.handle(since_boot_ms(), event, &mut actions);
        for action in actions {
            self.perform(action);
        }
        self.match_dhcp_port();
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::BringUp { link } => match link::bring_up(&mut self.route, link) {
                Ok(link) => self.tell_machine(Event::Link(&link)),
                Err(error) => log::warn!("{error}"),
            },
            Action::Broadcast(message) => self.transmit(|port| port.broadcast(&message)),
            Action::Unicast { server, message } => {
                self.transmit(|port| port.unicast(server, &message));
            }
            Action::Configure {
                link,
                config,
                reply,
            } => {
                // First: the link's gateway may be an address that the bridge has.
                let network = Subnet::of(config.address, config.prefix);
                self.containers.machine_is_on(network);
                match link::configure(&mut self.route, link, &config) {
                    Ok(()) => {
                        self.write_resolvers();
                        self.send(&reply, None);
                    }
                    Err(error) => {
                        self.tell_machine(Event::ConfigureFailed(&error.to_string()));
                    }
                }
            }
            Action::Deconfigure { link, config } => {
                self.report(|daemon| link::deconfigure(&mut daemon.route, link, &config));
                self.write_resolvers();
            }
            Action::Tell(reply) => self.send(&reply, None),
        }
    }

    fn report(&mut self, act: impl FnOnce(&mut Self) -> Result<(), NetlinkError>) {
        if let Err(error) = act(self) {
            log::warn!("{error}");
        }
    }

    fn write_resolvers(&mut self) {
        let text = files::resolv_conf(&self.machine.resolution());
        let path = self.places.resolvers();
        if let Err(error) = replace(&path, text.as_bytes(), Keep::UntilReboot) {
            log::warn!("can't write {}: {error}", path.display());
        }
        // Where /etc is read-only, nobody on the machine looks names up.
        let _ = fs::write(self.places.etc_resolvers(), text);
    }

    /// Have the socket that the exchange needs now, and none when it needs none.
    fn match_dhcp_port(&mut self) {
        let wanted = self.machine.listening();
        if wanted.as_ref() == self.dhcp.as_ref().map(|(listening, _)| listening) {
            return;
        }
        self.dhcp = None;
        let Some(listening) = wanted else { return };
        let opened = if listening.has_address {
            DhcpPort::udp(&listening.name)
        } else {
            DhcpPort::packet(listening.link)
        };
        match opened {
            Ok(port) => self.dhcp = Some((listening, port)),
            Err(error) => log::error!(
                "can't open a DHCP socket on link {}: {error}",
                listening.name
            ),
        }
    }

    fn transmit(&mut self, send: impl FnOnce(&DhcpPort) -> io::Result<()>) {
        self.match_dhcp_port();
        if let Some((listening, port)) = &self.dhcp
            && let Err(error) = send(port)
        {
            // It will be sent again.
            log::warn!(
                "can't send a DHCP message on link {}: {error}",
                listening.name
            );
        }
    }

    fn send(&self, reply: &NetReply, descriptor: Option<&OwnedFd>) {
        let descriptors: Vec<_> = descriptor.iter().map(AsFd::as_fd).collect();
        let sent = serde_json::to_vec(reply)
            .map_err(io::Error::from)
            .and_then(|bytes| sys::socket::send(self.init.as_fd(), &bytes, &descriptors));
        if let Err(error) = sent {
            log::error!("can't answer PID 1: {error}");
        }
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
