//! The machine's own link: which one, and how it is configured. Pure: `(now, Event)` in, `Action`s out.
//!
//! ```text
//! every Ethernet link that is not made by software (or the one that ip= names) is brought up
//! the first with a carrier is chosen ──▶ DHCP client or static address ──▶ Configure ──▶ Ready
//!   carrier lost: another one with a carrier is chosen, or the lease is verified when it returns
//!   no lease: the next one with a carrier has its turn
//!
//! choice   which link        config   what it gets
//! report   what PID 1 hears of it        facts   what containers take over from it
//! ```
//!
//! Invariants: at most one link is chosen; `Configure` and `Deconfigure` alternate for a link; PID 1 hears `Ready` or
//! `Degraded` only when that is news.

mod choice;
mod config;
mod facts;
mod report;
#[cfg(test)]
mod tests;

pub(crate) use config::LinkConfig;

use crate::dhcp::client::{Client, Output};
use crate::lease_file::RememberedLease;
use crate::netlink::route::{Link, LinkAddress};
use crate::plan::command_line::Wish;
use control::net::NetReply;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// PID 1 says its first word when the drivers are loaded: so long after may the first link take to appear.
const LINK_WAIT_MS: u64 = 3_000;
/// A server on the local network answers within milliseconds; a busy one, or a switch port that is learning, in seconds.
const LEASE_WAIT_MS: u64 = 10_000;
/// A configuration that the kernel refuses is tried again, but not in a hurry.
const CONFIGURE_RETRY_MS: u64 = 10_000;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// From here on a link may be chosen.
    Kept(&'a Kept),
    /// PID 1 has said its first word of runs: from here on it is worth telling that there is no link.
    Begin,
    /// New, or changed.
    Link(&'a Link),
    LinkGone(u32),
    /// A DHCP message.
    Message(&'a [u8]),
    /// `Configure` could not be done; why, in one line.
    ConfigureFailed(&'a str),
    /// Time has passed.
    Tick,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    BringUp {
        link: u32,
    },
    Broadcast(Vec<u8>),
    Unicast {
        server: Ipv4Addr,
        message: Vec<u8>,
    },
    /// `reply` once it is done; `Event::ConfigureFailed` when it can't be.
    Configure {
        link: u32,
        config: LinkConfig,
        reply: NetReply,
    },
    Deconfigure {
        link: u32,
        config: LinkConfig,
    },
    Tell(NetReply),
}

/// The socket that the DHCP exchange needs now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listening {
    pub(crate) link: u32,
    pub(crate) name: String,
    /// The link has its address: a UDP socket will do.
    pub(crate) has_address: bool,
}

/// What is known before the first link is seen.
#[derive(Clone, Debug)]
pub(crate) struct Outset {
    pub(crate) wish: Wish,
    /// Addresses found on links: a restart asks for the same again.
    pub(crate) found: Vec<LinkAddress>,
    pub(crate) seed: u64,
}

/// What the machine has kept of former boots.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) hostname: Option<String>,
    pub(crate) remembered: Option<RememberedLease>,
}

#[derive(Debug)]
pub(crate) struct Machine {
    outset: Outset,
    /// Until it is known, no link is chosen.
    kept: Option<Kept>,
    /// When PID 1 said its first word of runs.
    begun_ms: Option<u64>,
    links: BTreeMap<u32, Link>,
    chosen: Option<Chosen>,
    told: Option<NetReply>,
    /// The kernel has refused a configuration: no link is chosen before this time.
    retry_at_ms: Option<u64>,
}

#[derive(Debug)]
struct Chosen {
    link: u32,
    since_ms: u64,
    carrier: bool,
    /// None: static.
    client: Option<Client>,
    config: Option<LinkConfig>,
}

impl Machine {
    pub(crate) fn new(outset: Outset) -> Self {
        Self {
            outset,
            kept: None,
            begun_ms: None,
            links: BTreeMap::new(),
            chosen: None,
            told: None,
            retry_at_ms: None,
        }
    }

    pub(crate) fn handle(&mut self, now_ms: u64, event: Event<'_>, actions: &mut Vec<Action>) {
        match event {
            Event::Kept(kept) => {
                self.kept.get_or_insert_with(|| kept.clone());
            }
            Event::Begin => {
                self.begun_ms.get_or_insert(now_ms);
            }
            Event::Link(link) => self.link_seen(now_ms, link, actions),
            Event::LinkGone(link) => self.link_gone(link),
            Event::ConfigureFailed(why) => {
                // It is not in force, so there is nothing to undo.
                self.chosen = None;
                self.retry_at_ms = Some(now_ms.saturating_add(CONFIGURE_RETRY_MS));
                let reply = NetReply::Degraded {
                    message: why.to_owned(),
                };
                self.told = Some(reply.clone());
                actions.push(Action::Tell(reply));
                return;
            }
            Event::Message(bytes) => {
                self.with_client(actions, |client, outputs| {
                    client.receive(now_ms, bytes, outputs)
                });
            }
            Event::Tick => {
                self.with_client(actions, |client, outputs| client.tick(now_ms, outputs));
            }
        }
        self.choose(now_ms, actions);
        self.tell_if_degraded(now_ms, actions);
    }

    /// When `Tick` has something to do.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        let client = self
            .chosen
            .as_ref()
            .and_then(|chosen| chosen.client.as_ref()?.deadline_ms());
        let report = self.report_at_ms().filter(|_| self.told.is_none());
        let turn = self.next_in_turn().map(|_| self.turn_ends_ms());
        [client, report, turn, self.retry_at_ms]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn listening(&self) -> Option<Listening> {
        let chosen = self.chosen.as_ref()?;
        let name = self.links.get(&chosen.link)?.name.clone();
        let listens = chosen.client.as_ref()?.listens();
        listens.then_some(Listening {
            link: chosen.link,
            name,
            has_address: chosen.config.is_some(),
        })
    }

    /// All links of the machine, whatever they are for.
    pub(crate) fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// Known links that are not among these.
    pub(crate) fn links_beside(&self, present: &BTreeSet<u32>) -> Vec<u32> {
        self.links
            .keys()
            .filter(|link| !present.contains(link))
            .copied()
            .collect()
    }

    /// Addresses that links had at the start.
    pub(crate) fn found(&self) -> &[LinkAddress] {
        &self.outset.found
    }

    fn link_seen(&mut self, now_ms: u64, link: &Link, actions: &mut Vec<Action>) {
        let before = self.links.insert(link.index, link.clone());
        if before.is_none() && self.is_candidate(link) && !link.up {
            actions.push(Action::BringUp { link: link.index });
        }
        let Some(chosen) = self
            .chosen
            .as_mut()
            .filter(|chosen| chosen.link == link.index)
        else {
            return;
        };
        // It may have been out between two looks at the link.
        let was_out = before.is_some_and(|before| before.carrier_losses < link.carrier_losses);
        let had_carrier = std::mem::replace(&mut chosen.carrier, link.carrier) && !was_out;
        if link.carrier && !had_carrier {
            self.with_client(actions, |client, outputs| {
                client.carrier_returned(now_ms, outputs)
            });
            self.tell_ready(actions);
        }
    }

    /// Its addresses and routes went with it.
    fn link_gone(&mut self, index: u32) {
        self.links.remove(&index);
        self.chosen.take_if(|chosen| chosen.link == index);
    }

    fn with_client(
        &mut self,
        actions: &mut Vec<Action>,
        ask: impl FnOnce(&mut Client, &mut Vec<Output>),
    ) {
        let Some(client) = self
            .chosen
            .as_mut()
            .and_then(|chosen| chosen.client.as_mut())
        else {
            return;
        };
        let mut outputs = Vec::new();
        ask(client, &mut outputs);
        for output in outputs {
            match output {
                Output::Broadcast(message) => actions.push(Action::Broadcast(message)),
                Output::Unicast { server, message } => {
                    actions.push(Action::Unicast { server, message });
                }
                Output::Bound(lease) => self.configure(lease.into(), actions),
                Output::Lost => self.lost(actions),
            }
        }
    }

    fn configure(&mut self, config: LinkConfig, actions: &mut Vec<Action>) {
        let Some(chosen) = &mut self.chosen else {
            return;
        };
        if chosen.config.as_ref() == Some(&config) {
            // Extended as it was.
            return self.tell_ready(actions);
        }
        chosen.config = Some(config.clone());
        let link = chosen.link;
        if let Some(reply) = self.ready() {
            self.told = Some(reply.clone());
            actions.push(Action::Configure {
                link,
                config,
                reply,
            });
        }
    }

    fn lost(&mut self, actions: &mut Vec<Action>) {
        let Some(chosen) = &mut self.chosen else {
            return;
        };
        if let Some(config) = chosen.config.take() {
            actions.push(Action::Deconfigure {
                link: chosen.link,
                config,
            });
        }
    }
}
