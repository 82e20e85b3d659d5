//! Lines for humans.

use crate::graph::index;
use crate::journal::{Cause, Entry};
use crate::{Action, Event, Exit, Failure, Outcome, Rules, RunId, State, Supervisor, UnitId};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// Longest text of a reason that is kept: reasons stay in PID 1's memory for each unit and in the journal.
const REASON_BYTES_MAX: usize = 512;

/// Names listed before "and more".
const NAMES_LISTED_MAX: usize = 5;

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal {
                signal,
                out_of_memory: false,
            } => write!(f, "killed by {}", unit::signal::display(*signal)),
            Self::Signal {
                signal,
                out_of_memory: true,
            } => {
                write!(
                    f,
                    "killed by {} (out of memory: the limit is resources.memory)",
                    unit::signal::display(*signal)
                )
            }
        }
    }
}

impl Supervisor {
    pub(crate) fn name_of(&self, unit: UnitId) -> String {
        name(&self.rules, unit)
    }

    /// One line without the unit's own name.
    #[must_use]
    pub fn describe(&self, failure: &Failure) -> String {
        match failure {
            Failure::Exited { exit } => exit.to_string(),
            Failure::PrepareFailed { reason } | Failure::SpawnFailed { reason } => reason.clone(),
            Failure::StartTimeout => String::from("did not start within start_timeout"),
            Failure::Dependency { unit } => {
                format!("{}, which it requires, failed", self.name_of(*unit))
            }
            Failure::RestartLimit => String::from("restart_max reached"),
        }
    }

    /// Why the unit is in its state; empty when there is nothing to say.
    #[must_use]
    pub fn reason(&self, unit: UnitId) -> String {
        let Some(life) = self.life(unit) else {
            return String::new();
        };
        let failure = life
            .last_failure
            .as_ref()
            .map(|failure| self.describe(failure))
            .unwrap_or_default();
        match &life.state {
            State::Waiting => self.waiting_reason(unit),
            State::Backoff { until } => {
                format!("{failure}; next start in {} ms", until.since(self.now))
            }
            State::Failed {
                reason: Failure::RestartLimit,
            } => {
                format!(
                    "{failure}; restart_max reached after {} restarts",
                    life.restarts
                )
            }
            State::Failed { reason } => self.describe(reason),
            State::Finished { exit } => exit.to_string(),
            State::Stopping { killed: true, .. } => String::from("killed, not ended yet"),
            State::Running { .. } if life.is_leaving() && life.stop_blockers > 0 => {
                format!("stops after {}", self.names(&self.waits_for(unit)))
            }
            State::Inactive
            | State::Preparing { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Releasing { .. } => String::new(),
        }
    }

    fn waiting_reason(&self, unit: UnitId) -> String {
        let waits = self.waits_for(unit);
        let stuck = |other: &&UnitId| self.life(**other).is_some_and(|life| life.standing.stuck);
        match waits.iter().find(stuck).copied() {
            Some(other) => {
                let why = self.life(other).and_then(|life| life.last_failure.as_ref());
                let why = why
                    .map(|failure| format!(": {}", self.describe(failure)))
                    .unwrap_or_default();
                format!(
                    "waits for {}, which fails again and again{why}",
                    self.name_of(other)
                )
            }
            None if waits.is_empty() => String::new(),
            None => format!("waits for {}", self.names(&waits)),
        }
    }

    /// `web: exited with code 1; next start in 100 ms`
    pub(crate) fn problem(&self, unit: UnitId) -> String {
        use crate::life::Next;
        let name = self.name_of(unit);
        let Some(life) = self.life(unit) else {
            return name;
        };
        let failure = life
            .last_failure
            .as_ref()
            .map(|failure| self.describe(failure))
            .unwrap_or_default();
        match (&life.state, &life.next) {
            (State::Releasing { .. }, Next::Backoff { until }) => {
                format!(
                    "{name}: {failure}; next start in {} ms",
                    until.since(self.now)
                )
            }
            (
                State::Releasing { .. },
                Next::Failed {
                    reason: Failure::RestartLimit,
                },
            ) => {
                format!(
                    "{name}: {failure}; restart_max reached after {} restarts",
                    life.restarts
                )
            }
            (State::Waiting, _) => format!("{name}: {}", self.waiting_reason(unit)),
            (_, _) => format!("{name}: {failure}"),
        }
    }

    fn names(&self, units: &[UnitId]) -> String {
        listed(
            &units
                .iter()
                .map(|unit| self.name_of(*unit))
                .collect::<Vec<_>>(),
        )
    }
}

/// `a, b, c, d, e and 3 more`
pub(crate) fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMES_LISTED_MAX);
    let first = names.get(..NAMES_LISTED_MAX).unwrap_or(names).join(", ");
    if more == 0 {
        first
    } else {
        format!("{first} and {more} more")
    }
}

pub(crate) fn shortened(reason: &str) -> String {
    if reason.len() <= REASON_BYTES_MAX {
        return String::from(reason);
    }
    let end = (0..=REASON_BYTES_MAX)
        .rev()
        .find(|end| reason.is_char_boundary(*end));
    format!(
        "{}…",
        end.and_then(|end| reason.get(..end)).unwrap_or_default()
    )
}

pub(crate) fn entry_line(entry: &Entry, rules: &[Rules]) -> String {
    let (ms, names) = (entry.at.0, |unit: UnitId| name(rules, unit));
    let seconds = ms.checked_div(1000).unwrap_or_default();
    let rest = ms.checked_rem(1000).unwrap_or_default();
    let cause = match &entry.cause {
        Cause::Event(event) => event_text(event, &names),
        Cause::Timeout => String::from("deadline"),
    };
    let actions: Vec<String> = entry
        .actions
        .iter()
        .map(|action| action_text(action, &names))
        .collect();
    let arrow = if actions.is_empty() { "" } else { " -> " };
    format!("{seconds}.{rest:03} {cause}{arrow}{}", actions.join(", "))
}

fn name(rules: &[Rules], unit: UnitId) -> String {
    let known = rules.get(index(unit.0)).map(|rules| rules.name.to_string());
    known.unwrap_or_else(|| format!("unit {}", unit.0))
}

fn of_run(verb: &str, name: &str, run: RunId) -> String {
    format!("{verb} {name} run {}", run.0)
}

fn event_text(event: &Event, names: &dyn Fn(UnitId) -> String) -> String {
    let all = |verb: &str, units: &[UnitId]| {
        let names: Vec<String> = units.iter().map(|unit| names(*unit)).collect();
        format!("{verb} {}", listed(&names))
    };
    match event {
        Event::Recall { .. } => String::from("recall"),
        Event::Reload { units, .. } => all("reload", units),
        Event::Pause { units, .. } => all("pause", units),
        Event::Unpause { units, .. } => all("unpause", units),
        Event::ResetFailed { units, .. } => all("reset-failed", units),
        Event::TimerElapsed { unit, .. } => format!("timer {}", names(*unit)),
        Event::Skipped { unit, run, reason } => {
            format!("{}: {reason}", of_run("skipped", &names(*unit), *run))
        }
        Event::HookEnded { unit, run, .. } => of_run("hook ended", &names(*unit), *run),
        Event::HealthPlan { unit, run, .. } => of_run("health plan", &names(*unit), *run),
        Event::Ready { unit, run } => of_run("ready", &names(*unit), *run),
        Event::Notified { unit, run, .. } => of_run("notified", &names(*unit), *run),
        Event::Probed { unit, run, .. } => of_run("probed", &names(*unit), *run),
        Event::Reloaded { unit, run, .. } => of_run("reloaded", &names(*unit), *run),
        Event::Paused { unit, run, .. } => of_run("paused", &names(*unit), *run),
        Event::Flipped { unit, run, .. } => of_run("flipped", &names(*unit), *run),
        Event::StartDefault => String::from("start default"),
        Event::Start { units, .. } => all("start", units),
        Event::Stop { units, .. } => all("stop", units),
        Event::Restart { units, .. } => all("restart", units),
        Event::Shutdown { within_ms } => format!("shutdown within {within_ms} ms"),
        Event::Prepared { unit, run } => of_run("prepared", &names(*unit), *run),
        Event::PrepareFailed { unit, run, reason } => {
            format!(
                "{}: {reason}",
                of_run("prepare failed", &names(*unit), *run)
            )
        }
        Event::Started { unit, run } => of_run("started", &names(*unit), *run),
        Event::SpawnFailed { unit, run, reason } => {
            format!("{}: {reason}", of_run("spawn failed", &names(*unit), *run))
        }
        Event::Exited { unit, run, exit } => {
            format!("{}: {exit}", of_run("exited", &names(*unit), *run))
        }
        Event::Released { unit, run } => of_run("released", &names(*unit), *run),
    }
}

fn action_text(action: &Action, names: &dyn Fn(UnitId) -> String) -> String {
    match action {
        Action::RunHook { unit, run, .. } => of_run("run hook", &names(*unit), *run),
        Action::KillHook { unit, run, .. } => of_run("kill hook", &names(*unit), *run),
        Action::WatchReadiness { unit, run } => of_run("watch", &names(*unit), *run),
        Action::Probe { unit, run, .. } => of_run("probe", &names(*unit), *run),
        Action::Reload { unit, run } => of_run("reload", &names(*unit), *run),
        Action::Pause { unit, run } => of_run("pause", &names(*unit), *run),
        Action::Unpause { unit, run } => of_run("unpause", &names(*unit), *run),
        Action::FlipPorts { unit, to, .. } => of_run("flip ports", &names(*unit), *to),
        Action::Swapped { unit, .. } => format!("swapped {}", names(*unit)),
        Action::RemoveUnit { unit } => format!("remove {}", names(*unit)),
        Action::ArmTimer { unit } => format!("arm timer {}", names(*unit)),
        Action::DisarmTimer { unit } => format!("disarm timer {}", names(*unit)),
        Action::Prepare { unit, run } => of_run("prepare", &names(*unit), *run),
        Action::Spawn { unit, run } => of_run("spawn", &names(*unit), *run),
        Action::Terminate { unit, run } => of_run("terminate", &names(*unit), *run),
        Action::Kill { unit, run } => of_run("kill", &names(*unit), *run),
        Action::Release { unit, run } => of_run("release", &names(*unit), *run),
        Action::Changed { unit } => format!("changed {}", names(*unit)),
        Action::Reply { ticket, outcome } => {
            let outcome = match outcome {
                Outcome::Done => "done",
                Outcome::Failed { message } => message,
                Outcome::ShuttingDown => "shutting down",
            };
            format!("reply {} ({outcome})", ticket.0)
        }
        Action::Settled { ready, failed } => format!("settled: {ready} ready, {failed} failed"),
        Action::ShutdownComplete => String::from("shutdown complete"),
    }
}
