//! Another set of units while everything runs: other unit files, or other choices of the operator.
//!
//! ```text
//! diff, apply ─ upload ─▶ check as a whole ── errors ──▶ Refused: nothing was changed
//!                              │
//!              diff: a copy of the supervisor applies it, and is looked at ─▶ Changes      all this aside, by a copy of PID 1
//!              apply: a child writes /var/units ─▶ supervisor.apply ─▶ definitions to their places ─▶ actions
//! enable, mask … ─ choices.json ────────────────────────┘
//! ```
//!
//! What is on the disk is never newer than what was checked, and what runs never newer than what is on the disk.
//! One change at a time: the next one would be checked against a set that is about to go.

use crate::aside::Purpose;
use crate::carried;
use crate::connection::Waits;
use crate::console;
use crate::limits;
use crate::machine::Machine;
use crate::source::ChildKind;
use crate::unit_files::{self, UnitFiles};
use crate::upload::{Intent, Uploads};
use control::change::{Changes, Effect, What};
use control::frame;
use control::reply::{Denial, Reply};
use control::request::Choice;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use supervisor::{Applied, Goal, Plan, State, Supervisor, Ticket, Timestamp, UnitId};
use sys::clock::since_boot_ms;
use sys::pidfd::Ended;
use unit::{Choices, Diagnostic, Loaded, UnitName, diff_units};

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) uploads: Uploads,
    pending: Option<Pending>,
}

/// Unit files that are being checked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Checked {
    pub(crate) connection: u64,
    wait: bool,
    #[serde(with = "carried::bytes")]
    text: Vec<u8>,
}

/// Choices under which the units are being loaded.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Chosen {
    pub(crate) connection: u64,
    choices: Choices,
}

/// What came of a check.
#[derive(Debug, Serialize, Deserialize)]
enum Verdict {
    Refused(Vec<Diagnostic>),
    Good {
        loaded: Box<Loaded>,
        changes: Box<Changes>,
        /// They are on the disk already.
        stored: bool,
    },
}

/// Checked, and being written.
#[derive(Debug, Serialize, Deserialize)]
struct Pending {
    connection: u64,
    wait: bool,
    loaded: Loaded,
    changes: Changes,
    #[serde(with = "carried")]
    errors: File,
}

const BUSY: &str = "another change of the units is under way: try again in a moment";

impl Machine {
    /// Unit files are here, whole.
    pub(crate) fn uploaded(&mut self, connection: u64, intent: Intent, text: Vec<u8>) {
        let files = match unit_files::parse(&text) {
            Ok(files) => files,
            Err(message) => return self.deny(connection, Denial::Malformed { message }),
        };
        match intent {
            Intent::Diff => self.aside(Purpose::Reply { connection }, |it| {
                let reply = match it.verdict(&files) {
                    Verdict::Refused(diagnostics) => Reply::Refused { diagnostics },
                    Verdict::Good { changes, .. } => Reply::Changes(changes),
                };
                frame::encode(&reply).map_err(io::Error::other)
            }),
            Intent::Apply { .. } if self.ending.is_some() => {
                self.deny(connection, Denial::ShuttingDown);
            }
            Intent::Apply { .. } if self.is_changing() => self.refuse_second_change(connection),
            Intent::Apply { wait } => {
                let checked = Checked {
                    connection,
                    wait,
                    text,
                };
                self.aside(Purpose::Checked(checked), |it| {
                    Ok(serde_json::to_vec(&it.verdict(&files))?)
                });
            }
        }
    }

    fn is_changing(&self) -> bool {
        self.change.pending.is_some() || self.change_is_worked_out()
    }

    fn refuse_second_change(&mut self, connection: u64) {
        let message = BUSY.to_owned();
        self.reply_last(connection, &Reply::Failed { message });
    }

    fn verdict(&self, files: &UnitFiles) -> Verdict {
        let loaded = unit::load_layers(unit_files::layers(Some(files)), self.units.choices());
        let diagnostics = self.refusal(&loaded);
        if !diagnostics.is_empty() {
            return Verdict::Refused(diagnostics);
        }
        Verdict::Good {
            changes: Box::new(self.changes(&loaded, files)),
            stored: *files == unit_files::stored(Path::new(sys::paths::UNITS)),
            loaded: Box::new(loaded),
        }
    }

    /// Unit files to apply have been checked.
    pub(crate) fn checked(&mut self, checked: Checked, answer: &[u8]) {
        let Checked {
            connection,
            wait,
            text,
        } = checked;
        let (loaded, changes, stored) = match serde_json::from_slice(answer) {
            Ok(Verdict::Good {
                loaded,
                changes,
                stored,
            }) => (*loaded, *changes, stored),
            Ok(Verdict::Refused(diagnostics)) => {
                return self.reply_last(connection, &Reply::Refused { diagnostics });
            }
            Err(error) => return self.work_is_unreadable(connection, &error),
        };
        if self.ending.is_some() {
            return self.deny(connection, Denial::ShuttingDown);
        }
        if stored {
            return self.take_over_files(connection, wait, loaded, changes);
        }
        match self.start_writer(&text) {
            Ok(errors) => {
                self.change.pending = Some(Pending {
                    connection,
                    wait,
                    loaded,
                    changes,
                    errors,
                });
            }
            Err(error) => {
                let message = format!("unit files: {error}");
                self.reply_last(connection, &Reply::Failed { message });
            }
        }
    }

    fn work_is_unreadable(&mut self, connection: u64, error: &serde_json::Error) {
        let message = format!("what a copy of PID 1 has worked out can't be read: {error}");
        self.reply_last(connection, &Reply::Failed { message });
    }

    /// What speaks against a set: the operator's own mistakes, and those that others have not made before.
    fn refusal(&self, loaded: &Loaded) -> Vec<Diagnostic> {
        let own = format!("{}/", sys::paths::UNITS);
        let errors = loaded.diagnostics.iter().filter(|found| found.is_error());
        errors
            .filter(|error| error.file.starts_with(&own) || !self.is_known(error))
            .cloned()
            .collect()
    }

    fn start_writer(&mut self, text: &[u8]) -> std::io::Result<File> {
        let (errors, write_end) = std::io::pipe()?;
        let errors = std::os::fd::OwnedFd::from(errors);
        sys::descriptor::set_nonblocking(errors.as_fd(), true)?;
        let child =
            unit_files::spawn_writer(text, self.null.as_fd(), self.log.as_fd(), write_end.as_fd())?;
        self.children.insert(child.pid, ChildKind::UnitFiles);
        Ok(File::from(errors))
    }

    /// The writer has ended.
    pub(crate) fn unit_files_written(&mut self, ended: Ended) {
        let Some(mut pending) = self.change.pending.take() else {
            return;
        };
        if ended == Ended::Code(0) {
            let Pending {
                connection,
                wait,
                loaded,
                changes,
                ..
            } = pending;
            return self.take_over_files(connection, wait, loaded, changes);
        }
        let mut text = vec![0; limits::UNIT_FILES_ERROR_BYTES_MAX];
        let bytes = pending.errors.read(&mut text).unwrap_or(0);
        let said = String::from_utf8_lossy(text.get(..bytes).unwrap_or_default()).into_owned();
        let why = match ended {
            _ if !said.is_empty() => said,
            Ended::Code(code) => format!("the writer exited with status {code}"),
            Ended::Signal(signal) => {
                let signal = unit::signal::display(signal);
                format!("the writer was killed by {signal}")
            }
        };
        let message = format!("{why}: nothing was changed");
        self.reply_last(pending.connection, &Reply::Failed { message });
    }

    /// They are on the disk.
    fn take_over_files(&mut self, connection: u64, wait: bool, loaded: Loaded, changes: Changes) {
        let count = changes.units.len();
        let ticket = wait.then_some(Ticket(connection));
        if wait {
            self.wait(connection, Waits::Outcome);
            self.reply(connection, &Reply::Changing(Box::new(changes.clone())));
        }
        let choices = self.units.choices().clone();
        if !self.take_over(loaded, choices, ticket) {
            // With a ticket, the supervisor has answered.
            return self.deny(connection, Denial::ShuttingDown);
        }
        self.forget_undeclared();
        if count > 0 {
            console::say(format_args!("applied: {count} units have changed"));
        }
        if !wait {
            self.reply_last(connection, &Reply::Changes(Box::new(changes)));
        }
    }

    /// Whether the supervisor has taken it; it does not while the machine goes down.
    fn take_over(&mut self, loaded: Loaded, choices: Choices, ticket: Option<Ticket>) -> bool {
        // What was decided about the present units is done to them.
        self.catch_up();
        let plan = Plan::from(&loaded.set);
        let now = Timestamp(since_boot_ms());
        let mut actions = Vec::new();
        let applied = self.supervisor.apply(now, &plan, ticket, &mut actions);
        if let Some(applied) = &applied {
            self.units.apply(loaded, choices, applied);
            self.reserve_declared_ports();
        }
        self.forget_bases();
        self.carry_out(actions);
        applied.is_some()
    }

    // ---- choices --------------------------------------------------------------------------------------------------

    pub(crate) fn choose(&mut self, connection: u64, choice: &Choice) {
        if self.is_changing() {
            return self.refuse_second_change(connection);
        }
        let choices = match self.chosen(choice) {
            Ok(choices) => choices,
            Err(reason) => return self.deny(connection, reason),
        };
        if choices == *self.units.choices() {
            return self.reply_last(connection, &Reply::Done);
        }
        let chosen = Chosen {
            connection,
            choices: choices.clone(),
        };
        self.aside(Purpose::Chosen(chosen), |_| {
            let loaded = unit::load_layers(unit_files::layers(None), &choices);
            Ok(serde_json::to_vec(&loaded)?)
        });
    }

    /// The units under other choices have been loaded.
    pub(crate) fn chosen_loaded(&mut self, chosen: Chosen, answer: &[u8]) {
        let Chosen {
            connection,
            choices,
        } = chosen;
        let loaded: Loaded = match serde_json::from_slice(answer) {
            Ok(loaded) => loaded,
            Err(error) => return self.work_is_unreadable(connection, &error),
        };
        let errors = loaded.diagnostics.iter().filter(|found| found.is_error());
        let news = errors.filter(|error| !self.is_known(error));
        let diagnostics: Vec<Diagnostic> = news.cloned().collect();
        if !diagnostics.is_empty() {
            return self.reply_last(connection, &Reply::Refused { diagnostics });
        }
        if self.ending.is_some() {
            return self.deny(connection, Denial::ShuttingDown);
        }
        if let Err(error) = crate::choices::write(&choices) {
            let message = format!("choices: {error}: nothing was changed");
            return self.reply_last(connection, &Reply::Failed { message });
        }
        if self.take_over(loaded, choices, None) {
            self.reply_last(connection, &Reply::Done);
        } else {
            self.deny(connection, Denial::ShuttingDown);
        }
    }

    fn is_known(&self, error: &Diagnostic) -> bool {
        let mut all = self.units.bad().iter().flat_map(|bad| &bad.diagnostics);
        all.any(|known| known == error)
    }

    /// The present choices with this one.
    fn chosen(&self, choice: &Choice) -> Result<Choices, Denial> {
        let mut choices = self.units.choices().clone();
        match choice {
            Choice::Enable { units, profiles } => {
                for unit in self.chosen_units(units)? {
                    choices.enable(unit);
                }
                choices.profiles.extend(profiles.iter().cloned());
            }
            Choice::Disable { units, profiles } => {
                for unit in self.chosen_units(units)? {
                    choices.disable(unit);
                }
                choices.profiles.retain(|it| !profiles.contains(it));
            }
            Choice::Mask { units } => choices.masked.extend(self.chosen_units(units)?),
            Choice::Unmask { units } => {
                // One that is masked may have gone.
                for unit in units {
                    let known = UnitName::new(unit).is_some_and(|it| choices.masked.remove(&it));
                    if !known {
                        self.unit_id(unit)?;
                    }
                }
            }
        }
        Ok(choices)
    }

    fn chosen_units(&self, names: &[String]) -> Result<Vec<UnitName>, Denial> {
        let found = names.iter().map(|name| {
            let unit = self.unit_id(name)?;
            let found = self.units.get(unit).map(|unit| unit.name.clone());
            found.ok_or_else(|| Denial::UnknownUnit {
                unit: name.clone(),
                nearest: None,
            })
        });
        found.collect()
    }

    // ---- what would come of it -------------------------------------------------------------------------------------

    fn changes(&self, loaded: &Loaded, files: &UnitFiles) -> Changes {
        let present = self
            .units
            .homes()
            .iter()
            .filter_map(|home| self.units.get(*home));
        let mut notes = shadowed(files, Path::new(sys::paths::RUN_UNITS));
        let over =
            sys::memory::total().and_then(|memory| unit::over_commitment(&loaded.set, memory));
        notes.extend(over);
        let warnings = loaded.diagnostics.iter().filter(|found| !found.is_error());
        Changes {
            units: diff_units(present, loaded.set.units()),
            effects: self.effects(loaded),
            warnings: warnings.cloned().collect(),
            notes,
        }
    }

    /// A copy of the supervisor takes the set over; nobody performs what it wants done.
    fn effects(&self, loaded: &Loaded) -> Vec<Effect> {
        let mut trial = self.supervisor.clone();
        let now = Timestamp(since_boot_ms());
        let plan = Plan::from(&loaded.set);
        let mut actions = Vec::new();
        let Some(Applied { homes, removed, .. }) = trial.apply(now, &plan, None, &mut actions)
        else {
            return Vec::new();
        };
        let name = |unit: &UnitId| {
            let rules = trial
                .rules()
                .get(usize::try_from(unit.0).unwrap_or(usize::MAX));
            rules.map(|rules| rules.name.to_string())
        };
        let mut seen = BTreeSet::new();
        let all = homes.iter().chain(&removed);
        all.filter(|unit| seen.insert(**unit))
            .filter_map(|unit| {
                let what = effect(&self.supervisor, &trial, *unit)?;
                let unit = name(unit)?;
                Some(Effect { unit, what })
            })
            .collect()
    }
}

/// Files of this boot that stand in for those of the same name.
fn shadowed(files: &UnitFiles, of_boot: &Path) -> Vec<String> {
    let names = files.keys().filter(|name| of_boot.join(name).exists());
    let note = |name: &String| {
        format!(
            "{name}: the file of the same name that was given to this boot (fw_cfg) stands in for it"
        )
    };
    names.map(note).collect()
}

/// What happens to a container when `before` becomes `after`.
fn effect(before: &Supervisor, after: &Supervisor, unit: UnitId) -> Option<What> {
    let is_target = |it: &Supervisor| {
        let rules = it
            .rules()
            .get(usize::try_from(unit.0).unwrap_or(usize::MAX));
        rules.is_none_or(|rules| rules.service.is_none())
    };
    if is_target(after) {
        return None;
    }
    let up = |it: &Supervisor| it.is_here(unit) && it.goal(unit) == Goal::Up;
    let serves = |it: &Supervisor| it.is_here(unit) && has_container(it.state(unit));
    // What has got a timer waits for the clock.
    let moved = before.state(unit) != after.state(unit) && *after.state(unit) != State::Scheduled;
    match (serves(before), up(after)) {
        _ if after.successor(unit).is_some() => Some(What::Replaced),
        (true, false) => Some(What::Stops),
        (true, true) if !serves(after) || after.is_to_stop(unit) => Some(What::Restarts),
        (false, true) if !up(before) || moved => Some(What::Starts),
        (true, true) | (false, _) => None,
    }
}

/// It has a container, or is about to have one.
fn has_container(state: &State) -> bool {
    match state {
        State::Preparing { .. }
        | State::PreStart { .. }
        | State::Starting { .. }
        | State::Started { .. }
        | State::Running { .. } => true,
        State::Inactive
        | State::Scheduled
        | State::Waiting
        | State::PreStop { .. }
        | State::Stopping { .. }
        | State::PostStop { .. }
        | State::Releasing { .. }
        | State::Backoff { .. }
        | State::Finished { .. }
        | State::Skipped { .. }
        | State::Failed { .. } => false,
    }
}
