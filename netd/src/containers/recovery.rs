//! After a restart of this program: which runs there are, what they hold, and what is left of others.
//!
//! The kernel has the links and the map, PID 1 has the namespaces. A run is found again by looking into its namespace; its
//! ports are in its unit, or in the map where the kernel had chosen them.

use super::{Attachment, Containers, LINK_PREFIX, at};
use crate::bridge;
use crate::netlink::route::Link;
use crate::netlink::{Batch, Socket, nft, route};
use crate::plan::firewall;
use crate::plan::ports::{self, Published, Wanted};
use control::net::AttachRequest;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use unit::NetworkMode;

/// What there was of containers when this program started.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Links on the machine's side, by their number.
    links: BTreeMap<u32, String>,
    published: Vec<Published>,
}

impl Found {
    /// At the first start there is nothing, and nothing to ask for.
    pub(super) fn new(socket: &mut Socket, links: &[&Link]) -> Self {
        if !links.iter().any(|link| link.name == bridge::NAME) {
            return Self::default();
        }
        let mut elements = |map| nft::elements(socket, firewall::TABLE, map).unwrap_or_default();
        let published = firewall::published(
            &elements(&firewall::PUBLISHED),
            &elements(&firewall::PUBLISHED_ANY),
        );
        let containers = links.iter().filter(|link| is_container_link(&link.name));
        Self {
            links: containers
                .map(|link| (link.index, link.name.clone()))
                .collect(),
            published,
        }
    }
}

impl Containers {
    /// A run that was attached by a former run of this program. Its ports follow when all runs are known.
    pub(crate) fn held(&mut self, request: &AttachRequest, namespace: Option<BorrowedFd<'_>>) {
        let AttachRequest { unit, run, .. } = request;
        let mut attachment = Attachment::alone(request);
        if let (NetworkMode::Bridge, Some(namespace)) = (request.mode, namespace) {
            match self.find_again(request, namespace) {
                Ok(found) => attachment = found,
                Err(error) => {
                    log::warn!(
                        "can't take over the network of unit {unit} (run {run}): {error}; its published ports are gone until it restarts"
                    );
                }
            }
        }
        self.runs.insert((unit.clone(), *run), attachment);
    }

    fn find_again(
        &mut self,
        request: &AttachRequest,
        namespace: BorrowedFd<'_>,
    ) -> Result<Attachment, Box<dyn std::error::Error>> {
        let inside = self.namespaces.look_into(namespace)?;
        let found = self.found.as_ref();
        let name = found.and_then(|found| found.links.get(&inside.outer).cloned());
        let name = name.unwrap_or_else(|| format!("number {}", inside.outer));
        self.addresses.attached(inside.address, &name);
        Ok(Attachment {
            address: Some(inside.address),
            wanted: ports::wanted(&request.ports)?,
            ..Attachment::alone(request)
        })
    }

    /// Each unit's address and ports are those of the run that the kernel's map leads to; PID 1 may not have heard of the
    /// last flip. Where the map says nothing, PID 1 does.
    fn settle_owners(&mut self, published: &[Published]) {
        let units: BTreeSet<_> = self.runs.keys().map(|(unit, _)| unit.clone()).collect();
        for unit in units {
            let leads_to = |(_, run): &(u64, &Attachment)| {
                published
                    .iter()
                    .any(|one| Some(one.container) == run.address)
            };
            let in_map = self.runs_of(&unit).find(leads_to);
            let told = || self.runs_of(&unit).find(|(_, run)| !run.beside);
            let owner = in_map.or_else(told).map(|(run, _)| run);
            let first = (unit.clone(), 0);
            for ((_, run), attachment) in self.runs.range_mut(first..=(unit.clone(), u64::MAX)) {
                attachment.beside = Some(*run) != owner;
                let (Some(address), false) = (attachment.address, attachment.beside) else {
                    continue;
                };
                self.addresses.keep(&unit, address);
                attachment.published = published_by(&attachment.wanted, address, published);
                let hosts = attachment.published.iter().map(|published| published.host);
                attachment.held = hosts.collect();
                self.host_ports.hold_again(&unit, *run, &attachment.held);
            }
        }
    }

    /// All runs are known now: make the firewall, and remove what belongs to none of them.
    pub(crate) fn synced(&mut self) {
        let Some(found) = self.found.take() else {
            return;
        };
        for (index, name) in found.links {
            if !self.addresses.has_link(&name) {
                let mut batch = Batch::new();
                route::delete_link(&mut batch, index);
                // Most probably it is going by itself.
                let _ = self.route.run(&batch);
            }
        }
        self.settle_owners(&found.published);
        self.renew_firewall(&found.published);
        bridge::forward();
        bridge::track_more_flows();
    }
}

/// What a run with this address publishes, if it is the one of its unit that does.
fn published_by(wanted: &[Wanted], address: Ipv4Addr, known: &[Published]) -> Vec<Published> {
    let mut published = Vec::new();
    for wanted in wanted {
        match wanted.host_port {
            Some(port) => published.push(at(wanted, port, address)),
            // Chosen by the kernel when the run began: the map knows.
            None => {
                let was = |found: &&Published| {
                    found.container == address
                        && found.container_port == wanted.container_port
                        && found.host.transport == wanted.transport
                        && found.host.address == wanted.address
                        && !published.contains(*found)
                };
                published.extend(known.iter().find(was).copied());
            }
        }
    }
    published
}

fn is_container_link(name: &str) -> bool {
    let number = name.strip_prefix(LINK_PREFIX);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_hexdigit()))
}
