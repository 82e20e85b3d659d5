//! A DHCPv4 client (RFC 2131, RFC 2132): only what a machine needs to get and keep its address.
//!
//! ```text
//! message   bytes ◀▶ fields and options        pure
//! client    states, times, what to send next   pure: (now, message) in, outputs out
//! frame     UDP and IPv4 headers               pure
//! port      the two kinds of socket            the edge
//! ```
//!
//! The offered address is used at once: probing it by ARP first (RFC 2131 section 4.4.1, a SHOULD) costs seconds at
//! every boot, and an address given twice shows itself all the same.

pub(crate) mod client;
pub(crate) mod frame;
pub(crate) mod message;
pub(crate) mod port;
