//! The kernel edge: every system call that Keelson makes and the standard library does not.
//!
//! All `unsafe` of the tree is in this crate, each block with the invariant that makes it sound.
//! Functions are thin: one kernel fact each, `io::Result` or a named error out, descriptors owned
//! (`OwnedFd`) or borrowed (`BorrowedFd`) and close-on-exec from birth. Nothing here decides.
//!
//! To add one: a file per kernel object (`pidfd`, `mount`, `cgroup`, …), the man page named in the
//! docstring, and a test beside it where the call works without privileges.

#![allow(
    unsafe_code,
    reason = "the one crate that makes raw system calls; everywhere else it is forbidden"
)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing
    )
)]

pub mod block;
pub mod caps;
pub mod cgroup;
pub mod clock;
pub mod clone;
pub mod closer;
pub mod credentials;
pub mod datagram;
pub mod descriptor;
pub mod device;
pub mod device_filter;
pub mod epoll;
pub mod exchange;
pub mod folder;
pub mod gpt;
pub mod inside;
pub mod kmsg;
pub mod memfd;
pub mod memory;
pub mod module;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod packet;
pub mod path;
pub mod paths;
pub mod pidfd;
pub mod poll;
pub mod power;
pub mod process;
pub mod program;
pub mod pty;
pub mod random;
pub mod record_lock;
pub mod rlimit;
pub mod shared;
pub mod signal;
pub mod socket;
pub mod space;
pub mod splice;
pub mod terminal;
pub mod uevent;
pub mod wall_timer;
pub mod watchdog;
pub mod xattr;
