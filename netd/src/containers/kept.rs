//! The network of a run that has ended is kept for the next one of its unit, when that comes by itself and soon.
//!
//! ```text
//! detach, keep ──▶ kept: namespace, link, address, ports ──▶ attach of the same unit, asking for the same ──▶ the next run has it
//!                     └── KEPT_MS are over · asked for otherwise · something is left in it · another run has the ports ──▶ gone
//! ```
//!
//! A start then makes no namespace and no link, and need not wait until the former run's address is free, which takes the
//! kernel some ten milliseconds. What the former run could leave behind in it are sockets that outlive their process
//! (TIME_WAIT and connections that are being closed: a port that is bound without `SO_REUSEADDR` is in use for them), so a
//! namespace with any is not kept. It can't have changed links, addresses, routes or rules: no container has `CAP_NET_ADMIN`
//! or a writable /proc/sys.

use super::{Attachment, Containers};
use crate::netlink::Batch;
use crate::netlink::route::{LinkChange, LinkKey, set_link};
use crate::plan::ports;
use control::net::AttachRequest;
use std::os::fd::{AsFd, OwnedFd};
use sys::clock::since_boot_ms;
use unit::{NetworkMode, UnitName};

/// So long a network waits for its unit's next run. Longer delays are those of units that fail again and again; a port must
/// not be held for them.
const KEPT_MS: u64 = 3_000;

/// Of an attachment that no run has.
#[derive(Debug)]
pub(super) struct Kept {
    namespace: OwnedFd,
    until_ms: u64,
}

impl Containers {
    /// The run has ended. Another one of its unit will follow by itself: `namespace` is what it may have then.
    pub(crate) fn detach_and_keep(&mut self, unit: &UnitName, run: u64, namespace: OwnedFd) {
        let clean = self.is_clean(&namespace);
        let attachment = self.runs.get_mut(&(unit.clone(), run));
        match attachment {
            Some(attachment) if clean && attachment.address.is_some() && !attachment.beside => {
                attachment.kept = Some(Kept {
                    namespace,
                    until_ms: since_boot_ms().saturating_add(KEPT_MS),
                });
            }
            Some(_) | None => self.detach(unit, run),
        }
    }

    /// What a former run of the unit has left for this one. None: to be made anew.
    pub(super) fn take_kept(&mut self, request: &AttachRequest, mtu: u32) -> Option<OwnedFd> {
        let of_unit = self.runs_of(&request.unit);
        let mut kept = of_unit.filter(|(_, attachment)| attachment.kept.is_some());
        let former = kept.next()?.0;
        drop(kept);
        let key = (request.unit.clone(), former);
        let attachment = self.runs.get(&key)?;
        let namespace = &attachment.kept.as_ref()?.namespace;
        let same = request.mode == NetworkMode::Bridge
            && !request.beside
            && !attachment.beside
            && attachment.mtu == mtu
            && ports::wanted(&request.ports).is_ok_and(|wanted| wanted == attachment.wanted);
        if !same || !self.is_clean(namespace) {
            return None;
        }
        let mut attachment = self.runs.remove(&key)?;
        let kept = attachment.kept.take()?;
        self.rename_link(request, &attachment);
        self.host_ports
            .hand_over(&request.unit, request.run, &attachment.held);
        self.runs
            .insert((request.unit.clone(), request.run), attachment);
        Some(kept.namespace)
    }

    /// Nothing of the former run is in it.
    fn is_clean(&self, namespace: &OwnedFd) -> bool {
        let empty = self.namespaces.has_no_sockets(namespace.as_fd());
        empty.unwrap_or_else(|error| {
            log::warn!("{error}; making the network of a run anew");
            false
        })
    }

    /// For people who look at the links.
    fn rename_link(&mut self, request: &AttachRequest, attachment: &Attachment) {
        let alias = super::alias(request);
        let mut batch = Batch::new();
        let named = LinkChange {
            alias: Some(&alias),
            ..LinkChange::default()
        };
        set_link(&mut batch, LinkKey::Name(&attachment.link), &named);
        if let Err(error) = self.route.run(&batch) {
            log::warn!("{}: {error}", attachment.link);
        }
    }

    /// When the next of them is given up.
    pub(crate) fn kept_until_ms(&self) -> Option<u64> {
        let kept = self.runs.values().filter_map(|run| run.kept.as_ref());
        kept.map(|kept| kept.until_ms).min()
    }

    /// Those that nobody has come for.
    pub(crate) fn give_up_kept(&mut self, now_ms: u64) {
        self.detach_kept(|_, attachment| {
            let kept = attachment.kept.as_ref();
            kept.is_some_and(|kept| kept.until_ms <= now_ms)
        });
    }

    /// Those of the unit, which goes on in another way; and those that hold a port that this run asks for.
    pub(super) fn make_way_for(&mut self, request: &AttachRequest) {
        let wanted = ports::wanted(&request.ports).unwrap_or_default();
        self.detach_kept(|unit, attachment| {
            let held = |port| attachment.held.iter().any(|held| held.port == port);
            let mut asked = wanted.iter().filter_map(|wanted| wanted.host_port);
            *unit == request.unit || asked.any(held)
        });
    }

    pub(super) fn forget_kept_of(&mut self, unit: &UnitName) {
        self.detach_kept(|name, _| name == unit);
    }

    fn detach_kept(&mut self, is_meant: impl Fn(&UnitName, &Attachment) -> bool) {
        let kept = self.runs.iter().filter(|(_, run)| run.kept.is_some());
        let meant: Vec<_> = kept
            .filter(|((unit, _), attachment)| is_meant(unit, attachment))
            .map(|(key, _)| key.clone())
            .collect();
        for (unit, run) in meant {
            self.detach(&unit, run);
        }
    }
}
