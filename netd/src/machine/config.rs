//! What the machine's link gets.

use crate::dhcp::message::Lease;
use crate::netlink::route::Route;
use crate::plan::subnet::Subnet;
use std::net::Ipv4Addr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkConfig {
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix: u8,
    pub(crate) routes: Vec<Route>,
    pub(crate) resolvers: Vec<Ipv4Addr>,
    pub(crate) domain: Option<String>,
    pub(crate) mtu: Option<u32>,
}

impl LinkConfig {
    /// The network that the link is on.
    pub(crate) fn network(&self) -> Subnet {
        Subnet::of(self.address, self.prefix)
    }
}

impl From<Lease> for LinkConfig {
    fn from(lease: Lease) -> Self {
        let Lease {
            address,
            prefix,
            routes,
            resolvers,
            domain,
            mtu,
            ..
        } = lease;
        Self {
            address,
            prefix,
            routes,
            resolvers,
            domain,
            mtu,
        }
    }
}
