//! The machine's own link: which one, and how it is configured. Pure: `(now, Event)` in, `Action`s out.
//!
//! ```text
//! every Ethernet link that is not made by software (or the one that ip= names) is brought up
//! the first with a carrier is chosen ──▶ DHCP client or static address ──▶ Configure ──▶ Ready
//!   carrier lost: another one with a carrier is chosen, or the lease is verified when it returns
//!   no lease: the next one with a carrier has its turn
//! ```
//!
//! Invariants: at most one link is chosen; `Configure` and `Deconfigure` alternate for a link; PID 1 hears `Ready` or
//! `Degraded` only when that is news.

use crate::dhcp::client::{Client, Output};
use crate::dhcp::message::Lease;
use crate::netlink::route::{Link, LinkAddress, Route};
use crate::plan::command_line::Wish;
use crate::plan::files::Resolution;
use control::net::NetReply;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Drivers are modules that are loaded while this program starts: so long may the first link take to appear.
const LINK_WAIT_MS: u64 = 3_000;
/// A server on the local network answers within milliseconds; a busy one, or a switch port that is learning, in seconds.
const LEASE_WAIT_MS: u64 = 10_000;

/// A configuration that the kernel refuses is tried again, but not in a hurry.
const CONFIGURE_RETRY_MS: u64 = 10_000;

/// What a link gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkConfig {
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix: u8,
    pub(crate) routes: Vec<Route>,
    pub(crate) resolvers: Vec<Ipv4Addr>,
    pub(crate) domain: Option<String>,
    pub(crate) mtu: Option<u32>,
}

impl From<Lease> for LinkConfig {
    fn from(lease: Lease) -> Self {
        let Lease {
            address,
            prefix,
            routes,
            resolvers,
            domain,
            mtu,
            ..
        } = lease;
        Self {
            address,
            prefix,
            routes,
            resolvers,
            domain,
            mtu,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
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

#[derive(Debug)]
pub(crate) struct Machine {
    wish: Wish,
    hostname: Option<String>,
    /// Addresses found on links at the start: a restart asks for the same again.
    found: Vec<LinkAddress>,
    seed: u64,
    started_ms: u64,
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
    pub(crate) fn new(
        now_ms: u64,
        wish: Wish,
        hostname: Option<String>,
        found: Vec<LinkAddress>,
        seed: u64,
    ) -> Self {
        Self {
            wish,
            hostname,
            found,
            seed,
            started_ms: now_ms,
            links: BTreeMap::new(),
            chosen: None,
            told: None,
            retry_at_ms: None,
        }
    }

    pub(crate) fn handle(&mut self, now_ms: u64, event: Event<'_>, actions: &mut Vec<Action>) {
        match event {
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
        let report = self.told.is_none().then(|| self.report_at_ms());
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

    /// Known links that are not among these.
    pub(crate) fn links_beside(&self, present: &BTreeSet<u32>) -> Vec<u32> {
        self.links
            .keys()
            .filter(|link| !present.contains(link))
            .copied()
            .collect()
    }

    /// What containers learn about name resolution.
    pub(crate) fn resolution(&self) -> Resolution {
        self.config()
            .map(|config| Resolution {
                resolvers: config.resolvers.clone(),
                domain: config.domain.clone(),
            })
            .unwrap_or_default()
    }

    pub(crate) fn config(&self) -> Option<&LinkConfig> {
        self.chosen.as_ref()?.config.as_ref()
    }

    /// Of the chosen link: packets of containers should not be larger.
    pub(crate) fn mtu(&self) -> Option<u32> {
        let chosen = self.chosen.as_ref()?;
        let link = self.links.get(&chosen.link)?;
        Some(
            chosen
                .config
                .as_ref()
                .and_then(|config| config.mtu)
                .unwrap_or(link.mtu),
        )
    }

    fn is_candidate(&self, link: &Link) -> bool {
        match &self.wish {
            Wish::Off => false,
            Wish::Dhcp { device: Some(name) }
            | Wish::Static {
                device: Some(name), ..
            } => link.name == *name,
            Wish::Dhcp { device: None } | Wish::Static { device: None, .. } => link.physical,
        }
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
        let had_carrier = std::mem::replace(&mut chosen.carrier, link.carrier);
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

    /// The link in use stays in use while it works; otherwise the first candidate with a carrier takes its place.
    fn choose(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        if self.retry_at_ms.is_some_and(|at| now_ms < at) {
            return;
        }
        self.retry_at_ms = None;
        let next = match &self.chosen {
            Some(chosen) if chosen.carrier => self
                .next_in_turn()
                .filter(|_| now_ms >= self.turn_ends_ms()),
            _ => self.with_carrier().next(),
        };
        let Some(next) = next else { return };
        if let Some(Chosen {
            link,
            config: Some(config),
            ..
        }) = self.chosen.take()
        {
            actions.push(Action::Deconfigure { link, config });
        }
        let Some(link) = self.links.get(&next) else {
            return;
        };
        let on_link = self.found.iter().find(|found| found.link == next);
        let client = match &self.wish {
            Wish::Dhcp { .. } => {
                let wanted = on_link.map(|found| found.address);
                let seed = self.seed ^ now_ms;
                Some(Client::new(
                    now_ms,
                    link.mac,
                    self.hostname.clone(),
                    wanted,
                    seed,
                ))
            }
            Wish::Static { .. } | Wish::Off => None,
        };
        self.chosen = Some(Chosen {
            link: next,
            since_ms: now_ms,
            carrier: true,
            client,
            config: None,
        });
        if let Wish::Static { config, .. } = &self.wish {
            self.configure((**config).clone(), actions);
        }
        self.with_client(actions, |client, outputs| client.tick(now_ms, outputs));
    }

    fn with_carrier(&self) -> impl Iterator<Item = u32> {
        self.links
            .values()
            .filter(|link| link.carrier && self.is_candidate(link))
            .map(|link| link.index)
    }

    /// The candidate after the chosen one, as long as that has no lease.
    fn next_in_turn(&self) -> Option<u32> {
        let chosen = self
            .chosen
            .as_ref()
            .filter(|chosen| chosen.config.is_none())?;
        let after = self.with_carrier().find(|link| *link > chosen.link);
        after
            .or_else(|| self.with_carrier().next())
            .filter(|link| *link != chosen.link)
    }

    fn turn_ends_ms(&self) -> u64 {
        self.chosen
            .as_ref()
            .map_or(0, |chosen| chosen.since_ms + LEASE_WAIT_MS)
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

    fn ready(&self) -> Option<NetReply> {
        let chosen = self.chosen.as_ref()?;
        let config = chosen.config.as_ref()?;
        Some(NetReply::Ready {
            link: self.links.get(&chosen.link)?.name.clone(),
            address: format!("{}/{}", config.address, config.prefix),
            gateway: config
                .routes
                .iter()
                .find(|route| route.prefix == 0)
                .and_then(|r| r.gateway),
            how: if chosen.client.is_some() {
                "dhcp"
            } else {
                "static"
            }
            .to_owned(),
        })
    }

    fn tell_ready(&mut self, actions: &mut Vec<Action>) {
        if let Some(reply) = self.ready()
            && self.told.as_ref() != Some(&reply)
        {
            self.told = Some(reply.clone());
            actions.push(Action::Tell(reply));
        }
    }

    fn report_at_ms(&self) -> u64 {
        match (
            &self.wish,
            self.links.values().any(|link| self.is_candidate(link)),
        ) {
            (Wish::Off, _) => self.started_ms,
            (_, false) => self.started_ms + LINK_WAIT_MS,
            (_, true) => self.started_ms + LEASE_WAIT_MS,
        }
    }

    fn tell_if_degraded(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let works = self
            .chosen
            .as_ref()
            .is_some_and(|chosen| chosen.carrier && chosen.config.is_some());
        let patient = self.told.is_none() && now_ms < self.report_at_ms();
        let refused = self.retry_at_ms.is_some();
        if works || patient || refused {
            return;
        }
        let reply = NetReply::Degraded {
            message: self.trouble(),
        };
        if self.told.as_ref() != Some(&reply) {
            self.told = Some(reply.clone());
            actions.push(Action::Tell(reply));
        }
    }

    fn trouble(&self) -> String {
        let names = |links: Vec<&Link>| {
            let names: Vec<_> = links.into_iter().map(|link| link.name.as_str()).collect();
            names.join(", ")
        };
        let candidates: Vec<_> = self
            .links
            .values()
            .filter(|link| self.is_candidate(link))
            .collect();
        match (&self.wish, &self.chosen) {
            (Wish::Off, _) => {
                "ip=off on the kernel command line: the machine's links are left alone".into()
            }
            (_, Some(chosen)) if chosen.carrier => {
                let name = self
                    .links
                    .get(&chosen.link)
                    .map_or("", |link| link.name.as_str());
                format!(
                    "no answer from a DHCP server on link {name}; still asking (or set ip= on the kernel command line)"
                )
            }
            (
                Wish::Dhcp { device: Some(name) }
                | Wish::Static {
                    device: Some(name), ..
                },
                _,
            ) if candidates.is_empty() => {
                format!(
                    "no link named {name}, which ip= on the kernel command line asks for; there are {}",
                    names(self.links.values().filter(|link| !link.loopback).collect())
                )
            }
            _ if candidates.is_empty() => {
                "no Ethernet link found: no network card, or no driver for it".into()
            }
            _ => format!(
                "no carrier on {}: is the cable plugged in?",
                names(candidates)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::command_line::wish;

    fn link(index: u32, carrier: bool) -> Link {
        Link {
            index,
            name: format!("eth{}", index - 2),
            mac: [2, 0, 0, 0, 0, 1],
            loopback: false,
            physical: true,
            up: carrier,
            carrier,
            operational: carrier,
            mtu: 1500,
            peer: None,
        }
    }

    fn machine(command_line: &str) -> Machine {
        Machine::new(0, wish(command_line).unwrap(), None, Vec::new(), 7)
    }

    fn handle(machine: &mut Machine, now_ms: u64, event: Event<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        machine.handle(now_ms, event, &mut actions);
        actions
    }

    fn degraded(actions: &[Action]) -> Option<&str> {
        actions.iter().find_map(|action| match action {
            Action::Tell(NetReply::Degraded { message }) => Some(message.as_str()),
            _ => None,
        })
    }

    const STATIC: &str = "ip=192.168.1.5::192.168.1.1:255.255.255.0:::off:9.9.9.9";

    #[test]
    fn a_link_is_brought_up_and_chosen_once_it_has_a_carrier() {
        let mut machine = machine("");
        assert_eq!(
            handle(&mut machine, 0, Event::Link(&link(2, false))),
            [Action::BringUp { link: 2 }]
        );
        let actions = handle(&mut machine, 5, Event::Link(&link(2, true)));
        assert!(matches!(actions[..], [Action::Broadcast(_)]), "{actions:?}");
        let listening = machine.listening().unwrap();
        assert_eq!(
            (listening.name.as_str(), listening.has_address),
            ("eth0", false)
        );
    }

    #[test]
    fn a_link_made_by_software_is_left_alone_unless_it_is_named() {
        let veth = Link {
            physical: false,
            ..link(2, false)
        };
        assert_eq!(handle(&mut machine(""), 0, Event::Link(&veth)), []);
        let named = handle(&mut machine("ip=eth0:dhcp"), 0, Event::Link(&veth));
        assert_eq!(named, [Action::BringUp { link: 2 }]);
    }

    #[test]
    fn a_static_address_is_ready_at_once() {
        let mut machine = machine(STATIC);
        let actions = handle(&mut machine, 0, Event::Link(&link(2, true)));
        let [
            Action::Configure {
                link: 2,
                reply: NetReply::Ready { address, how, .. },
                ..
            },
        ] = &actions[..]
        else {
            panic!("{actions:?}")
        };
        assert_eq!(
            (address.as_str(), how.as_str()),
            ("192.168.1.5/24", "static")
        );
        assert_eq!(machine.resolution().resolvers, [Ipv4Addr::new(9, 9, 9, 9)]);
        assert_eq!(machine.deadline_ms(), None);
    }

    #[test]
    fn trouble_is_told_once_and_says_what_to_look_at() {
        let mut none = machine("");
        assert_eq!(none.deadline_ms(), Some(LINK_WAIT_MS));
        let actions = handle(&mut none, LINK_WAIT_MS, Event::Tick);
        assert!(
            degraded(&actions).unwrap().contains("no driver"),
            "{actions:?}"
        );
        assert_eq!(handle(&mut none, LINK_WAIT_MS + 1, Event::Tick), []);

        let mut unplugged = machine("");
        handle(&mut unplugged, 0, Event::Link(&link(2, false)));
        let actions = handle(&mut unplugged, LEASE_WAIT_MS, Event::Tick);
        assert!(
            degraded(&actions).unwrap().contains("no carrier on eth0"),
            "{actions:?}"
        );

        let mut silent = machine("");
        handle(&mut silent, 0, Event::Link(&link(2, true)));
        let actions = handle(&mut silent, LEASE_WAIT_MS, Event::Tick);
        assert!(
            degraded(&actions)
                .unwrap()
                .contains("DHCP server on link eth0"),
            "{actions:?}"
        );

        let mut off = machine("ip=off");
        let actions = handle(&mut off, 0, Event::Tick);
        assert!(
            degraded(&actions).unwrap().contains("ip=off"),
            "{actions:?}"
        );
    }

    #[test]
    fn a_lost_carrier_is_told_and_its_return_too() {
        let mut machine = machine(STATIC);
        handle(&mut machine, 0, Event::Link(&link(2, true)));
        let actions = handle(&mut machine, 50, Event::Link(&link(2, false)));
        assert!(
            degraded(&actions).unwrap().contains("no carrier on eth0"),
            "{actions:?}"
        );
        let actions = handle(&mut machine, 60, Event::Link(&link(2, true)));
        assert!(
            matches!(actions[..], [Action::Tell(NetReply::Ready { .. })]),
            "{actions:?}"
        );
    }

    #[test]
    fn another_link_takes_over_from_one_without_carrier() {
        let mut machine = machine(STATIC);
        handle(&mut machine, 0, Event::Link(&link(2, true)));
        handle(&mut machine, 1, Event::Link(&link(3, true)));
        let actions = handle(&mut machine, 50, Event::Link(&link(2, false)));
        assert!(
            matches!(
                actions[..],
                [
                    Action::Deconfigure { link: 2, .. },
                    Action::Configure { link: 3, .. }
                ]
            ),
            "{actions:?}"
        );
    }

    #[test]
    fn a_link_without_a_server_gives_the_next_one_its_turn() {
        let mut machine = machine("");
        handle(&mut machine, 0, Event::Link(&link(2, true)));
        handle(&mut machine, 1, Event::Link(&link(3, true)));
        assert_eq!(machine.listening().unwrap().link, 2);
        handle(&mut machine, LEASE_WAIT_MS, Event::Tick);
        assert_eq!(machine.listening().unwrap().link, 3);
        handle(&mut machine, 2 * LEASE_WAIT_MS, Event::Tick);
        assert_eq!(machine.listening().unwrap().link, 2);
    }

    #[test]
    fn a_configuration_that_the_kernel_refuses_is_told_and_tried_again() {
        let mut machine = machine(STATIC);
        handle(&mut machine, 0, Event::Link(&link(2, true)));
        let actions = handle(&mut machine, 1, Event::ConfigureFailed("no such gateway"));
        assert_eq!(degraded(&actions), Some("no such gateway"));
        assert_eq!(handle(&mut machine, 2, Event::Link(&link(2, true))), []);
        assert_eq!(machine.deadline_ms(), Some(1 + CONFIGURE_RETRY_MS));
        let actions = handle(&mut machine, 1 + CONFIGURE_RETRY_MS, Event::Tick);
        assert!(
            matches!(actions[..], [Action::Configure { .. }]),
            "{actions:?}"
        );
    }

    #[test]
    fn a_link_that_is_pulled_out_is_forgotten() {
        let mut machine = machine(STATIC);
        handle(&mut machine, 0, Event::Link(&link(2, true)));
        let actions = handle(&mut machine, 9, Event::LinkGone(2));
        assert!(
            degraded(&actions).unwrap().contains("no Ethernet link"),
            "{actions:?}"
        );
        let actions = handle(&mut machine, 20, Event::Link(&link(5, true)));
        assert!(
            matches!(actions[..], [Action::Configure { link: 5, .. }]),
            "{actions:?}"
        );
    }
}
