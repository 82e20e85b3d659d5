//! The suite's own way of running its scenarios: as libtest does, but one that fails is run once more, alone.
//!
//! ```text
//! scenario ── passes ─────────────────────────────▶ ok
//!    └── fails ─▶ its logs are kept ─▶ no other machine is on ─▶ again ── fails ─▶ FAILED, with both reasons
//!                                                                  └─ passes ─▶ ok, and named as unsteady at the end
//! ```
//!
//! An unsteady scenario is a fault like any other, of the program or of the test: the suite passes, but its last line says
//! so, and where the logs of both runs are.

use crate::turn;
use libtest_mimic::{Arguments, Failed, Trial};
use std::cell::RefCell;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// What of a machine's folder tells what happened.
const LOGS: [&str; 2] = ["console.log", "qemu.log"];

/// One scenario: a function that panics when its rules don't hold.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// `module::function`, as filters name it.
    pub name: &'static str,
    pub run: fn(),
}

/// The scenarios of these functions, by their paths.
#[macro_export]
macro_rules! scenarios {
    ($($function:path),* $(,)?) => {
        &[$($crate::Scenario { name: stringify!($function), run: $function }),*]
    };
}

thread_local! {
    /// The folders of the machines that this thread's scenario has booted.
    static FOLDERS: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
}

/// A machine of the scenario that runs on this thread has its logs here.
pub(crate) fn has_machine(folder: &Path) {
    FOLDERS.with_borrow_mut(|folders| {
        if !folders.iter().any(|known| known == folder) {
            folders.push(folder.to_owned());
        }
    });
}

/// Passed, but not at once.
#[derive(Debug)]
struct Unsteady {
    name: &'static str,
    reason: String,
    kept: PathBuf,
}

#[derive(Debug, Default)]
struct Suite {
    /// Held by each scenario; for writing by the one that has the host for itself.
    running: RwLock<()>,
    unsteady: Mutex<Vec<Unsteady>>,
}

/// Run the scenarios that the command line asks for, with libtest's options; the program's end.
#[must_use]
pub fn run(scenarios: &[Scenario]) -> ExitCode {
    run_in(
        &Arguments::from_args(),
        scenarios,
        &crate::prepared::folder().join("unsteady"),
    )
}

fn run_in(arguments: &Arguments, scenarios: &[Scenario], kept: &Path) -> ExitCode {
    let suite = Arc::new(Suite::default());
    let trials = scenarios.iter().map(|scenario| {
        let (suite, scenario, kept) = (Arc::clone(&suite), *scenario, kept.to_owned());
        Trial::test(scenario.name, move || suite.attempts(scenario, &kept))
    });
    let conclusion = libtest_mimic::run(arguments, trials.collect());
    let unsteady = suite
        .unsteady
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    for Unsteady { name, reason, kept } in &*unsteady {
        let first = reason.lines().next().unwrap_or_default();
        let logs = kept.display();
        println!("unsteady: {name} failed and passed when it was run alone: {first}; logs: {logs}");
    }
    conclusion.exit_code()
}

impl Suite {
    fn attempts(&self, scenario: Scenario, kept: &Path) -> Result<(), Failed> {
        let kept = kept.join(scenario.name.replace("::", "."));
        let first = {
            let _running = self.running.read().unwrap_or_else(PoisonError::into_inner);
            attempt(scenario)
        };
        let Err(reason) = first else {
            return Ok(());
        };
        // A former run's would be taken for this one's.
        let _ = std::fs::remove_dir_all(&kept);
        keep(&kept.join("first"), &reason);
        let second = {
            let _running = self.running.write().unwrap_or_else(PoisonError::into_inner);
            let _alone = turn::alone();
            attempt(scenario)
        };
        match second {
            Ok(()) => {
                keep(&kept.join("alone"), "passed");
                let mut unsteady = self.unsteady.lock().unwrap_or_else(PoisonError::into_inner);
                unsteady.push(Unsteady {
                    name: scenario.name,
                    reason,
                    kept,
                });
                Ok(())
            }
            Err(again) if again == reason => Err(reason.into()),
            Err(again) => Err(format!("{again}\nand before that, beside others: {reason}").into()),
        }
    }
}

/// Why it failed.
fn attempt(scenario: Scenario) -> Result<(), String> {
    FOLDERS.with_borrow_mut(Vec::clear);
    catch_unwind(AssertUnwindSafe(scenario.run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("it panicked").to_owned()
    })
}

/// Copy what the scenario's machines have said; the outcome beside it. That it can't be kept is no reason to fail.
fn keep(folder: &Path, outcome: &str) {
    if let Err(error) = try_keep(folder, outcome) {
        // Whoever closed our standard error does not want to see it.
        let _ = writeln!(std::io::stderr(), "{}: {error}", folder.display());
    }
}

fn try_keep(folder: &Path, outcome: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("outcome.txt"), outcome)?;
    let machines = FOLDERS.with_borrow(Clone::clone);
    for machine in machines {
        let name = machine.file_name().unwrap_or_default().to_string_lossy();
        for log in LOGS {
            let from = machine.join(log);
            if from.exists() {
                std::fs::copy(from, folder.join(format!("{name}.{log}")))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Whether it passes, whether it is named as unsteady, and where its logs are kept.
    fn suite(name: &str, run: fn()) -> (bool, bool, PathBuf) {
        let kept =
            std::env::temp_dir().join(format!("keelson-scenario-{name}-{}", std::process::id()));
        let scenario = Scenario {
            name: "some::scenario",
            run,
        };
        let suite = Suite::default();
        let passes = suite.attempts(scenario, &kept).is_ok();
        let unsteady = !suite.unsteady.lock().unwrap().is_empty();
        (passes, unsteady, kept.join("some.scenario"))
    }

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn what_fails_once_is_run_again_and_both_outcomes_are_kept() {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        fn at_the_second() {
            let run = RUNS.fetch_add(1, Ordering::SeqCst);
            let machine =
                std::env::temp_dir().join(format!("keelson-a-machine-{}", std::process::id()));
            std::fs::create_dir_all(&machine).unwrap();
            std::fs::write(machine.join(LOGS[0]), format!("run {run}")).unwrap();
            has_machine(&machine);
            assert!(run > 0, "the first does not");
        }
        let (passes, unsteady, kept) = suite("second", at_the_second);
        assert!(passes && unsteady);
        assert_eq!(RUNS.load(Ordering::SeqCst), 2);
        assert_eq!(text(&kept.join("first/outcome.txt")), "the first does not");
        assert_eq!(text(&kept.join("alone/outcome.txt")), "passed");
        let machine = format!("keelson-a-machine-{}.console.log", std::process::id());
        assert_eq!(text(&kept.join("first").join(&machine)), "run 0");
        assert_eq!(text(&kept.join("alone").join(&machine)), "run 1");
    }

    #[test]
    fn what_fails_twice_fails_and_what_passes_is_run_once() {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        fn never() {
            RUNS.fetch_add(1, Ordering::SeqCst);
            panic!("never");
        }
        let (passes, unsteady, _) = suite("never", never);
        assert!(!passes && !unsteady);
        assert_eq!(RUNS.load(Ordering::SeqCst), 2);
        static PASSES: AtomicU32 = AtomicU32::new(0);
        fn always() {
            PASSES.fetch_add(1, Ordering::SeqCst);
        }
        let (passes, unsteady, kept) = suite("always", always);
        assert!(passes && !unsteady);
        assert_eq!(PASSES.load(Ordering::SeqCst), 1);
        assert!(!kept.exists());
    }
}
