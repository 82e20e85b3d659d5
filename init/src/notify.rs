//! The notify socket of a run (sd_notify(3)): made by PID 1, mounted into the container, read here.
//!
//! ```text
//! process in the container ─▶ /run/keelson/notify (bind mount of /run/keelson/notify/<run>) ─▶ notice ─▶ Event
//! ```
//!
//! Invariants:
//! - Every process of the container may speak, of whatever user, and nobody else: the socket is in no other place that a
//!   container sees (systemd's `NotifyAccess=all`, confined to the container).
//! - A container that floods its socket is read [`limits::NOTICES_MAX`] times in [`limits::NOTICES_MS`] and then not at
//!   all until that time is over: meanwhile its own sends block, and PID 1 does other things.
//! - Nothing that comes with a message makes PID 1 wait: descriptors are closed by a child (`sys::closer`), and until it
//!   has done so this socket is not read.

use crate::carried;
use crate::limits;
use crate::machine::Machine;
use crate::notice::Message;
use crate::registry::Registry;
use crate::source::{ChildKind, Source};
use serde::{Deserialize, Serialize};
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use supervisor::{Event, Notice, RunId, State, UnitId};
use sys::clock::since_boot_ms;
use sys::epoll::Interest;
use unit::{ContainerUnit, ReadinessMode, ServiceKind};

/// One of a run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NotifySocket {
    #[serde(with = "carried")]
    socket: OwnedFd,
    name: Name,
    token: Option<u64>,
    /// Since when messages are counted, milliseconds since boot, and how many there were.
    counted_since: u64,
    count: u32,
    /// When to read on.
    again_at: Option<u64>,
    /// A child closes what came with the last message.
    closing: Option<i32>,
    status: String,
}

/// Where it is on the machine, for as long as it is.
#[derive(Debug, Serialize, Deserialize)]
struct Name(PathBuf);

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Does the unit listen for what its container says?
pub(crate) fn is_listened_to(container: &ContainerUnit) -> bool {
    container.service.kind == ServiceKind::Notify
        || container.service.watchdog_ms.is_some()
        || container.readiness.mode == ReadinessMode::Notify
}

/// `NOTIFY_SOCKET` and `WATCHDOG_USEC`, for whatever runs in the container. Without `WATCHDOG_PID` any process of it may
/// take the second for itself (sd_watchdog_enabled(3)).
pub(crate) fn environment(container: &ContainerUnit) -> Vec<String> {
    let mut variables = Vec::new();
    if is_listened_to(container) {
        variables.push(format!("NOTIFY_SOCKET={}", unit::NOTIFY_SOCKET));
    }
    if let Some(ms) = container.service.watchdog_ms {
        variables.push(format!("WATCHDOG_USEC={}", ms.saturating_mul(1000)));
    }
    variables
}

impl NotifySocket {
    /// # Errors
    /// As mkdir(2) and bind(2).
    pub(crate) fn of_run(run: RunId) -> io::Result<Self> {
        let folder = Path::new(sys::paths::NOTIFY);
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let path = folder.join(run.0.to_string());
        Ok(Self {
            socket: sys::datagram::listen(&path)?,
            name: Name(path),
            token: None,
            counted_since: 0,
            count: 0,
            again_at: None,
            closing: None,
            status: String::new(),
        })
    }

    pub(crate) fn path(&self) -> String {
        self.name.0.to_string_lossy().into_owned()
    }

    pub(crate) fn watch(&mut self, registry: &mut Registry, run: RunId) {
        self.again_at = None;
        if self.token.is_none() && self.closing.is_none() {
            let source = Source::Notify { run: run.0 };
            self.token = registry.watch(&self.socket, Interest::Read, source).ok();
        }
    }

    fn unwatch(&mut self, registry: &mut Registry) {
        if let Some(token) = self.token.take() {
            registry.unwatch(&self.socket, token);
        }
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        self.again_at
    }

    /// May one more be read now?
    fn count(&mut self, now_ms: u64) -> bool {
        if now_ms.saturating_sub(self.counted_since) >= limits::NOTICES_MS {
            self.counted_since = now_ms;
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.count <= limits::NOTICES_MAX
    }

    /// The next message. None: there is none, or it is not to be read yet.
    fn next(&mut self, registry: &mut Registry, now_ms: u64) -> Option<Message> {
        if self.closing.is_some() {
            return None;
        }
        if !self.count(now_ms) {
            self.unwatch(registry);
            self.again_at = Some(self.counted_since.saturating_add(limits::NOTICES_MS));
            return None;
        }
        let mut buffer = [0; limits::NOTICE_BYTES_MAX];
        let datagram = sys::datagram::receive(self.socket.as_fd(), &mut buffer).ok()?;
        match sys::closer::close(datagram.descriptors) {
            Ok(None) => {}
            Ok(Some(child)) => {
                self.unwatch(registry);
                self.closing = Some(child);
            }
            Err(error) => log::error!("descriptors of a notice: {error}"),
        }
        // What is cut off could be half a word of another meaning.
        let whole = buffer.get(..datagram.bytes).filter(|_| !datagram.cut);
        Some(Message::parse(whole.unwrap_or_default()))
    }
}

impl Machine {
    pub(crate) fn notify_ready(&mut self, run: u64) {
        // `READY=1` can't come before the workload runs, but be heard before it.
        if self.runs.get(&run).is_some_and(|run| !run.started) {
            self.report_ready(run);
        }
        loop {
            let Some(entry) = self.runs.get_mut(&run) else {
                return;
            };
            let (unit, id) = (entry.unit, entry.run);
            let Some(socket) = &mut entry.notify else {
                return;
            };
            let Some(message) = socket.next(&mut self.registry, since_boot_ms()) else {
                if let Some(child) = socket.closing {
                    self.children.insert(child, ChildKind::Closer { run });
                }
                return;
            };
            self.said(unit, id, message);
        }
    }

    fn said(&mut self, unit: UnitId, run: RunId, message: Message) {
        let container = self.container(unit).map(|(_, container)| container);
        let watched = container.is_some_and(|it| it.service.watchdog_ms.is_some());
        let by_notice = container.is_some_and(|it| it.readiness.mode == ReadinessMode::Notify);
        // Of a unit that gets ready in another way it only ends `RELOADING=1`.
        let is_ready = || matches!(self.supervisor.state(unit), State::Running { .. });
        if message.ready && (by_notice || is_ready()) {
            self.event(Event::Ready { unit, run });
        }
        for notice in message.notices() {
            let heard = match &notice {
                Notice::Watchdog => watched,
                Notice::Status(text) => self.status_is_new(run, text),
                Notice::ExtendTimeout(_) | Notice::Reloading | Notice::Stopping => true,
            };
            if heard {
                self.event(Event::Notified { unit, run, notice });
            }
        }
    }

    fn status_is_new(&mut self, run: RunId, text: &str) -> bool {
        let entry = self.runs.get_mut(&run.0);
        let Some(socket) = entry.and_then(|entry| entry.notify.as_mut()) else {
            return false;
        };
        if socket.status == text {
            return false;
        }
        text.clone_into(&mut socket.status);
        true
    }

    /// The child has closed what a message brought along.
    pub(crate) fn closer_ended(&mut self, run: u64) {
        if let Some(entry) = self.runs.get_mut(&run)
            && let Some(socket) = &mut entry.notify
        {
            socket.closing = None;
            socket.watch(&mut self.registry, entry.run);
        }
    }

    /// The container is gone. What it has sent and nobody has read goes with the socket, whoever has to wait for it.
    pub(crate) fn close_notify(&mut self, run: u64) {
        let Some(entry) = self.runs.get_mut(&run) else {
            return;
        };
        if let Some(mut notify) = entry.notify.take() {
            notify.unwatch(&mut self.registry);
            let NotifySocket { socket, .. } = notify;
            match sys::closer::close(vec![socket]) {
                Ok(Some(child)) => drop(self.children.insert(child, ChildKind::Closer { run })),
                Ok(None) => {}
                Err(error) => log::error!("notify socket of run {run}: {error}"),
            }
        }
    }

    pub(crate) fn notify_deadline(&self) -> Option<u64> {
        let sockets = self.runs.values().filter_map(|run| run.notify.as_ref());
        sockets.filter_map(NotifySocket::deadline).min()
    }

    pub(crate) fn notify_timeouts(&mut self, now: u64) {
        for run in self.runs.values_mut() {
            let id = run.run;
            let socket = run.notify.as_mut();
            if let Some(socket) = socket.filter(|it| it.deadline().is_some_and(|at| at <= now)) {
                socket.watch(&mut self.registry, id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_read_so_often_and_then_not_for_a_while() {
        let path = std::env::temp_dir().join(format!("keelson-notify-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut ours = NotifySocket {
            socket: sys::datagram::listen(&path).unwrap(),
            name: Name(path.clone()),
            token: None,
            counted_since: 0,
            count: 0,
            again_at: None,
            closing: None,
            status: String::new(),
        };
        let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
        sender.connect(&path).unwrap();
        let mut registry = Registry::new().unwrap();
        ours.watch(&mut registry, RunId(1));
        let now = 5_000;
        let mut read = 0;
        for _ in 0..1_000 {
            // A reader that is always as fast as the sender never finds two messages at once.
            let _ = sender.set_nonblocking(true);
            let _ = sender.send(b"WATCHDOG=1");
            read += u32::from(ours.next(&mut registry, now).is_some());
        }
        assert_eq!(read, limits::NOTICES_MAX);
        assert_eq!(ours.deadline(), Some(now + limits::NOTICES_MS));
        assert_eq!(ours.token, None, "nothing wakes the loop meanwhile");
        ours.watch(&mut registry, RunId(1));
        let later = now + limits::NOTICES_MS;
        assert!(ours.next(&mut registry, later).is_some());
        drop(ours);
        assert!(!path.exists());
    }
}
