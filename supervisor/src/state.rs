//! Questions to a [`State`].

use crate::{RunId, State, Timestamp};

impl State {
    /// The word that `ps` and `status` show.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Waiting => "waiting",
            Self::Preparing { .. } => "preparing",
            Self::Starting { .. } => "starting",
            Self::Running { .. } => "running",
            Self::Stopping { .. } => "stopping",
            Self::Releasing { .. } => "releasing",
            Self::Backoff { .. } => "backoff",
            Self::Finished { .. } => "finished",
            Self::Failed { .. } => "failed",
        }
    }

    /// The run that is under way; for a target in `Running` too.
    #[must_use]
    pub const fn run(&self) -> Option<RunId> {
        match self {
            Self::Preparing { run }
            | Self::Starting { run, .. }
            | Self::Running { run, .. }
            | Self::Stopping { run, .. }
            | Self::Releasing { run } => Some(*run),
            Self::Inactive
            | Self::Waiting
            | Self::Backoff { .. }
            | Self::Finished { .. }
            | Self::Failed { .. } => None,
        }
    }

    /// There may be a process (of a container; a target never has one).
    #[must_use]
    pub const fn is_live(&self) -> bool {
        match self {
            Self::Starting { .. } | Self::Running { .. } | Self::Stopping { .. } => true,
            Self::Preparing { .. }
            | Self::Releasing { .. }
            | Self::Inactive
            | Self::Waiting
            | Self::Backoff { .. }
            | Self::Finished { .. }
            | Self::Failed { .. } => false,
        }
    }

    /// When the unit wants to be looked at, whatever is reported until then.
    pub(crate) const fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Starting { deadline, .. } => Some(*deadline),
            Self::Stopping {
                kill_at,
                killed: false,
                ..
            } => Some(*kill_at),
            Self::Backoff { until } => Some(*until),
            Self::Stopping { killed: true, .. }
            | Self::Inactive
            | Self::Waiting
            | Self::Preparing { .. }
            | Self::Running { .. }
            | Self::Releasing { .. }
            | Self::Finished { .. }
            | Self::Failed { .. } => None,
        }
    }
}

impl Timestamp {
    /// `ms` milliseconds later.
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; 0 when that lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
