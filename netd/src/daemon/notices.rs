//! The kernel's notices about links: the machine's own, and those of containers that are gone.

use super::{Daemon, Flow};
use crate::machine::Event;
use crate::netlink::NetlinkError;
use crate::netlink::route::{self, Link};
use std::collections::BTreeSet;
use sys::clock::since_boot_ms;

impl Daemon {
    pub(super) fn hear_notices(&mut self) -> Flow {
        let mut seen = Vec::new();
        let complete = self
            .notices
            .events(|kind, body| match (kind, Link::parse(body)) {
                (route::RTM_NEWLINK, Some(link)) => seen.push(Notice::There(link)),
                (route::RTM_DELLINK, Some(link)) => seen.push(Notice::Gone(link)),
                _ => {}
            });
        let mut freed = false;
        for notice in latest(seen) {
            match notice {
                // Of hundreds of containers' links: there is nothing to choose among them.
                Notice::There(link) if self.is_of_container(&link) => {}
                Notice::There(link) => self.tell_machine(Event::Link(&link)),
                Notice::Gone(link) => {
                    let containers = self.containers.as_mut();
                    freed |= containers.is_some_and(|all| all.link_gone(&link.name));
                    self.tell_machine(Event::LinkGone(link.index));
                }
            }
        }
        if !complete {
            if let Err(error) = self.list_links() {
                log::error!("{error}");
            }
            freed = true;
        }
        if freed {
            self.gone_ms = since_boot_ms();
            self.retry_waiting();
        }
        Flow::Continue
    }

    fn is_of_container(&mut self, link: &Link) -> bool {
        let containers = self.containers.as_mut();
        containers.is_some_and(|all| all.addresses().has_link(&link.name))
    }

    pub(super) fn list_links(&mut self) -> Result<(), NetlinkError> {
        let links = route::links(&mut self.route)?;
        if let Some(containers) = &mut self.containers {
            let names: BTreeSet<_> = links.iter().map(|link| link.name.clone()).collect();
            containers.links_are(&names);
        }
        let indices: BTreeSet<_> = links.iter().map(|link| link.index).collect();
        for gone in self.machine.links_beside(&indices) {
            self.tell_machine(Event::LinkGone(gone));
        }
        for link in &links {
            self.tell_machine(Event::Link(link));
        }
        self.tell_machine(Event::Tick);
        Ok(())
    }
}

/// What the kernel tells of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Notice {
    /// It is new, or has changed.
    There(Link),
    Gone(Link),
}

/// Notices queue up while this program does something else, so that the first ones tell of what has passed, and of less
/// than it knows itself: a link that it has just brought up, for one, as without a carrier. How a link is, its last notice
/// says; a carrier lost in between shows in its count.
fn latest(notices: Vec<Notice>) -> Vec<Notice> {
    let mut told = BTreeSet::new();
    let mut latest: Vec<_> = notices
        .into_iter()
        .rev()
        .filter(|notice| match notice {
            Notice::There(link) => told.insert(link.index),
            Notice::Gone(link) => {
                told.insert(link.index);
                true
            }
        })
        .collect();
    latest.reverse();
    latest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, carrier: bool) -> Link {
        Link {
            index,
            name: format!("eth{index}"),
            mac: [0; 6],
            loopback: false,
            physical: true,
            up: true,
            carrier,
            carrier_losses: 0,
            operational: carrier,
            mtu: 1500,
            peer: None,
        }
    }

    #[test]
    fn of_several_notices_about_a_link_the_last_one_counts_and_none_that_it_is_gone_is_lost() {
        let there = |index, carrier| Notice::There(link(index, carrier));
        let gone = |index| Notice::Gone(link(index, false));
        assert_eq!(
            latest(vec![there(2, false), there(3, true), there(2, true)]),
            [there(3, true), there(2, true)]
        );
        assert_eq!(
            latest(vec![there(2, true), gone(2), there(3, true)]),
            [gone(2), there(3, true)]
        );
        assert_eq!(
            latest(vec![gone(2), there(2, false), there(2, true)]),
            [gone(2), there(2, true)]
        );
    }
}
