//! Which link is the machine's: the first candidate with a carrier, as long as it works.

use super::{Action, Chosen, LEASE_WAIT_MS, Machine};
use crate::dhcp::client::Client;
use crate::netlink::route::Link;
use crate::plan::command_line::Wish;

impl Machine {
    pub(super) fn is_candidate(&self, link: &Link) -> bool {
        match &self.outset.wish {
            Wish::Off => false,
            Wish::Dhcp { device: Some(name) }
            | Wish::Static {
                device: Some(name), ..
            } => link.name == *name,
            Wish::Dhcp { device: None } | Wish::Static { device: None, .. } => link.physical,
        }
    }

    /// The link in use stays in use while it works; otherwise the first candidate with a carrier takes its place.
    pub(super) fn choose(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        if self.kept.is_none() || self.retry_at_ms.is_some_and(|at| now_ms < at) {
            return;
        }
        self.retry_at_ms = None;
        let next = match &self.chosen {
            Some(chosen) if chosen.carrier => self
                .next_in_turn()
                .filter(|_| now_ms >= self.turn_ends_ms()),
            _ => self.with_carrier().next(),
        };
        let Some(next) = next else { return };
        if let Some(Chosen {
            link,
            config: Some(config),
            ..
        }) = self.chosen.take()
        {
            actions.push(Action::Deconfigure { link, config });
        }
        let Some(client) = self.client_of(next, now_ms) else {
            return;
        };
        self.chosen = Some(Chosen {
            link: next,
            since_ms: now_ms,
            carrier: true,
            client,
            config: None,
        });
        if let Wish::Static { config, .. } = &self.outset.wish {
            self.configure((**config).clone(), actions);
        }
        self.with_client(actions, |client, outputs| client.tick(now_ms, outputs));
    }

    /// None without such a link; else the DHCP client that it needs, if it needs one.
    fn client_of(&self, link: u32, now_ms: u64) -> Option<Option<Client>> {
        let link = self.links.get(&link)?;
        Some(match &self.outset.wish {
            Wish::Dhcp { .. } => {
                let on_link = self.outset.found.iter();
                let wanted = on_link
                    .filter(|found| found.link == link.index)
                    .map(|found| found.address)
                    .next()
                    .or_else(|| Some(self.remembered_of(link)?.address));
                let hostname = self.kept.as_ref().and_then(|kept| kept.hostname.clone());
                let seed = self.outset.seed ^ now_ms;
                Some(Client::new(now_ms, link.mac, hostname, wanted, seed))
            }
            Wish::Static { .. } | Wish::Off => None,
        })
    }

    fn with_carrier(&self) -> impl Iterator<Item = u32> {
        self.links
            .values()
            .filter(|link| link.carrier && self.is_candidate(link))
            .map(|link| link.index)
    }

    /// The candidate after the chosen one, as long as that has no lease.
    pub(super) fn next_in_turn(&self) -> Option<u32> {
        let chosen = self
            .chosen
            .as_ref()
            .filter(|chosen| chosen.config.is_none())?;
        let after = self.with_carrier().find(|link| *link > chosen.link);
        after
            .or_else(|| self.with_carrier().next())
            .filter(|link| *link != chosen.link)
    }

    pub(super) fn turn_ends_ms(&self) -> u64 {
        self.chosen
            .as_ref()
            .map_or(0, |chosen| chosen.since_ms + LEASE_WAIT_MS)
    }
}
