//! Every limit of PID 1, with its reason.

/// Control connections at once: a person, a few scripts, and the relay's four.
pub(crate) const CONNECTIONS_MAX: usize = 64;
/// Bytes of replies that a client may leave unread before its connection is closed.
pub(crate) const REPLY_BYTES_MAX: usize = 8 << 20;
/// Bytes of a launcher's report; a step, a path and an argument list.
pub(crate) const REPORT_BYTES_MAX: usize = 512 << 10;
/// Bytes of what a job prints that are kept (`store ls`).
pub(crate) const JOB_OUTPUT_BYTES_MAX: usize = 4 << 20;
/// Pipes of ended runs whose output logd has not yet written. Beyond it the oldest are closed, and that is said.
pub(crate) const ENDED_PIPES_MAX: usize = 1024;
/// A netd that died so often without making one network is not waited for: who waits is told, and tries again by its own
/// back-off.
pub(crate) const NETD_DEATHS_MAX: u32 = 3;
/// Messages waiting for a helper that does not read.
pub(crate) const HELPER_QUEUE_MAX: usize = 16_384;
/// First and longest wait before a helper that has died is started again.
pub(crate) const HELPER_DELAY_MS: u64 = 50;
pub(crate) const HELPER_DELAY_MAX_MS: u64 = 10_000;
/// logd starts so long after the first units: a container that writes sooner than it can be read waits in its pipe, and
/// 64 KiB fit into it.
pub(crate) const LOGD_DELAY_MS: u64 = 300;
/// A helper that lived this long starts its waits anew.
pub(crate) const HELPER_STEADY_MS: u64 = 10_000;
/// A killed group may stay busy for a moment while its last process goes (cgroup-v2: `populated`).
pub(crate) const CGROUP_RETRY_MS: u64 = 5;
pub(crate) const CGROUP_RETRIES_MAX: u32 = 400;
/// Time that containers have together to end before the rest is killed, at power-off and reboot.
pub(crate) const SHUTDOWN_BUDGET_MS: u64 = 60_000;
/// Time that logd has to write what is left, and the helpers to go.
pub(crate) const HELPER_STOP_MS: u64 = 1_000;
/// The hardware resets a machine whose PID 1 has been silent for so long.
pub(crate) const WATCHDOG_S: i32 = 60;
/// Unit transitions that the boot chart keeps.
pub(crate) const CHART_TRANSITIONS_MAX: usize = 20_000;
/// A client has this long to send its whole request.
pub(crate) const REQUEST_TIMEOUT_MS: u64 = 10_000;
