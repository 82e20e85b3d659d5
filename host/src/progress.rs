//! Progress on long work: what, how far, and for how long. One line per step on standard error; on a terminal the
//! line is rewritten in place while the step goes on.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// A line is rewritten at most this often: more is flicker.
const REFRESH: Duration = Duration::from_millis(100);

/// One step of work that is being done.
#[derive(Debug)]
pub struct Step {
    what: String,
    started: Instant,
    shown: Instant,
    terminal: bool,
}

/// Say that `what` begins. Say [`Step::done`] at its end; a step that is dropped without it has failed, and the error
/// that is printed after it tells why.
#[must_use]
pub fn step(what: &str) -> Step {
    let now = Instant::now();
    let terminal = std::io::stderr().is_terminal();
    if !terminal {
        eprintln!("[      ] {what}");
    }
    let mut step = Step {
        what: what.to_owned(),
        started: now,
        shown: now,
        terminal,
    };
    step.show("");
    step
}

impl Step {
    /// How far the step is, in a few words or the last line that a program printed.
    pub fn at(&mut self, detail: &str) {
        if self.shown.elapsed() >= REFRESH {
            self.show(detail);
        }
    }

    fn show(&mut self, detail: &str) {
        self.shown = Instant::now();
        if self.terminal {
            let line: String = format!("{} {detail}", self.what)
                .chars()
                .take(100)
                .collect();
            eprint!(
                "\r\x1b[K[{:>5.1}s] {line}",
                self.started.elapsed().as_secs_f32()
            );
            let _ = std::io::stderr().flush();
        }
    }

    /// The step is done; `result` is what there is to know about it, may be empty.
    pub fn done(self, result: &str) {
        let start = if self.terminal { "\r\x1b[K" } else { "" };
        let separator = if result.is_empty() { "" } else { ": " };
        eprintln!(
            "{start}[{:>5.1}s] {}{separator}{result}",
            self.started.elapsed().as_secs_f32(),
            self.what
        );
    }
}
