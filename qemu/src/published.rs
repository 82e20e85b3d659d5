//! Which ports of the guest units publish: before the boot from their files, afterwards from what `ps` says.

use crate::Wanted;
use control::reply::UnitStatus;
use std::net::IpAddr;
use unit::{NetworkMode, Port, Protocol, UnitKind, UnitSet};

/// The published ports of a set of units, but for those that are chosen when the unit starts.
#[must_use]
pub fn published_by_units(set: &UnitSet) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for unit in set.units() {
        let UnitKind::Container(container) = &unit.kind else {
            continue;
        };
        if container.network.mode != NetworkMode::Bridge {
            continue;
        }
        for port in container.ports.iter().filter(|port| is_reachable(port)) {
            let first = port
                .host_port
                .into_iter()
                .flat_map(|first| first..=first.saturating_add(port.count.saturating_sub(1)));
            wanted.extend(first.map(|host| of_unit(unit.name.as_str(), port.protocol, host)));
        }
    }
    wanted
}

/// The published ports of running units.
#[must_use]
pub fn published_by_ps(units: &[UnitStatus]) -> Vec<Wanted> {
    let ports = |status: &UnitStatus| {
        let name = status.name.clone();
        let each = status
            .ports
            .iter()
            .filter_map(|text| parse(text))
            .collect::<Vec<_>>();
        each.into_iter().flat_map(move |(protocol, hosts)| {
            let name = name.clone();
            hosts.map(move |host| of_unit(&name, protocol, host))
        })
    };
    units.iter().flat_map(ports).collect()
}

fn of_unit(unit: &str, protocol: Protocol, port: u16) -> Wanted {
    Wanted {
        protocol,
        guest: port,
        host: Some(port),
        unit: Some(unit.to_owned()),
    }
}

/// What is published on the guest's loopback is for the guest alone.
fn is_reachable(port: &Port) -> bool {
    port.host_ip.is_none_or(|address| !address.is_loopback())
}

/// `0.0.0.0:7001->6379/tcp`, `[::]:7001-7003->6379-6381/udp`.
fn parse(text: &str) -> Option<(Protocol, std::ops::RangeInclusive<u16>)> {
    let (host, container) = text.split_once("->")?;
    let (address, ports) = host.rsplit_once(':')?;
    let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
    let protocol = match container.rsplit_once('/')?.1 {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let range = first.parse().ok()?..=last.parse().ok()?;
    (!address.is_loopback()).then_some((protocol, range))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(texts: &[&str]) -> Vec<(Protocol, u16)> {
        let status = UnitStatus {
            name: "web".to_owned(),
            ports: texts.iter().map(|text| (*text).to_owned()).collect(),
            ..UnitStatus::default()
        };
        published_by_ps(&[status])
            .into_iter()
            .map(|wanted| (wanted.protocol, wanted.guest))
            .collect()
    }

    #[test]
    fn ports_of_ps_are_read_in_all_their_forms() {
        assert_eq!(ports(&["0.0.0.0:7001->6379/tcp"]), [(Protocol::Tcp, 7001)]);
        assert_eq!(ports(&["[::]:53->53/udp"]), [(Protocol::Udp, 53)]);
        assert_eq!(ports(&["10.0.2.15:80-82->8080-8082/tcp"]).len(), 3);
        assert_eq!(ports(&["127.0.0.1:80->80/tcp", "nonsense", "6379/tcp"]), []);
    }

    #[test]
    fn ports_of_files_are_known_before_the_boot() {
        let text = "[container]\nimage = \"redis:7\"\n[[ports]]\npublish = \"7001:6379\"\n\
            [[ports]]\npublish = \"127.0.0.1:9000:9000\"\n[[ports]]\npublish = \"80\"\n";
        let source = unit::Source {
            file: "redis.container.toml".to_owned(),
            text: text.to_owned(),
        };
        let loaded = unit::load_sources(vec![source]);
        let wanted = published_by_units(&loaded.set);
        assert_eq!(
            wanted.iter().map(|wanted| wanted.guest).collect::<Vec<_>>(),
            [7001],
            "{:?}",
            loaded.diagnostics
        );
        assert_eq!(wanted[0].unit.as_deref(), Some("redis"));
    }
}
