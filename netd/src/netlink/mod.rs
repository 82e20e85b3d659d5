//! Talking to the kernel's network stack: the only place that knows netlink's bytes (netlink(7), rtnetlink(7)).
//!
//! ```text
//! route, nft, conntrack   what can be said, one function per message
//!        │ Batch          one buffer of messages, sent at once                    [wire]
//!        ▼
//! Socket::run / ask       send, read every answer, name the message that failed   [socket]
//! ```
//!
//! Why no netlink crate: nftables needs an encoder of our own in any case (`netlink-packet-netfilter` has the framing
//! but neither nat, masquerade, ct nor fib), the same attribute writer serves the ten rtnetlink messages used here,
//! and an asynchronous runtime would be most of this program's memory.
//!
//! Invariants: the kernel handles a request inside sendmsg(2) and queues every error before it returns, so a request
//! without an error in the queue has succeeded and no acknowledgement is asked for. A batch for nftables is one
//! transaction: all of it, or nothing.

pub(crate) mod conntrack;
pub(crate) mod nft;
pub(crate) mod route;
mod socket;
mod wire;

pub(crate) use socket::{NetlinkError, Socket};
pub(crate) use wire::Batch;
