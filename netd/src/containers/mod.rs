//! The containers' side: attach a run to the bridge, publish its ports, and undo both.
//!
//! ```text
//! attach   address ─▶ host ports held ─▶ namespace ─▶ veth ─▶ map elements     a failure undoes what was done
//! flip     the map elements of one run become those of another run of its unit, in one step        [flip]
//! detach   map elements and sockets go; the veth goes with the last process of its namespace, the address after it
//! keep     a run that ends and restarts by itself leaves its network to the next one                   [kept]
//! held     after a restart of this program: the same facts, read from the namespace and the map    [recovery]
//! ```
//!
//! Of the runs of a unit, one has its address and its ports; the others, if there are any, are beside it.
//! Nothing here waits for the deletion of a veth (12 to 25 ms), and no name of a link is given twice.

mod flip;
mod kept;
mod recovery;

use crate::bridge::{Bridge, Surroundings};
use crate::host_ports::HostPorts;
use crate::namespace::{Ipv6, NamespaceError, Namespaces, Wiring};
use crate::netlink::conntrack::{self, Flows};
use crate::netlink::{NetlinkError, Socket, route};
use crate::plan::addresses::{AddressFile, AddressPool, Taken};
use crate::plan::files::{self, Resolution};
use crate::plan::firewall;
use crate::plan::ports::{self, HostPort, Published, Transport, Wanted};
use crate::plan::subnet::Subnet;
use control::net::{AttachRequest, NetReply};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::Path;
use unit::{NetworkMode, UnitName};

/// Links of containers on the bridge: this and a number in hexadecimal.
const LINK_PREFIX: &str = "kv";

/// What a run holds.
#[derive(Debug, Default)]
struct Attachment {
    address: Option<Ipv4Addr>,
    /// Another run of the unit has its address and its ports.
    beside: bool,
    wanted: Vec<Wanted>,
    held: Vec<HostPort>,
    published: Vec<Published>,
    /// Name of the end of its link on the bridge; empty where it has none, or one that a former run of this program made.
    link: String,
    mtu: u32,
    /// The run has ended; the next one of its unit may have all this.
    kept: Option<kept::Kept>,
}

impl Attachment {
    /// Not on the bridge.
    fn alone(request: &AttachRequest) -> Self {
        Self {
            beside: request.beside,
            ..Self::default()
        }
    }
}

/// How an attempt to attach came out.
#[derive(Debug)]
pub(crate) enum Attached {
    /// With its namespace, if it has one of its own.
    Now(Option<OwnedFd>),
    /// The unit's address is still on the link of its former run: try again when that is gone.
    Later,
    Failed(Refusal),
}

/// Why a run is not attached.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) message: String,
    /// What the unit asks for is never to be had.
    pub(crate) lasting: bool,
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self {
            message,
            lasting: false,
        }
    }
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
    /// Left by a former run of this program; None once PID 1 has named every run.
    found: Option<recovery::Found>,
    next_link: u32,
    ipv6: Ipv6,
}

impl Containers {
    /// `first_link`: a number that grows from start to start of this program.
    pub(crate) fn new(
        surroundings: &Surroundings<'_>,
        namespaces: Namespaces,
        file: AddressFile,
        first_link: u32,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let mut route = Socket::route()?;
        let mut netfilter = Socket::netfilter()?;
        let bridge = Bridge::establish(&mut route, surroundings);
        if let Err(error) = &bridge {
            log::error!("no network for containers: {error}");
        }
        let subnet = bridge.as_ref().map_or_else(
            |_| crate::plan::subnet::choose(&surroundings.networks),
            |bridge| bridge.subnet,
        );
        let found = recovery::Found::new(&mut netfilter, &surroundings.links);
        Ok(Self {
            route,
            netfilter,
            namespaces,
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

    fn rebuild_firewall(&mut self) {
        let runs = self.runs.values();
        let published: Vec<_> = runs.flat_map(|run| run.published.clone()).collect();
        if let Err(error) = self.make_firewall(&published) {
            log::error!(
                "{error}; containers reach nothing outside and published ports do not work"
            );
        }
    }

    /// Where the kernel has the table with these ports, from a former run of this program: without a moment in which one of
    /// those that stay leads nowhere.
    fn renew_firewall(&mut self, found: &[Published]) {
        let (Ok(bridge), false) = (&self.bridge, found.is_empty()) else {
            return self.rebuild_firewall();
        };
        let runs = self.runs.values();
        let all: Vec<_> = runs.flat_map(|run| run.published.clone()).collect();
        let (withdrawn, published) = (missing(found, &all), missing(&all, found));
        let renewed = firewall::renewed(bridge.index, bridge.subnet, &withdrawn, &published);
        if let Err(error) = renewed.commit(&mut self.netfilter) {
            log::warn!("{error}; making the firewall anew");
            self.rebuild_firewall();
        }
    }

    fn make_firewall(&mut self, published: &[Published]) -> Result<(), NetlinkError> {
        let Ok(bridge) = &self.bridge else {
            return Ok(());
        };
        firewall::table(bridge.index, bridge.subnet, published).commit(&mut self.netfilter)
    }

    /// `mtu`: size of the largest packets that the machine's link takes, as far as that is known.
    pub(crate) fn attach(
        &mut self,
        request: &AttachRequest,
        mtu: u32,
        patience: Patience,
    ) -> Attached {
        if let Some(namespace) = self.take_kept(request, mtu) {
            return Attached::Now(Some(namespace));
        }
        self.make_way_for(request);
        self.forget_former_runs(request);
        let attached = match request.mode {
            NetworkMode::Host => Ok((Attachment::alone(request), None)),
            NetworkMode::None => self
                .namespaces
                .take()
                .map(|namespace| (Attachment::alone(request), Some(namespace.descriptor)))
                .map_err(|error| error.to_string().into()),
            NetworkMode::Bridge => match self.attach_to_bridge(request, mtu, patience) {
                Ok(Some((attachment, namespace))) => Ok((attachment, Some(namespace))),
                Ok(None) => return Attached::Later,
                Err(refusal) => Err(refusal),
            },
        };
        match attached {
            Ok((attachment, namespace)) => {
                self.runs
                    .insert((request.unit.clone(), request.run), attachment);
                Attached::Now(namespace)
            }
            Err(refusal) => Attached::Failed(refusal),
        }
    }

    /// PID 1 starts a run of a unit only after the former one has ended, but for one beside it.
    fn forget_former_runs(&mut self, request: &AttachRequest) {
        if request.beside {
            return;
        }
        let former: Vec<_> = self
            .runs_of(&request.unit)
            .filter(|(_, attachment)| !attachment.beside)
            .map(|(run, _)| run)
            .collect();
        for run in former {
            self.detach(&request.unit, run);
        }
    }

    fn runs_of(&self, unit: &UnitName) -> impl Iterator<Item = (u64, &Attachment)> + use<'_> {
        self.runs
            .range((unit.clone(), 0)..=(unit.clone(), u64::MAX))
            .map(|((_, run), attachment)| (*run, attachment))
    }

    fn attach_to_bridge(
        &mut self,
        request: &AttachRequest,
        mtu: u32,
        patience: Patience,
    ) -> Result<Option<(Attachment, OwnedFd)>, Refusal> {
        let unit = &request.unit;
        let bridge = *self
            .bridge
            .as_ref()
            .map_err(|error| format!("no network for containers: {error}"))?;
        let wanted = ports::wanted(&request.ports).map_err(|message| Refusal {
            message,
            lasting: true,
        })?;
        let taken = if request.beside {
            self.addresses.take_beside()
        } else {
            self.addresses.take(unit)
        };
        let taken = match (taken, patience) {
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
            return Err(format!("no free address in {} for unit {unit}", bridge.subnet).into());
        };
        let held = if request.beside {
            Vec::new()
        } else {
            self.host_ports.hold(unit, request.run, &wanted)?
        };
        let published: Vec<_> = wanted
            .iter()
            .zip(&held)
            .map(|(wanted, held)| at(wanted, held.port, address))
            .collect();
        match self.connect(request, bridge, mtu, address, &published) {
            Ok((namespace, link)) => Ok(Some((
                Attachment {
                    address: Some(address),
                    beside: request.beside,
                    wanted,
                    held,
                    published,
                    link,
                    mtu,
                    kept: None,
                },
                namespace,
            ))),
            Err(error) => {
                self.host_ports.release(&held);
                self.addresses.release(address);
                Err(error.to_string().into())
            }
        }
    }

    fn connect(
        &mut self,
        request: &AttachRequest,
        bridge: Bridge,
        mtu: u32,
        address: Ipv4Addr,
        published: &[Published],
    ) -> Result<(OwnedFd, String), Box<dyn std::error::Error>> {
        let mut namespace = self.namespaces.take()?;
        let name = format!("{LINK_PREFIX}{:x}", self.next_link);
        self.next_link = self.next_link.wrapping_add(1);
        let alias = alias(request);
        // From here on the link may exist, so the address is busy until the kernel says that it is gone.
        self.addresses.attached(address, &name);
        let wiring = Wiring {
            name: &name,
            alias: &alias,
            bridge: bridge.index,
            mtu,
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
            firewall::exchange(&[], published).commit(&mut self.netfilter)?;
            self.forget_flows(published);
        }
        Ok((namespace.descriptor, name))
    }

    /// Flows of UDP ports would go on to wherever they were translated to before.
    fn forget_flows(&mut self, published: &[Published]) {
        let udp = |published: &&Published| published.host.transport == Transport::Udp;
        let ports: BTreeSet<_> = published.iter().filter(udp).map(|p| p.host.port).collect();
        if ports.is_empty() {
            return;
        }
        self.forget_udp(Flows::ToPorts(&ports));
    }

    fn forget_udp(&mut self, flows: Flows<'_>) {
        if let Err(error) = conntrack::forget_udp(&mut self.netfilter, flows) {
            log::warn!("{error}; UDP flows that go on may be lost for up to three minutes");
        }
    }

    pub(crate) fn detach(&mut self, unit: &UnitName, run: u64) {
        let Some(attachment) = self.runs.remove(&(unit.clone(), run)) else {
            return;
        };
        if !attachment.published.is_empty() {
            let withdrawn = firewall::exchange(&attachment.published, &[]);
            if let Err(error) = withdrawn.commit(&mut self.netfilter) {
                log::warn!("{error}; making the firewall anew");
                self.rebuild_firewall();
            }
        }
        self.host_ports.release(&attachment.held);
        if let Some(address) = attachment.address {
            self.addresses.release(address);
            // Its flows have stayed with it, but its ports lead to another run.
            let udp = |wanted: &Wanted| wanted.transport == Transport::Udp;
            if attachment.beside && attachment.wanted.iter().any(udp) {
                self.forget_udp(Flows::AnsweredFrom(address));
            }
        }
    }

    /// What a run that is attached is told.
    pub(crate) fn reply(&self, request: &AttachRequest, resolution: &Resolution) -> NetReply {
        let AttachRequest { unit, run, .. } = request;
        let attachment = self.runs.get(&(unit.clone(), *run));
        let address = attachment.and_then(|attachment| attachment.address);
        let gateway = self.addresses.subnet().gateway();
        // Where the container is the machine, or alone: its own name is on loopback, as Debian has it.
        let known_as = address.unwrap_or(Ipv4Addr::new(127, 0, 1, 1));
        NetReply::Attached {
            unit: unit.clone(),
            run: *run,
            address,
            hosts: files::hosts(&request.hostname, known_as, gateway, &request.extra_hosts),
            resolv_conf: files::resolv_conf(resolution),
            ports: attachment.map_or_else(Vec::new, |run| ports::shown(&run.published)),
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

    /// The machine can't be on this network as long as containers are.
    pub(crate) fn overlap(&self, network: Subnet) -> bool {
        let bridge = self.bridge.as_ref();
        bridge.is_ok_and(|bridge| bridge.subnet.overlaps(network))
    }

    /// The machine's link has an address: containers' network must not overlap its network.
    pub(crate) fn machine_is_on(&mut self, network: Subnet) {
        if !self.overlap(network) {
            return;
        }
        let Ok(bridge) = &mut self.bridge else { return };
        if !(self.found.is_none() && self.addresses.is_idle()) {
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
        self.rebuild_firewall();
    }

    pub(crate) fn addresses(&mut self) -> &mut AddressPool {
        &mut self.addresses
    }

    pub(crate) fn host_ports(&mut self) -> &mut HostPorts {
        &mut self.host_ports
    }

    /// There is something that can be done while nobody waits.
    pub(crate) fn has_quiet_work(&self) -> bool {
        self.host_ports.have_changed() || self.lacks_namespaces()
    }

    fn lacks_namespaces(&self) -> bool {
        self.bridge.is_ok() && !self.namespaces.is_stocked()
    }

    pub(crate) fn use_quiet_moment(&mut self) -> Result<(), NamespaceError> {
        if self.lacks_namespaces() {
            self.namespaces.stock()?;
        }
        Ok(())
    }
}

/// Those of `these` that are not among `those`.
fn missing(these: &[Published], those: &[Published]) -> Vec<Published> {
    let missing = these.iter().filter(|one| !those.contains(one));
    missing.copied().collect()
}

/// Of a run's link.
fn alias(request: &AttachRequest) -> String {
    format!("{} run {}", request.unit, request.run)
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
