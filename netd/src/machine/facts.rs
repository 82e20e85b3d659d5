//! What containers take over from the machine's link, and what is worth remembering of it.

use super::{LinkConfig, Machine};
use crate::lease_file::RememberedLease;
use crate::netlink::route::{Link, LinkAddress};
use crate::plan::command_line::Wish;
use crate::plan::files::Resolution;
use crate::plan::subnet::Subnet;

/// Size of packets where no link is chosen yet (RFC 894).
const ETHERNET_MTU: u32 = 1500;

impl Machine {
    /// Networks that the machine is on, or most probably will be: containers must be on none of them.
    pub(crate) fn networks(&self) -> Vec<Subnet> {
        let physical = |found: &&LinkAddress| {
            let link = self.links.get(&found.link);
            link.is_some_and(|link| link.physical)
        };
        let found = self.outset.found.iter().filter(physical);
        let found = found.map(|found| Subnet::of(found.address, found.prefix));
        let wished = match &self.outset.wish {
            Wish::Static { config, .. } => Some(config.network()),
            Wish::Dhcp { .. } => self.remembered().map(RememberedLease::network),
            Wish::Off => None,
        };
        let has = self.config().map(LinkConfig::network);
        found.chain(wished).chain(has).collect()
    }

    /// What containers learn about name resolution.
    pub(crate) fn resolution(&self) -> Resolution {
        self.config()
            .map(|config| Resolution {
                resolvers: config.resolvers.clone(),
                domain: config.domain.clone(),
            })
            .unwrap_or_default()
    }

    fn config(&self) -> Option<&LinkConfig> {
        self.chosen.as_ref()?.config.as_ref()
    }

    /// Of the chosen link: packets of containers should not be larger.
    pub(crate) fn mtu(&self) -> u32 {
        self.mtu_of_chosen().unwrap_or(ETHERNET_MTU)
    }

    fn mtu_of_chosen(&self) -> Option<u32> {
        let chosen = self.chosen.as_ref()?;
        let link = self.links.get(&chosen.link)?;
        let asked = match (&chosen.config, &chosen.client) {
            (Some(config), _) => config.mtu,
            (None, Some(_)) => self.remembered_of(link).and_then(|lease| lease.mtu),
            (None, None) => None,
        };
        Some(asked.unwrap_or(link.mtu))
    }

    pub(super) fn remembered_of(&self, link: &Link) -> Option<&RememberedLease> {
        self.remembered().filter(|lease| lease.is_of(link.mac))
    }

    fn remembered(&self) -> Option<&RememberedLease> {
        self.kept.as_ref()?.remembered.as_ref()
    }

    /// The lease in force, when it is another than the one to be remembered up to now.
    pub(crate) fn lease_to_remember(&mut self) -> Option<RememberedLease> {
        let chosen = self.chosen.as_ref()?;
        chosen.client.as_ref()?;
        let link = self.links.get(&chosen.link)?;
        let lease = RememberedLease::new(link.mac, chosen.config.as_ref()?);
        if self.remembered() == Some(&lease) {
            return None;
        }
        self.kept.get_or_insert_default().remembered = Some(lease.clone());
        Some(lease)
    }
}
