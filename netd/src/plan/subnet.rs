//! An IPv4 network, and the choice of the containers' one.

use std::fmt;
use std::net::Ipv4Addr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subnet {
    pub(crate) network: Ipv4Addr,
    pub(crate) prefix: u8,
}

/// In this order; the first that overlaps nothing of the machine's. Podman's default comes first; the others are
/// private ranges (RFC 1918) that offices and clouds seldom use.
const CANDIDATES: [Subnet; 4] = [
    Subnet {
        network: Ipv4Addr::new(10, 88, 0, 0),
        prefix: 16,
    },
    Subnet {
        network: Ipv4Addr::new(172, 29, 0, 0),
        prefix: 16,
    },
    Subnet {
        network: Ipv4Addr::new(10, 219, 0, 0),
        prefix: 16,
    },
    Subnet {
        network: Ipv4Addr::new(192, 168, 192, 0),
        prefix: 20,
    },
];

impl Subnet {
    /// The network of which `address` is one.
    pub(crate) fn of(address: Ipv4Addr, prefix: u8) -> Self {
        let mask = u32::MAX
            .checked_shl(32_u32.saturating_sub(prefix.into()))
            .unwrap_or(0);
        Self {
            network: Ipv4Addr::from_bits(address.to_bits() & mask),
            prefix: prefix.min(32),
        }
    }

    pub(crate) fn contains(self, address: Ipv4Addr) -> bool {
        Self::of(address, self.prefix) == self
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.contains(other.network) || other.contains(self.network)
    }

    /// The bridge's: the first.
    pub(crate) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() | 1)
    }

    /// The containers': all but the network's own, the bridge's and the broadcast address.
    pub(crate) fn hosts(self) -> impl Iterator<Item = Ipv4Addr> {
        let first = self.network.to_bits();
        let size = 1_u32 << (32 - u32::from(self.prefix));
        (first + 2..first + size - 1).map(Ipv4Addr::from_bits)
    }

    pub(crate) fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(
            u32::MAX
                .checked_shl(32 - u32::from(self.prefix))
                .unwrap_or(0),
        )
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// The containers' network beside the machine's own. Where everything overlaps, the first candidate: the machine's
/// network is then so large that something of it is lost in any case.
pub(crate) fn choose(taken: &[Subnet]) -> Subnet {
    let free = |candidate: &Subnet| !taken.iter().any(|taken| taken.overlaps(*candidate));
    CANDIDATES.into_iter().find(free).unwrap_or(CANDIDATES[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(a: u8, b: u8, prefix: u8) -> Subnet {
        Subnet::of(Ipv4Addr::new(a, b, 0, 0), prefix)
    }

    #[test]
    fn the_containers_network_never_overlaps_the_machines() {
        assert_eq!(choose(&[]).to_string(), "10.88.0.0/16");
        assert_eq!(choose(&[subnet(10, 0, 8)]).to_string(), "172.29.0.0/16");
        assert_eq!(choose(&[subnet(10, 88, 30)]).to_string(), "172.29.0.0/16");
        assert_eq!(
            choose(&[subnet(10, 0, 8), subnet(172, 16, 12)]).to_string(),
            "192.168.192.0/20"
        );
        assert_eq!(choose(&[subnet(0, 0, 0)]).to_string(), "10.88.0.0/16");
    }

    #[test]
    fn hosts_leave_out_network_bridge_and_broadcast() {
        let small = Subnet::of(Ipv4Addr::new(10, 0, 0, 5), 29);
        let hosts: Vec<_> = small.hosts().map(|host| host.octets()[3]).collect();
        assert_eq!(hosts, [2, 3, 4, 5, 6]);
        assert_eq!(small.gateway(), Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(small.mask(), Ipv4Addr::new(255, 255, 255, 248));
    }
}
