//! Reaching a machine: by its control socket where we run on it, by one of its serial ports from the build host. Both
//! look the same to the caller: a `Call` is one request, its replies and its streams.
//!
//! ```text
//! Machine::Local   /run/keelson/control.sock                    client
//! Machine::Folder  DIR/control.N.sock, DIR/control.N.lock       serial ──▶ relay ──▶ client
//! ```
//!
//! A port carries one session at a time: its lock file (flock(2)) says who has it, and is free when its holder dies.

mod call;
mod error;
mod happening;
mod port;

pub use call::Call;
pub use error::CallError;
pub use happening::Happening;

use crate::frame;
use crate::reply::Reply;
use crate::request::{Request, RequestFrame};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the machine to say that it is there.
    pub reach: Duration,
    /// For the outcome, from the start of the call; `None`: for ever.
    pub outcome: Option<Duration>,
}

impl Patience {
    /// An emulated machine boots in some 15 s; what PID 1 answers from what it knows, it answers at once.
    pub const USUAL: Self = Self {
        reach: Duration::from_secs(60),
        outcome: Some(Duration::from_secs(90)),
    };

    /// For what may take its time: a stop, a load, a boot.
    pub const LONG: Self = Self {
        reach: Duration::from_secs(600),
        outcome: None,
    };

    /// Not longer than this in all.
    #[must_use]
    pub fn at_most(self, timeout: Duration) -> Self {
        Self {
            reach: timeout,
            outcome: Some(timeout),
        }
    }
}

/// Where a machine's control socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Machine {
    /// The control socket itself.
    Local(PathBuf),
    /// The run folder of a machine under QEMU.
    Folder(PathBuf),
}

impl Machine {
    /// The machine that is named, or the one we are on, or the one that `KEELSON_MACHINE` names.
    ///
    /// # Errors
    /// When there is none of them.
    pub fn find(named: Option<&Path>) -> Result<Self, CallError> {
        if let Some(place) = named {
            return Ok(Self::at(place));
        }
        let local = Path::new(sys::paths::CONTROL_SOCKET);
        if local.exists() {
            return Ok(Self::Local(local.to_owned()));
        }
        match std::env::var_os("KEELSON_MACHINE").filter(|place| !place.is_empty()) {
            Some(place) => Ok(Self::at(Path::new(&place))),
            None => Err(CallError::NoMachine {
                place: local.to_owned(),
                source: None,
            }),
        }
    }

    /// A run folder, or a control socket.
    #[must_use]
    pub fn at(place: &Path) -> Self {
        let is_socket = place.metadata().is_ok_and(|found| !found.is_dir());
        if is_socket {
            Self::Local(place.to_owned())
        } else {
            Self::Folder(place.to_owned())
        }
    }

    /// Whether descriptors can ride with a request, so that the machine reads a file itself.
    #[must_use]
    pub fn takes_descriptors(&self) -> bool {
        matches!(self, Self::Local(_))
    }

    /// Make a request. `archive` rides with `ImageLoad` where [`Self::takes_descriptors`]; otherwise stdin is it.
    ///
    /// # Errors
    /// When there is no machine, or its ports stay taken for `reach`.
    pub fn call(
        &self,
        request: &Request,
        archive: Option<OwnedFd>,
        reach: Duration,
    ) -> Result<Call, CallError> {
        let frame = RequestFrame {
            version: crate::VERSION,
            request: request.clone(),
        };
        let bytes = frame::encode(&frame).map_err(CallError::Frame)?;
        match self {
            Self::Local(path) => Call::local(path, request, &bytes, archive),
            Self::Folder(folder) => Call::port(folder, request, bytes, reach),
        }
    }

    /// Make a request without streams and wait for its outcome; `progress` is told what comes before it.
    ///
    /// # Errors
    /// As [`Self::call`], and when the outcome does not come in time.
    pub fn ask(
        &self,
        request: &Request,
        patience: Patience,
        mut progress: impl FnMut(&Reply),
    ) -> Result<Reply, CallError> {
        let deadline = patience.outcome.map(|outcome| Instant::now() + outcome);
        let mut call = self.call(request, None, patience.reach)?;
        loop {
            match call.wait(&[], deadline)? {
                Some(Happening::Reply(reply)) if reply.is_final() => return Ok(reply),
                Some(Happening::Reply(reply)) => progress(&reply),
                Some(Happening::Ended) => {
                    return Err(CallError::Lost {
                        why: "the machine closed it".to_owned(),
                    });
                }
                Some(_) => {}
                None => {
                    let waited = patience.outcome.unwrap_or_default();
                    return Err(CallError::NoAnswer { waited });
                }
            }
        }
    }
}
