//! How a container runs, and what happens when it ends.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    pub kind: ServiceKind,
    pub restart: Restart,
    pub restart_delay_ms: u64,
    pub restart_delay_max_ms: u64,
    /// Factor between two delays, in thousandths: 2000 doubles. (An integer, so that decisions replay exactly.)
    pub restart_backoff_milli: u64,
    /// A run that lasted this long resets the delay.
    pub restart_reset_after_ms: u64,
    /// For the policies that restart at failures only: give up after so many restarts in a row; 0: never.
    pub restart_max: u32,
    pub start_limit: StartLimit,
    pub success_exit_codes: Vec<i32>,
    /// Whatever `restart` says, there is no restart after these.
    pub restart_prevent_exit_codes: Vec<i32>,
    pub remain_after_exit: bool,
    /// From the start of the start (hooks, network, processes) until the command is executed; of a oneshot, until it
    /// has ended.
    pub start_timeout_ms: u64,
    pub stop_timeout_ms: u64,
    /// A run that lasts longer is killed and has failed.
    pub runtime_max_ms: Option<u64>,
    pub kill_mode: KillMode,
    pub reload: Option<Reload>,
    /// Longest time between two `WATCHDOG=1` on the notify socket.
    pub watchdog_ms: Option<u64>,
    /// Before each run, in order; the container of the unit is not there yet.
    pub pre_start: Vec<Hook>,
    /// In the container, once it runs and before the unit is ready.
    pub post_start: Vec<Hook>,
    /// In the container, before the stop signal.
    pub pre_stop: Vec<Hook>,
    /// After each run, however it ended; the container of the unit is gone.
    pub post_stop: Vec<Hook>,
}

impl Default for Service {
    /// What an empty `[service]` says.
    fn default() -> Self {
        Self {
            kind: ServiceKind::Simple,
            restart: Restart::Always,
            restart_delay_ms: Self::RESTART_DELAY_MS,
            restart_delay_max_ms: Self::RESTART_DELAY_MAX_MS,
            restart_backoff_milli: Self::RESTART_BACKOFF_MILLI,
            restart_reset_after_ms: Self::RESTART_RESET_AFTER_MS,
            restart_max: 0,
            start_limit: StartLimit::default(),
            success_exit_codes: vec![0],
            restart_prevent_exit_codes: Vec::new(),
            remain_after_exit: false,
            start_timeout_ms: Self::START_TIMEOUT_MS,
            stop_timeout_ms: Self::STOP_TIMEOUT_MS,
            runtime_max_ms: None,
            kill_mode: KillMode::ControlGroup,
            reload: None,
            watchdog_ms: None,
            pre_start: Vec::new(),
            post_start: Vec::new(),
            pre_stop: Vec::new(),
            post_stop: Vec::new(),
        }
    }
}

impl Service {
    /// The four of a restart are those of Docker's restart manager.
    pub const RESTART_DELAY_MS: u64 = 100;
    pub const RESTART_DELAY_MAX_MS: u64 = 60_000;
    pub const RESTART_BACKOFF_MILLI: u64 = 2000;
    pub const RESTART_RESET_AFTER_MS: u64 = 10_000;
    /// No restart comes sooner after the end of a run, whatever the unit says, but the first one of a unit that wants no
    /// delay: with none at all, a command that ends at once would keep PID 1 busy for ever.
    pub const RESTART_DELAY_MS_MIN: u64 = 10;
    /// systemd's DefaultTimeoutStartSec.
    pub const START_TIMEOUT_MS: u64 = 90_000;
    /// Docker's time from SIGTERM to SIGKILL.
    pub const STOP_TIMEOUT_MS: u64 = 10_000;

    /// Milliseconds from the end of a run to the next start. `previous`: the delay before that run, `None` if it has served
    /// long enough or was the first.
    #[must_use]
    pub fn next_delay_ms(&self, previous: Option<u64>) -> u64 {
        let wanted = match previous {
            None if self.restart_delay_ms == 0 => return 0,
            None => self.restart_delay_ms,
            Some(0) => Self::RESTART_DELAY_MS,
            Some(ms) => ms
                .saturating_mul(self.restart_backoff_milli)
                .checked_div(1000)
                .unwrap_or(ms),
        };
        wanted
            .min(self.restart_delay_max_ms)
            .max(Self::RESTART_DELAY_MS_MIN)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceKind {
    /// Running as soon as the command has been executed.
    Simple,
    /// As simple, and it tells what it does over the notify socket: sd_notify(3).
    Notify,
    /// Ready when the command has ended with success; until then it is starting.
    Oneshot,
    /// As oneshot, but a run may take its time: it is running while it runs, and only `runtime_max` limits it.
    Job,
}

impl ServiceKind {
    /// Its command is meant to end.
    #[must_use]
    pub fn ends(self) -> bool {
        match self {
            Self::Oneshot | Self::Job => true,
            Self::Simple | Self::Notify => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    No,
    Always,
    /// Any end that is not a success (Docker's meaning).
    OnFailure,
    /// Ended by a signal, a timeout or the watchdog, but not by an exit status.
    OnAbnormal,
    /// Ended by the watchdog.
    OnWatchdog,
    /// As `Always`, but a stop by the operator is remembered over a reboot.
    UnlessStopped,
}

/// More than `burst` starts within `interval_ms`: the unit has failed and is not started again by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartLimit {
    /// 0: no limit.
    pub burst: u32,
    pub interval_ms: u64,
}

/// Whom the end of `stop_timeout` kills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KillMode {
    /// All that is left in the container.
    ControlGroup,
    /// The container's PID 1; the kernel ends the others with it, as they are in its pid namespace.
    Process,
}

/// How the running container takes up a new configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reload {
    /// Number, to the container's PID 1.
    Signal(i32),
    /// In the container.
    Command(Vec<String>),
}

/// A step beside the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    pub command: Vec<String>,
    /// For `pre_start` and `post_stop`: of the container made for the step. `None`: the unit's own.
    pub image: Option<String>,
    pub timeout_ms: u64,
    pub on_failure: HookFailure,
}

/// What a step that fails means for the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookFailure {
    Fail,
    Ignore,
}
