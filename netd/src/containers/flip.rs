//! The published ports of a unit go over from one of its runs to another.
//!
//! ```text
//! old run   8080 ─┐                     kept      8080    the socket stays, the map element changes
//!           9000 ─┤  one transaction    gone      9000    element and socket go
//! new run         ├─▶ 8080              fresh     9001    held before, as at an attach
//!                 └─▶ 9001
//! ```
//!
//! A packet sees either all of the old elements or all of the new ones. Connections, and UDP flows, that were translated
//! before stay with the old run (conntrack) until they end or it does. What can fail is done before the transaction and
//! undone when that fails; done twice, it changes nothing.

use super::{Attachment, Containers, at, missing};
use crate::plan::firewall;
use crate::plan::ports::{self, HostPort, Published, Wanted};
use std::net::Ipv4Addr;
use unit::UnitName;

/// What is to change.
#[derive(Debug)]
struct Exchange {
    /// The run that has the ports now.
    former: u64,
    old: Vec<Published>,
    wanted: Vec<Wanted>,
    /// Host ports of what is wanted; None: to be held first.
    ports: Vec<Option<u16>>,
    gone: Vec<Published>,
}

impl Exchange {
    /// `wanted`: what the new run asks for.
    fn new(former: u64, old: &Attachment, wanted: Vec<Wanted>) -> Self {
        let mut gone = old.published.clone();
        let mut take = |wanted: &Wanted, same: &dyn Fn(&Published) -> bool| {
            let place = gone.iter().position(|old| {
                old.host.address == wanted.address
                    && old.host.transport == wanted.transport
                    && same(old)
            })?;
            Some(gone.remove(place).host.port)
        };
        let by_number = |wanted: &Wanted| {
            let port = wanted.host_port?;
            take(wanted, &|old| old.host.port == port)
        };
        let mut ports: Vec<_> = wanted.iter().map(by_number).collect();
        // Any port will do: the one that clients have found out already, if the container listens where it did.
        let was_free = |published: &Published| {
            let mut asked = old.wanted.iter();
            !asked.any(|asked| asked.host_port == Some(published.host.port))
        };
        for (wanted, port) in wanted.iter().zip(&mut ports) {
            let same =
                |old: &Published| old.container_port == wanted.container_port && was_free(old);
            if wanted.host_port.is_none() {
                *port = take(wanted, &same);
            }
        }
        Self {
            former,
            old: old.published.clone(),
            wanted,
            ports,
            gone,
        }
    }

    /// What is published in the end, when every port is known.
    fn published(&self, address: Ipv4Addr) -> Vec<Published> {
        let with_ports = self.wanted.iter().zip(&self.ports);
        with_ports
            .filter_map(|(wanted, port)| Some(at(wanted, (*port)?, address)))
            .collect()
    }
}

impl Containers {
    /// Lead the unit's ports to this run; how they are published then.
    ///
    /// # Errors
    /// In one readable line; everything is as it was.
    pub(crate) fn flip(&mut self, unit: &UnitName, run: u64) -> Result<Vec<String>, String> {
        self.forget_kept_of(unit);
        let Some(new) = self.runs.get(&(unit.clone(), run)) else {
            return Err(format!("run {run} of unit {unit} has no network"));
        };
        let (address, wanted) = (new.address, new.wanted.clone());
        let mut all = self.runs_of(unit);
        let exchange = match all.find(|(_, run)| !run.published.is_empty()) {
            Some((former, old)) => Exchange::new(former, old, wanted),
            None => Exchange::new(run, &Attachment::default(), wanted),
        };
        drop(all);
        // Without an address there are no ports either.
        let published = self.exchange(
            unit,
            run,
            exchange,
            address.unwrap_or(Ipv4Addr::UNSPECIFIED),
        )?;
        let first = (unit.clone(), 0);
        for ((_, other), attachment) in self.runs.range_mut(first..=(unit.clone(), u64::MAX)) {
            attachment.beside = *other != run;
            attachment.published = Vec::new();
            attachment.held = Vec::new();
            if *other == run {
                attachment.held = published.iter().map(|published| published.host).collect();
                attachment.published.clone_from(&published);
            }
        }
        if let Some(address) = address {
            self.addresses.keep(unit, address);
        }
        Ok(ports::shown(&published))
    }

    /// The sockets and the map; what is published then.
    fn exchange(
        &mut self,
        unit: &UnitName,
        run: u64,
        mut exchange: Exchange,
        address: Ipv4Addr,
    ) -> Result<Vec<Published>, String> {
        let gone: Vec<_> = exchange.gone.iter().map(|gone| gone.host).collect();
        // First, because a fresh one may be another form of one that goes: 127.0.0.1:8080 of 0.0.0.0:8080.
        self.host_ports.release(&gone);
        let done = self.hold_fresh(unit, run, &mut exchange).and_then(|fresh| {
            let published = exchange.published(address);
            match self.exchange_elements(unit, &exchange.old, &published) {
                Ok(()) => Ok((fresh, published)),
                Err(message) => {
                    self.host_ports.release(&fresh);
                    Err(message)
                }
            }
        });
        let (fresh, published) = done.inspect_err(|_| {
            self.host_ports.hold_again(unit, exchange.former, &gone);
        })?;
        let held: Vec<_> = published.iter().map(|published| published.host).collect();
        self.host_ports.hand_over(unit, run, &held);
        let is_fresh = |published: &&Published| fresh.contains(&published.host);
        let fresh: Vec<_> = published.iter().filter(is_fresh).copied().collect();
        self.forget_flows(&fresh);
        Ok(published)
    }

    /// Those that the unit has not had.
    fn hold_fresh(
        &mut self,
        unit: &UnitName,
        run: u64,
        exchange: &mut Exchange,
    ) -> Result<Vec<HostPort>, String> {
        let both = exchange.wanted.iter().zip(&mut exchange.ports);
        let (fresh, places): (Vec<_>, Vec<_>) = both
            .filter(|(_, port)| port.is_none())
            .map(|(wanted, port)| (*wanted, port))
            .unzip();
        let held = self.host_ports.hold(unit, run, &fresh)?;
        for (place, held) in places.into_iter().zip(&held) {
            *place = Some(held.port);
        }
        Ok(held)
    }

    fn exchange_elements(
        &mut self,
        unit: &UnitName,
        old: &[Published],
        new: &[Published],
    ) -> Result<(), String> {
        let (withdrawn, published) = (missing(old, new), missing(new, old));
        if withdrawn.is_empty() && published.is_empty() {
            return Ok(());
        }
        let changed = firewall::exchange(&withdrawn, &published).commit(&mut self.netfilter);
        let Err(error) = changed else { return Ok(()) };
        // Somebody else has changed the map: the whole table, then, which is one step as well.
        log::warn!("{error}; making the firewall anew");
        let runs = self.runs.iter().filter(|((name, _), _)| name != unit);
        let others = runs.flat_map(|(_, run)| run.published.clone());
        let all: Vec<_> = others.chain(new.iter().copied()).collect();
        self.make_firewall(&all).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ports::Transport;

    const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
    const OLD: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 2);

    fn wanted(address: Ipv4Addr, host_port: Option<u16>, container_port: u16) -> Wanted {
        Wanted {
            address,
            transport: Transport::Tcp,
            host_port,
            container_port,
        }
    }

    /// On every address; 40000 was found free.
    fn running(asked: &[(Option<u16>, u16)]) -> Attachment {
        let wanted: Vec<_> = asked
            .iter()
            .map(|(host, container)| wanted(ANY, *host, *container))
            .collect();
        let published = wanted
            .iter()
            .map(|wanted| at(wanted, wanted.host_port.unwrap_or(40_000), OLD));
        Attachment {
            published: published.collect(),
            wanted,
            ..Attachment::default()
        }
    }

    #[test]
    fn what_both_versions_publish_is_kept_and_the_rest_goes_or_is_held_first() {
        let old = running(&[(Some(8080), 80), (Some(9000), 90), (None, 70)]);
        let new = vec![
            wanted(ANY, Some(8080), 81),
            wanted(ANY, Some(9001), 90),
            wanted(ANY, None, 70),
            wanted(ANY, None, 71),
        ];
        let exchange = Exchange::new(1, &old, new);
        assert_eq!(exchange.ports, [Some(8080), None, Some(40_000), None]);
        assert_eq!(exchange.gone, [old.published[1]]);
    }

    #[test]
    fn a_port_on_one_address_is_not_that_on_all_of_them() {
        let old = running(&[(Some(8080), 80)]);
        let local = wanted(Ipv4Addr::LOCALHOST, Some(8080), 80);
        let exchange = Exchange::new(1, &old, vec![local]);
        assert_eq!((exchange.ports, exchange.gone.len()), (vec![None], 1));
    }

    #[test]
    fn a_free_port_is_not_one_that_was_asked_for_by_number() {
        let old = running(&[(Some(8080), 80)]);
        let new = vec![wanted(ANY, None, 80)];
        assert_eq!(Exchange::new(1, &old, new).ports, [None]);
    }
}
