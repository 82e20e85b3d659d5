//! The run folder: where a machine's sockets and logs are, and what another program can do with it.
//!
//! ```text
//! console.log           what the serial console said since the last start; console.previous.log the start before
//! qemu.log              what QEMU itself said
//! qemu.pid              locked by QEMU while it lives (lockf(3))
//! qmp.sock, qmp.lock    its monitor: one client at a time
//! control.N.sock        the serial ports of the control protocol
//! console.sock          typing at the console
//! units.json            unit files given for this boot
//! variables.fd          UEFI variables
//! ports.json            which ports of this host lead to which of the guest
//! ```

use crate::qmp::{Qmp, QmpError};
use control::machine::{CallError, Machine as Control, Patience};
use control::reply::Reply;
use control::request::Request;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Control ports: so many sessions (`keelctl logs -f` beside `exec` beside `ps`) at a time.
pub(crate) const CONTROL_PORTS: usize = 4;

/// File names in the folder.
pub(crate) mod names {
    pub(crate) const CONSOLE: &str = "console.log";
    pub(crate) const CONSOLE_BEFORE: &str = "console.previous.log";
    pub(crate) const CONSOLE_SOCKET: &str = "console.sock";
    pub(crate) const LOG: &str = "qemu.log";
    pub(crate) const PID: &str = "qemu.pid";
    pub(crate) const QMP: &str = "qmp.sock";
    pub(crate) const QMP_LOCK: &str = "qmp.lock";
    pub(crate) const UNITS: &str = "units.json";
    pub(crate) const VARIABLES: &str = "variables.fd";
    pub(crate) const PORTS: &str = "ports.json";

    pub(crate) fn control(port: usize) -> String {
        format!("control.{port}.sock")
    }
}

/// How long a running machine may take to say that it is there, before its power button is pressed instead.
const REACH_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks whether QEMU has ended.
const POLL: Duration = Duration::from_millis(20);
/// A killed process is gone at once, unless the disk below it is stuck.
const CUT_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

/// A machine that could not be stopped.
#[derive(Debug)]
pub enum StopError {
    NotRunning {
        folder: PathBuf,
    },
    /// Neither the control channel nor the monitor takes the request.
    NotAsked {
        control: String,
        monitor: QmpError,
    },
    /// It was asked, and runs still.
    StillRunning {
        pid: i32,
        waited: Duration,
    },
    Io {
        path: PathBuf,
        source: io::Error,
    },
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning { folder } => {
                write!(f, "no machine is running in {}", folder.display())
            }
            Self::NotAsked { control, monitor } => write!(
                f,
                "the machine can't be asked to power off ({control}), nor its power button pressed ({monitor}); \
                 `cargo boot -- --cut` pulls its plug"
            ),
            Self::StillRunning { pid, waited } => write!(
                f,
                "the machine (pid {pid}) was asked to power off and runs still after {} s; its console.log says what \
                 it is waiting for, `cargo boot -- --cut` pulls its plug",
                waited.as_secs()
            ),
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for StopError {}

impl RunFolder {
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The folder of the machine that `cargo boot` starts: the one that `KEELSON_MACHINE` names, which cargo sets to
    /// `target/keelson/run` where nobody else has (`.cargo/config.toml`).
    #[must_use]
    pub fn of_workspace() -> Self {
        match std::env::var_os("KEELSON_MACHINE").filter(|place| !place.is_empty()) {
            Some(place) => Self::at(PathBuf::from(place)),
            None => Self::at(host::paths::made().join("run")),
        }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    #[must_use]
    pub fn console_log(&self) -> PathBuf {
        self.file(names::CONSOLE)
    }

    #[must_use]
    pub fn qemu_log(&self) -> PathBuf {
        self.file(names::LOG)
    }

    #[must_use]
    pub fn ports_file(&self) -> PathBuf {
        self.file(names::PORTS)
    }

    /// The control protocol of the machine in this folder.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::Folder(self.path.clone())
    }

    /// The process of the machine that runs here, from the lock that it holds.
    #[must_use]
    pub fn running(&self) -> Option<i32> {
        let file = File::open(self.file(names::PID)).ok()?;
        sys::record_lock::holder(&file).ok().flatten()
    }

    /// Ask the machine to stop its units and power off, and wait until it has. Answers how long it took.
    ///
    /// Asked over the control channel; where nobody answers there (the machine is still booting, or the relay is dead),
    /// the power button is pressed.
    ///
    /// # Errors
    /// [`StopError`].
    pub fn stop(&self, timeout: Duration) -> Result<Duration, StopError> {
        let pid = self.running().ok_or_else(|| StopError::NotRunning {
            folder: self.path.clone(),
        })?;
        let start = Instant::now();
        let asked = self.ask_to_leave(&Request::PowerOff, timeout);
        if let (Err(error), Some(_)) = (asked, self.running()) {
            self.power_button().map_err(|monitor| StopError::NotAsked {
                control: error.to_string(),
                monitor,
            })?;
        }
        self.wait_gone(timeout)
            .map_err(|waited| StopError::StillRunning { pid, waited })?;
        Ok(start.elapsed())
    }

    /// Ask for a power-off or reboot. Once it is accepted, the connection may end in any way: the machine is going down.
    pub(crate) fn ask_to_leave(
        &self,
        request: &Request,
        timeout: Duration,
    ) -> Result<(), CallError> {
        let patience = Patience {
            reach: REACH_TIMEOUT,
            outcome: Some(timeout),
        };
        let mut accepted = false;
        let progress = |reply: &Reply| accepted |= matches!(reply, Reply::Accepted);
        match self.control().ask(request, patience, progress) {
            Err(error) if !accepted => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Pull the plug: what the guest has not written is lost. Answers the process that was killed.
    ///
    /// # Errors
    /// When none runs, or it can't be killed.
    pub fn cut(&self) -> Result<i32, StopError> {
        let pid = self.running().ok_or_else(|| StopError::NotRunning {
            folder: self.path.clone(),
        })?;
        sys::process::kill_now(pid).map_err(|source| StopError::Io {
            path: self.file(names::PID),
            source,
        })?;
        self.wait_gone(CUT_TIMEOUT)
            .map_err(|waited| StopError::StillRunning { pid, waited })?;
        Ok(pid)
    }

    /// The ACPI power button.
    ///
    /// # Errors
    /// When the monitor does not answer.
    pub fn power_button(&self) -> Result<(), QmpError> {
        self.qmp()?.execute("system_powerdown", None).map(drop)
    }

    fn wait_gone(&self, timeout: Duration) -> Result<(), Duration> {
        let start = Instant::now();
        while self.running().is_some() {
            if start.elapsed() > timeout {
                return Err(timeout);
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// The monitor; whoever else uses it is waited for.
    pub(crate) fn qmp(&self) -> Result<Qmp, QmpError> {
        let lock = self.lock(names::QMP_LOCK).map_err(QmpError::Io)?;
        let stream = self.connect(names::QMP).map_err(QmpError::Io)?;
        Qmp::start(stream, Some(lock))
    }

    fn lock(&self, name: &str) -> io::Result<File> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.file(name))?;
        file.lock()?;
        Ok(file)
    }

    /// Connect to a socket in the folder.
    pub(crate) fn connect(&self, name: &str) -> io::Result<UnixStream> {
        sys::socket::connect(&self.file(name))
    }

    /// Make the folder, put the last console aside, and take away what a killed machine left.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        fs::create_dir_all(&self.path)?;
        if self.console_log().exists() {
            fs::rename(self.console_log(), self.file(names::CONSOLE_BEFORE))?;
        }
        let sockets = (0..CONTROL_PORTS).map(names::control);
        let stale = sockets.chain(
            [
                names::QMP,
                names::CONSOLE_SOCKET,
                names::PORTS,
                names::UNITS,
            ]
            .map(str::to_owned),
        );
        for name in stale {
            match fs::remove_file(self.file(&name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_folder_has_no_machine_and_says_so() {
        let folder = RunFolder::at(std::env::temp_dir().join("keelson-no-such-run-folder"));
        assert_eq!(folder.running(), None);
        let error = folder.stop(Duration::ZERO).unwrap_err().to_string();
        assert!(error.starts_with("no machine is running in /"), "{error}");
        assert!(matches!(folder.cut(), Err(StopError::NotRunning { .. })));
    }
}
