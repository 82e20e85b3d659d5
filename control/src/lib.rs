//! The control protocol: what `keelctl`, the relay and PID 1 say to each other, and what PID 1 and
//! its helpers (`netd`, `logd`, `prober`) say to each other.
//!
//! ```text
//! keelctl ──frames──▶ /run/keelson/control.sock (PID 1)          [frame, request, reply]
//! keelctl on the build host ──▶ virtio-serial ──▶ relay ──▶ the same socket   [serial]
//! PID 1 ◀──SOCK_SEQPACKET, fd 3──▶ netd                          [net]
//! PID 1 ◀──SOCK_SEQPACKET, fd 3──▶ logd                          [log]
//! PID 1 ◀──SOCK_SEQPACKET, fd 3──▶ prober                        [probe]
//! ```
//!
//! A frame is a 4-byte little-endian length and that many bytes of JSON, at most
//! [`frame::FRAME_BYTES_MAX`]. Descriptors ride with a request's first byte (`SCM_RIGHTS`, unix(7)).
//! To add a request: a variant in `request`, a reply if none fits, an arm in `init`, a command in `ctl`.

pub mod change;
pub mod client;
pub mod explain;
pub mod frame;
pub mod log;
pub mod machine;
pub mod net;
pub mod plain;
pub mod probe;
pub mod reply;
pub mod request;
pub mod row;
pub mod serial;

/// Version of the protocol; a request frame carries it, another version is refused by name.
pub const VERSION: u32 = 1;
