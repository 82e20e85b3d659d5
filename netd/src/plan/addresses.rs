//! Which unit has which address.
//!
//! ```text
//! free ──take──▶ in use (run, link) ──release──▶ leaving ──link_gone──▶ free, but kept for the unit
//! ```
//!
//! A run beside another one of its unit has an address that no unit keeps, until the unit is given that one.
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
    /// The entries, by their unit and by their address.
    by_unit: BTreeMap<UnitName, Ipv4Addr>,
    given: BTreeSet<Ipv4Addr>,
    /// Every address below is given or busy.
    lowest: Ipv4Addr,
    /// On a link that the kernel has not removed yet, by the link's name on the machine's side.
    busy: BTreeMap<Ipv4Addr, String>,
    /// The same, by the link.
    by_link: BTreeMap<String, Ipv4Addr>,
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
            by_unit: entries
                .iter()
                .map(|entry| (entry.unit.clone(), entry.address))
                .collect(),
            given: entries.iter().map(|entry| entry.address).collect(),
            lowest: subnet.network,
            entries,
            busy: BTreeMap::new(),
            by_link: BTreeMap::new(),
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
        if let Some(address) = self.by_unit.get(unit).copied() {
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

    /// The unit's own address is on a link that is about to go.
    pub(crate) fn is_leaving(&self, unit: &UnitName) -> bool {
        let address = self.by_unit.get(unit);
        address.is_some_and(|address| self.leaving.contains(address))
    }

    /// As [`Self::take`], after the wait for a leaving link was in vain: another one, which the unit keeps.
    pub(crate) fn give_other(&mut self, unit: &UnitName) -> Taken {
        self.forget(|entry| entry.unit == *unit);
        self.changed = true;
        self.give(unit)
    }

    /// An address for a run beside another one of its unit: no unit keeps it. [`Self::attached`] makes it busy.
    pub(crate) fn take_beside(&mut self) -> Taken {
        self.unused().map_or(Taken::Exhausted, Taken::Address)
    }

    /// The unit's address is this one from now on.
    pub(crate) fn keep(&mut self, unit: &UnitName, address: Ipv4Addr) {
        if !usable(self.subnet, address) || self.by_unit.get(unit) == Some(&address) {
            return;
        }
        if self.by_unit.contains_key(unit) || self.given.contains(&address) {
            self.forget(|entry| entry.unit == *unit || entry.address == address);
        }
        self.by_unit.insert(unit.clone(), address);
        self.given.insert(address);
        self.entries.push(AddressEntry {
            unit: unit.clone(),
            address,
        });
        self.changed = true;
    }

    fn forget(&mut self, is_it: impl Fn(&AddressEntry) -> bool) {
        for entry in self.entries.extract_if(.., |entry| is_it(entry)) {
            self.by_unit.remove(&entry.unit);
            self.given.remove(&entry.address);
            self.lowest = self.lowest.min(entry.address);
        }
    }

    fn give(&mut self, unit: &UnitName) -> Taken {
        let Some(address) = self.unused() else {
            return Taken::Exhausted;
        };
        self.keep(unit, address);
        Taken::Address(address)
    }

    /// One that nobody has or keeps, or else the one that is kept the longest for a unit that is not running.
    fn unused(&mut self) -> Option<Ipv4Addr> {
        let (given, busy, lowest) = (&self.given, &self.busy, self.lowest);
        let unused = |address: &Ipv4Addr| !given.contains(address) && !busy.contains_key(address);
        let mut hosts = self.subnet.hosts().skip_while(|it| *it < lowest);
        if let Some(address) = hosts.find(unused) {
            self.lowest = address;
            return Some(address);
        }
        let mut entries = self.entries.iter();
        let oldest = entries.find(|entry| !busy.contains_key(&entry.address))?;
        let address = oldest.address;
        self.changed = true;
        self.forget(|entry| entry.address == address);
        Some(address)
    }

    /// The address is on a link now.
    pub(crate) fn attached(&mut self, address: Ipv4Addr, link: &str) {
        if let Some(former) = self.busy.insert(address, link.to_owned()) {
            self.by_link.remove(&former);
        }
        self.by_link.insert(link.to_owned(), address);
        self.leaving.remove(&address);
    }

    /// The run has ended; its link goes as soon as the kernel gets to it.
    pub(crate) fn release(&mut self, address: Ipv4Addr) {
        if self.busy.contains_key(&address) {
            self.leaving.insert(address);
        }
    }

    /// The kernel has removed a link. True when its address became free by that.
    pub(crate) fn link_gone(&mut self, link: &str) -> bool {
        let Some(address) = self.by_link.remove(link) else {
            return false;
        };
        self.busy.remove(&address);
        self.lowest = self.lowest.min(address);
        self.leaving.remove(&address)
    }

    /// The links are exactly these (notices about them were lost).
    pub(crate) fn keep_links(&mut self, present: &BTreeSet<String>) {
        let gone: Vec<String> = self
            .by_link
            .keys()
            .filter(|link| !present.contains(*link))
            .cloned()
            .collect();
        for link in gone {
            self.link_gone(&link);
        }
    }

    /// An address is on this link.
    pub(crate) fn has_link(&self, link: &str) -> bool {
        self.by_link.contains_key(link)
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
    fn the_address_of_a_run_beside_another_becomes_the_units_only_when_it_is_told() {
        let mut pool = small_pool();
        take(&mut pool, "a");
        let beside = Ipv4Addr::new(10, 0, 0, 3);
        assert_eq!(pool.take_beside(), Taken::Address(beside));
        pool.attached(beside, "a2");
        assert_eq!(take(&mut pool, "b"), 4);
        assert_eq!(pool.changed_file().unwrap().addresses.len(), 2);
        pool.keep(&name("a"), beside);
        pool.release(Ipv4Addr::new(10, 0, 0, 2));
        assert!(pool.link_gone("a"));
        pool.release(beside);
        assert!(pool.link_gone("a2"));
        assert_eq!(take(&mut pool, "a"), 3, "the new one");
        assert_eq!(take(&mut pool, "c"), 2, "nobody keeps the former one");
    }

    #[test]
    fn an_address_that_became_free_below_others_is_given_again() {
        let mut pool = small_pool();
        let beside = Ipv4Addr::new(10, 0, 0, 2);
        assert_eq!(pool.take_beside(), Taken::Address(beside));
        pool.attached(beside, "a2");
        assert_eq!(take(&mut pool, "b"), 3);
        pool.link_gone("a2");
        assert_eq!((take(&mut pool, "c"), take(&mut pool, "d")), (2, 4));
        pool.release(Ipv4Addr::new(10, 0, 0, 3));
        assert!(pool.is_leaving(&name("b")) && !pool.is_leaving(&name("c")));
        pool.keep_links(&["c".to_owned(), "d".to_owned()].into());
        assert!(!pool.is_leaving(&name("b")));
        assert_eq!(take(&mut pool, "b"), 3);
    }

    #[test]
    fn an_address_beside_comes_from_a_unit_that_does_not_run_when_there_is_no_other() {
        let mut pool = small_pool();
        for unit in ["a", "b", "c", "d", "e"] {
            take(&mut pool, unit);
        }
        assert_eq!(pool.take_beside(), Taken::Exhausted);
        pool.release(Ipv4Addr::new(10, 0, 0, 4));
        assert!(pool.link_gone("c"));
        let freed = Ipv4Addr::new(10, 0, 0, 4);
        assert_eq!(pool.take_beside(), Taken::Address(freed));
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
        pool.attached(Ipv4Addr::new(10, 0, 0, 5), "kv1");
        pool.keep(&name("a"), Ipv4Addr::new(10, 0, 0, 5));
        assert_eq!(take(&mut pool, "b"), 2);
        pool.release(Ipv4Addr::new(10, 0, 0, 5));
        pool.keep_links(&BTreeSet::new());
        assert_eq!(take(&mut pool, "a"), 5);
    }
}
