//! The containers' side: attach a run to the bridge, publish its ports, and undo both.
//!
//! ```text
//! attach   address ─▶ host ports held ─▶ namespace ─▶ veth ─▶ map elements     a failure undoes what was done
//! detach   map elements and sockets go; the veth goes with the last process of its namespace, the address after it
//! held     after a restart of this program: the same facts, read from the namespace and the map
//! ```
//!
//! Nothing here waits for the deletion of a veth (12 to 25 ms), and no name of a link is given twice.

use crate::bridge::{self, Bridge};
use crate::host_ports::HostPorts;
use crate::namespace::{Ipv6, Namespaces, Wiring};
use crate::netlink::{Batch, NetlinkError, Socket, conntrack, nft, route};
use crate::plan::addresses::{AddressFile, AddressPool, Taken};
use crate::plan::files::{self, Resolution};
use crate::plan::firewall;
use crate::plan::ports::{self, HostPort, Published, Transport, Wanted};
use crate::plan::subnet::Subnet;
use control::net::{AttachRequest, NetReply};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use unit::{NetworkMode, UnitName};

/// Links of containers on the bridge: this and a number in hexadecimal.
const LINK_PREFIX: &str = "kv";
/// Of Ethernet, where the machine's link has not said otherwise.
const MTU: u32 = 1500;

/// What a run holds.
#[derive(Debug, Default)]
struct Attachment {
    address: Option<Ipv4Addr>,
    held: Vec<HostPort>,
    published: Vec<Published>,
}

/// How an attempt to attach came out.
#[derive(Debug)]
pub(crate) enum Attached {
    Now {
        reply: NetReply,
        namespace: Option<OwnedFd>,
    },
    /// The unit's address is still on the link of its former run: try again when that is gone.
    Later,
    Failed(String),
}

/// Whether to wait for a link that is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    Wait,
    TakeAnother,
}

#[derive(Debug)]
pub(crate) struct Containers {
    route: Socket,
    netfilter: Socket,
    namespaces: Namespaces,
    bridge: Result<Bridge, NetlinkError>,
    addresses: AddressPool,
    host_ports: HostPorts,
    runs: BTreeMap<(UnitName, u64), Attachment>,
    /// What the map held when this program started; None once everything is known.
    found: Option<Vec<Published>>,
    next_link: u32,
    ipv6: Ipv6,
}

impl Containers {
    /// `taken`: the machine's own networks, as far as they are known. `first_link`: a number that grows from start to
    /// start of this program.
    pub(crate) fn new(
        taken: &[Subnet],
        file: AddressFile,
        first_link: u32,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let mut route = Socket::route()?;
        let mut netfilter = Socket::netfilter()?;
        let bridge = Bridge::establish(&mut route, taken);
        if let Err(error) = &bridge {
            log::error!("no network for containers: {error}");
        }
        let subnet = bridge
            .as_ref()
            .map_or_else(|_| crate::plan::subnet::choose(taken), |b| b.subnet);
        let found = found_published(&mut netfilter);
        Ok(Self {
            route,
            netfilter,
            namespaces: Namespaces::new()?,
            bridge,
            addresses: AddressPool::new(subnet, file),
            host_ports: HostPorts::default(),
            runs: BTreeMap::new(),
            found: Some(found),
            next_link: first_link,
            ipv6: if Path::new("/proc/sys/net/ipv6").exists() {
                Ipv6::Present
            } else {
                Ipv6::Absent
            },
        })
    }

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
        let links = route::links(&mut self.route)?;
        let outer = links.iter().find(|link| link.index == inside.outer);
        let name = outer.map_or_else(
            || format!("number {}", inside.outer),
            |link| link.name.clone(),
        );
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
                    let found = self.found.iter().flatten().find(was).copied();
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
        if self.found.take().is_none() {
            return;
        }
        if let Err(error) = self.remove_strays() {
            log::warn!("{error}");
        }
        self.rebuild_firewall();
        bridge::forward();
    }

    pub(crate) fn is_synced(&self) -> bool {
        self.found.is_none()
    }

    fn remove_strays(&mut self) -> Result<(), NetlinkError> {
        let links = route::links(&mut self.route)?;
        for link in links.iter().filter(|link| is_container_link(&link.name)) {
            if !self.addresses.has_link(&link.name) {
                let mut batch = Batch::new();
                route::delete_link(&mut batch, link.index);
                // Most probably it is going by itself.
                let _ = self.route.run(&batch);
            }
        }
        Ok(())
    }

    fn rebuild_firewall(&mut self) {
        let Ok(bridge) = &self.bridge else { return };
        let published: Vec<_> = self
            .runs
            .values()
            .flat_map(|run| run.published.iter().copied())
            .collect();
        let table = firewall::table(bridge.index, bridge.subnet, &published);
        if let Err(error) = table.commit(&mut self.netfilter) {
            log::error!(
                "{error}; containers reach nothing outside and published ports do not work"
            );
        }
    }

    pub(crate) fn attach(
        &mut self,
        request: &AttachRequest,
        machine: &MachineFacts,
        patience: Patience,
    ) -> Attached {
        self.forget_former_runs(request);
        let attached = match request.mode {
            NetworkMode::Host => Ok((Attachment::default(), None)),
            NetworkMode::None => self
                .namespaces
                .take()
                .map(|namespace| (Attachment::default(), Some(namespace.descriptor)))
                .map_err(|error| error.to_string()),
            NetworkMode::Bridge => match self.attach_to_bridge(request, machine, patience) {
                Ok(Some((attachment, namespace))) => Ok((attachment, Some(namespace))),
                Ok(None) => return Attached::Later,
                Err(message) => Err(message),
            },
        };
        match attached {
            Ok((attachment, namespace)) => {
                let reply = self.reply(request, machine, &attachment);
                self.runs
                    .insert((request.unit.clone(), request.run), attachment);
                Attached::Now { reply, namespace }
            }
            Err(message) => Attached::Failed(message),
        }
    }

    /// PID 1 starts a run of a unit only after the former one has ended.
    fn forget_former_runs(&mut self, request: &AttachRequest) {
        let former: Vec<_> = self
            .runs
            .range((request.unit.clone(), 0)..=(request.unit.clone(), u64::MAX))
            .map(|((_, run), _)| *run)
            .collect();
        for run in former {
            self.detach(&request.unit, run);
        }
    }

    fn attach_to_bridge(
        &mut self,
        request: &AttachRequest,
        machine: &MachineFacts,
        patience: Patience,
    ) -> Result<Option<(Attachment, OwnedFd)>, String> {
        let unit = &request.unit;
        let bridge = *self
            .bridge
            .as_ref()
            .map_err(|error| format!("no network for containers: {error}"))?;
        let wanted = ports::wanted(&request.ports)?;
        let taken = match (self.addresses.take(unit), patience) {
            (Taken::Leaving(_), Patience::Wait) => return Ok(None),
            (Taken::Leaving(address), Patience::TakeAnother) => {
                log::warn!(
                    "address {address} of unit {unit} is still on the link of its former run; giving it another one"
                );
                self.addresses.give_other(unit)
            }
            (taken, _) => taken,
        };
        let Taken::Address(address) = taken else {
            return Err(format!(
                "no free address in {} for unit {unit}",
                bridge.subnet
            ));
        };
        let held = self.host_ports.hold(unit, request.run, &wanted)?;
        let published: Vec<_> = wanted
            .iter()
            .zip(&held)
            .map(|(wanted, held)| at(wanted, held.port, address))
            .collect();
        match self.connect(request, bridge, machine, address, &published) {
            Ok(namespace) => Ok(Some((
                Attachment {
                    address: Some(address),
                    held,
                    published,
                },
                namespace,
            ))),
            Err(error) => {
                self.host_ports.release(&held);
                self.addresses.release(address);
                Err(error.to_string())
            }
        }
    }

    fn connect(
        &mut self,
        request: &AttachRequest,
        bridge: Bridge,
        machine: &MachineFacts,
        address: Ipv4Addr,
        published: &[Published],
    ) -> Result<OwnedFd, Box<dyn std::error::Error>> {
        let mut namespace = self.namespaces.take()?;
        let name = format!("{LINK_PREFIX}{:x}", self.next_link);
        self.next_link = self.next_link.wrapping_add(1);
        let alias = format!("{} run {}", request.unit, request.run);
        // From here on the link may exist, so the address is busy until the kernel says that it is gone.
        self.addresses.attached(address, &name);
        let wiring = Wiring {
            name: &name,
            alias: &alias,
            bridge: bridge.index,
            mtu: machine.mtu.unwrap_or(MTU),
            address,
            prefix: bridge.subnet.prefix,
            gateway: bridge.subnet.gateway(),
            ipv6: self.ipv6,
        };
        let wired = namespace.wire(&mut self.route, &wiring);
        if let Err(error) = wired {
            if route::link_named(&mut self.route, &name).is_err() {
                self.addresses.link_gone(&name);
            }
            return Err(error.into());
        }
        if !published.is_empty() {
            firewall::publish(published).commit(&mut self.netfilter)?;
            self.forget_flows(published);
        }
        Ok(namespace.descriptor)
    }

    /// Flows of UDP ports would go on to wherever they were translated to before.
    fn forget_flows(&mut self, published: &[Published]) {
        let udp = |published: &&Published| published.host.transport == Transport::Udp;
        let ports: BTreeSet<_> = published.iter().filter(udp).map(|p| p.host.port).collect();
        if ports.is_empty() {
            return;
        }
        if let Err(error) = conntrack::forget_udp(&mut self.netfilter, &ports) {
            log::warn!("{error}; UDP flows that go on may be lost for up to three minutes");
        }
    }

    pub(crate) fn detach(&mut self, unit: &UnitName, run: u64) {
        let Some(attachment) = self.runs.remove(&(unit.clone(), run)) else {
            return;
        };
        if !attachment.published.is_empty() {
            let withdrawn = firewall::withdraw(&attachment.published).commit(&mut self.netfilter);
            if let Err(error) = withdrawn {
                log::warn!("{error}; making the firewall anew");
                self.rebuild_firewall();
            }
        }
        self.host_ports.release(&attachment.held);
        if let Some(address) = attachment.address {
            self.addresses.release(address);
        }
    }

    fn reply(
        &self,
        request: &AttachRequest,
        machine: &MachineFacts,
        attachment: &Attachment,
    ) -> NetReply {
        let gateway = self.addresses.subnet().gateway();
        // Where the container is the machine, or alone: its own name is on loopback, as Debian has it.
        let address = attachment.address.unwrap_or(Ipv4Addr::new(127, 0, 1, 1));
        NetReply::Attached {
            unit: request.unit.clone(),
            run: request.run,
            address: attachment.address,
            hosts: files::hosts(&request.hostname, address, gateway, &request.extra_hosts),
            resolv_conf: files::resolv_conf(&machine.resolution),
            ports: ports::shown(&attachment.published),
        }
    }

    /// True when an address became free by it.
    pub(crate) fn link_gone(&mut self, name: &str) -> bool {
        self.addresses.link_gone(name)
    }

    /// Notices were lost: list again.
    pub(crate) fn links_are(&mut self, present: &BTreeSet<String>) {
        self.addresses.keep_links(present);
    }

    /// The machine's link has an address: containers' network must not overlap its network.
    pub(crate) fn machine_is_on(&mut self, network: Subnet) {
        let Ok(bridge) = &mut self.bridge else { return };
        if !bridge.subnet.overlaps(network) {
            return;
        }
        if !self.addresses.is_idle() {
            log::warn!(
                "the machine's network {network} overlaps the containers' network {}, and containers are running: a part of {network} can't be reached until the machine is started again",
                bridge.subnet
            );
            return;
        }
        if let Err(error) = bridge.move_away(&mut self.route, network) {
            log::error!("{error}");
            return;
        }
        log::info!(
            "containers' network is {} because {network} is the machine's",
            bridge.subnet
        );
        self.addresses = AddressPool::new(bridge.subnet, AddressFile::default());
        if self.is_synced() {
            self.rebuild_firewall();
        }
    }

    pub(crate) fn addresses(&mut self) -> &mut AddressPool {
        &mut self.addresses
    }

    /// There is something that can be done while nobody waits.
    pub(crate) fn has_quiet_work(&self) -> bool {
        self.bridge.is_ok() && !self.namespaces.is_stocked()
    }

    pub(crate) fn use_quiet_moment(&mut self) {
        if let Err(error) = self.namespaces.stock() {
            log::warn!("{error}");
        }
    }
}

/// What containers take over from the machine's link.
#[derive(Clone, Debug, Default)]
pub(crate) struct MachineFacts {
    pub(crate) resolution: Resolution,
    pub(crate) mtu: Option<u32>,
}

fn at(wanted: &Wanted, port: u16, container: Ipv4Addr) -> Published {
    Published {
        host: HostPort {
            address: wanted.address,
            transport: wanted.transport,
            port,
        },
        container,
        container_port: wanted.container_port,
    }
}

/// At the first start there is no table.
fn found_published(socket: &mut Socket) -> Vec<Published> {
    let mut elements = |map| nft::elements(socket, firewall::TABLE, map).unwrap_or_default();
    firewall::published(
        &elements(&firewall::PUBLISHED),
        &elements(&firewall::PUBLISHED_ANY),
    )
}

fn is_container_link(name: &str) -> bool {
    let number = name.strip_prefix(LINK_PREFIX);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_hexdigit()))
}
