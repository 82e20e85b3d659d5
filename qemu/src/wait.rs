//! Waiting for a line of the console, and what is said when it does not come.

use crate::console::{Console, Line, Position};
use crate::process::Process;
use std::fmt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// Console lines that an error repeats.
const LAST_LINES: usize = 15;
/// After the end of QEMU, or a panic, its last words come within this time.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// Lines after which nothing but a reboot can come.
pub(crate) const DEATHS: [&str; 3] = [
    "Kernel panic - not syncing",
    "keelson: PID 1 can't go on",
    // The stub of the release, under UEFI firmware.
    "Error starting kernel image",
];
const STAGE: &str = "keelson: stage ";

/// Whether the kernel's death ends the waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PanicIs {
    Failure,
    /// The test provokes one, and waits for what follows.
    Expected,
}

/// What to wait for.
#[derive(Clone, Debug)]
pub struct Wait {
    /// A line that contains one of these.
    pub texts: Vec<String>,
    pub timeout: Duration,
    pub since: Position,
    pub panic: PanicIs,
}

impl Wait {
    /// A line that contains `text`, from the first one on.
    #[must_use]
    pub fn for_text(text: impl Into<String>, timeout: Duration) -> Self {
        Self {
            texts: vec![text.into()],
            timeout,
            since: Position::default(),
            panic: PanicIs::Failure,
        }
    }

    /// Or one that contains this.
    #[must_use]
    pub fn or(mut self, text: impl Into<String>) -> Self {
        self.texts.push(text.into());
        self
    }

    #[must_use]
    pub fn since(mut self, since: Position) -> Self {
        self.since = since;
        self
    }

    #[must_use]
    pub fn over_panic(mut self) -> Self {
        self.panic = PanicIs::Expected;
        self
    }
}

/// How far the machine came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastSeen {
    /// The last boot stage that ended: `state ok 143 ms`.
    pub stage: Option<String>,
    /// The last lines of the console.
    pub lines: Vec<String>,
    /// Kernel or firmware said that the memory is too small.
    pub lacks_memory: bool,
}

impl LastSeen {
    pub(crate) fn of(lines: &[Line]) -> Self {
        let stage = lines
            .iter()
            .rev()
            .find_map(|line| Some(line.text.split_once(STAGE)?.1.to_owned()));
        let first = lines.len().saturating_sub(LAST_LINES);
        Self {
            stage,
            lines: lines[first..]
                .iter()
                .map(|line| line.text.clone())
                .collect(),
            // Long dumps follow it.
            lacks_memory: lines
                .iter()
                .any(|line| contains_any(line, &TOO_LITTLE_MEMORY)),
        }
    }
}

/// What kernel or firmware says when memory is too small for the release.
const TOO_LITTLE_MEMORY: [&str; 4] = [
    "Initramfs unpacking failed",
    "Out of memory and no killable processes",
    "System is deadlocked on memory",
    "Error starting kernel image: Out of resources",
];

impl LastSeen {
    fn hint(&self) -> &'static str {
        if self.lacks_memory {
            "; the machine has too little memory for this release: give it more (--memory)"
        } else {
            ""
        }
    }
}

impl fmt::Display for LastSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.stage {
            Some(stage) => write!(f, "\n  last boot stage: {stage}")?,
            None => write!(f, "\n  no boot stage of init was seen")?,
        }
        if self.lines.is_empty() {
            return write!(f, "\n  the console said nothing");
        }
        write!(f, "\n  the console's last lines:")?;
        self.lines
            .iter()
            .try_for_each(|line| write!(f, "\n  | {line}"))
    }
}

/// A line that did not come.
#[derive(Debug)]
pub enum WaitError {
    TimedOut {
        text: String,
        timeout: Duration,
        seen: LastSeen,
    },
    /// `words`: what QEMU itself said.
    Ended {
        text: String,
        status: ExitStatus,
        words: String,
        seen: LastSeen,
    },
    /// `before_init`: no stage of init was seen.
    Died {
        line: String,
        before_init: bool,
        seen: LastSeen,
    },
    /// Default units that will not become ready; one line each.
    Degraded { units: Vec<String>, seen: LastSeen },
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut {
                text,
                timeout,
                seen,
            } => {
                write!(
                    f,
                    "`{text}` did not come within {:.1} s{seen}",
                    timeout.as_secs_f32()
                )
            }
            Self::Ended {
                text,
                status,
                words,
                seen,
            } => {
                write!(f, "the machine ended ({status}) before `{text}` came{seen}")?;
                if words.is_empty() {
                    Ok(())
                } else {
                    write!(f, "\n  QEMU said: {words}")
                }
            }
            Self::Died {
                line,
                before_init: true,
                seen,
            } => write!(
                f,
                "the kernel died before init started, so this is a fault of kernel, memory size or emulator: {line}{}{seen}",
                seen.hint()
            ),
            Self::Died {
                line,
                before_init: false,
                seen,
            } => write!(f, "the machine died: {line}{}{seen}", seen.hint()),
            Self::Degraded { units, seen } => {
                write!(
                    f,
                    "not all units became ready; `cargo keelctl status UNIT` and `cargo keelctl logs UNIT` tell more"
                )?;
                units.iter().try_for_each(|unit| write!(f, "\n  {unit}"))?;
                if units.is_empty() {
                    write!(f, "{seen}")
                } else {
                    Ok(())
                }
            }
        }
    }
}

impl std::error::Error for WaitError {}

/// Wait for the line.
pub(crate) fn wait(console: &Console, process: &Process, wait: &Wait) -> Result<Line, WaitError> {
    enum Outcome {
        Found(Line),
        Died(String),
        Ended,
    }
    let look = |lines: &[Line], ended: bool| {
        if let Some(line) = lines.iter().find(|line| contains_any(line, &wait.texts)) {
            return Some(Outcome::Found(line.clone()));
        }
        let died = lines.iter().find(|line| contains_any(line, &DEATHS));
        match (died, wait.panic) {
            (Some(line), PanicIs::Failure) => Some(Outcome::Died(line.text.clone())),
            (Some(_), PanicIs::Expected) | (None, _) => ended.then_some(Outcome::Ended),
        }
    };
    let outcome = console.look_until(wait.since, Instant::now() + wait.timeout, look);
    if let Some(Outcome::Found(line)) = outcome {
        return Ok(line);
    }
    if outcome.is_some() {
        std::thread::sleep(LAST_WORDS);
    }
    let seen = LastSeen::of(&console.lines_since(wait.since));
    let text = wait.texts.join("` or `");
    Err(match outcome {
        Some(Outcome::Died(line)) => WaitError::Died {
            line,
            before_init: seen.stage.is_none(),
            seen,
        },
        Some(Outcome::Ended | Outcome::Found(_)) => {
            let status = process.ended().unwrap_or_default();
            WaitError::Ended {
                text,
                status,
                words: process.words(),
                seen,
            }
        }
        None => WaitError::TimedOut {
            text,
            timeout: wait.timeout,
            seen,
        },
    })
}

pub(crate) fn contains_any(line: &Line, texts: &[impl AsRef<str>]) -> bool {
    texts.iter().any(|text| line.text.contains(text.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A "machine" that is a shell script writing to its console file.
    fn machine(name: &str, script: &str) -> (Console, Process, PathBuf) {
        let folder =
            std::env::temp_dir().join(format!("keelson-wait-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let process = Process::of_script(script, &folder.join("qemu.log"));
        let watched = process.clone();
        let ended = move || watched.ended().is_some();
        let console = Console::follow(&folder.join("console.log"), Instant::now(), ended).unwrap();
        (console, process, folder)
    }

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_line_that_comes_is_found() {
        let (console, process, folder) = machine(
            "found",
            "sleep 0.1; echo 'keelson: ready 5 units 9 ms' > console.log; sleep 60",
        );
        let line = wait(&console, &process, &Wait::for_text("keelson: ready", LONG)).unwrap();
        assert_eq!(line.text, "keelson: ready 5 units 9 ms");
        process.kill().unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_end_of_qemu_is_told_with_stage_console_and_its_words() {
        let script =
            "echo 'keelson: stage state ok 12 ms' > console.log; echo out of memory >&2; exit 1";
        let (console, process, folder) = machine("ended", script);
        let error = wait(&console, &process, &Wait::for_text("ready", LONG))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("exit status: 1") && error.contains("last boot stage: state ok 12 ms"),
            "{error}"
        );
        assert!(error.ends_with("QEMU said: out of memory"), "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_kernel_that_dies_before_init_is_told_apart() {
        let script = "echo '[ 0.1] Kernel panic - not syncing: no init' > console.log; sleep 60";
        let (console, process, folder) = machine("panic", script);
        let error = wait(&console, &process, &Wait::for_text("ready", LONG)).unwrap_err();
        assert!(
            matches!(
                error,
                WaitError::Died {
                    before_init: true,
                    ..
                }
            ),
            "{error}"
        );
        let patient = Wait::for_text("ready", Duration::from_millis(50)).over_panic();
        assert!(matches!(
            wait(&console, &process, &patient),
            Err(WaitError::TimedOut { .. })
        ));
        process.kill().unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn firmware_without_memory_is_told_at_once_whatever_it_dumps_behind_it() {
        let script = "echo 'linux_exec: Error starting kernel image: Out of resources' > console.log; \
                      seq 100 >> console.log; sleep 60";
        let (console, process, folder) = machine("firmware", script);
        let error = wait(&console, &process, &Wait::for_text("ready", LONG))
            .unwrap_err()
            .to_string();
        for words in ["before init started", "too little memory", "--memory"] {
            assert!(error.contains(words), "{error}");
        }
        process.kill().unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }
}
