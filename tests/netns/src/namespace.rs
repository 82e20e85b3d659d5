//! A network namespace, and doing something in it.

use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Command;
use std::thread;

/// Lives as long as this descriptor, its sockets and its processes.
#[derive(Debug)]
pub struct Namespace(OwnedFd);

impl Namespace {
    /// # Panics
    /// Without the privilege.
    #[must_use]
    pub fn new() -> Self {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET).expect("unshare");
            OwnedFd::from(File::open("/proc/thread-self/ns/net").expect("namespace"))
        };
        Self(thread::scope(|scope| {
            scope.spawn(make).join().expect("thread")
        }))
    }

    #[must_use]
    pub fn from_descriptor(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    #[must_use]
    pub fn descriptor(&self) -> &OwnedFd {
        &self.0
    }

    /// Run `act` inside, on a thread of its own.
    ///
    /// # Panics
    /// When `act` does.
    pub fn run<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            setns(self.0.as_fd(), CloneFlags::CLONE_NEWNET).expect("setns");
            act()
        };
        thread::scope(|scope| match scope.spawn(inside).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// A path that the `ip` program takes as this namespace.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// `ip …`, which must succeed; what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn ip(&self, arguments: &str) -> String {
        let output = self.run(|| {
            Command::new("ip")
                .args(arguments.split_whitespace())
                .output()
        });
        let output = output.expect("ip");
        let trouble = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {arguments}: {trouble}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}
