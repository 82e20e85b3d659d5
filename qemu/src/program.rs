//! A program of the build host, run to its end with a limit on its time.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two looks whether it has ended.
const POLL: Duration = Duration::from_millis(2);

/// What a program said, and how it ended.
#[derive(Clone, Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    #[must_use]
    pub fn success(&self) -> bool {
        self.status.success()
    }
}

#[derive(Debug)]
pub enum ProgramError {
    Start {
        program: PathBuf,
        source: io::Error,
    },
    TimedOut {
        command: String,
        timeout: Duration,
        stdout: String,
        stderr: String,
    },
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { program, source } => {
                write!(f, "{} can't be started: {source}", program.display())
            }
            Self::TimedOut {
                command,
                timeout,
                stdout,
                stderr,
            } => {
                write!(
                    f,
                    "`{command}` did not end within {} s; it said:\n{stdout}{stderr}",
                    timeout.as_secs()
                )
            }
        }
    }
}

impl std::error::Error for ProgramError {}

/// Run it, with `input` on its standard input.
pub(crate) fn run(
    command: &mut Command,
    input: &[u8],
    timeout: Duration,
) -> Result<Finished, ProgramError> {
    let start_error = |command: &Command, source| ProgramError::Start {
        program: command.get_program().into(),
        source,
    };
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|source| start_error(command, source))?;
    let writer = child.stdin.take().map(|mut stdin| {
        let input = input.to_vec();
        // A program need not read what it is given.
        std::thread::spawn(move || drop(stdin.write_all(&input)))
    });
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let deadline = Instant::now() + timeout;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(POLL),
            Ok(None) => break None,
            Err(source) => return Err(start_error(command, source)),
        }
    };
    if status.is_none() {
        // It may have ended by itself this very moment.
        let _ = child.kill();
        let _ = child.wait();
    }
    let text = |thread: JoinHandle<String>| thread.join().unwrap_or_default();
    let (stdout, stderr) = (text(stdout), text(stderr));
    drop(writer);
    match status {
        Some(status) => Ok(Finished {
            status,
            stdout,
            stderr,
        }),
        None => Err(ProgramError::TimedOut {
            command: words(command),
            timeout,
            stdout,
            stderr,
        }),
    }
}

fn collect(stream: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What came before an error counts.
            let _ = stream.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_any_size_and_the_status_come_back() {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "cat; head -c 200000 /dev/zero | tr '\\0' x >&2; exit 7",
        ]);
        let finished = run(&mut command, b"input", Duration::from_secs(30)).unwrap();
        assert_eq!(
            (finished.status.code(), finished.stdout.as_str()),
            (Some(7), "input")
        );
        assert_eq!(finished.stderr.len(), 200_000);
    }

    #[test]
    fn one_that_does_not_end_is_killed_and_its_words_are_told() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo waiting; exec sleep 60"]);
        let error = run(&mut command, b"", Duration::from_millis(200))
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("it said:\nwaiting\n"), "{error}");
    }
}
