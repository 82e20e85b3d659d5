//! Breakpoints at the beginnings of functions, in every process that executes the file of programs and descends from those
//! that were seized. Each is taken out when it is reached for the first time: what is left costs nothing.

use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Program → addresses of its functions, in the order of their first calls.
pub(super) type Called = BTreeMap<String, Vec<u64>>;

/// The file whose functions are looked at.
const FILE: &str = "programs";
/// `int3`
const BREAKPOINT: u8 = 0xcc;

#[derive(Debug)]
pub(super) struct Tracer {
    proc: PathBuf,
    functions: BTreeSet<u64>,
    /// Text as it is in the file, from the first function on; read from the first process.
    text: Vec<u8>,
    /// Of processes that have breakpoints.
    names: BTreeMap<Pid, String>,
    called: Called,
    seen: BTreeMap<String, BTreeSet<u64>>,
}

impl Tracer {
    pub(super) fn new(proc: &Path, functions: BTreeSet<u64>) -> Self {
        Self {
            proc: proc.to_owned(),
            functions,
            text: Vec::new(),
            names: BTreeMap::new(),
            called: Called::new(),
            seen: BTreeMap::new(),
        }
    }

    /// Trace this process and whatever it starts from now on.
    pub(super) fn seize(&self, process: Pid) -> io::Result<()> {
        let options = Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC;
        Ok(ptrace::seize(process, options)?)
    }

    /// What was called until this process has ended, which it must with success.
    pub(super) fn run_until_end_of(mut self, last: Pid) -> io::Result<Called> {
        loop {
            // A process that was killed meanwhile is no failure: its end is the next that is told of it.
            match waitpid(None, Some(WaitPidFlag::__WALL))? {
                WaitStatus::Exited(process, 0) if process == last => return Ok(self.called),
                ended @ (WaitStatus::Exited(process, _) | WaitStatus::Signaled(process, _, _))
                    if process == last =>
                {
                    return Err(io::Error::other(format!("{ended:?}")));
                }
                WaitStatus::Exited(process, _) | WaitStatus::Signaled(process, _, _) => {
                    self.names.remove(&process);
                }
                WaitStatus::PtraceEvent(process, _, event)
                    if event == Event::PTRACE_EVENT_EXEC as i32 =>
                {
                    if self.executed(process).unwrap_or(true) {
                        let _ = ptrace::cont(process, None);
                    } else {
                        let _ = ptrace::detach(process, None);
                    }
                }
                WaitStatus::PtraceEvent(process, _, _) => {
                    let _ = ptrace::cont(process, None);
                }
                WaitStatus::Stopped(process, signal) => {
                    let own = signal == Signal::SIGTRAP && self.reached(process).unwrap_or(true);
                    let _ = ptrace::cont(process, (!own).then_some(signal));
                }
                WaitStatus::Continued(_)
                | WaitStatus::StillAlive
                | WaitStatus::PtraceSyscall(_) => {}
            }
        }
    }

    /// A program has been executed; whether it, or what it may start, is of interest.
    fn executed(&mut self, process: Pid) -> io::Result<bool> {
        self.names.remove(&process);
        let file = fs::read_link(self.proc_of(process, "exe"))?;
        let name = file.file_name().unwrap_or_default();
        if name != FILE {
            // PID 1 and the operator start programs; what runs in containers does not.
            return Ok(name == "init" || name == "agent");
        }
        let name = fs::read_to_string(self.proc_of(process, "comm"))?;
        let name = name.trim().to_owned();
        let (Some(&first), Some(&last)) = (self.functions.first(), self.functions.last()) else {
            return Ok(false);
        };
        let memory = self.memory(process)?;
        if self.text.is_empty() {
            let mut text = vec![0; usize::try_from(last - first + 1).map_err(io::Error::other)?];
            memory.read_exact_at(&mut text, first)?;
            self.text = text;
        }
        let mut text = self.text.clone();
        let seen = self.seen.entry(name.clone()).or_default();
        for function in self.functions.difference(seen) {
            if let Some(byte) = text.get_mut(place(*function, first)) {
                *byte = BREAKPOINT;
            }
        }
        memory.write_all_at(&text, first)?;
        self.names.insert(process, name);
        Ok(true)
    }

    /// A trap: whether it was one of ours.
    fn reached(&mut self, process: Pid) -> io::Result<bool> {
        let mut registers = ptrace::getregs(process)?;
        let at = registers.rip.wrapping_sub(1);
        let Some(first) = self
            .functions
            .first()
            .filter(|_| self.functions.contains(&at))
        else {
            return Ok(false);
        };
        let Some(byte) = self.text.get(place(at, *first)) else {
            return Ok(false);
        };
        self.memory(process)?.write_all_at(&[*byte], at)?;
        registers.rip = at;
        ptrace::setregs(process, registers)?;
        let name = match self.names.get(&process) {
            Some(name) => name.clone(),
            // A thread, or a child that has not executed anything.
            None => fs::read_to_string(self.proc_of(process, "comm"))?
                .trim()
                .to_owned(),
        };
        if self.seen.entry(name.clone()).or_default().insert(at) {
            self.called.entry(name).or_default().push(at);
        }
        Ok(true)
    }

    fn memory(&self, process: Pid) -> io::Result<File> {
        File::options()
            .read(true)
            .write(true)
            .open(self.proc_of(process, "mem"))
    }

    fn proc_of(&self, process: Pid, what: &str) -> PathBuf {
        self.proc.join(process.to_string()).join(what)
    }
}

fn place(function: u64, first: u64) -> usize {
    usize::try_from(function.saturating_sub(first)).unwrap_or(usize::MAX)
}
