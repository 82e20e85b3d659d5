//! A lease in force, and its times (RFC 2131 section 4.4.5).

use crate::dhcp::message::Lease;
use std::net::Ipv4Addr;

/// A shorter lease would have the client do nothing but renew.
const LEASE_SECONDS_MIN: u32 = 60;
/// Where the server has said nothing else: T1 and T2, as thousandths of the lease.
const RENEW_THOUSANDTHS: u64 = 500;
const REBIND_THOUSANDTHS: u64 = 875;

/// Times are `u64::MAX` for a lease for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) address: Ipv4Addr,
    pub(super) server: Ipv4Addr,
    /// From here on it is asked to extend the lease (T1).
    pub(super) renew_at_ms: u64,
    /// From here on every server is (T2).
    pub(super) rebind_at_ms: u64,
    pub(super) end_ms: u64,
}

impl Held {
    pub(super) fn new(now_ms: u64, server: Ipv4Addr, lease: &Lease) -> Self {
        let address = lease.address;
        if lease.seconds == u32::MAX {
            let never = u64::MAX;
            return Self {
                address,
                server,
                renew_at_ms: never,
                rebind_at_ms: never,
                end_ms: never,
            };
        }
        let length_ms = u64::from(lease.seconds.max(LEASE_SECONDS_MIN)) * 1000;
        let part = |seconds: Option<u32>, thousandths: u64| {
            let given = seconds.map(|seconds| u64::from(seconds) * 1000);
            given
                .filter(|ms| *ms > 0 && *ms < length_ms)
                .unwrap_or(length_ms / 1000 * thousandths)
        };
        let rebind_ms = part(lease.rebind_seconds, REBIND_THOUSANDTHS);
        let renew_ms = part(lease.renew_seconds, RENEW_THOUSANDTHS).min(rebind_ms);
        Self {
            address,
            server,
            renew_at_ms: now_ms + renew_ms,
            rebind_at_ms: now_ms + rebind_ms,
            end_ms: now_ms + length_ms,
        }
    }
}
