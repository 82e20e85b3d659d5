//! One live run of a container: its process, its group, and what its launcher reports.

use crate::carried;
use crate::limits;
use crate::notify::NotifySocket;
use crate::place::{CleanPlaces, Places};
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use supervisor::{Exit, RunId, UnitId};
use sys::cgroup::{Cgroup, Counter};
use sys::clone::Child;
use unit::{ImageHealth, LaunchFailure, LaunchReport, LaunchRoot};

/// From clone3(2) until its network and cgroup are given back.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub unit: UnitId,
    pub run: RunId,
    /// With the unit's limits.
    #[serde(with = "carried")]
    pub cgroup: Cgroup,
    /// `memory.current` of it, open since the first listing. A program that takes over opens it anew.
    #[serde(skip)]
    pub memory: OnceCell<Counter>,
    /// Below it, where its processes are. None: the program that has started it knew of none.
    #[serde(with = "carried", default)]
    pub main: Option<Cgroup>,
    /// Those of commands that run beside them.
    #[serde(default)]
    pub places: Places,
    #[serde(default)]
    pub clean_places: CleanPlaces,
    pub root: LaunchRoot,
    /// None once it has been reaped.
    #[serde(with = "carried")]
    pub child: Option<Child>,
    /// The launcher stands by at the other end, until it is told to go on.
    #[serde(with = "carried")]
    pub standing_by: Option<OwnedFd>,
    pub report: Report,
    pub report_token: Option<u64>,
    /// `Started` has been said.
    pub started: bool,
    pub notify: Option<NotifySocket>,
    /// How the container ended.
    pub exit: Option<Exit>,
    /// Failed attempts to remove the group.
    pub retries: u32,
    pub retry_at: Option<u64>,
}

/// The launcher's words, and how to tell them from silence.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    #[serde(with = "carried")]
    pipe: Option<File>,
    #[serde(with = "carried::bytes")]
    text: Vec<u8>,
    pub prepared: Option<Prepared>,
    pub failure: Option<LaunchFailure>,
}

/// What the workload turned out to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Prepared {
    pub argv: Vec<String>,
    pub stop_signal: i32,
    /// What the image says about it.
    pub health: Option<ImageHealth>,
    /// What an operator should know of it.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Run {
    /// Bytes that its group has in memory.
    pub(crate) fn memory(&self) -> Option<u64> {
        if let Some(counter) = self.memory.get() {
            return counter.number();
        }
        let counter = self.cgroup.counter("memory.current").ok()?;
        self.memory.get_or_init(|| counter).number()
    }
}

impl Report {
    /// `pipe` must be non-blocking.
    pub(crate) fn new(pipe: OwnedFd) -> Self {
        Self {
            pipe: Some(File::from(pipe)),
            text: Vec::new(),
            prepared: None,
            failure: None,
        }
    }

    pub(crate) fn pipe(&self) -> Option<&File> {
        self.pipe.as_ref()
    }

    /// Read what there is. True at the end of the pipe: the launcher has become the workload, or is gone.
    pub(crate) fn read(&mut self) -> bool {
        let Some(pipe) = &mut self.pipe else {
            return true;
        };
        let mut buffer = [0; 4096];
        let ended = loop {
            match pipe.read(&mut buffer) {
                Ok(0) => break true,
                Ok(bytes) if self.text.len().saturating_add(bytes) <= limits::REPORT_BYTES_MAX => {
                    self.text
                        .extend_from_slice(buffer.get(..bytes).unwrap_or_default());
                }
                Ok(_) => break true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break true,
            }
        };
        if ended {
            self.pipe = None;
            self.parse();
        }
        ended
    }

    fn parse(&mut self) {
        for line in self
            .text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            match serde_json::from_slice(line) {
                Ok(LaunchReport::Prepared {
                    argv,
                    stop_signal,
                    health,
                    notes,
                    image_digest: _,
                }) => {
                    self.prepared = Some(Prepared {
                        argv,
                        stop_signal,
                        health,
                        notes,
                    });
                }
                Ok(LaunchReport::Failed(failure)) => self.failure = Some(failure),
                Err(error) => {
                    self.failure = Some(LaunchFailure {
                        step: "report".into(),
                        path: String::new(),
                        errno: 0,
                        message: format!("the launcher's report can't be read: {error}"),
                    });
                }
            }
        }
        self.text = Vec::new();
    }

    /// The workload was executed.
    pub(crate) fn succeeded(&self) -> bool {
        self.pipe.is_none() && self.prepared.is_some() && self.failure.is_none()
    }
}

/// `mount: /etc/hosts: no such file or directory`
pub(crate) fn failure_text(failure: &LaunchFailure) -> String {
    let mut text = failure.step.clone();
    if !failure.path.is_empty() {
        text.push_str(": ");
        text.push_str(&failure.path);
    }
    text.push_str(": ");
    text.push_str(&failure.message);
    if failure.errno != 0 {
        let errno = nix::errno::Errno::from_raw(failure.errno);
        if !failure.message.contains(errno.desc()) {
            text.push_str(&format!(" ({errno:?}: {})", errno.desc()));
        } else {
            text.push_str(&format!(" ({errno:?})"));
        }
    }
    text
}
