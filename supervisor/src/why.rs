//! How a unit has come to be where it is: the chain of events, read backwards from the journal.
//!
//! ```text
//! 12.3  db exited with code 1              db is failed
//! 12.3  ── the same turn ──                web is failed: it requires db
//! ```
//!
//! From the unit's latest change the chain goes back over what caused it: a report about the unit itself leads to the
//! unit's change before, one about another unit to that unit's, a request is the beginning.

use crate::journal::{Cause, Change, Entry};
use crate::{Event, State, Supervisor, Timestamp, UnitId};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Links of a chain: what is older than so many causes explains nothing any more.
pub const WHY_STEPS_MAX: usize = 32;

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyStep {
    pub at: Timestamp,
    pub unit: UnitId,
    /// What happened.
    pub cause: Cause,
    /// Where the unit came by that.
    pub state: State,
}

impl Supervisor {
    /// Oldest first, at most [`WHY_STEPS_MAX`]; empty when the journal does not go back so far.
    #[must_use]
    pub fn why(&self, unit: UnitId) -> Vec<WhyStep> {
        let mut steps: Vec<WhyStep> = Vec::new();
        let mut seen: BTreeSet<UnitId> = BTreeSet::from([unit]);
        let mut unit = unit;
        for entry in self.journal.entries().rev() {
            if steps.len() >= WHY_STEPS_MAX {
                break;
            }
            let Some(change) = change_of(entry, unit) else {
                continue;
            };
            steps.push(WhyStep {
                at: entry.at,
                unit,
                cause: entry.cause.clone(),
                state: change.state.clone(),
            });
            match subject(&entry.cause) {
                Subject::Unit(other) if other != unit => {
                    // The same turn has changed the other one too, if it could be its cause.
                    if let Some(change) = change_of(entry, other) {
                        steps.push(WhyStep {
                            at: entry.at,
                            unit: other,
                            cause: entry.cause.clone(),
                            state: change.state.clone(),
                        });
                    }
                    if !seen.insert(other) {
                        break;
                    }
                    unit = other;
                }
                Subject::Unit(_) | Subject::Time => {}
                Subject::Request => break,
            }
        }
        steps.truncate(WHY_STEPS_MAX);
        steps.reverse();
        steps
    }
}

impl Supervisor {
    /// What happened: `exited web run 7: exited with code 1`.
    #[must_use]
    pub fn cause_text(&self, cause: &Cause) -> String {
        crate::line::cause_text(cause, &|unit| self.name_of(unit))
    }

    /// Where the unit came by it: `failed: db, which it requires, failed`.
    #[must_use]
    pub fn state_text(&self, state: &State) -> String {
        let more = match state {
            State::Failed { reason } => self.describe(reason),
            State::Skipped { reason } => reason.clone(),
            State::Finished { exit } => exit.to_string(),
            State::Stopping { killed: true, .. } => String::from("killed"),
            State::PreStart { step, .. } => format!("pre_start {}", step.index),
            State::PreStop { step, .. } => format!("pre_stop {}", step.index),
            State::PostStop { step, .. } => format!("post_stop {}", step.index),
            State::Inactive
            | State::Scheduled
            | State::Waiting
            | State::Preparing { .. }
            | State::Starting { .. }
            | State::Started { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Releasing { .. }
            | State::Backoff { .. } => return String::from(state.name()),
        };
        format!("{}: {more}", state.name())
    }
}

fn change_of(entry: &Entry, unit: UnitId) -> Option<&Change> {
    entry.changes.iter().find(|change| change.unit == unit)
}

enum Subject {
    Unit(UnitId),
    Time,
    Request,
}

/// Whom a turn was about.
fn subject(cause: &Cause) -> Subject {
    match cause {
        Cause::Timeout => Subject::Time,
        Cause::Applied(_) => Subject::Request,
        Cause::Event(event) => match event {
            Event::Prepared { unit, .. }
            | Event::PrepareFailed { unit, .. }
            | Event::Skipped { unit, .. }
            | Event::HookEnded { unit, .. }
            | Event::HealthPlan { unit, .. }
            | Event::Started { unit, .. }
            | Event::SpawnFailed { unit, .. }
            | Event::Ready { unit, .. }
            | Event::Notified { unit, .. }
            | Event::Probed { unit, .. }
            | Event::Reloaded { unit, .. }
            | Event::Paused { unit, .. }
            | Event::Flipped { unit, .. }
            | Event::Exited { unit, .. }
            | Event::Released { unit, .. } => Subject::Unit(*unit),
            Event::Recall { .. }
            | Event::StartDefault
            | Event::Start { .. }
            | Event::Stop { .. }
            | Event::Restart { .. }
            | Event::Reload { .. }
            | Event::Pause { .. }
            | Event::Unpause { .. }
            | Event::ResetFailed { .. }
            | Event::TimerElapsed { .. }
            | Event::ClockSetBack { .. }
            | Event::Withdrawn { .. }
            | Event::Shutdown { .. } => Subject::Request,
        },
    }
}
