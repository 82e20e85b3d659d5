//! The conversation with `netd`: who holds a network, who waits for one.
//!
//! A run asks once. When netd dies in between, the next netd is told who holds a network (`Held`) and asked again for
//! those who wait: no run notices.

use crate::carried;
use crate::console;
use crate::flip::Flip;
use crate::helper::Helper;
use crate::limits;
use crate::machine::Machine;
use crate::source::HelperKind;
use control::net::{AttachRequest, NetReply, NetRequest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use supervisor::{Event, Notice, RunId, UnitId};
use sys::clock::since_boot_ms;
use unit::{NetworkMode, UnitName};

/// Networks of runs, by run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Network {
    attachments: BTreeMap<u64, Attachment>,
    /// Ports on their way to another run, at most one per unit.
    pub flips: Vec<Flip>,
    /// One line about the machine's own network.
    pub state: String,
    started_ms: Option<u64>,
    /// The present netd has been told who holds a network and who waits for one. Before that it gets no other message: it
    /// would hear of the same run twice.
    briefed: bool,
    /// Deaths of netd since one of them has made a network.
    deaths: u32,
    was_ready: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Attachment {
    unit: UnitId,
    request: AttachRequest,
    attached: Option<Attached>,
}

/// What a run got.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Attached {
    /// None: the machine's own.
    #[serde(with = "carried")]
    pub namespace: Option<OwnedFd>,
    pub address: Option<Ipv4Addr>,
    pub hosts: String,
    pub resolv_conf: String,
    pub ports: Vec<String>,
}

impl Network {
    /// The machine's own network is up, or netd has said why it is not.
    pub(crate) fn is_known(&self) -> bool {
        !self.state.is_empty()
    }

    /// Places have changed: see [`supervisor::Action::Swapped`].
    pub(crate) fn renumber(&mut self, number: impl Fn(UnitId) -> UnitId) {
        for attachment in self.attachments.values_mut() {
            attachment.unit = number(attachment.unit);
        }
        for flip in &mut self.flips {
            flip.unit = number(flip.unit);
        }
    }

    /// The unit's name, as netd knows the run.
    pub(crate) fn unit_of(&self, run: RunId) -> Option<&UnitName> {
        Some(&self.attachments.get(&run.0)?.request.unit)
    }

    /// The unit's ports lead to this run, and none to the others.
    pub(crate) fn ports_lead_to(&mut self, unit: &UnitName, run: u64, ports: &[String]) {
        let all = self.attachments.iter_mut();
        for (other, attachment) in all.filter(|(_, attachment)| attachment.request.unit == *unit) {
            attachment.request.beside = *other != run;
            if let Some(attached) = &mut attachment.attached {
                attached.ports = if *other == run {
                    ports.to_vec()
                } else {
                    Vec::new()
                };
            }
        }
    }

    pub(crate) fn attached(&self, run: RunId) -> Option<&Attached> {
        self.attachments.get(&run.0)?.attached.as_ref()
    }
}

impl Machine {
    /// The image is a matter of the launcher; the network is made here.
    pub(crate) fn prepare(&mut self, unit: UnitId, run: RunId) {
        if let Some(reason) = self.unmet_condition(unit) {
            return self.event(Event::Skipped { unit, run, reason });
        }
        if self.preload.is_some() {
            self.waiting_for_images.push((unit, run));
            return self.say_that_images_come();
        }
        let Some((found, container)) = self.container(unit) else {
            let reason = "not a container".to_owned();
            return self.event(Event::PrepareFailed {
                unit,
                run,
                reason,
                lasting: false,
            });
        };
        let request = AttachRequest {
            unit: found.name.clone(),
            run: run.0,
            beside: self.supervisor.successor_of(unit).is_some(),
            mode: container.network.mode,
            ports: container.ports.clone(),
            hostname: container.container.hostname.clone(),
            extra_hosts: container.network.extra_hosts.clone(),
        };
        self.tell_netd(&NetRequest::Attach(request.clone()), None);
        self.network.attachments.insert(
            run.0,
            Attachment {
                unit,
                request,
                attached: None,
            },
        );
        // While netd works.
        if let Err(reason) = self.stand_by(unit, run) {
            self.event(Event::PrepareFailed {
                unit,
                run,
                reason,
                lasting: false,
            });
        }
    }

    /// Whoever waits for images of the release has the more time.
    pub(crate) fn say_that_images_come(&mut self) {
        for (unit, run) in self.waiting_for_images.clone() {
            let notice = Notice::ExtendTimeout(limits::IMAGE_LOAD_MS_MAX);
            self.event(Event::Notified { unit, run, notice });
        }
    }

    /// Give the network of a run back; when the unit restarts by itself, for its next run to have it.
    pub(crate) fn detach(&mut self, run: RunId) {
        self.network.flips.retain(|flip| flip.to != run);
        if let Some(attachment) = self.network.attachments.remove(&run.0) {
            let unit = attachment.unit;
            let namespace = attachment.attached.and_then(|attached| attached.namespace);
            let keep =
                self.supervisor.is_to_restart(unit) && self.supervisor.successor_of(unit).is_none();
            let request = NetRequest::Detach {
                unit: attachment.request.unit,
                run: run.0,
                keep,
            };
            self.tell_netd(&request, namespace.as_ref().filter(|_| keep));
        }
    }

    /// netd's first word of runs, when the drivers that container networks need are there.
    pub(crate) fn begin_network(&mut self) {
        let netd = |helper: &&Helper| helper.kind == HelperKind::Netd;
        let runs = self
            .helpers
            .iter()
            .find(netd)
            .is_some_and(|netd| netd.pid.is_some());
        if runs && !self.network.briefed {
            self.brief_netd();
        }
    }

    /// A stage has briefed netd: there was nothing to say yet.
    pub(crate) fn network_has_begun(&mut self) {
        self.network.briefed = true;
        self.network_has_started();
        self.reserve_declared_ports();
    }

    /// The stage `network` is that of the present netd, from its first word on.
    fn network_has_started(&mut self) {
        let at = self.boot.network_since_ms.take();
        self.network.started_ms = Some(at.unwrap_or_else(since_boot_ms));
    }

    /// A new netd: everything it has to know.
    pub(crate) fn brief_netd(&mut self) {
        self.network.briefed = true;
        self.network_has_started();
        let mut messages = vec![(NetRequest::Kept, None)];
        for attachment in self.network.attachments.values() {
            if let Some(attached) = &attachment.attached {
                let namespace = attached.namespace.as_ref();
                let namespace = namespace.and_then(|namespace| namespace.try_clone().ok());
                messages.push((NetRequest::Held(attachment.request.clone()), namespace));
            }
        }
        messages.push((NetRequest::Synced, None));
        messages.push((self.declared_ports(), None));
        for flip in self.network.flips.iter().filter(|flip| flip.is_asked()) {
            if let Some(unit) = self.network.unit_of(flip.to).cloned() {
                let run = flip.to.0;
                messages.push((NetRequest::Flip { unit, run }, None));
            }
        }
        for attachment in self
            .network
            .attachments
            .values()
            .filter(|attachment| attachment.attached.is_none())
        {
            messages.push((NetRequest::Attach(attachment.request.clone()), None));
        }
        for (message, namespace) in messages {
            self.tell_netd(&message, namespace.as_ref());
        }
    }

    pub(crate) fn tell_netd(&mut self, request: &NetRequest, namespace: Option<&OwnedFd>) {
        if !self.network.briefed {
            return;
        }
        let Ok(bytes) = serde_json::to_vec(request) else {
            return;
        };
        let descriptors: Vec<_> = namespace
            .iter()
            .map(|descriptor| descriptor.as_fd())
            .collect();
        self.tell_helper(HelperKind::Netd, bytes, &descriptors);
    }

    pub(crate) fn netd_says(&mut self, bytes: &[u8], descriptors: Vec<OwnedFd>) {
        let reply = match serde_json::from_slice(bytes) {
            Ok(reply) => reply,
            Err(error) => return log::error!("netd: not a message: {error}"),
        };
        match reply {
            NetReply::Ready {
                link,
                address,
                gateway,
                how,
            } => {
                let gateway =
                    gateway.map_or_else(|| "none".to_owned(), |gateway| gateway.to_string());
                self.network_stage(true, format!("{link} {address} gateway {gateway} by {how}"));
            }
            NetReply::Degraded { message } => self.network_stage(false, message),
            NetReply::Attached {
                run,
                address,
                hosts,
                resolv_conf,
                ports,
                ..
            } => {
                self.network.deaths = 0;
                let namespace = descriptors.into_iter().next();
                if let Some(attachment) = self.network.attachments.get_mut(&run) {
                    if namespace.is_none() && attachment.request.mode != NetworkMode::Host {
                        let (unit, run) = (attachment.unit, RunId(run));
                        let reason = "netd: attached without a network namespace".to_owned();
                        return self.event(Event::PrepareFailed {
                            unit,
                            run,
                            reason,
                            lasting: false,
                        });
                    }
                    attachment.attached = Some(Attached {
                        namespace,
                        address,
                        hosts,
                        resolv_conf,
                        ports,
                    });
                    let unit = attachment.unit;
                    self.event(Event::Prepared {
                        unit,
                        run: RunId(run),
                    });
                }
            }
            NetReply::AttachFailed {
                run,
                message,
                lasting,
                ..
            } => {
                if let Some(attachment) = self.network.attachments.remove(&run) {
                    self.event(Event::PrepareFailed {
                        unit: attachment.unit,
                        run: RunId(run),
                        reason: message,
                        lasting,
                    });
                }
            }
            NetReply::Flipped { unit, run, ports } => self.flipped(&unit, RunId(run), &ports),
            NetReply::FlipFailed { run, message, .. } => self.flip_failed(RunId(run), message),
        }
    }

    /// netd has died; nobody shall wait for the word of one that can't live.
    pub(crate) fn netd_died(&mut self) {
        self.network.briefed = false;
        self.network.deaths = self.network.deaths.saturating_add(1);
        if self.network.deaths >= limits::NETD_DEATHS_MAX {
            self.fail_those_who_wait();
        }
        if self.network.state.is_empty() {
            self.network.state = "netd died before it knew".to_owned();
            self.announce_ready();
        }
    }

    /// Whoever starts these runs again has the back-off of the unit, and the reason to show.
    fn fail_those_who_wait(&mut self) {
        let deaths = self.network.deaths;
        let attachments = std::mem::take(&mut self.network.attachments);
        let (held, waiting) = attachments
            .into_iter()
            .partition(|(_, attachment)| attachment.attached.is_some());
        self.network.attachments = held;
        let waiting: BTreeMap<u64, Attachment> = waiting;
        self.fail_flips(&format!("netd has died {deaths} times"));
        for (run, attachment) in waiting {
            self.event(Event::PrepareFailed {
                unit: attachment.unit,
                run: RunId(run),
                reason: format!(
                    "network: netd has died {deaths} times; its last words are on the console"
                ),
                lasting: false,
            });
        }
    }

    fn network_stage(&mut self, ok: bool, what: String) {
        let start_ms = self.network.started_ms.unwrap_or_else(since_boot_ms);
        // A restarted netd finds the network as it was: nothing that the console must tell.
        if !(ok && self.network.was_ready) {
            let result = if ok { Ok(()) } else { Err(&what) };
            self.boot.stage_ended("network", start_ms, result);
            if ok {
                console::say(format_args!("network: {what}"));
            }
        }
        self.network.was_ready |= ok;
        self.network.state = what;
        self.announce_ready();
    }
}
