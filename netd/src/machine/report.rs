//! What PID 1 is told of the machine's link: that it is ready, or what is wrong with it.

use super::{Action, LEASE_WAIT_MS, LINK_WAIT_MS, Machine};
use crate::netlink::route::Link;
use crate::plan::command_line::Wish;
use control::net::NetReply;

impl Machine {
    /// PID 1 has heard how it stands, for the first time: nobody need wait any longer.
    pub(crate) fn is_settled(&self) -> bool {
        self.told.is_some()
    }

    pub(super) fn ready(&self) -> Option<NetReply> {
        let chosen = self.chosen.as_ref()?;
        let config = chosen.config.as_ref()?;
        Some(NetReply::Ready {
            link: self.links.get(&chosen.link)?.name.clone(),
            address: format!("{}/{}", config.address, config.prefix),
            gateway: config
                .routes
                .iter()
                .find(|route| route.prefix == 0)
                .and_then(|r| r.gateway),
            how: if chosen.client.is_some() {
                "dhcp"
            } else {
                "static"
            }
            .to_owned(),
        })
    }

    pub(super) fn tell_ready(&mut self, actions: &mut Vec<Action>) {
        if let Some(reply) = self.ready()
            && self.told.as_ref() != Some(&reply)
        {
            self.told = Some(reply.clone());
            actions.push(Action::Tell(reply));
        }
    }

    /// When trouble is told that has been there from the beginning.
    pub(super) fn report_at_ms(&self) -> Option<u64> {
        let patience_ms = match (
            &self.outset.wish,
            self.links.values().any(|link| self.is_candidate(link)),
        ) {
            (Wish::Off, _) => 0,
            (_, false) => LINK_WAIT_MS,
            (_, true) => LEASE_WAIT_MS,
        };
        Some(self.begun_ms?.saturating_add(patience_ms))
    }

    pub(super) fn tell_if_degraded(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let works = self
            .chosen
            .as_ref()
            .is_some_and(|chosen| chosen.carrier && chosen.config.is_some());
        let due = self.report_at_ms().is_some_and(|at| at <= now_ms);
        let patient = self.told.is_none() && !due;
        let refused = self.retry_at_ms.is_some();
        if works || patient || refused {
            return;
        }
        let reply = NetReply::Degraded {
            message: self.trouble(),
        };
        if self.told.as_ref() != Some(&reply) {
            self.told = Some(reply.clone());
            actions.push(Action::Tell(reply));
        }
    }

    fn trouble(&self) -> String {
        let names = |links: Vec<&Link>| {
            let names: Vec<_> = links.into_iter().map(|link| link.name.as_str()).collect();
            names.join(", ")
        };
        let candidates: Vec<_> = self
            .links
            .values()
            .filter(|link| self.is_candidate(link))
            .collect();
        match (&self.outset.wish, &self.chosen) {
            (Wish::Off, _) => {
                "ip=off on the kernel command line: the machine's links are left alone".into()
            }
            (_, Some(chosen)) if chosen.carrier => {
                let name = self
                    .links
                    .get(&chosen.link)
                    .map_or("", |link| link.name.as_str());
                format!(
                    "no answer from a DHCP server on link {name}; still asking (or set ip= on the kernel command line)"
                )
            }
            (
                Wish::Dhcp { device: Some(name) }
                | Wish::Static {
                    device: Some(name), ..
                },
                _,
            ) if candidates.is_empty() => {
                format!(
                    "no link named {name}, which ip= on the kernel command line asks for; there are {}",
                    names(self.links.values().filter(|link| !link.loopback).collect())
                )
            }
            _ if candidates.is_empty() => {
                "no Ethernet link found: no network card, or no driver for it".into()
            }
            _ => format!(
                "no carrier on {}: is the cable plugged in?",
                names(candidates)
            ),
        }
    }
}
