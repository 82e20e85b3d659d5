//! A step: a command beside a run. A hook, a reload, a probe; inside the run's container (`inside`).
//!
//! ```text
//! start ─▶ a child in a group of its own ── ends ──▶ what it left behind is killed and reaped ──▶ Event, exactly one
//!             │                                       (of a failure: with the last line of its output)
//!             └── its time is over, or nobody wants it any more: cgroup.kill ──┘
//! ```
//!
//! Invariants: nothing of a step outlives it, and every step that was asked for ends with one event, though it may never
//! have begun.

use crate::carried;
use crate::console;
use crate::limits;
use crate::logs::Pipes as LogPipes;
use crate::machine::Machine;
use crate::place::{Place, Shortage, give_back, shortage_of};
use crate::run::{Report, Run, failure_text};
use crate::source::{ChildKind, Source};
use crate::tail::{Tail, last_line as last_line_of};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::OwnedFd;
use supervisor::{Event, Exit, Hook, RunId, UnitId};
use sys::cgroup::Cgroup;
use sys::clock::since_boot_ms;
use sys::clone::Child;
use sys::epoll::Interest;
use sys::pidfd::Ended;

/// For whom, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub unit: UnitId,
    pub run: RunId,
    pub purpose: Purpose,
    /// It is killed after so long, with all that it has started. None: whoever asked kills it.
    pub timeout_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    Hook(Hook),
    Reload,
    /// Of health, with the supervisor's number.
    Probe {
        probe: u64,
    },
}

impl Asked {
    pub(crate) fn ended(&self, failure: Option<String>) -> Event {
        let (unit, run) = (self.unit, self.run);
        match self.purpose {
            Purpose::Hook(hook) => Event::HookEnded {
                unit,
                run,
                hook,
                failure,
            },
            Purpose::Reload => Event::Reloaded { unit, run, failure },
            Purpose::Probe { probe } => Event::Probed {
                unit,
                run,
                probe,
                failure,
            },
        }
    }
}

/// Where its output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Into the unit's log.
    Log,
    /// Nowhere; but a failure has its last line.
    Tail,
}

/// The two ends of its output.
#[derive(Debug)]
pub(crate) struct Pipes {
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    pub readers: Readers,
}

#[derive(Debug)]
pub(crate) enum Readers {
    /// For logd: stdout and stderr.
    Log(OwnedFd, OwnedFd),
    /// For us: both in one, non-blocking.
    Tail(OwnedFd),
}

impl Pipes {
    /// # Errors
    /// As pipe(2).
    pub(crate) fn new(output: Output) -> io::Result<Self> {
        let (reader, stdout) = io::pipe()?;
        let reader = OwnedFd::from(reader);
        match output {
            Output::Log => {
                let (errors, stderr) = io::pipe()?;
                Ok(Self {
                    stdout: stdout.into(),
                    stderr: stderr.into(),
                    readers: Readers::Log(reader, errors.into()),
                })
            }
            Output::Tail => {
                sys::descriptor::set_nonblocking(std::os::fd::AsFd::as_fd(&reader), true)?;
                Ok(Self {
                    stderr: stdout.try_clone()?.into(),
                    stdout: stdout.into(),
                    readers: Readers::Tail(reader),
                })
            }
        }
    }
}

/// Where it is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Home {
    /// In a container of its own; its group goes with it.
    Own(#[serde(with = "carried")] Cgroup),
    /// In the container of the run.
    Place(Place),
    /// It has ended, and its place may be another's.
    Left,
}

/// What there is of a step that has just been started.
#[derive(Debug)]
pub(crate) struct Born {
    pub home: Home,
    pub child: Child,
    pub report: OwnedFd,
    pub readers: Readers,
}

/// From its start until its group is gone.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    asked: Asked,
    home: Home,
    report: Report,
    report_token: Option<u64>,
    tail: Option<Tail>,
    kill_at: Option<u64>,
    /// It was killed because its time was over.
    late: bool,
    /// Whoever asked for it has ended it.
    #[serde(default)]
    killed: bool,
    /// All that it wrote has been read, and this was the last line.
    #[serde(default)]
    drained: bool,
    #[serde(default)]
    last_line: Option<String>,
    /// It has failed; to be told with its last line, or without at `tell_at`.
    #[serde(default)]
    failed: Option<String>,
    #[serde(default)]
    tell_at: Option<u64>,
    /// The group is no more.
    #[serde(default)]
    group_gone: bool,
    /// Failed attempts to remove the group.
    retries: u32,
    retry_at: Option<u64>,
}

impl Machine {
    pub(crate) fn begin_step(&mut self, id: u64, asked: Asked, born: Born) {
        let Born {
            home,
            child,
            report,
            readers,
        } = born;
        self.children.insert(child.pid, ChildKind::Step { id });
        let report_token = self
            .registry
            .watch(&report, Interest::Read, Source::StepReport { id })
            .ok();
        let mut tail = None;
        match readers {
            Readers::Log(stdout, stderr) => {
                if let Some((found, container)) = self.container(asked.unit) {
                    let pipes = LogPipes {
                        unit: found.name.clone(),
                        run: asked.run.0,
                        logging: container.logging.clone(),
                        pattern: None,
                        stdout,
                        stderr,
                    };
                    self.keep_output(id, pipes);
                }
            }
            Readers::Tail(pipe) => {
                let mut kept = Tail::new(pipe);
                kept.watch(&mut self.registry, id);
                tail = Some(kept);
            }
        }
        let kill_at = asked
            .timeout_ms
            .map(|ms| since_boot_ms().saturating_add(ms));
        let step = Step {
            asked,
            home,
            report: Report::new(report),
            report_token,
            tail,
            kill_at,
            late: false,
            killed: false,
            drained: false,
            last_line: None,
            failed: None,
            tell_at: None,
            group_gone: false,
            retries: 0,
            retry_at: None,
        };
        self.steps.insert(id, step);
    }

    pub(crate) fn step_report_ready(&mut self, id: u64) {
        let Some(step) = self.steps.get_mut(&id) else {
            return;
        };
        if let (Some(pipe), Some(token)) = (step.report.pipe(), step.report_token.take()) {
            self.registry.unwatch(pipe, token);
        }
        if !step.report.read() {
            let source = Source::StepReport { id };
            let again = step.report.pipe();
            let again = again.map(|pipe| self.registry.watch(pipe, Interest::Read, source));
            step.report_token = again.and_then(Result::ok);
        }
    }

    pub(crate) fn step_output_ready(&mut self, id: u64) {
        if let Some(tail) = self.steps.get_mut(&id).and_then(|step| step.tail.as_mut()) {
            tail.read(&mut self.registry, id, since_boot_ms());
        }
    }

    /// Kill the steps of a run that have this purpose, with all that they have started.
    pub(crate) fn kill_step(&mut self, run: RunId, purpose: Purpose) {
        let mut told = Vec::new();
        for step in self.steps.values_mut() {
            if step.asked.run == run && step.asked.purpose == purpose {
                step.killed = true;
                told.extend(step.kill());
            }
        }
        self.give_up_later(told);
    }

    /// Nobody waits for the answers of a run's probes any more.
    pub(crate) fn kill_probes(&mut self, run: RunId) {
        let steps = self.steps.values();
        let probes = steps.filter(|step| {
            step.asked.run == run && matches!(step.asked.purpose, Purpose::Probe { .. })
        });
        let told: Vec<i32> = probes.filter_map(Step::kill).collect();
        self.give_up_later(told);
    }

    pub(crate) fn step_ended(&mut self, id: u64, ended: Ended) {
        self.step_report_ready(id);
        let Some(step) = self.steps.get_mut(&id) else {
            return;
        };
        step.kill_at = None;
        if let Some(tail) = step.tail.take() {
            step.last_line = tail.end(&mut self.registry);
            step.drained = true;
        }
        let run = self.runs.get(&step.asked.run.0);
        // Who was short of something and did well has nothing to tell of it.
        let told = ended != Ended::Code(0) || step.report.failure.is_some();
        let shortage = told.then(|| step.shortage(run)).flatten();
        let unit = step.asked.unit;
        let shortage = shortage.map(|shortage| {
            let container = self.container(unit);
            let resources = container.map(|(_, it)| it.resources.clone());
            (shortage, shortage.text(&resources.unwrap_or_default()))
        });
        let Some(step) = self.steps.get_mut(&id) else {
            return;
        };
        match step.failure(ended, shortage) {
            Some(text) if !step.killed && !step.drained => {
                step.failed = Some(text);
                step.tell_at = Some(since_boot_ms().saturating_add(limits::LAST_LINE_MS));
            }
            failure => self.tell_step(id, failure),
        }
        self.remove_step(id);
    }

    /// logd has written all that came out of a pair of pipes.
    pub(crate) fn step_drained(&mut self, pair: u64, last_line: Option<String>) {
        let Some(step) = self.steps.get_mut(&pair) else {
            return;
        };
        step.last_line = last_line.and_then(|line| last_line_of(line.as_bytes()));
        step.drained = true;
        if let Some(failure) = step.failed.take() {
            self.tell_step(pair, Some(failure));
        }
    }

    /// Its end, once.
    fn tell_step(&mut self, id: u64, failure: Option<String>) {
        let Some(step) = self.steps.get_mut(&id) else {
            return;
        };
        step.tell_at = None;
        let line = step.last_line.take();
        let failure = failure.map(|text| match line {
            Some(line) => format!("{text}: {line}"),
            None => text,
        });
        let (asked, gone) = (step.asked, step.group_gone);
        if let (Purpose::Hook(hook), Some(text)) = (asked.purpose, &failure)
            && let Some((found, _)) = self.container(asked.unit)
        {
            let name = found.name.clone();
            let message = format!("{} {} failed: {text}", hook.kind.name(), hook.index);
            self.note(&name, asked.run.0, message);
        }
        self.event(asked.ended(failure));
        if gone {
            self.forget_step(id);
        }
    }

    fn forget_step(&mut self, id: u64) {
        if let Some(step) = self.steps.remove(&id)
            && let (Some(pipe), Some(token)) = (step.report.pipe(), step.report_token)
        {
            self.registry.unwatch(pipe, token);
        }
    }

    /// Whatever it has left behind goes with it.
    fn remove_step(&mut self, id: u64) {
        let Some(step) = self.steps.get_mut(&id) else {
            return;
        };
        step.retry_at = None;
        let removed = match &step.home {
            Home::Own(group) => group.remove(),
            Home::Place(_) | Home::Left => Ok(()),
        };
        match removed {
            Err(error) if step.retries < limits::CGROUP_RETRIES_MAX => {
                step.kill();
                log::debug!("{error}: trying again");
                step.retries = step.retries.saturating_add(1);
                step.retry_at = Some(since_boot_ms().saturating_add(limits::CGROUP_RETRY_MS));
                return;
            }
            Err(error) => console::warn(format_args!("{error}: left behind")),
            Ok(()) => {}
        }
        step.group_gone = true;
        let is_told = step.failed.is_none();
        if let Home::Place(place) = std::mem::replace(&mut step.home, Home::Left) {
            give_back(&place, &mut self.runs, &mut self.give_up_at);
        }
        if is_told {
            self.forget_step(id);
        }
    }

    /// Units have changed places.
    pub(crate) fn renumber_steps(&mut self, other: impl Fn(UnitId) -> UnitId) {
        for step in self.steps.values_mut() {
            step.asked.unit = other(step.asked.unit);
        }
    }

    pub(crate) fn step_deadline(&self) -> Option<u64> {
        let steps = self.steps.values();
        let tail = |step: &Step| step.tail.as_ref().and_then(Tail::deadline);
        steps
            .flat_map(|step| [step.kill_at, step.retry_at, step.tell_at, tail(step)])
            .flatten()
            .min()
    }

    pub(crate) fn step_timeouts(&mut self, now: u64) {
        let (mut gone, mut told, mut killed) = (Vec::new(), Vec::new(), Vec::new());
        for (id, step) in &mut self.steps {
            let due = |at: Option<u64>| at.is_some_and(|at| at <= now);
            if due(step.kill_at) {
                step.kill_at = None;
                step.late = true;
                killed.extend(step.kill());
            }
            if let Some(tail) = step.tail.as_mut().filter(|tail| due(tail.deadline())) {
                tail.watch(&mut self.registry, *id);
            }
            if due(step.tell_at)
                && let Some(failure) = step.failed.take()
            {
                told.push((*id, failure));
            }
            if due(step.retry_at) {
                gone.push(*id);
            }
        }
        self.give_up_later(killed);
        for (id, failure) in told {
            self.tell_step(id, Some(failure));
        }
        for id in gone {
            self.remove_step(id);
        }
    }
}

impl Step {
    pub(crate) fn run(&self) -> RunId {
        self.asked.run
    }

    pub(crate) fn place_mut(&mut self) -> Option<&mut Place> {
        match &mut self.home {
            Home::Place(place) => Some(place),
            Home::Own(_) | Home::Left => None,
        }
    }

    /// With all that it has started. Comes back with the launcher of a command in a container.
    fn kill(&self) -> Option<i32> {
        match &self.home {
            Home::Own(group) => {
                if let Err(error) = group.kill() {
                    log::error!("{error}");
                }
                None
            }
            Home::Place(place) => place.end(),
            Home::Left => None,
        }
    }

    fn shortage(&self, run: Option<&Run>) -> Option<Shortage> {
        match &self.home {
            Home::Own(group) => shortage_of(group),
            Home::Place(place) => place.shortage(run),
            Home::Left => None,
        }
    }

    /// In words; None: it was a success. `shortage`: the limit that it has run into, and how to say that.
    fn failure(&self, ended: Ended, shortage: Option<(Shortage, String)>) -> Option<String> {
        if let (true, Some(ms)) = (self.late, self.asked.timeout_ms) {
            return Some(format!("took longer than {}", unit::duration::display(ms)));
        }
        match (&self.report.failure, &shortage) {
            (Some(failure), Some((Shortage::Processes, text))) if failure.errno == AGAIN => {
                return Some(format!("cannot be started: {text}"));
            }
            (Some(failure), _) => return Some(failure_text(failure)),
            (None, _) => {}
        }
        let exit = match ended {
            Ended::Code(0) => return None,
            Ended::Code(code) => Exit::Code(code),
            Ended::Signal(signal) => Exit::Signal {
                signal,
                out_of_memory: false,
            },
        };
        Some(match shortage {
            Some((Shortage::Memory, text)) => text,
            Some((Shortage::Processes, text)) => format!("{exit}: {text}"),
            None => exit.to_string(),
        })
    }
}

/// clone3(2): a limit on the number of processes.
const AGAIN: i32 = nix::libc::EAGAIN;
