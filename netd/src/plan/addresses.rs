//! Which unit has which address.
//!
//! ```text
//! free ──take──▶ in use (run, link) ──release──▶ leaving ──link_gone──▶ free, but kept for the unit
//! ```
//!
//! Invariants: a unit keeps its address over restarts and reboots; an address is in use by one link at most, and is
//! given again only when the kernel has removed that link; the address of the unit that was first given one and is
//! not running is taken back when there is no other.

use super::subnet::Subnet;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use unit::UnitName;

/// `addresses.json`. Entries are in the order in which they were first given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddressFile {
    pub(crate) version: u32,
    pub(crate) addresses: Vec<AddressEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddressEntry {
    pub(crate) unit: UnitName,
    pub(crate) address: Ipv4Addr,
}

/// Version of `addresses.json` that is written; a newer one is not read.
pub(crate) const FILE_VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// For this run.
    Address(Ipv4Addr),
    /// The unit's own is still on the link of its former run: wait until that is gone.
    Leaving(Ipv4Addr),
    Exhausted,
}

#[derive(Debug)]
pub(crate) struct AddressPool {
    subnet: Subnet,
    entries: Vec<AddressEntry>,
    /// On a link that the kernel has not removed yet, by the link's name on the machine's side.
    busy: BTreeMap<Ipv4Addr, String>,
    /// Of those, the ones whose run has ended.
    leaving: BTreeSet<Ipv4Addr>,
    changed: bool,
}

impl AddressPool {
    /// Entries outside of the subnet are dropped: the containers' network has moved.
    pub(crate) fn new(subnet: Subnet, file: AddressFile) -> Self {
        let mut seen = BTreeSet::new();
        let mut units = BTreeSet::new();
        let mut entries = file.addresses;
        entries.retain(|entry| {
            usable(subnet, entry.address)
                && seen.insert(entry.address)
                && units.insert(entry.unit.clone())
        });
        Self {
            subnet,
            entries,
            busy: BTreeMap::new(),
            leaving: BTreeSet::new(),
            changed: false,
        }
    }

    pub(crate) fn subnet(&self) -> Subnet {
        self.subnet
    }

    /// No run has an address. (Links of former runs may be there still.)
    pub(crate) fn is_idle(&self) -> bool {
        let mut busy = self.busy.keys();
        busy.all(|address| self.leaving.contains(address))
    }

    /// Find the unit's address, or give it one. [`Self::attached`] makes it busy.
    pub(crate) fn take(&mut self, unit: &UnitName) -> Taken {
        if let Some(entry) = self.entries.iter().find(|entry| entry.unit == *unit) {
            let address = entry.address;
            return match (
                self.busy.contains_key(&address),
                self.leaving.contains(&address),
            ) {
                (false, _) => Taken::Address(address),
                (true, true) => Taken::Leaving(address),
                // Two runs of one unit at once never happen; an address of its own keeps them apart even so.
                (true, false) => self.give_other(unit),
            };
        }
        self.give(unit)
    }

    /// As [`Self::take`], after the wait for a leaving link was in vain: another one, which the unit keeps.
    pub(crate) fn give_other(&mut self, unit: &UnitName) -> Taken {
        self.entries.retain(|entry| entry.unit != *unit);
        self.changed = true;
        self.give(unit)
    }

    fn give(&mut self, unit: &UnitName) -> Taken {
        let given: BTreeSet<_> = self.entries.iter().map(|entry| entry.address).collect();
        let busy = &self.busy;
        let unused = |address: &Ipv4Addr| !given.contains(address) && !busy.contains_key(address);
        let address = self.subnet.hosts().find(unused).or_else(|| {
            let oldest = self
                .entries
                .iter()
                .position(|entry| !busy.contains_key(&entry.address))?;
            Some(self.entries.remove(oldest).address)
        });
        let Some(address) = address else {
            return Taken::Exhausted;
        };
        self.entries.push(AddressEntry {
            unit: unit.clone(),
            address,
        });
        self.changed = true;
        Taken::Address(address)
    }

    /// The address is on a link now.
    pub(crate) fn attached(&mut self, address: Ipv4Addr, link: &str) {
        self.busy.insert(address, link.to_owned());
        self.leaving.remove(&address);
    }

    /// A unit that was found running with this address (after a restart of this program).
    pub(crate) fn found(&mut self, unit: &UnitName, address: Ipv4Addr, link: &str) {
        let known = |entry: &AddressEntry| entry.unit == *unit && entry.address == address;
        if usable(self.subnet, address) && !self.entries.iter().any(known) {
            self.entries
                .retain(|entry| entry.unit != *unit && entry.address != address);
            self.entries.push(AddressEntry {
                unit: unit.clone(),
                address,
            });
            self.changed = true;
        }
        self.attached(address, link);
    }

    /// The run has ended; its link goes as soon as the kernel gets to it.
    pub(crate) fn release(&mut self, address: Ipv4Addr) {
        if self.busy.contains_key(&address) {
            self.leaving.insert(address);
        }
    }

    /// The kernel has removed a link. True when its address became free by that.
    pub(crate) fn link_gone(&mut self, link: &str) -> bool {
        let Some(address) = self
            .busy
            .iter()
            .find(|(_, name)| *name == link)
            .map(|(a, _)| *a)
        else {
            return false;
        };
        self.busy.remove(&address);
        self.leaving.remove(&address)
    }

    /// The links are exactly these (notices about them were lost).
    pub(crate) fn keep_links(&mut self, present: &BTreeSet<String>) {
        self.busy.retain(|_, link| present.contains(link));
        self.leaving
            .retain(|address| self.busy.contains_key(address));
    }

    /// An address is on this link.
    pub(crate) fn has_link(&self, link: &str) -> bool {
        self.busy.values().any(|busy| busy == link)
    }

    /// What to write, once after each change.
    pub(crate) fn changed_file(&mut self) -> Option<AddressFile> {
        std::mem::take(&mut self.changed).then(|| AddressFile {
            version: FILE_VERSION,
            addresses: self.entries.clone(),
        })
    }

    /// Writing it has failed.
    pub(crate) fn write_again(&mut self) {
        self.changed = true;
    }

    pub(crate) fn has_changed(&self) -> bool {
        self.changed
    }
}

fn usable(subnet: Subnet, address: Ipv4Addr) -> bool {
    let last = subnet.network.to_bits() | !subnet.mask().to_bits();
    subnet.contains(address)
        && address != subnet.network
        && address != subnet.gateway()
        && address.to_bits() != last
}

/// A container's hardware address follows from its address, so that neighbour entries for it stay true whoever has it
/// next. Locally administered (the second-lowest bit of the first byte).
pub(crate) fn mac_of(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> UnitName {
        UnitName::new(text).unwrap()
    }

    fn small_pool() -> AddressPool {
        // Hosts .2 to .6.
        AddressPool::new(
            Subnet::of(Ipv4Addr::new(10, 0, 0, 0), 29),
            AddressFile::default(),
        )
    }

    fn take(pool: &mut AddressPool, unit: &str) -> u8 {
        match pool.take(&name(unit)) {
            Taken::Address(address) => {
                pool.attached(address, unit);
                address.octets()[3]
            }
            other => panic!("{unit}: {other:?}"),
        }
    }

    #[test]
    fn a_unit_keeps_its_address_over_restarts_and_reboots() {
        let mut pool = small_pool();
        assert_eq!((take(&mut pool, "a"), take(&mut pool, "b")), (2, 3));
        pool.release(Ipv4Addr::new(10, 0, 0, 2));
        assert!(pool.link_gone("a"));
        assert_eq!(take(&mut pool, "a"), 2);
        let file = pool.changed_file().unwrap();
        assert_eq!(pool.changed_file(), None, "written once");
        let mut after_reboot = AddressPool::new(pool.subnet(), file);
        assert_eq!(
            (take(&mut after_reboot, "c"), take(&mut after_reboot, "b")),
            (4, 3)
        );
    }

    #[test]
    fn an_address_is_not_given_again_before_its_link_is_gone() {
        let mut pool = small_pool();
        take(&mut pool, "a");
        let address = Ipv4Addr::new(10, 0, 0, 2);
        pool.release(address);
        assert_eq!(pool.take(&name("a")), Taken::Leaving(address));
        assert!(!pool.link_gone("b"));
        assert!(pool.link_gone("a"));
        assert_eq!(pool.take(&name("a")), Taken::Address(address));
    }

    #[test]
    fn the_oldest_unused_address_is_given_back_when_there_is_no_other() {
        let mut pool = small_pool();
        for unit in ["a", "b", "c", "d", "e"] {
            take(&mut pool, unit);
        }
        assert_eq!(pool.take(&name("f")), Taken::Exhausted);
        for (unit, last) in [("c", 4), ("b", 3)] {
            pool.release(Ipv4Addr::new(10, 0, 0, last));
            assert!(pool.link_gone(unit));
        }
        assert_eq!(take(&mut pool, "f"), 3, "b was given its address before c");
    }

    #[test]
    fn a_unit_whose_old_link_never_goes_gets_another_address() {
        let mut pool = small_pool();
        take(&mut pool, "a");
        pool.release(Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(
            pool.give_other(&name("a")),
            Taken::Address(Ipv4Addr::new(10, 0, 0, 3))
        );
    }

    #[test]
    fn a_file_with_foreign_or_double_entries_is_cleaned() {
        let entry = |unit: &str, address: [u8; 4]| AddressEntry {
            unit: name(unit),
            address: address.into(),
        };
        let file = AddressFile {
            version: FILE_VERSION,
            addresses: vec![
                entry("gateway", [10, 0, 0, 1]),
                entry("broadcast", [10, 0, 0, 7]),
                entry("foreign", [192, 168, 0, 2]),
                entry("a", [10, 0, 0, 4]),
                entry("thief", [10, 0, 0, 4]),
            ],
        };
        let mut pool = AddressPool::new(small_pool().subnet(), file);
        assert_eq!((take(&mut pool, "thief"), take(&mut pool, "a")), (2, 4));
    }

    #[test]
    fn what_runs_is_right_and_the_file_follows() {
        let mut pool = small_pool();
        pool.found(&name("a"), Ipv4Addr::new(10, 0, 0, 5), "kv1");
        assert_eq!(take(&mut pool, "b"), 2);
        pool.release(Ipv4Addr::new(10, 0, 0, 5));
        pool.keep_links(&BTreeSet::new());
        assert_eq!(take(&mut pool, "a"), 5);
    }
}
