//! Many rules about one machine: each is named, reported by itself, and the others go on when it does not hold.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(50);

/// The rules of one scenario.
#[derive(Debug)]
pub struct Checks {
    scenario: &'static str,
    held: usize,
    broken: Vec<String>,
}

impl Checks {
    #[must_use]
    pub fn of(scenario: &'static str) -> Self {
        Self {
            scenario,
            held: 0,
            broken: Vec::new(),
        }
    }

    /// One rule. What panics in it is told at the end, after the other rules.
    pub fn that(&mut self, rule: &str, check: impl FnOnce()) {
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(check));
        let took = start.elapsed().as_secs_f32();
        match outcome {
            Ok(()) => {
                self.held += 1;
                progress(self.scenario, &format!("ok      {rule} ({took:.1} s)"));
            }
            Err(panic) => {
                let why = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("it panicked")
                    .to_owned();
                progress(self.scenario, &format!("BROKEN  {rule}: {why}"));
                self.broken.push(format!("{rule}: {why}"));
            }
        }
    }

    /// The verdict.
    pub fn end(self) {
        assert!(
            self.broken.is_empty(),
            "{}: {} of {} rules do not hold:\n- {}",
            self.scenario,
            self.broken.len(),
            self.held + self.broken.len(),
            self.broken.join("\n- ")
        );
    }
}

/// A line that is seen while the test runs: the test harness captures `println!`, but not this.
pub fn progress(scenario: &str, text: &str) {
    // Whoever closed our standard error does not want to see it.
    let _ = writeln!(std::io::stderr(), "vm {scenario}: {text}");
}

/// A time that was measured. It is printed and nothing else: this machine may be busy.
pub fn measured(scenario: &str, what: &str, time: Duration) {
    progress(scenario, &format!("{what}: {} ms", time.as_millis()));
}

/// Wait until `look` finds something; answers it and how long it took.
///
/// # Panics
/// When it does not come in `timeout`; with what `look` said last.
pub fn until<T>(
    what: &str,
    timeout: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> (T, Duration) {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return (found, start.elapsed()),
            Err(why) if start.elapsed() > timeout => {
                panic!(
                    "{what}: not within {} s; last seen: {why}",
                    timeout.as_secs()
                )
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}
