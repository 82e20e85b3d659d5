//! PID 1's requests: what is done, and when it is said that it is done.
//!
//! ```text
//! Attach ─▶ attached ──── the machine's network is settled ───────▶ Attached
//!    │          └── not yet: unanswered, until it is or the time is over ─┘
//!    └── the unit's address is on the link of its former run: waiting, until that is gone
//! Flip: at once                              Detach: wherever the run is
//! ```
//!
//! A container learns its name servers from the answer, once and for all, and those of the machine's first lease are not
//! known when the first containers are started. Everything else is done before, and done again where the lease brings
//! something that the container's network doesn't fit.

use super::{Daemon, Flow, SETTLE_WAIT_MS};
use crate::containers::{Attached, Containers, Patience, Refusal};
use crate::machine::Event;
use crate::plan::subnet::Subnet;
use control::net::{AttachRequest, NetReply, NetRequest};
use std::error::Error;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use sys::clock::since_boot_ms;
use unit::{NetworkMode, UnitName};

/// So long a unit waits for the link of its former run to go before it gets another address. The kernel takes some
/// ten milliseconds; more only when somebody else holds the namespace, or when many go at once: they go one after the
/// other, and whoever sees others go is on his way too.
const FORMER_LINK_WAIT_MS: u64 = 1_000;
/// But not longer than this, in all.
const FORMER_LINK_WAIT_MS_MAX: u64 = 30_000;

/// To be attached once its address is free.
#[derive(Debug)]
pub(super) struct Waiting {
    request: AttachRequest,
    since_ms: u64,
}

impl Waiting {
    fn new(request: AttachRequest) -> Self {
        let since_ms = since_boot_ms();
        Self { request, since_ms }
    }

    /// `gone_ms`: when a link of a former run went last.
    pub(super) fn until_ms(&self, gone_ms: u64) -> u64 {
        let until_ms = self.since_ms.max(gone_ms) + FORMER_LINK_WAIT_MS;
        until_ms.min(self.since_ms + FORMER_LINK_WAIT_MS_MAX)
    }
}

/// Attached, but PID 1 has not been told.
#[derive(Debug)]
pub(super) struct Unanswered {
    request: AttachRequest,
    namespace: Option<OwnedFd>,
    /// Size of packets that it was attached with.
    mtu: u32,
}

impl Daemon {
    pub(super) fn hear_init(&mut self) -> Result<Flow, Box<dyn Error>> {
        let received = sys::socket::receive(self.init.as_fd(), &mut self.buffer);
        let (bytes, mut descriptors) = match received {
            Ok((0, _)) => return Ok(Flow::End),
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Flow::End),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                log::error!("ignoring a request of PID 1: {error}");
                return Ok(Flow::Continue);
            }
            Err(error) => return Err(error.into()),
        };
        let request = match serde_json::from_slice(&self.buffer[..bytes]) {
            Ok(request) => request,
            Err(error) => {
                log::error!("ignoring a request of PID 1 that is not one: {error}");
                return Ok(Flow::Continue);
            }
        };
        match request {
            NetRequest::Kept => self.read_what_was_kept(),
            NetRequest::Reserve { ports } => self.reserve(&ports),
            NetRequest::Held(request) => {
                let namespace = descriptors.pop();
                let namespace = namespace.as_ref().map(AsFd::as_fd);
                self.containers()?.held(&request, namespace);
            }
            NetRequest::Synced => self.containers()?.synced(),
            NetRequest::Attach(request) => {
                self.has_attached = true;
                self.containers()?.synced();
                self.forget(|pending| takes_place_of(&request, pending));
                self.attach(Waiting::new(request));
            }
            NetRequest::Flip { unit, run } => self.flip(unit, run)?,
            NetRequest::Detach { unit, run, keep } => {
                self.forget(|pending| pending.unit == unit && pending.run == run);
                let containers = self.containers()?;
                match descriptors.pop().filter(|_| keep) {
                    Some(namespace) => containers.detach_and_keep(&unit, run, namespace),
                    None => containers.detach(&unit, run),
                }
            }
        }
        Ok(Flow::Continue)
    }

    /// At once, and not in a quiet moment: what is asked for next may be an attach, and a connection of the machine's own
    /// could come before.
    fn reserve(&mut self, ports: &[(u16, u16)]) {
        self.reserved_ports.declare(ports);
        let containers = self.containers.as_mut();
        let held = containers.map(|all| all.host_ports().numbers());
        self.reserved_ports.settle(&held.unwrap_or_default());
    }

    fn flip(&mut self, unit: UnitName, run: u64) -> Result<(), Box<dyn Error>> {
        let containers = self.containers()?;
        containers.synced();
        let reply = match containers.flip(&unit, run) {
            Ok(ports) => NetReply::Flipped { unit, run, ports },
            Err(message) => NetReply::FlipFailed { unit, run, message },
        };
        if let Some(containers) = &mut self.containers {
            self.writer.notice(since_boot_ms(), containers.addresses());
        }
        self.send(&reply, None);
        Ok(())
    }

    /// Made at PID 1's first word of runs.
    fn containers(&mut self) -> Result<&mut Containers, Box<dyn Error>> {
        let containers = match self.containers.take() {
            Some(containers) => containers,
            None => {
                self.begun_ms = Some(since_boot_ms());
                self.tell_machine(Event::Begin);
                self.make_containers()?
            }
        };
        Ok(self.containers.insert(containers))
    }

    /// No answer is owed to these any more.
    fn forget(&mut self, is_over: impl Fn(&AttachRequest) -> bool) {
        self.waiting.retain(|waiting| !is_over(&waiting.request));
        self.unanswered.retain(|one| !is_over(&one.request));
    }

    fn attach(&mut self, waiting: Waiting) {
        let now_ms = since_boot_ms();
        let patience = if now_ms < waiting.until_ms(self.gone_ms) {
            Patience::Wait
        } else {
            Patience::TakeAnother
        };
        let mtu = self.machine.mtu();
        let Some(containers) = &mut self.containers else {
            return;
        };
        let attached = containers.attach(&waiting.request, mtu, patience);
        self.writer.notice(now_ms, containers.addresses());
        let request = waiting.request;
        match attached {
            Attached::Now(namespace) if self.is_settled(now_ms) || !needs_resolvers(&request) => {
                self.answer(&request, namespace.as_ref());
            }
            Attached::Now(namespace) => self.unanswered.push(Unanswered {
                request,
                namespace,
                mtu,
            }),
            Attached::Later => self.waiting.push_back(Waiting { request, ..waiting }),
            Attached::Failed(Refusal { message, lasting }) => {
                let AttachRequest { unit, run, .. } = request;
                let reply = NetReply::AttachFailed {
                    unit,
                    run,
                    message,
                    lasting,
                };
                self.send(&reply, None);
            }
        }
    }

    /// Those whose address is free now, or who have waited long enough.
    pub(super) fn retry_waiting(&mut self) {
        let now_ms = since_boot_ms();
        for waiting in std::mem::take(&mut self.waiting) {
            let containers = self.containers.as_mut();
            let leaving =
                containers.is_some_and(|all| all.addresses().is_leaving(&waiting.request.unit));
            if leaving && now_ms < waiting.until_ms(self.gone_ms) {
                self.waiting.push_back(waiting);
            } else {
                self.attach(waiting);
            }
        }
    }

    /// When containers are answered at the latest.
    pub(super) fn answer_at_ms(&self) -> Option<u64> {
        Some(self.begun_ms?.saturating_add(SETTLE_WAIT_MS))
    }

    /// The name servers are known, or are not worth a longer wait.
    fn is_settled(&self, now_ms: u64) -> bool {
        self.machine.is_settled() || self.answer_at_ms().is_some_and(|at| at <= now_ms)
    }

    pub(super) fn answer_if_settled(&mut self, now_ms: u64) {
        if self.unanswered.is_empty() || !self.is_settled(now_ms) {
            return;
        }
        let unanswered = std::mem::take(&mut self.unanswered);
        if !self.machine.resolution().is_possible() {
            let units: Vec<_> = unanswered
                .iter()
                .map(|one| one.request.unit.as_str())
                .collect();
            log::warn!(
                "the machine's network has named no name server: {} can't look names up before they are restarted with one",
                units.join(", ")
            );
        }
        for one in unanswered {
            if one.mtu == self.machine.mtu() {
                self.answer(&one.request, one.namespace.as_ref());
            } else {
                self.undo(&one);
                drop(one.namespace);
                self.attach(Waiting::new(one.request));
            }
        }
    }

    fn answer(&self, request: &AttachRequest, namespace: Option<&OwnedFd>) {
        if let Some(containers) = &self.containers {
            let reply = containers.reply(request, &self.machine.resolution());
            self.send(&reply, namespace);
        }
    }

    /// The machine will be on this network. Containers that nobody has begun to run can still leave it.
    pub(super) fn make_way(&mut self, network: Subnet) {
        let containers = self.containers.as_ref();
        if !containers.is_some_and(|containers| containers.overlap(network)) {
            return;
        }
        let unanswered = std::mem::take(&mut self.unanswered);
        for one in &unanswered {
            self.undo(one);
        }
        if let Some(containers) = &mut self.containers {
            containers.machine_is_on(network);
        }
        for one in unanswered {
            drop(one.namespace);
            self.attach(Waiting::new(one.request));
        }
    }

    fn undo(&mut self, one: &Unanswered) {
        if let Some(containers) = &mut self.containers {
            containers.detach(&one.request.unit, one.request.run);
        }
    }

    pub(super) fn send(&self, reply: &NetReply, descriptor: Option<&OwnedFd>) {
        let descriptors: Vec<_> = descriptor.iter().map(AsFd::as_fd).collect();
        let sent = serde_json::to_vec(reply)
            .map_err(io::Error::from)
            .and_then(|bytes| sys::socket::send(self.init.as_fd(), &bytes, &descriptors));
        if let Err(error) = sent {
            log::error!("can't answer PID 1: {error}");
        }
    }
}

/// A unit has one run, and perhaps others beside it.
fn takes_place_of(new: &AttachRequest, pending: &AttachRequest) -> bool {
    let same_place = pending.run == new.run || !(pending.beside || new.beside);
    pending.unit == new.unit && same_place
}

/// A container that is alone has nobody to ask.
fn needs_resolvers(request: &AttachRequest) -> bool {
    match request.mode {
        NetworkMode::Bridge | NetworkMode::Host => true,
        NetworkMode::None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_sees_other_links_go_waits_on_up_to_a_limit() {
        let request = AttachRequest {
            unit: UnitName::new("web").unwrap(),
            run: 7,
            beside: false,
            mode: NetworkMode::Bridge,
            ports: Vec::new(),
            hostname: String::new(),
            extra_hosts: Vec::new(),
        };
        let waiting = Waiting {
            request,
            since_ms: 10_000,
        };
        assert_eq!(waiting.until_ms(0), 11_000);
        assert_eq!(waiting.until_ms(12_500), 13_500);
        assert_eq!(waiting.until_ms(100_000), 40_000);
    }
}
