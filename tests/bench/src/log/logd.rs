//! A logd as PID 1 starts it: a socket on descriptor 3, and pipes lent to it.

use super::load::Load;
use crate::Failure;
use control::log::{LogReply, LogRequest};
use control::request::LogsRequest;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use unit::UnitName;

/// What a load cost it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// For a second of processor time of all its threads.
    pub(crate) lines_per_second: u64,
    /// None where perf(1) can't count them.
    pub(crate) calls_per_1000: Option<u64>,
}

/// No answer within this time is a failure.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Until all that it does at its start is done.
const SETTLE: Duration = Duration::from_millis(100);

/// Lend the pipes, write, have it flushed.
pub(crate) fn measure(program: &Path, load: &Load) -> Result<Cost, Failure> {
    let logd = Logd::start(program)?;
    let mut containers = Vec::new();
    let mut others = Vec::new();
    for number in 0..load.containers {
        let (stdout, out) = io::pipe()?;
        let (stderr, err) = io::pipe()?;
        logd.keep(number, [stdout.as_fd(), stderr.as_fd()])?;
        containers.push(File::from(OwnedFd::from(out)));
        others.push((err, stdout, stderr));
    }
    let readers = (0..load.followers).map(|id| logd.follow(id));
    let readers = readers.collect::<Result<Vec<_>, _>>()?;
    std::thread::sleep(SETTLE);
    let calls = Calls::count(logd.child.id())?;
    let before = logd.cpu_time()?;
    load.write(&mut containers)?;
    logd.ask(&LogRequest::Flush, &[])?;
    while logd.reply()? != LogReply::Flushed {}
    let spent = logd.cpu_time()?.saturating_sub(before);
    let calls = calls.map(Calls::end).transpose()?.flatten();
    drop(logd);
    for reader in readers {
        reader.join().map_err(|_| "a follower has failed")?;
    }
    let lines = u64::try_from(load.lines)?;
    Ok(Cost {
        lines_per_second: lines * 1_000_000_000 / u64::try_from(spent.as_nanos())?.max(1),
        calls_per_1000: calls.map(|calls| calls * 1000 / lines),
    })
}

/// Ended, and its logs removed, when this goes.
struct Logd {
    child: Child,
    socket: OwnedFd,
    folder: PathBuf,
}

impl Logd {
    fn start(program: &Path) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("keelson-bench-log-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let (ours, theirs) = sys::socket::seqpacket_pair()?;
        // bash puts the inherited socket under number 3, as PID 1's clone does.
        sys::descriptor::set_close_on_exec(theirs.as_fd(), false)?;
        let command = format!("exec \"$0\" 3<&{}", theirs.as_raw_fd());
        let child = Command::new("bash")
            .arg("-c")
            .arg(command)
            .arg(program)
            .env("KEELSON_LOGS", &folder)
            .spawn()?;
        let logd = Self {
            child,
            socket: ours,
            folder,
        };
        match logd.reply()? {
            LogReply::Ready => Ok(logd),
            other => Err(format!("logd says {other:?} at its start").into()),
        }
    }

    fn ask(
        &self,
        request: &LogRequest,
        descriptors: &[std::os::fd::BorrowedFd<'_>],
    ) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(request)?;
        sys::socket::send(self.socket.as_fd(), &bytes, descriptors)?;
        Ok(())
    }

    fn reply(&self) -> Result<LogReply, Failure> {
        let watched = [(self.socket.as_fd(), sys::epoll::Interest::Read)];
        if sys::poll::wait(&watched, Some(ANSWER_MAX))?.is_empty() {
            return Err("logd does not answer".into());
        }
        let mut buffer = [0; 4096];
        let (bytes, _) = sys::socket::receive(self.socket.as_fd(), &mut buffer)?;
        Ok(serde_json::from_slice(
            buffer.get(..bytes).unwrap_or_default(),
        )?)
    }

    fn keep(&self, number: usize, pipes: [std::os::fd::BorrowedFd<'_>; 2]) -> Result<(), Failure> {
        let run = u64::try_from(number)?;
        let request = LogRequest::Keep {
            unit: UnitName::new(&format!("web-{number}")).ok_or("no name of a unit")?,
            run,
            pair: run,
            max_size: 64 << 20,
            max_files: 2,
            pattern: None,
        };
        self.ask(&request, &pipes)
    }

    /// A reader of the first container, until logd ends.
    fn follow(&self, id: usize) -> Result<std::thread::JoinHandle<()>, Failure> {
        let (mut reader, writer) = io::pipe()?;
        let request = LogRequest::Query {
            id: u64::try_from(id)?,
            query: LogsRequest {
                units: vec!["web-0".to_owned()],
                follow: true,
                tail: Some(0),
                ..LogsRequest::default()
            },
        };
        self.ask(&request, &[writer.as_fd()])?;
        let eat = move || {
            let mut buffer = vec![0; 64 << 10];
            while reader.read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
        };
        Ok(std::thread::spawn(eat))
    }

    /// Of all its threads (proc_pid_schedstat: nanoseconds on a processor).
    fn cpu_time(&self) -> Result<Duration, Failure> {
        let mut spent = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
            let nanoseconds = text.split_whitespace().next().unwrap_or_default();
            spent += nanoseconds.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(spent))
    }
}

impl Drop for Logd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// perf(1) beside it.
struct Calls(Child);

impl Calls {
    fn count(pid: u32) -> Result<Option<Self>, Failure> {
        let perf = Command::new("perf")
            .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p"])
            .arg(pid.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let perf = match perf {
            Ok(perf) => perf,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        std::thread::sleep(5 * SETTLE);
        Ok(Some(Self(perf)))
    }

    fn end(self) -> Result<Option<u64>, Failure> {
        let pid = self.0.id().to_string();
        host::run::output(Command::new("kill").args(["-INT", &pid]))?;
        let output = self.0.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let count = text
            .lines()
            .find(|line| line.contains("raw_syscalls"))
            .and_then(|line| line.split(',').next()?.parse().ok());
        Ok(count)
    }
}
