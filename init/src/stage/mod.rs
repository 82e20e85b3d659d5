//! Boot as a list of named stages, each with what its failure does.
//!
//! ```text
//! early → root → modules → netd → state → identity → clock → units → (event loop)
//! ```
//! To add one: a file here with a function `fn(&mut Boot) -> Result<(), StageError>`, and a row in [`STAGES`].

mod clock;
mod early;
mod identity;
mod modules;
mod netd;
mod root;
mod state;
mod sysctl;
mod units;

pub(crate) use clock::LAST_SEEN as CLOCK_LAST_SEEN;
pub(crate) use modules::{folder as module_folder, index as module_index};
pub(crate) use state::FILE_SYSTEM;

use crate::carried;
use crate::cmdline::Cmdline;
use crate::console;
use crate::first_drivers::Storage;
use crate::gasp;
use crate::health::StateHome;
use crate::helper::Helper;
use crate::module_index::ModuleIndex;
use control::reply::ChartSpan;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use sys::clock::since_boot_ms;
use unit::{Choices, Loaded};

/// What a failing stage does to the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnFailure {
    /// Without it nothing can run: say why, and reboot.
    LastGasp,
    /// Said aloud; the machine goes on without it.
    GoOn,
}

struct Stage {
    name: &'static str,
    run: fn(&mut Boot) -> Result<(), StageError>,
    on_failure: OnFailure,
}

/// In the order of the boot.
const STAGES: [Stage; 8] = [
    Stage {
        name: "early",
        run: early::run,
        on_failure: OnFailure::LastGasp,
    },
    Stage {
        name: "root",
        run: root::run,
        on_failure: OnFailure::LastGasp,
    },
    Stage {
        name: "modules",
        run: modules::run,
        on_failure: OnFailure::GoOn,
    },
    Stage {
        name: "netd",
        run: netd::run,
        on_failure: OnFailure::GoOn,
    },
    Stage {
        name: "state",
        run: state::run,
        on_failure: OnFailure::GoOn,
    },
    Stage {
        name: "identity",
        run: identity::run,
        on_failure: OnFailure::GoOn,
    },
    Stage {
        name: "clock",
        run: clock::run,
        on_failure: OnFailure::GoOn,
    },
    Stage {
        name: "units",
        run: units::run,
        on_failure: OnFailure::GoOn,
    },
];

/// What the stages find out, for the event loop.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Boot {
    pub cmdline: Cmdline,
    pub chart: Vec<ChartSpan>,
    /// The root of the release as the kernel unpacked it, still writable, to free what the boot has used up.
    #[serde(with = "carried")]
    pub release_root: Option<OwnedFd>,
    /// Read anew by the next program.
    #[serde(skip)]
    pub modules: ModuleIndex,
    /// The disk and partition that hold the state; none: it is in memory.
    pub state_device: Option<PathBuf>,
    pub units: Option<Loaded>,
    pub choices: Choices,
    pub hostname: String,
    pub machine_id: String,
    /// The copy that loads the drivers of disks and of the network, and when it was started.
    #[serde(with = "carried")]
    pub first_drivers: Option<(sys::clone::Child, u64)>,
    /// Of no use after the boot.
    #[serde(skip)]
    pub storage_drivers: Option<Storage>,
    /// It was started before there was an event loop.
    pub netd: Option<Helper>,
    /// When the first netd was told that it may ask for an address.
    pub network_since_ms: Option<u64>,
    /// It has been told that it may make the containers' network, too.
    pub network_begun: bool,
}

impl Boot {
    /// Run every stage. The error is that of a stage without which nothing can run.
    ///
    /// # Errors
    /// The stage's name and reason.
    pub(crate) fn run() -> Result<Self, StageError> {
        let mut boot = Self::default();
        for stage in &STAGES {
            let start_ms = since_boot_ms();
            let result = (stage.run)(&mut boot);
            boot.stage_ended(stage.name, start_ms, result.as_ref().copied());
            match stage.on_failure {
                OnFailure::LastGasp => result?,
                OnFailure::GoOn => {}
            }
        }
        Ok(boot)
    }

    /// Said on the console, and kept for the boot chart. Some stages end in the event loop.
    pub(crate) fn stage_ended(
        &mut self,
        name: &str,
        start_ms: u64,
        result: Result<(), impl fmt::Display>,
    ) {
        let end_ms = since_boot_ms();
        self.chart.push(ChartSpan {
            name: name.to_owned(),
            start_ms,
            end_ms,
            ok: result.is_ok(),
        });
        console::stage(name, end_ms.saturating_sub(start_ms), result);
        gasp::rehearse(&self.cmdline, name);
    }

    pub(crate) fn state_home(&self) -> StateHome {
        match &self.state_device {
            Some(_) => StateHome::Disk,
            None if state::is_wished_in_memory(self) => StateHome::MemoryByWish,
            None => StateHome::Memory,
        }
    }

    /// Give the memory of a file of the release back: the boot has used it up, and the next boot unpacks it again.
    pub(crate) fn free(&self, path: &Path) {
        if let Some(root) = &self.release_root {
            free(root, path);
        }
    }
}

/// Grace periods at once, at the price of an interrupt on every processor, or at leisure (`rcu_expedited`, Documentation/RCU):
/// mounts, namespaces, cgroups and modules wait for them, while nothing else has a use for the processors yet or any more.
/// The kernel itself is better off at leisure: where it starts its own parts it seldom waits, and interrupts cost.
pub(crate) fn hurry(yes: bool) {
    let value = if yes { "1" } else { "0" };
    if let Err(error) = std::fs::write("/sys/kernel/rcu_expedited", value) {
        log::info!("/sys/kernel/rcu_expedited: {error}");
    }
}

/// Give the memory of a file of the release back.
pub(crate) fn free(release_root: &OwnedFd, path: &Path) {
    let Ok(relative) = path.strip_prefix("/") else {
        return;
    };
    // Only memory is at stake; a file that was freed already is fine.
    let _ = nix::unistd::unlinkat(
        release_root,
        relative,
        nix::unistd::UnlinkatFlags::NoRemoveDir,
    );
}

/// What failed, with the path or device it failed on.
#[derive(Debug)]
pub(crate) struct StageError {
    pub what: String,
    pub source: Option<std::io::Error>,
}

impl StageError {
    pub(crate) fn io(what: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self {
            what: what.into(),
            source: Some(source.into()),
        }
    }

    pub(crate) fn text(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            source: None,
        }
    }
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{}: {source}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl std::error::Error for StageError {}
