//! A job: a child that does one thing and ends, with what it prints handed to whoever asked.

use crate::carried;
use crate::console;
use crate::health::{Health, memory_ran_out};
use crate::limits;
use crate::machine::Machine;
use crate::registry::Registry;
use crate::source::{ChildKind, Source};
use control::reply::Reply;
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use sys::cgroup::{Cgroup, CgroupError};
use sys::clock::since_boot_ms;
use sys::clone::{Spawn, spawn};
use sys::epoll::Interest;
use sys::pidfd::Ended;

/// Who asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// Load the images of the release at boot.
    Preload,
    /// Lines are progress.
    ImageLoad { connection: u64 },
    /// The output is JSON: the images.
    ImageLs { connection: u64 },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    purpose: Purpose,
    pid: i32,
    started_ms: u64,
    /// Processes of the jobs' group that had been killed for want of memory when it started.
    killed_before: u64,
    output: Stream,
    errors: Stream,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stream {
    #[serde(with = "carried")]
    pipe: File,
    token: u64,
    #[serde(with = "carried::bytes")]
    text: Vec<u8>,
}

impl Stream {
    fn watched(registry: &mut Registry, pipe: OwnedFd, source: Source) -> io::Result<Self> {
        let token = registry.watch(&pipe, Interest::Read, source)?;
        Ok(Self {
            pipe: File::from(pipe),
            token,
            text: Vec::new(),
        })
    }

    fn end(&self, registry: &mut Registry) {
        registry.unwatch(&self.pipe, self.token);
    }

    /// Read what there is; what is beyond the limit is dropped. A pipe that has ended is watched no more.
    fn read(&mut self, registry: &mut Registry) {
        let mut buffer = [0; 8192];
        loop {
            match self.pipe.read(&mut buffer) {
                Ok(0) => return registry.unwatch(&self.pipe, self.token),
                Ok(bytes) => {
                    let room = limits::JOB_OUTPUT_BYTES_MAX.saturating_sub(self.text.len());
                    self.text
                        .extend_from_slice(buffer.get(..bytes.min(room)).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// Whole lines so far.
    fn lines(&mut self) -> Vec<String> {
        let Some(end) = self.text.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.text.split_off(end.saturating_add(1));
        let text = std::mem::replace(&mut self.text, rest);
        String::from_utf8_lossy(&text)
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

/// One entry of `preload/index.json`.
#[derive(Debug, Deserialize)]
struct PreloadEntry {
    file: String,
    sha256: String,
}

impl Machine {
    /// Load the images of the release that this machine has not loaded yet.
    pub(crate) fn start_preload(&mut self) {
        let index = Path::new(sys::paths::PRELOAD).join("index.json");
        let entries: Vec<PreloadEntry> = match std::fs::read(&index) {
            Err(_) => return,
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(entries) => entries,
                Err(error) => return console::warn(format_args!("{}: {error}", index.display())),
            },
        };
        let loaded = Path::new(sys::paths::IMAGES).join(sys::paths::PRELOADED);
        if entries
            .iter()
            .all(|entry| loaded.join(&entry.sha256).exists())
        {
            self.free_preloaded(&entries);
            return;
        }
        let Ok(null) = self.null.as_fd().try_clone_to_owned() else {
            return;
        };
        match self.start_job(Purpose::Preload, &[c"store", c"preload"], &null) {
            Ok(job) => self.preload = Some(job),
            Err(error) => console::warn(format_args!(
                "images of the release are not loaded: {error}"
            )),
        }
    }

    fn free_preloaded(&self, entries: &[PreloadEntry]) {
        for entry in entries {
            self.boot
                .free(&Path::new(sys::paths::PRELOAD).join(&entry.file));
        }
    }

    /// Start the `store` program.
    ///
    /// # Errors
    /// What could not be made.
    pub(crate) fn start_job(
        &mut self,
        purpose: Purpose,
        arguments: &[&CStr],
        stdin: &OwnedFd,
    ) -> io::Result<u64> {
        let cgroup = group().map_err(|error| error.source)?;
        let group = cgroup.descriptor().map_err(|error| error.source)?;
        let (output, output_write) = io::pipe()?;
        let (errors, errors_write) = io::pipe()?;
        let (output, errors) = (OwnedFd::from(output), OwnedFd::from(errors));
        sys::descriptor::set_nonblocking(output.as_fd(), true)?;
        sys::descriptor::set_nonblocking(errors.as_fd(), true)?;
        let program = CString::new(format!("{}/store", sys::paths::PROGRAMS))?;
        let job = self.id();
        let output = Stream::watched(&mut self.registry, output, Source::JobOutput { job })?;
        let errors = match Stream::watched(&mut self.registry, errors, Source::JobErrors { job }) {
            Ok(errors) => errors,
            Err(error) => {
                output.end(&mut self.registry);
                return Err(error);
            }
        };
        let child = spawn(&Spawn {
            namespaces: 0,
            cgroup: Some(group.as_fd()),
            program: &program,
            arguments,
            environment: &[],
            descriptors: &[
                (stdin.as_fd(), 0),
                (output_write.as_fd(), 1),
                (errors_write.as_fd(), 2),
            ],
        });
        // From here on nothing can fail any more: no child is left without its job.
        let child = match child {
            Ok(child) => child,
            Err(error) => {
                output.end(&mut self.registry);
                errors.end(&mut self.registry);
                return Err(error);
            }
        };
        self.children.insert(child.pid, ChildKind::Job { job });
        let entry = Job {
            purpose,
            pid: child.pid,
            started_ms: since_boot_ms(),
            killed_before: killed_for_memory(&cgroup),
            output,
            errors,
        };
        self.jobs.insert(job, entry);
        Ok(job)
    }

    /// The client of a job is gone: what it had begun is given up, the store is as it was.
    pub(crate) fn cancel_jobs_of(&mut self, connection: u64) {
        for job in self.jobs.values() {
            match job.purpose {
                Purpose::ImageLoad { connection: owner }
                | Purpose::ImageLs { connection: owner } => {
                    if owner == connection {
                        crate::helpers::kill(job.pid);
                    }
                }
                Purpose::Preload => {}
            }
        }
    }

    pub(crate) fn job_output(&mut self, id: u64) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.output.read(&mut self.registry);
        match job.purpose {
            Purpose::Preload => {
                for line in job.output.lines() {
                    log::info!("preload: {line}");
                }
                self.say_that_images_come();
            }
            Purpose::ImageLoad { connection } => {
                for message in job.output.lines() {
                    self.reply(connection, &Reply::Progress { message });
                }
            }
            Purpose::ImageLs { .. } => {}
        }
    }

    pub(crate) fn job_errors(&mut self, id: u64) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.errors.read(&mut self.registry);
    }

    pub(crate) fn job_ended(&mut self, id: u64, ended: Ended) {
        self.job_output(id);
        let Some(mut job) = self.jobs.remove(&id) else {
            return;
        };
        job.errors.read(&mut self.registry);
        job.output.end(&mut self.registry);
        job.errors.end(&mut self.registry);
        let ok = ended == Ended::Code(0);
        let errors = String::from_utf8_lossy(&job.errors.text).trim().to_owned();
        let message = match ended {
            _ if !errors.is_empty() => errors,
            Ended::Code(code) => format!("store exited with status {code}"),
            Ended::Signal(signal) => {
                let killed =
                    group().is_ok_and(|group| killed_for_memory(&group) > job.killed_before);
                let advice = killed.then(|| memory_ran_out(&Health::of(&self.boot)));
                let signal = unit::signal::display(signal);
                format!("store was killed by {signal}{}", advice.unwrap_or_default())
            }
        };
        match job.purpose {
            // One line for each archive that could not be loaded.
            Purpose::Preload => {
                self.preloaded(ok, &message.replace('\n', "; "), job.started_ms);
            }
            Purpose::ImageLoad { connection } => {
                self.reply_last(
                    connection,
                    &if ok {
                        Reply::Done
                    } else {
                        Reply::Failed { message }
                    },
                );
            }
            Purpose::ImageLs { connection } => {
                let reply = match serde_json::from_slice(&job.output.text) {
                    Ok(images) if ok => Reply::Images(images),
                    Err(error) if ok => Reply::Failed {
                        message: format!("the list of images can't be read: {error}"),
                    },
                    _ => Reply::Failed { message },
                };
                self.reply_last(connection, &reply);
            }
        }
    }

    fn preloaded(&mut self, ok: bool, message: &str, start_ms: u64) {
        let result = if ok { Ok(()) } else { Err(message) };
        self.boot.stage_ended("images", start_ms, result);
        self.preload = None;
        if ok {
            let index = Path::new(sys::paths::PRELOAD).join("index.json");
            let text = std::fs::read(index).unwrap_or_default();
            self.free_preloaded(
                &serde_json::from_slice::<Vec<PreloadEntry>>(&text).unwrap_or_default(),
            );
        }
        self.starts
            .extend(std::mem::take(&mut self.waiting_for_images));
    }
}

fn group() -> Result<Cgroup, CgroupError> {
    Cgroup::create(format!("{}/store", sys::paths::CGROUP_SYSTEM).as_ref())
}

/// By any of the kernel's killers, that of the whole machine included (cgroup-v2.rst: `memory.events`).
fn killed_for_memory(group: &Cgroup) -> u64 {
    group.keyed("memory.events", "oom_kill").unwrap_or(0)
}
