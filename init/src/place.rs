//! Where a command in a container runs: a group of its own, below the run's.
//!
//! ```text
//! containers/UNIT:RUN          the unit's limits; paused and killed as a whole
//!                    /main     the container: killed as a whole when its memory runs out
//!                    /step-0   a hook, a probe, a reload or an exec: killed as a whole, and before the container
//!                    /step-1   …
//! system/launcher              those who start and reap the commands: what they need is not the container's
//! ```
//!
//! A place is taken again when its command is gone: a group that is removed stays in the kernel as long as a page of a
//! file that was read there is in memory, and probes come for ever. One that was killed is made anew all the same: on
//! some kernels (found on 6.18) whoever is born into it by clone3(2) from another group is killed at once, because the
//! kernel compares how often each was killed. That it was shows in `pids.max`, which is 0 then: nothing more is born there.
//!
//! What there is to know of a place is looked up when a command has left it and been told of, so that the next one need not
//! wait for it.

use crate::carried;
use crate::helpers;
use crate::limits;
use crate::machine::Machine;
use crate::run::Run;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::path::PathBuf;
use supervisor::{Exit, RunId};
use sys::cgroup::{Cgroup, CgroupError};
use sys::clock::since_boot_ms;
use unit::Resources;

/// A group for one command, from its start until its launcher has ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    run: RunId,
    number: u32,
    #[serde(with = "carried")]
    pub group: Cgroup,
    /// The launcher; None: it has ended.
    pid: Option<i32>,
    /// Of the group and the unit's, when the command began.
    before: Counts,
}

/// What the kernel has refused (cgroup-v2.rst: `memory.events`, `pids.events`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    killed_for_memory: u64,
    processes_refused: u64,
    /// Processes of the unit's group, and those below it.
    #[serde(default)]
    above: u64,
}

/// Which limit a command has run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    Memory,
    Processes,
}

impl Counts {
    /// The kernel counts a refused process in the group of who wanted it, and since Linux 6.11 in the group whose limit it
    /// was and above.
    fn of(group: &Cgroup, unit: Option<&Cgroup>) -> Self {
        Self {
            killed_for_memory: group.keyed("memory.events", "oom_kill").unwrap_or(0),
            processes_refused: refused(group),
            above: unit.map_or(0, refused),
        }
    }

    fn all_refused(self) -> u64 {
        self.processes_refused.saturating_add(self.above)
    }

    fn shortage_since(self, before: Self) -> Option<Shortage> {
        if self.killed_for_memory > before.killed_for_memory {
            Some(Shortage::Memory)
        } else if self.all_refused() > before.all_refused() {
            Some(Shortage::Processes)
        } else {
            None
        }
    }
}

fn refused(group: &Cgroup) -> u64 {
    group.keyed("pids.events", "max").unwrap_or(0)
}

/// Of a group that was made for one command, or one container.
pub(crate) fn shortage_of(group: &Cgroup) -> Option<Shortage> {
    Counts::of(group, None).shortage_since(Counts::default())
}

impl Shortage {
    /// By the key of the limit.
    pub(crate) fn text(self, resources: &Resources) -> String {
        match (self, resources.memory) {
            (Self::Memory, Some(bytes)) => format!(
                "killed: out of memory: the limit is resources.memory ({}), of the container and what runs beside it",
                unit::bytes::display(bytes)
            ),
            (Self::Memory, None) => "killed: the machine's memory ran out".into(),
            (Self::Processes, _) => format!(
                "the container has as many processes and threads as `resources.pids = {}` allows",
                resources.pids
            ),
        }
    }
}

fn kill(group: &Cgroup) {
    // One that an earlier program has made has no such limit.
    let _ = group.set("pids.max", "0");
    if let Err(error) = group.kill() {
        log::error!("{error}");
    }
}

/// By [`kill`], or by the reaper of its command.
fn was_killed(group: &Cgroup) -> bool {
    group.number("pids.max") == Some(0)
}

impl Run {
    /// A group for one more command.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn take_place(&mut self) -> Result<Place, String> {
        for number in 0..limits::PLACES_MAX {
            if self.places.contains(&number) {
                continue;
            }
            let taken = match self.clean_places.remove(&number) {
                // As its last command has left it.
                Some(counts) => Some((Cgroup::at(self.group_path(number)), counts)),
                None => self.make_place(number).map_err(|error| error.to_string())?,
            };
            let Some((group, counts)) = taken else {
                continue;
            };
            self.places.insert(number);
            let mut before = counts;
            before.above = refused(&self.cgroup);
            return Ok(Place {
                run: self.run,
                number,
                group,
                pid: None,
                before,
            });
        }
        Err(format!(
            "{} commands run in the container already",
            limits::PLACES_MAX
        ))
    }

    fn group_path(&self, number: u32) -> PathBuf {
        self.cgroup.path().join(format!("step-{number}"))
    }

    /// Of a place of which nothing is known; None: somebody is still there.
    fn make_place(&self, number: u32) -> Result<Option<(Cgroup, Counts)>, CgroupError> {
        let path = self.group_path(number);
        let group = Cgroup::create(&path)?;
        // On its way out, though it was killed.
        if group.is_populated() {
            return Ok(None);
        }
        let group = if was_killed(&group) || self.main.is_none() {
            group.remove()?;
            Cgroup::create(&path)?
        } else {
            group
        };
        // A run that an earlier program has started may have no controllers below it.
        if self.main.is_some() {
            group.set("memory.oom.group", "1")?;
        }
        let counts = Counts::of(&group, None);
        Ok(Some((group, counts)))
    }

    /// The command has gone, or has never come.
    pub(crate) fn leave(&mut self, place: &Place) {
        self.places.remove(&place.number);
        // Nobody is there who could be counted until the next command comes. One that was killed is made anew.
        if self.main.is_some() && !place.group.is_populated() && !was_killed(&place.group) {
            let counts = Counts::of(&place.group, None);
            self.clean_places.insert(place.number, counts);
        }
    }

    /// The group of the container's own processes.
    pub(crate) fn main_group(&self) -> &Cgroup {
        self.main.as_ref().unwrap_or(&self.cgroup)
    }
}

/// Numbers of the places that are taken.
pub(crate) type Places = BTreeSet<u32>;

/// Those whose group is there, empty, and was never killed, with what was counted there so far.
pub(crate) type CleanPlaces = BTreeMap<u32, Counts>;

impl Place {
    pub(crate) fn occupied_by(&mut self, launcher: i32) {
        self.pid = Some(launcher);
    }

    /// The launcher has been reaped; it comes back. Its number may be another's from now on.
    pub(crate) fn launcher_ended(&mut self) -> Option<i32> {
        self.pid.take()
    }

    /// End the command with all that it has started. Its launcher is told, too: the command may not have begun yet.
    /// Comes back with the launcher, which is to be killed if it does not end soon.
    pub(crate) fn end(&self) -> Option<i32> {
        kill(&self.group);
        let pid = self.pid?;
        let told = sys::pidfd::open(pid)
            .and_then(|pidfd| sys::pidfd::signal(pidfd.as_fd(), nix::libc::SIGTERM));
        if let Err(error) = told {
            log::error!("launcher {pid}: {error}");
        }
        Some(pid)
    }

    /// The limit that the command has run into since it began.
    pub(crate) fn shortage(&self, run: Option<&Run>) -> Option<Shortage> {
        Counts::of(&self.group, run.map(|run| &run.cgroup)).shortage_since(self.before)
    }
}

/// The launcher of a command has ended, and the command with it; of one that has lost its launcher before its time, what is
/// left is killed here.
pub(crate) fn give_back(
    place: &Place,
    runs: &mut BTreeMap<u64, Run>,
    give_up_at: &mut BTreeMap<i32, u64>,
) {
    if place.group.is_populated() {
        kill(&place.group);
    }
    if let Some(pid) = place.pid {
        give_up_at.remove(&pid);
    }
    if let Some(run) = runs.get_mut(&place.run.0) {
        run.leave(place);
    }
}

impl Machine {
    /// Launchers that were asked to end are not waited for without end: somebody in the container may have stopped a reaper.
    pub(crate) fn give_up_later(&mut self, launchers: impl IntoIterator<Item = i32>) {
        let at = since_boot_ms().saturating_add(limits::COMMAND_END_MS);
        for pid in launchers {
            self.give_up_at.entry(pid).or_insert(at);
        }
    }

    pub(crate) fn give_up_deadline(&self) -> Option<u64> {
        self.give_up_at.values().copied().min()
    }

    pub(crate) fn give_up_timeouts(&mut self, now: u64) {
        self.give_up_at.retain(|pid, at| {
            let waits = *at > now;
            if !waits {
                helpers::kill(*pid);
            }
            waits
        });
    }

    /// Why a container has ended that did not end well: processes that it could not have.
    pub(crate) fn note_shortage(&mut self, run: RunId, exit: Exit) {
        let Some(entry) = self.runs.get(&run.0) else {
            return;
        };
        let unit = entry.unit;
        let Some((found, container)) = self.container(unit) else {
            return;
        };
        let name = found.name.clone();
        let refused = || Counts::of(entry.main_group(), Some(&entry.cgroup)).all_refused();
        let short = exit != Exit::Code(0) && refused() > 0;
        let text = short.then(|| Shortage::Processes.text(&container.resources));
        match text {
            Some(text) => {
                self.note(&name, run.0, text.clone());
                // Of units that there are.
                let units = self.units.all().filter_map(|id| self.units.get(id));
                let names: BTreeSet<&str> = units.map(|unit| unit.name.as_str()).collect();
                self.shortages
                    .retain(|name, _| names.contains(name.as_str()));
                self.shortages.insert(name.to_string(), text);
            }
            None => drop(self.shortages.remove(name.as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Counts = Counts {
        killed_for_memory: 2,
        processes_refused: 7,
        above: 4,
    };

    #[test]
    fn only_what_was_refused_since_the_command_began_is_its_own() {
        assert_eq!(QUIET.shortage_since(QUIET), None);
        let refused = Counts {
            processes_refused: 8,
            ..QUIET
        };
        assert_eq!(refused.shortage_since(QUIET), Some(Shortage::Processes));
        let above = Counts { above: 5, ..QUIET };
        assert_eq!(above.shortage_since(QUIET), Some(Shortage::Processes));
        let killed = Counts {
            killed_for_memory: 3,
            ..refused
        };
        assert_eq!(killed.shortage_since(QUIET), Some(Shortage::Memory));
    }

    #[test]
    fn a_shortage_names_the_key() {
        let resources = Resources {
            memory: Some(64 << 20),
            pids: 12,
            ..Resources::default()
        };
        let text = Shortage::Processes.text(&resources);
        assert!(text.contains("`resources.pids = 12`"), "{text}");
        let text = Shortage::Memory.text(&resources);
        assert!(text.contains("resources.memory"), "{text}");
        let text = Shortage::Memory.text(&Resources::default());
        assert!(!text.contains("resources"), "{text}");
    }
}
