//! After a restart of this program: which runs there are, what they hold, and what is left of others.
//!
//! The kernel has the links and the map, PID 1 has the namespaces. A run is found again by looking into its namespace; its
//! ports are in its unit, or in the map where the kernel had chosen them.

use super::{Attachment, Containers, LINK_PREFIX, at};
use crate::bridge;
use crate::netlink::route::Link;
use crate::netlink::{Batch, Socket, nft, route};
use crate::plan::firewall;
use crate::plan::ports::{self, Published};
use control::net::AttachRequest;
use std::collections::BTreeMap;
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
    /// A run that was attached by a former run of this program.
    pub(crate) fn held(&mut self, request: &AttachRequest, namespace: Option<BorrowedFd<'_>>) {
        let AttachRequest { unit, run, .. } = request;
        let mut attachment = Attachment::default();
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
        let (unit, address) = (&request.unit, inside.address);
        self.addresses.found(unit, address, &name);
        let mut published = Vec::new();
        for wanted in ports::wanted(&request.ports)? {
            match wanted.host_port {
                Some(port) => published.push(at(&wanted, port, address)),
                // Chosen by the kernel when the run began: the map knows.
                None => {
                    let was = |found: &&Published| {
                        found.container == address
                            && found.container_port == wanted.container_port
                            && found.host.transport == wanted.transport
                            && found.host.address == wanted.address
                            && !published.contains(*found)
                    };
                    let known = found.iter().flat_map(|found| &found.published);
                    let found = known.into_iter().find(was).copied();
                    published.extend(found);
                }
            }
        }
        let held: Vec<_> = published.iter().map(|published| published.host).collect();
        self.host_ports.hold_again(unit, request.run, &held);
        Ok(Attachment {
            address: Some(address),
            held,
            published,
        })
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
        self.rebuild_firewall();
        bridge::forward();
    }
}

fn is_container_link(name: &str) -> bool {
    let number = name.strip_prefix(LINK_PREFIX);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_hexdigit()))
}
