//! One turn of the journal as one line.

use crate::journal::{Cause, Entry};
use crate::text::{listed, name};
use crate::{Action, Event, Hook, Notice, Outcome, Rules, RunId, UnitId};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

pub(crate) fn entry_line(entry: &Entry, rules: &[Rules]) -> String {
    let (ms, names) = (entry.at.0, |unit: UnitId| name(rules, unit));
    let seconds = ms.checked_div(1000).unwrap_or_default();
    let rest = ms.checked_rem(1000).unwrap_or_default();
    let cause = cause_text(&entry.cause, &names);
    let actions: Vec<String> = entry
        .actions
        .iter()
        .map(|action| action_text(action, &names))
        .collect();
    let arrow = if actions.is_empty() { "" } else { " -> " };
    format!("{seconds}.{rest:03} {cause}{arrow}{}", actions.join(", "))
}

/// `exited web run 7: exited with code 1`
pub(crate) fn cause_text(cause: &Cause, names: &dyn Fn(UnitId) -> String) -> String {
    match cause {
        Cause::Event(event) => event_text(event, names),
        Cause::Timeout => String::from("deadline"),
        Cause::Applied(applied) => {
            let all = |units: &[UnitId]| {
                let names: Vec<String> = units.iter().map(|unit| names(*unit)).collect();
                if names.is_empty() {
                    String::from("none")
                } else {
                    listed(&names)
                }
            };
            format!(
                "apply: added {}; changed {}; removed {}",
                all(&applied.added),
                all(&applied.changed),
                all(&applied.removed)
            )
        }
    }
}

fn of_run(verb: &str, name: &str, run: RunId) -> String {
    format!("{verb} {name} run {}", run.0)
}

fn answer(verb: &str, name: &str, run: RunId, failure: &Option<String>) -> String {
    match failure {
        None => of_run(verb, name, run),
        Some(reason) => format!("{}: {reason}", of_run(verb, name, run)),
    }
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
        Event::ClockSetBack { .. } => String::from("clock set back"),
        Event::Skipped { unit, run, reason } => {
            format!("{}: {reason}", of_run("skipped", &names(*unit), *run))
        }
        Event::HookEnded {
            unit,
            run,
            hook,
            failure,
        } => answer(&format!("{hook} ended"), &names(*unit), *run, failure),
        Event::HealthPlan { unit, run, .. } => of_run("health plan", &names(*unit), *run),
        Event::Ready { unit, run } => of_run("ready", &names(*unit), *run),
        Event::Notified { unit, run, notice } => {
            format!("{}: {notice}", of_run("notified", &names(*unit), *run))
        }
        Event::Probed {
            unit, run, failure, ..
        } => answer("probed", &names(*unit), *run, failure),
        Event::Reloaded { unit, run, failure } => answer("reloaded", &names(*unit), *run, failure),
        Event::Paused { unit, run, failure } => answer("paused", &names(*unit), *run, failure),
        Event::Flipped { unit, run, failure } => answer("flipped", &names(*unit), *run, failure),
        Event::StartDefault => String::from("start default"),
        Event::Start { units, .. } => all("start", units),
        Event::Stop { units, .. } => all("stop", units),
        Event::Restart { units, .. } => all("restart", units),
        Event::Withdrawn { ticket } => format!("request {} withdrawn", ticket.0),
        Event::Shutdown { within_ms } => format!("shutdown within {within_ms} ms"),
        Event::Prepared { unit, run } => of_run("prepared", &names(*unit), *run),
        Event::PrepareFailed {
            unit,
            run,
            reason,
            lasting,
        } => {
            let what = if *lasting {
                "prepare failed for good"
            } else {
                "prepare failed"
            };
            format!("{}: {reason}", of_run(what, &names(*unit), *run))
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
        Action::RunHook { unit, run, hook } => of_run(&format!("run {hook}"), &names(*unit), *run),
        Action::KillHook { unit, run, hook } => {
            of_run(&format!("kill {hook}"), &names(*unit), *run)
        }
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
        Action::RestartsAtOnce { unit, .. } => format!("restarts at once {}", names(*unit)),
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

/// `pre_start 0`
impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.index)
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(text) => write!(f, "STATUS={text}"),
            Self::Watchdog => write!(f, "WATCHDOG=1"),
            Self::ExtendTimeout(ms) => write!(f, "EXTEND_TIMEOUT by {ms} ms"),
            Self::Reloading => write!(f, "RELOADING=1"),
            Self::Stopping => write!(f, "STOPPING=1"),
        }
    }
}
