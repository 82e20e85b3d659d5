//! Running other programs: quietly, with their words in the error when they fail.

use crate::progress::Step;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// Lines of a failed program that its error repeats.
const LAST_LINES: usize = 20;

/// A program that could not be run or that failed.
#[derive(Debug)]
pub enum RunError {
    /// It is not there or may not be executed.
    Start {
        program: String,
        source: std::io::Error,
    },
    /// It ended with another status than 0.
    Failed {
        command: String,
        status: ExitStatus,
        output: String,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { program, source } => write!(f, "can't start {program}: {source}"),
            Self::Failed {
                command,
                status,
                output,
            } => write!(f, "`{command}` failed ({status}):\n{output}"),
        }
    }
}

impl std::error::Error for RunError {}

/// Where `program` is in PATH, or in the system folders that an ordinary user's PATH lacks (mkfs.ext4 is in sbin).
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Run to the end; its standard output.
///
/// # Errors
/// [`RunError`] with the last lines of standard error.
pub fn output(command: &mut Command) -> Result<String, RunError> {
    let result = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| start_error(command, source))?;
    if result.status.success() {
        return Ok(String::from_utf8_lossy(&result.stdout).into_owned());
    }
    let text = [result.stdout, result.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat();
    Err(failed(
        command,
        result.status,
        &text.lines().map(str::to_owned).collect::<Vec<_>>(),
    ))
}

/// Run to the end; each line it prints, on either stream, is the progress of `step`.
///
/// # Errors
/// [`RunError`] with the last lines that it printed.
pub fn watched(command: &mut Command, step: &mut Step) -> Result<(), RunError> {
    let (reader, writer) = std::io::pipe().map_err(|source| start_error(command, source))?;
    let second = writer
        .try_clone()
        .map_err(|source| start_error(command, source))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(second)
        .spawn()
        .map_err(|source| start_error(command, source))?;
    // The command keeps our ends of the pipe open; without this the reader would wait for ever.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut lines: Vec<String> = Vec::new();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while matches!(read_line(&mut reader, &mut line), Ok(more) if more) {
        let text = String::from_utf8_lossy(&line).trim().to_owned();
        if !text.is_empty() {
            step.at(&text);
            lines.push(text);
        }
    }
    let status = child
        .wait()
        .map_err(|source| start_error(command, source))?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(command, status, &lines))
    }
}

/// One line, ended by a line feed or (progress bars) a carriage return.
fn read_line(reader: &mut BufReader<impl Read>, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(!line.is_empty());
        }
        let end = buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let length = end.unwrap_or(buffer.len());
        line.extend_from_slice(&buffer[..length]);
        reader.consume(length + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// A command in a folder.
#[must_use]
pub fn command_in(folder: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    command
}

fn start_error(command: &Command, source: std::io::Error) -> RunError {
    RunError::Start {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    }
}

fn failed(command: &Command, status: ExitStatus, lines: &[String]) -> RunError {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let text = words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ");
    let last = lines.len().saturating_sub(LAST_LINES);
    RunError::Failed {
        command: text,
        status,
        output: lines[last..].join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_carries_what_the_program_said() {
        let error =
            output(Command::new("sh").args(["-c", "echo disk on fire >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("disk on fire"), "{error}");
    }

    #[test]
    fn watched_program_ends_and_reports() {
        let mut step = crate::progress::step("test");
        let error = watched(
            Command::new("sh").args(["-c", "echo one; echo two >&2; exit 1"]),
            &mut step,
        )
        .unwrap_err();
        assert!(error.to_string().contains("one\ntwo"), "{error}");
    }

    #[test]
    fn missing_program_is_named() {
        let error = output(&mut Command::new("keelson-no-such-program")).unwrap_err();
        assert!(
            error.to_string().contains("keelson-no-such-program"),
            "{error}"
        );
    }
}
