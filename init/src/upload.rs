//! Unit files that come with a request, by descriptor: read as they come, to their end, within a limit.

use crate::carried;
use crate::connection::Waits;
use crate::limits;
use crate::machine::Machine;
use crate::source::Source;
use control::change::UNIT_FILES_BYTES_MAX;
use control::reply::{Denial, Reply};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use sys::clock::since_boot_ms;
use sys::epoll::Interest;

/// What they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Intent {
    Diff,
    Apply { wait: bool },
}

/// By connection.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Uploads(BTreeMap<u64, Upload>);

#[derive(Debug, Serialize, Deserialize)]
struct Upload {
    intent: Intent,
    #[serde(with = "carried")]
    pipe: File,
    token: u64,
    #[serde(with = "carried::bytes")]
    text: Vec<u8>,
}

impl Machine {
    pub(crate) fn upload(&mut self, connection: u64, intent: Intent, pipe: OwnedFd) {
        self.wait(connection, Waits::Upload);
        if let Some(entry) = self.connections.get_mut(&connection) {
            let until = since_boot_ms().saturating_add(limits::REQUEST_TIMEOUT_MS);
            entry.deadline_ms = Some(until);
        }
        let watched = sys::descriptor::set_nonblocking(pipe.as_fd(), true).and_then(|()| {
            let source = Source::Upload { connection };
            self.registry.watch(&pipe, Interest::Read, source)
        });
        match watched {
            Ok(token) => {
                let upload = Upload {
                    intent,
                    pipe: File::from(pipe),
                    token,
                    text: Vec::new(),
                };
                self.change.uploads.0.insert(connection, upload);
            }
            Err(error) => {
                let message = format!("unit files: not a pipe: {error}");
                self.deny(connection, Denial::Malformed { message });
            }
        }
    }

    pub(crate) fn upload_ready(&mut self, connection: u64) {
        let Some(upload) = self.change.uploads.0.get_mut(&connection) else {
            return;
        };
        let mut buffer = [0; 16 << 10];
        let ended = loop {
            match upload.pipe.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(bytes) if upload.text.len().saturating_add(bytes) <= UNIT_FILES_BYTES_MAX => {
                    upload
                        .text
                        .extend_from_slice(buffer.get(..bytes).unwrap_or_default());
                }
                Ok(_) => {
                    let most = UNIT_FILES_BYTES_MAX >> 20;
                    break Err(format!("unit files: more than {most} MiB"));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(format!("unit files: {error}")),
            }
        };
        let Some(upload) = self.change.uploads.0.remove(&connection) else {
            return;
        };
        self.registry.unwatch(&upload.pipe, upload.token);
        self.wait(connection, Waits::Nothing);
        if let Some(entry) = self.connections.get_mut(&connection) {
            entry.deadline_ms = None;
        }
        match ended {
            Ok(()) => self.uploaded(connection, upload.intent, upload.text),
            Err(message) => self.reply_last(connection, &Reply::Failed { message }),
        }
    }

    /// The client is gone.
    pub(crate) fn cancel_upload(&mut self, connection: u64) {
        if let Some(upload) = self.change.uploads.0.remove(&connection) {
            self.registry.unwatch(&upload.pipe, upload.token);
        }
    }
}
