//! Every limit of PID 1, with its reason.

/// Of one turn of the loop: whoever asks something meanwhile does not notice it. A single action may take longer.
pub(crate) const TURN_MS: u64 = 10;
/// A start that has waited so long for its turn gets its whole time when it comes; so much before the time of one that
/// waits would be over it gets some more.
pub(crate) const START_WAIT_MS: u64 = 2_000;
/// Below so many units an answer with all about each of them is worked out sooner than a copy of PID 1 is made: that takes
/// as long as some hundred units.
pub(crate) const ASIDE_UNITS_MIN: usize = 128;
/// The same for an answer with a row for each.
pub(crate) const ASIDE_ROWS_MIN: usize = 512;
/// Control connections at once: a person, a few scripts, and the relay's four.
pub(crate) const CONNECTIONS_MAX: usize = 64;
/// Bytes of replies that a client may leave unread; what comes beyond is not kept for it.
pub(crate) const REPLY_BYTES_MAX: usize = 8 << 20;
/// Pieces of 4 KiB that are read of one client before others are heard.
pub(crate) const CONNECTION_ROUNDS_MAX: u32 = 32;
/// Bytes of a launcher's report; a step, a path and an argument list.
pub(crate) const REPORT_BYTES_MAX: usize = 512 << 10;
/// One image of the release is loaded in this time, or those who wait for it are told that it is not: 10 GiB from a disk
/// that gives 20 MB/s.
pub(crate) const IMAGE_LOAD_MS_MAX: u64 = 600_000;
/// Bytes of what a job prints that are kept (`store ls`).
pub(crate) const JOB_OUTPUT_BYTES_MAX: usize = 4 << 20;
/// Pipes of ended runs whose output logd has not yet written. Beyond it the oldest are closed, and that is said.
pub(crate) const ENDED_PIPES_MAX: usize = 1024;
/// Lines of the system's own about units that wait for logd while it is not there: some for each of hundreds of units.
pub(crate) const NOTES_MAX: usize = 1024;
/// A netd that died so often without making one network is not waited for: who waits is told, and tries again by its own
/// back-off.
pub(crate) const NETD_DEATHS_MAX: u32 = 3;
/// Ranges of host ports that netd is told of: a message of some 60 KB at most.
pub(crate) const DECLARED_RANGES_MAX: usize = 4_096;
/// Messages waiting for a helper that does not read.
pub(crate) const HELPER_QUEUE_MAX: usize = 16_384;
/// First and longest wait before a helper that has died is started again.
pub(crate) const HELPER_DELAY_MS: u64 = 50;
pub(crate) const HELPER_DELAY_MAX_MS: u64 = 10_000;
/// logd starts so long after the first units, which have their own start to do until then: what a container writes sooner
/// waits in its pipe, and 64 KiB fit into it.
pub(crate) const LOGD_DELAY_MS: u64 = 800;
/// While the machine boots, the ports of the control channel are looked at so long after they were found: for the same
/// reason.
pub(crate) const RELAY_DELAY_MS: u64 = 800;
/// A helper that lived this long starts its waits anew.
pub(crate) const HELPER_STEADY_MS: u64 = 10_000;
/// A killed group may stay busy for a moment while its last process goes (cgroup-v2: `populated`).
pub(crate) const CGROUP_RETRY_MS: u64 = 5;
pub(crate) const CGROUP_RETRIES_MAX: u32 = 400;
/// Time that containers have together to end before the rest is killed, at power-off and reboot: at least, and at most
/// where their own `stop_timeout`s ask for more. A database may write for minutes, and nobody waits for a machine for ever.
pub(crate) const SHUTDOWN_BUDGET_MS: u64 = 60_000;
pub(crate) const SHUTDOWN_BUDGET_MS_MAX: u64 = 30 * 60_000;
/// Time that logd has to write what is left, and the helpers to go.
pub(crate) const HELPER_STOP_MS: u64 = 1_000;
/// The hardware resets a machine whose PID 1 has been silent for so long.
pub(crate) const WATCHDOG_S: u64 = 60;
/// What an operator may ask for instead: PID 1 may sleep a third of it, and a busy host holds a virtual machine up for
/// seconds; hardware counts up to an hour at most.
pub(crate) const WATCHDOG_RANGE_S: std::ops::RangeInclusive<u64> = 5..=3600;
/// Memory may hold gigabytes that a slow disk has not taken yet when the machine goes down; nobody feeds it then.
pub(crate) const WATCHDOG_END_S: i32 = 600;
/// Unit transitions that the boot chart keeps.
pub(crate) const CHART_TRANSITIONS_MAX: usize = 20_000;
/// Bytes of what the child that writes unit files says about a failure; a pipe holds them all.
pub(crate) const UNIT_FILES_ERROR_BYTES_MAX: usize = 4 << 10;
/// A client has this long to send its whole request, and its unit files after it.
pub(crate) const REQUEST_TIMEOUT_MS: u64 = 10_000;
/// Bytes of a command's output that are looked at for its last line.
pub(crate) const TAIL_BYTES_MAX: usize = 4096;
/// Bytes of a command's output that are read at once, and the pause after them: 3 MB a second at most, so that a command
/// that writes without end costs PID 1 next to nothing.
pub(crate) const TAIL_TURN_BYTES: usize = 32 << 10;
pub(crate) const TAIL_PAUSE_MS: u64 = 10;
/// Characters of a line that a container has said, in a reason.
pub(crate) const LINE_CHARS_MAX: usize = 200;
/// Bytes of one message over a notify socket: systemd's limit.
pub(crate) const NOTICE_BYTES_MAX: usize = 4096;
/// So many messages of a container are heard in so many milliseconds: a watchdog of 10 ms and more is never hurt by it, and
/// fifty containers that do nothing but talk take a few percent of a processor.
pub(crate) const NOTICES_MAX: u32 = 32;
pub(crate) const NOTICES_MS: u64 = 100;
/// So long an old version goes on after its ports have gone over to the new one: for connections that had just come to it,
/// and for short requests under way.
pub(crate) const FLIP_GRACE_MS: u64 = 1_000;
/// prober is started again sooner than the others: a probe that it owes is a failure `supervisor::PROBE_GRACE_MS` after its
/// time limit.
pub(crate) const PROBER_DELAY_MAX_MS: u64 = 1_000;
/// One look at a port that is waited for. On loopback, and to a container of this machine, the answer is there at once.
pub(crate) const PORT_TIMEOUT_MS: u64 = 1_000;
/// Between two looks at a port that is waited for: a part of the time that it has been waited for already, so that what
/// starts in 40 ms is seen some 5 ms later, and what needs a minute costs four looks a second.
pub(crate) const PORT_PAUSE_SHARE: u64 = 8;
pub(crate) const PORT_PAUSE_MS: u64 = 5;
pub(crate) const PORT_PAUSE_MAX_MS: u64 = 250;
/// A container is frozen within milliseconds, unless one of its processes waits in the kernel for a device.
pub(crate) const FREEZE_TIMEOUT_MS: u64 = 5_000;
/// What a copy of PID 1 works out takes milliseconds, or seconds for thousands of files; one that takes longer waits for a
/// disk that does not answer.
pub(crate) const ASIDE_MS: u64 = 60_000;
/// The program that sees whether a handover can be read takes milliseconds.
pub(crate) const HANDOVER_CHECK_MS: u64 = 20_000;
/// Bytes of what it says.
pub(crate) const HANDOVER_ERROR_BYTES_MAX: u64 = 2048;
/// So long a step that has failed waits for logd to tell its last line; then it is told without.
pub(crate) const LAST_LINE_MS: u64 = 250;
/// Commands at once in one container: each control connection has one at most, and hooks, probes and a reload come with
/// them. Those of which something is left count.
pub(crate) const PLACES_MAX: u32 = 256;
/// What was killed is gone within milliseconds, unless one of its processes waits in the kernel for a device.
pub(crate) const COMMAND_END_MS: u64 = 5_000;
