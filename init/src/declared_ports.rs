//! Host ports that units publish, running or not: netd has the kernel give none of them to a connection of the machine's
//! own.

use crate::limits;
use crate::machine::Machine;
use control::net::NetRequest;
use unit::Unit;

/// As few ranges, with both their ends, as there can be; ports that are chosen at the start are in none.
pub(crate) fn ranges(units: &[Unit]) -> Vec<(u16, u16)> {
    let ports = units.iter().filter_map(Unit::container);
    let declared = ports
        .flat_map(|container| &container.ports)
        .filter_map(|port| {
            let first = port.host_port?;
            Some((first, first.saturating_add(port.count.saturating_sub(1))))
        });
    let mut declared: Vec<(u16, u16)> = declared.collect();
    declared.sort_unstable();
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for (first, last) in declared {
        match ranges.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => ranges.push((first, last)),
        }
    }
    ranges
}

impl Machine {
    /// The word of it to netd, of the set as it was applied last.
    pub(crate) fn declared_ports(&self) -> NetRequest {
        let mut ports = ranges(self.units.set().units());
        if ports.len() > limits::DECLARED_RANGES_MAX {
            log::warn!(
                "units publish ports in {} ranges; the first {} are kept from connections of the machine's own",
                ports.len(),
                limits::DECLARED_RANGES_MAX
            );
            ports.truncate(limits::DECLARED_RANGES_MAX);
        }
        NetRequest::Reserve { ports }
    }

    /// netd hears of the ports before it hears of a run that wants one.
    pub(crate) fn reserve_declared_ports(&mut self) {
        let word = self.declared_ports();
        self.tell_netd(&word, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unit::{Source, load_sources};

    #[test]
    fn ports_of_all_units_are_one_list_without_those_chosen_at_the_start() {
        let unit = |name: &str, ports: &[&str]| Source {
            file: format!("{name}.container.toml"),
            text: ports.iter().fold(
                "[container]\nimage = \"redis\"\n".to_owned(),
                |text, port| format!("{text}[[ports]]\npublish = \"{port}\"\n"),
            ),
        };
        let loaded = load_sources(vec![
            unit("a", &["40002:80", "40000-40001:90-91", "6379"]),
            unit("b", &["127.0.0.1:8080:80", "127.0.0.2:8080:80"]),
            unit("c", &["50000-50009:6379", "65535:1"]),
        ]);
        assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
        assert_eq!(
            ranges(loaded.set.units()),
            [(8080, 8080), (40000, 40002), (50000, 50000), (65535, 65535)],
        );
    }
}
