//! Host ports over all units: each belongs to one of them.

use crate::draft::Draft;
use crate::{Diagnostic, Port, Protocol, UnitKind, UnitName};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A stretch of host ports, and who has it.
struct Claim {
    owner: UnitName,
    source: String,
    host_ip: Option<IpAddr>,
    protocol: Protocol,
    first: u16,
    last: u16,
}

impl Claim {
    /// `None` for a port that is chosen when the unit starts: it never collides.
    fn of(draft: &Draft, port: &Port) -> Option<Self> {
        let first = port.host_port?;
        Some(Self {
            owner: draft.name().clone(),
            source: draft.unit.source.clone(),
            host_ip: port.host_ip,
            protocol: port.protocol,
            first,
            last: first.saturating_add(port.count.saturating_sub(1)),
        })
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && self.first <= other.last
            && other.first <= self.last
            && addresses_overlap(self.host_ip, other.host_ip)
    }
}

/// No address is every address; an unspecified one is every address of its family.
pub(crate) fn addresses_overlap(a: Option<IpAddr>, b: Option<IpAddr>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => {
            a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()))
        }
        (None, _) | (_, None) => true,
    }
}

/// By first port, so that a new claim is compared with few. The width of the widest bounds the search.
#[derive(Default)]
struct Claims {
    by_first: BTreeMap<u16, Vec<Claim>>,
    widest: u16,
}

impl Claims {
    fn collision(&self, claim: &Claim) -> Option<&Claim> {
        let from = claim.first.saturating_sub(self.widest);
        self.by_first
            .range(from..=claim.last)
            .flat_map(|(_, claims)| claims)
            .find(|other| other.overlaps(claim))
    }

    fn add(&mut self, claim: Claim) {
        self.widest = self.widest.max(claim.last.saturating_sub(claim.first));
        self.by_first.entry(claim.first).or_default().push(claim);
    }
}

fn ports(draft: &Draft) -> &[Port] {
    draft
        .unit
        .container()
        .map_or(&[], |container| container.ports.as_slice())
}

/// Gives each `7001-7100:6379` the first port of its range that nobody has, units in name order. Where none is free
/// the first one stays, and [`conflicts`] says who has it.
pub(crate) fn choose(units: &mut [Option<Draft>]) {
    let mut claims = Claims::default();
    for draft in units.iter().flatten() {
        let fixed = ports(draft)
            .iter()
            .enumerate()
            .filter(|(position, _)| !draft.choices.contains_key(position));
        fixed
            .filter_map(|(_, port)| Claim::of(draft, port))
            .for_each(|claim| claims.add(claim));
    }
    for draft in units.iter_mut().flatten() {
        for (position, last) in draft.choices.clone() {
            let Some(port) = ports(draft).get(position) else {
                continue;
            };
            let range = port.host_port.unwrap_or(last)..=last;
            let free = range.filter_map(|host_port| {
                Claim::of(
                    draft,
                    &Port {
                        host_port: Some(host_port),
                        ..port.clone()
                    },
                )
            });
            let Some(claim) = free
                .into_iter()
                .find(|claim| claims.collision(claim).is_none())
            else {
                continue;
            };
            if let UnitKind::Container(container) = &mut draft.unit.kind
                && let Some(port) = container.ports.get_mut(position)
            {
                port.host_port = Some(claim.first);
            }
            claims.add(claim);
        }
    }
}

/// Units that publish a port which an earlier one in `drafts` has already; the message names both.
pub(crate) fn conflicts<'a>(
    drafts: impl Iterator<Item = &'a Draft>,
) -> BTreeMap<UnitName, Vec<Diagnostic>> {
    let mut claims = Claims::default();
    let mut errors: BTreeMap<UnitName, Vec<Diagnostic>> = BTreeMap::new();
    for draft in drafts {
        let mine: Vec<(usize, Claim)> = ports(draft)
            .iter()
            .enumerate()
            .filter_map(|(position, port)| Some((position, Claim::of(draft, port)?)))
            .collect();
        let clashes: Vec<Diagnostic> = mine
            .iter()
            .filter_map(|(position, claim)| {
                let other = claims.collision(claim)?;
                Some(clash(draft, *position, claim, other))
            })
            .collect();
        if clashes.is_empty() {
            mine.into_iter().for_each(|(_, claim)| claims.add(claim));
        } else {
            errors.insert(draft.name().clone(), clashes);
        }
    }
    errors
}

fn clash(draft: &Draft, position: usize, claim: &Claim, other: &Claim) -> Diagnostic {
    let port = claim.first.max(other.first);
    let protocol = match claim.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    let message = format!(
        "host port {port}/{protocol} is published by `{}` and by `{}`",
        other.owner, claim.owner
    );
    let error = draft.error(&format!("ports.{position}"), message);
    if draft.choices.contains_key(&position) {
        return error.hint("no port of the range is free: make it longer");
    }
    if claim.source == other.source {
        return error.hint("give each instance its own: `[replicas] port_offset = 1`");
    }
    error.hint(format!(
        "publish another host port here, or in {}",
        other.source
    ))
}
