//! The process of QEMU: spawned by a thread that waits for it, so that its end is known at once, and so that it ends
//! with us (a parent's death is the death of the *thread* that spawned, prctl(2)).

use crate::Lifetime;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

/// Lines of QEMU's own words that an error repeats.
const WORDS_LINES: usize = 12;

#[derive(Clone, Debug)]
pub(crate) struct Process {
    pid: i32,
    log: PathBuf,
    end: Arc<End>,
}

#[derive(Debug, Default)]
struct End {
    status: Mutex<Option<ExitStatus>>,
    came: Condvar,
}

impl End {
    fn status(&self) -> MutexGuard<'_, Option<ExitStatus>> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// Start `program` in `folder`; what it says goes to `log`.
    pub(crate) fn spawn(
        program: &Path,
        arguments: &[String],
        folder: &Path,
        log: &Path,
        lifetime: Lifetime,
    ) -> io::Result<Self> {
        let output = File::create(log)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        match lifetime {
            Lifetime::WithUs => sys::process::die_with_us(&mut command),
            Lifetime::Detached => sys::process::outlive_us(&mut command),
        }
        let end = Arc::new(End::default());
        let (started, start) = mpsc::channel();
        let keeper = Arc::clone(&end);
        let keep = move || match command.spawn() {
            Err(error) => drop(started.send(Err(error))),
            Ok(mut child) => {
                let _ = started.send(Ok(child.id()));
                let status = child.wait();
                *keeper.status() = Some(status.unwrap_or_default());
                keeper.came.notify_all();
            }
        };
        std::thread::Builder::new()
            .name("qemu".to_owned())
            .spawn(keep)?;
        let pid = start.recv().map_err(io::Error::other)??;
        let pid = i32::try_from(pid).map_err(io::Error::other)?;
        Ok(Self {
            pid,
            log: log.to_owned(),
            end,
        })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        *self.end.status()
    }

    /// Wait for its end; `None`: it runs still.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<ExitStatus> {
        let guard = self.end.status();
        let result = self
            .end
            .came
            .wait_timeout_while(guard, timeout, |status| status.is_none());
        *result.unwrap_or_else(PoisonError::into_inner).0
    }

    pub(crate) fn kill(&self) -> io::Result<()> {
        match self.ended() {
            Some(_) => Ok(()),
            None => sys::process::kill_now(self.pid),
        }
    }

    /// The last lines that QEMU itself wrote.
    pub(crate) fn words(&self) -> String {
        words(&self.log)
    }
}

fn words(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(WORDS_LINES)..].join("\n")
}

#[cfg(test)]
impl Process {
    /// A "QEMU" that is a shell script, in the folder of its log.
    pub(crate) fn of_script(script: &str, log: &Path) -> Self {
        let arguments = ["-c".to_owned(), script.to_owned()];
        let shell = Path::new("/bin/sh");
        Self::spawn(
            shell,
            &arguments,
            log.parent().unwrap(),
            log,
            Lifetime::WithUs,
        )
        .unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_and_words_of_the_process_are_known() {
        let folder = std::env::temp_dir();
        let log = folder.join(format!("keelson-process-{}", std::process::id()));
        let process = Process::of_script("echo cannot start >&2; exit 3", &log);
        let status = process.wait(Duration::from_secs(30)).unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(process.words(), "cannot start");
        process.kill().unwrap();
        fs::remove_file(log).unwrap();
    }

    #[test]
    fn a_missing_program_is_an_error_of_the_spawn() {
        let log =
            std::env::temp_dir().join(format!("keelson-process-missing-{}", std::process::id()));
        let program = Path::new("/nonexistent/qemu");
        assert!(Process::spawn(program, &[], Path::new("/"), &log, Lifetime::Detached).is_err());
        fs::remove_file(log).unwrap();
    }
}
