//! What PID 1 is told (fd 4): JSON, one object per line.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, RawFd};
use std::process::ExitCode;
use unit::{ImageHealth, LaunchFailure, LaunchReport};

/// Its descriptor, as unit/src/launch.rs names it.
const REPORT: RawFd = 4;

/// The write end of the report pipe. It is close-on-exec: that it ends without a failure is the good news.
#[derive(Debug)]
pub(crate) struct Report {
    pipe: File,
}

/// [`LaunchReport::Prepared`].
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub(crate) argv: Vec<String>,
    pub(crate) stop_signal: i32,
    pub(crate) image_digest: String,
    pub(crate) health: Option<ImageHealth>,
    pub(crate) notes: Vec<String>,
}

/// Bytes of arguments that are reported: they are for `status`, and PID 1 reads no report of any length.
const ARGUMENTS_BYTES_MAX: usize = 64 << 10;
/// What stands for the rest.
const AND_MORE: &str = "…";

/// As much of them as is reported.
fn shortened(mut argv: Vec<String>) -> Vec<String> {
    let mut room = ARGUMENTS_BYTES_MAX;
    for (number, argument) in argv.iter_mut().enumerate() {
        if argument.len() > room {
            argument.truncate(argument.floor_char_boundary(room));
            argument.push_str(AND_MORE);
            argv.truncate(number.saturating_add(1));
            return argv;
        }
        room = room.saturating_sub(argument.len().max(1));
    }
    argv
}

impl Report {
    /// Without it nobody can be told anything but by words and a status of their own.
    pub(crate) fn inherited() -> Result<Self, ExitCode> {
        match sys::descriptor::inherited(REPORT) {
            Ok(pipe) => Ok(Self {
                pipe: File::from(pipe),
            }),
            Err(error) => {
                eprintln!("launcher: no report pipe on descriptor {REPORT}: {error}");
                Err(ExitCode::from(2))
            }
        }
    }

    /// For a program that takes it over by [`Report::inherited`].
    pub(crate) fn stays_open(&self) -> std::io::Result<()> {
        sys::descriptor::set_close_on_exec(self.pipe.as_fd(), false)
    }

    pub(crate) fn failed(&mut self, failure: LaunchFailure) {
        self.write(&LaunchReport::Failed(failure));
    }

    pub(crate) fn prepared(&mut self, prepared: Prepared) {
        let Prepared {
            argv,
            stop_signal,
            image_digest,
            health,
            notes,
        } = prepared;
        self.write(&LaunchReport::Prepared {
            argv: shortened(argv),
            stop_signal,
            image_digest,
            health,
            notes,
        });
    }

    /// One write per line, so that lines of two processes never mix (pipe(7), PIPE_BUF). A reader that has gone away
    /// has lost its interest; the exit status still tells.
    fn write(&mut self, report: &LaunchReport) {
        if let Ok(mut line) = serde_json::to_vec(report) {
            line.push(b'\n');
            let _ = self.pipe.write_all(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_arguments_are_reported_in_part() {
        let argv = vec!["sh".to_owned(), "ä".repeat(40_000), "more".to_owned()];
        let shown = shortened(argv);
        assert_eq!(shown.len(), 2);
        assert!(shown[1].ends_with("ä…") && shown[1].len() < 66_000);
        let short = vec!["sh".to_owned(), "-c".to_owned()];
        assert_eq!(shortened(short.clone()), short);
    }
}
