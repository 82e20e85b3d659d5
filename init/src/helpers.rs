//! Starting, hearing and missing the helpers.

use crate::console;
use crate::helper::Sent;
use crate::limits;
use crate::machine::Machine;
use crate::source::{ChildKind, HelperKind, Source};
use std::os::fd::{AsFd, BorrowedFd};
use sys::clock::since_boot_ms;
use sys::epoll::{Interest, Ready};
use sys::pidfd::Ended;

/// The largest message of a helper: the hosts file of a container and its ports.
const MESSAGE_BYTES_MAX: usize = 192 << 10;

impl Machine {
    /// netd was started by a stage, and gets its first word of runs when the drivers that container networks need are there.
    /// logd has nothing to read yet, and the first containers can use its share of the processors.
    pub(crate) fn adopt_helpers(&mut self) {
        let now = since_boot_ms();
        for helper in &mut self.helpers {
            match (helper.kind, helper.pid) {
                (kind, Some(pid)) => {
                    self.children.insert(pid, ChildKind::Helper { kind });
                }
                (HelperKind::Netd, None) => helper.start_at = Some(now),
                (HelperKind::Logd, None) => {
                    helper.start_at = Some(now.saturating_add(limits::LOGD_DELAY_MS));
                }
                (HelperKind::Relay | HelperKind::Prober, None) => {}
            }
        }
        self.watch_helper(HelperKind::Netd);
        if self.boot.network_begun {
            self.network_has_begun();
        }
    }

    fn watch_helper(&mut self, kind: HelperKind) {
        let Some(helper) = self.helpers.iter_mut().find(|helper| helper.kind == kind) else {
            return;
        };
        if let Some(socket) = &helper.socket {
            match self
                .registry
                .watch(socket, Interest::Read, Source::Helper { kind })
            {
                Ok(token) => helper.token = token,
                Err(error) => log::error!("{}: {error}", kind.name()),
            }
        }
    }

    fn helpers_may_go(&self) -> bool {
        let ending = self.ending.as_ref();
        ending.is_some_and(crate::shutdown::Ending::helpers_may_go)
    }

    pub(crate) fn start_helper(&mut self, kind: HelperKind) {
        // A port for the relay may come when nobody ends the relay any more.
        if self.helpers_may_go() {
            return;
        }
        let now = since_boot_ms();
        let needed = kind != HelperKind::Relay || self.is_called();
        let Some(helper) = self.helpers.iter_mut().find(|helper| helper.kind == kind) else {
            return;
        };
        if helper.pid.is_some() {
            return;
        }
        if !needed {
            helper.start_at = None;
            return;
        }
        let ports = self.hardware.control_ports.iter();
        let ports = ports.filter(|_| kind == HelperKind::Relay);
        let more: Vec<(&str, BorrowedFd<'_>)> = ports
            .map(|port| (port.name.as_str(), port.device.as_fd()))
            .collect();
        match helper.start(now, self.null.as_fd(), self.log.as_fd(), &more) {
            Ok(pid) => {
                self.children.insert(pid, ChildKind::Helper { kind });
            }
            Err(error) => {
                helper.ended(now);
                console::warn(format_args!("{} can't be started: {error}", kind.name()));
                return;
            }
        }
        self.watch_helper(kind);
        match kind {
            HelperKind::Netd => self.brief_netd(),
            HelperKind::Logd => self.brief_logd(),
            HelperKind::Relay => {}
            HelperKind::Prober => self.brief_prober(),
        }
    }

    /// Whether it runs. If it does not, and was not due to start anyway, it starts now, and is told everything then.
    pub(crate) fn helper_is_needed(&mut self, kind: HelperKind) -> bool {
        let helper = self.helpers.iter().find(|helper| helper.kind == kind);
        let Some(helper) = helper else { return false };
        if helper.pid.is_none() && helper.start_at.is_none() {
            self.start_helper(kind);
            return false;
        }
        helper.pid.is_some()
    }

    /// What is due later is wanted now.
    pub(crate) fn hasten_helper(&mut self, kind: HelperKind) {
        let now = since_boot_ms();
        let helper = self.helpers.iter_mut().find(|helper| helper.kind == kind);
        if let Some(helper) = helper
            && let Some(at) = &mut helper.start_at
        {
            *at = now.min(*at);
        }
    }

    pub(crate) fn helper_ended(&mut self, kind: HelperKind, ended: Ended) {
        if self.helpers_may_go() {
            if let Some(helper) = self.helpers.iter_mut().find(|helper| helper.kind == kind) {
                helper.pid = None;
            }
            return;
        }
        let how = match ended {
            Ended::Code(code) => format!("exited with status {code}"),
            Ended::Signal(signal) => format!("was killed by {}", unit::signal::display(signal)),
        };
        if let Some(helper) = self.helpers.iter_mut().find(|helper| helper.kind == kind) {
            helper.pid = None;
        }
        // Its end may be heard of before its last words.
        self.hear_helper(kind);
        let Some(helper) = self.helpers.iter_mut().find(|helper| helper.kind == kind) else {
            return;
        };
        if let Some(socket) = &helper.socket {
            self.registry.unwatch(socket, helper.token);
        }
        if (kind, ended) == (HelperKind::Relay, Ended::Code(0)) {
            // Nobody has been there for a while; somebody may just have come.
            helper.rests();
            return self.start_helper(kind);
        }
        helper.ended(since_boot_ms());
        console::warn(format_args!(
            "{} {how}: starting it again; no container is touched",
            kind.name()
        ));
        if kind == HelperKind::Netd {
            self.netd_died();
        }
    }

    /// Send a message; a helper that does not read is killed and starts afresh.
    pub(crate) fn tell_helper(
        &mut self,
        kind: HelperKind,
        bytes: Vec<u8>,
        descriptors: &[BorrowedFd<'_>],
    ) {
        let Some(helper) = self.helpers.iter_mut().find(|helper| helper.kind == kind) else {
            return;
        };
        match helper.send(bytes, descriptors) {
            Ok(Sent::Now) => {}
            Ok(Sent::Later) => self.helper_interest(kind, Interest::ReadWrite),
            // EPIPE: it is dying, SIGCHLD follows.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            Err(error) => {
                log::error!("{}: {error}", kind.name());
                if let Some(pid) = helper.pid {
                    kill(pid);
                }
            }
        }
    }

    fn helper_interest(&self, kind: HelperKind, interest: Interest) {
        let helper = self.helpers.iter().find(|helper| helper.kind == kind);
        if let Some((socket, token)) =
            helper.and_then(|helper| Some((helper.socket.as_ref()?, helper.token)))
        {
            self.registry.change(socket, interest, token);
        }
    }

    pub(crate) fn helper_ready(&mut self, kind: HelperKind, ready: Ready) {
        if ready.writable {
            let helper = self.helpers.iter_mut().find(|helper| helper.kind == kind);
            if matches!(
                helper.map(crate::helper::Helper::flush),
                Some(Ok(Sent::Now))
            ) {
                self.helper_interest(kind, Interest::Read);
            }
        }
        self.hear_helper(kind);
    }

    fn hear_helper(&mut self, kind: HelperKind) {
        let mut buffer = std::mem::take(&mut self.helpers_words);
        if buffer.is_empty() {
            buffer = vec![0; MESSAGE_BYTES_MAX];
        }
        self.hear_helper_by(kind, &mut buffer);
        self.helpers_words = buffer;
    }

    fn hear_helper_by(&mut self, kind: HelperKind, buffer: &mut [u8]) {
        loop {
            let helper = self.helpers.iter().find(|helper| helper.kind == kind);
            let Some(socket) = helper.and_then(|helper| helper.socket.as_ref()) else {
                return;
            };
            match sys::socket::receive(socket.as_fd(), buffer) {
                Ok((0, _)) => {
                    // It has closed its end; SIGCHLD tells the rest.
                    self.registry
                        .unwatch(socket, helper.map_or(0, |helper| helper.token));
                    return;
                }
                Ok((bytes, descriptors)) => {
                    let message = buffer.get(..bytes).unwrap_or_default().to_vec();
                    match kind {
                        HelperKind::Netd => self.netd_says(&message, descriptors),
                        HelperKind::Logd => self.logd_says(&message),
                        HelperKind::Relay => {}
                        HelperKind::Prober => self.prober_says(&message),
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                // It was killed with messages of ours unread; SIGCHLD tells the rest.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    self.registry
                        .unwatch(socket, helper.map_or(0, |helper| helper.token));
                    return;
                }
                // What it said is lost: a new one is told everything and asked again.
                Err(error) => {
                    log::error!("{}: {error}; starting it again", kind.name());
                    if let Some(pid) = helper.and_then(|helper| helper.pid) {
                        kill(pid);
                    }
                    return;
                }
            }
        }
    }
}

/// End one of our own children that has not been reaped yet, so that its number is still its own.
pub(crate) fn kill(pid: i32) {
    if let Err(error) = sys::pidfd::open(pid)
        .and_then(|pidfd| sys::pidfd::signal(pidfd.as_fd(), nix::libc::SIGKILL))
    {
        log::error!("kill {pid}: {error}");
    }
}
