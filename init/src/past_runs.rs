//! The latest runs of units whose command is meant to end: what `keelctl history` shows, over reboots.
//!
//! ```text
//! run ends ─▶ Changed ─▶ kept here, on the clock on the wall ─▶ /var/machine/history/UNIT.json, a second later
//!                             ▲                                                      │
//!                             └── when the unit's first run of this boot has ended ──┘
//! ```
//!
//! Nothing waits for the disk: after a power cut the last seconds may be missing. A boot reads nothing either: a file is
//! read when somebody asks, or when there is something to add to it. Bounded by `[timer] history` of each unit.

use crate::console;
use crate::durable::{self, Retry};
use crate::machine::Machine;
use crate::timers::wall_of;
use control::explain::PastRun;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use supervisor::{HISTORY_MAX, UnitId};
use sys::clock::since_boot_ms;
use unit::{History, Unit, UnitKind, UnitName};

const FOLDER: &str = "/var/machine/history";

/// A job that ends ten times a second must not keep the disk busy.
const WRITE_INTERVAL_MS: u64 = 1_000;

/// Of one file: 200 runs with a long line of outcome each.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct PastRuns {
    /// Of units that have had such a run in this boot.
    units: BTreeMap<UnitName, Kept>,
    /// Or, when everything had been written, when the first came that has not been.
    written_at_ms: u64,
    #[serde(default)]
    retry: Retry,
    /// Files of units that are no more have been removed.
    swept: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// Oldest first.
    runs: Vec<PastRun>,
    /// The latest of this boot: numbers begin anew with each.
    latest: u64,
    unwritten: bool,
}

impl PastRuns {
    /// When what has changed may be written.
    pub(crate) fn deadline(&self) -> Option<u64> {
        let mut units = self.units.values();
        let usual = self.written_at_ms.saturating_add(WRITE_INTERVAL_MS);
        let due = self.retry.deadline().unwrap_or(usual);
        units.any(|kept| kept.unwritten).then_some(due)
    }
}

/// Two clocks that are cut to milliseconds differ by up to one too little: no run begins that much before its time.
fn not_before(scheduled_ms: Option<i64>, began_ms: i64) -> i64 {
    let one_short = |at: &i64| began_ms.checked_add(1) == Some(*at);
    scheduled_ms.filter(one_short).unwrap_or(began_ms)
}

impl Machine {
    /// A unit has entered another state: perhaps a run of it has ended.
    pub(crate) fn note_past_run(&mut self, id: UnitId) {
        let Some(run) = self.supervisor.last_past_run(id) else {
            return;
        };
        let Some(unit) = self.units.get(id) else {
            return;
        };
        let known = self.past_runs.units.get(&unit.name);
        if known.is_some_and(|kept| kept.latest >= run.run.0) {
            return;
        }
        let past = PastRun {
            run: run.run.0,
            scheduled_ms: run.scheduled_wall_ms,
            began_ms: not_before(run.scheduled_wall_ms, wall_of(run.began.0)),
            duration_ms: run.ended.0.saturating_sub(run.began.0),
            succeeded: run.succeeded(),
            outcome: match (&run.failure, run.exit) {
                (Some(failure), _) => self.supervisor.describe(failure),
                (None, _) if run.stopped => String::from("stopped"),
                (None, Some(exit)) => exit.to_string(),
                (None, None) => String::new(),
            },
        };
        let (name, keep) = (unit.name.clone(), keep_of(unit));
        if self.past_runs.deadline().is_none() {
            // Whoever waits for the end of this run does not wait for the disk.
            self.past_runs.written_at_ms = since_boot_ms();
        }
        let kept = self.past_runs.units.entry(name).or_insert_with_key(|name| {
            let runs = read_or_warn(Path::new(FOLDER), name);
            Kept {
                runs,
                ..Kept::default()
            }
        });
        kept.latest = past.run;
        kept.runs.push(past);
        trim(&mut kept.runs, keep);
        kept.unwritten = true;
    }

    /// Oldest first, those before the boot included.
    pub(crate) fn history(&self, id: UnitId) -> Vec<PastRun> {
        let Some(unit) = self.units.get(id) else {
            return Vec::new();
        };
        let mut runs = match self.past_runs.units.get(&unit.name) {
            Some(kept) => kept.runs.clone(),
            None if may_have(unit) => read_or_warn(Path::new(FOLDER), &unit.name),
            None => Vec::new(),
        };
        trim(&mut runs, keep_of(unit));
        runs
    }

    /// To be called before the loop sleeps.
    pub(crate) fn keep_past_runs(&mut self) {
        let now = since_boot_ms();
        if self.past_runs.deadline().is_some_and(|at| at <= now) {
            self.write_past_runs();
        }
    }

    /// What has not been written yet.
    pub(crate) fn write_past_runs(&mut self) {
        if self.past_runs.deadline().is_none() {
            return;
        }
        self.past_runs.written_at_ms = since_boot_ms();
        let units = &self.units;
        if !std::mem::replace(&mut self.past_runs.swept, true) {
            sweep(Path::new(FOLDER), |name| units.is_declared(name));
        }
        let unwritten = self.past_runs.units.iter_mut();
        let mut failed = None;
        for (name, kept) in unwritten.filter(|(_, kept)| kept.unwritten) {
            match write(Path::new(FOLDER), name, &kept.runs) {
                Ok(()) => kept.unwritten = false,
                Err(error) => failed = Some((name, error)),
            }
        }
        let Some((name, error)) = failed else {
            self.past_runs.retry = Retry::default();
            return;
        };
        if self.past_runs.retry.put_off(since_boot_ms()) {
            let path = path_of(Path::new(FOLDER), name);
            console::warn(format_args!(
                "{}: {error}; until it can be written, the next boot will not know the latest runs",
                path.display()
            ));
        }
    }

    /// Its last place is given back: the runs of a unit that is no more are of no use.
    pub(crate) fn forget_past_runs(&mut self, name: &UnitName) {
        if self.units.find(name).is_none() {
            self.past_runs.units.remove(name);
            let _ = fs::remove_file(path_of(Path::new(FOLDER), name));
        }
    }
}

/// Whether the supervisor remembers runs of such a unit.
fn may_have(unit: &Unit) -> bool {
    matches!(unit.kind, UnitKind::Container(_))
}

fn keep_of(unit: &Unit) -> History {
    let own = unit.container().and_then(|it| it.timer.as_ref());
    own.map(|timer| timer.history).unwrap_or_default()
}

/// Of each outcome, the latest so many are kept.
fn trim(runs: &mut Vec<PastRun>, keep: History) {
    for (succeeded, most) in [(true, keep.success), (false, keep.failed)] {
        let most = usize::try_from(most.min(HISTORY_MAX)).unwrap_or(usize::MAX);
        let count = runs.iter().filter(|run| run.succeeded == succeeded).count();
        let mut surplus = count.saturating_sub(most);
        runs.retain(|run| {
            let goes = surplus > 0 && run.succeeded == succeeded;
            surplus = surplus.saturating_sub(usize::from(goes));
            !goes
        });
    }
}

// --- files -----------------------------------------------------------------------------------------------------------

fn path_of(folder: &Path, name: &UnitName) -> PathBuf {
    folder.join(format!("{name}.json"))
}

fn write(folder: &Path, name: &UnitName, runs: &[PastRun]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    durable::write_without_sync(&path_of(folder, name), &serde_json::to_vec(runs)?)
}

/// Empty when there is none, and when it is damaged: then the runs before the boot are forgotten.
fn read_or_warn(folder: &Path, name: &UnitName) -> Vec<PastRun> {
    let path = path_of(folder, name);
    read(&path).unwrap_or_else(|error| {
        console::warn(format_args!(
            "{}: {error}; the runs of {name} before this boot are forgotten",
            path.display()
        ));
        Vec::new()
    })
}

fn read(path: &Path) -> io::Result<Vec<PastRun>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// Remove what is left of units that are no more.
fn sweep(folder: &Path, is_known: impl Fn(&UnitName) -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.file_stem().and_then(OsStr::to_str);
        let name = name.and_then(UnitName::new);
        if !name.is_some_and(|name| is_known(&name)) {
            let _ = fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(run: u64, succeeded: bool) -> PastRun {
        PastRun {
            run,
            scheduled_ms: None,
            began_ms: 1_795_255_200_000,
            duration_ms: 20,
            succeeded,
            outcome: "exited with code 0".into(),
        }
    }

    fn numbers(runs: &[PastRun]) -> Vec<u64> {
        runs.iter().map(|run| run.run).collect()
    }

    fn name(text: &str) -> UnitName {
        UnitName::new(text).unwrap()
    }

    fn folder(test: &str) -> PathBuf {
        let name = format!("keelson-past-runs-{test}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn of_each_outcome_the_latest_are_kept() {
        let runs = (1..10).map(|number| run(number, number % 3 != 0));
        let mut runs: Vec<PastRun> = runs.collect();
        let (success, failed) = (3, 1);
        trim(&mut runs, History { success, failed });
        assert_eq!(numbers(&runs), [5, 7, 8, 9]);
        let (success, failed) = (0, 100);
        trim(&mut runs, History { success, failed });
        assert_eq!(numbers(&runs), [9]);
    }

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_is_an_error() {
        let folder = folder("damaged");
        let backup = name("backup");
        assert_eq!(read(&path_of(&folder, &backup)).unwrap(), []);
        let runs = [run(1, true), run(2, false)];
        write(&folder, &backup, &runs).unwrap();
        write(&folder, &backup, &runs).unwrap();
        assert_eq!(read(&path_of(&folder, &backup)).unwrap(), runs);
        for damaged in ["", "[{\"run\":", "{}", "\0\0\0\0"] {
            fs::write(path_of(&folder, &backup), damaged).unwrap();
            assert!(read(&path_of(&folder, &backup)).is_err(), "{damaged:?}");
            assert_eq!(read_or_warn(&folder, &backup), []);
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_run_begins_at_its_time_and_not_a_millisecond_before() {
        assert_eq!(not_before(Some(2_000), 1_999), 2_000);
        assert_eq!(not_before(Some(2_000), 2_007), 2_007);
        // The clock was set back meanwhile.
        assert_eq!(not_before(Some(2_000), 1_990), 1_990);
        assert_eq!(not_before(None, 1_999), 1_999);
    }

    #[test]
    fn files_of_units_that_are_no_more_are_removed() {
        let folder = folder("sweep");
        for unit in ["gone", "here@1", "gone.new"] {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("{unit}.json")), "[]").unwrap();
        }
        fs::write(folder.join("here@1.json.new"), "[").unwrap();
        sweep(&folder, |unit| *unit == name("here@1"));
        let left = fs::read_dir(&folder).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["here@1.json"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
