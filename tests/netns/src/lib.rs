//! A small world for `netd`: a machine and what is outside of it, as two network namespaces joined by a cable.
//!
//! ```text
//! outside (192.168.77.1, DHCP server) ── wan0 ═══ eth0 ── machine (netd, driven as PID 1 does)
//!                                                           └─ keelson0 ── containers
//! ```
//!
//! Needs root (namespaces, links) and the `ip` program (iproute2); a test says so where one is missing. The host's own
//! network is never touched. Sockets belong to the namespace in which they were opened, so a test opens them there
//! ([`Namespace::run`]) and uses them anywhere.

mod dhcp_server;
mod namespace;
mod netd;
mod world;

pub use dhcp_server::{DhcpServer, Offer};
pub use namespace::Namespace;
pub use netd::{Container, Netd, name, port, request};
pub use world::{MACHINE, OUTSIDE, World, missing};
