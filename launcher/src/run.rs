//! `launcher run`: from the specification to the workload, step by step.

use crate::command::{self, Defaults, Environment};
use crate::failure::{At, Fault, Problem};
use crate::image_volumes::Covered;
use crate::mounts::{self, Planned, Sources};
use crate::options::Options;
use crate::program::Program;
use crate::report::{Prepared, Report};
use crate::root::Root;
use crate::user::{self, User};
use crate::writable::{Record, Writable};
use crate::{confine, devices, etc, health, init, masks};
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::Path;
use std::process::ExitCode;
use store::{Image, Store};
use sys::path::{self, Links};
use unit::{LaunchFailure, LaunchGo, LaunchNetwork, LaunchSpec};

/// Descriptors that unit/src/launch.rs names.
pub(crate) const SPEC: RawFd = 3;
const GO: RawFd = 5;
/// Of PID 1's word: two small files.
const GO_BYTES_MAX: usize = 256 << 10;
/// In failures.
const SOCKET: &str = "descriptor 5";
/// Everything from here upward is closed before the workload is executed; below is the report pipe, which closes itself.
pub(crate) const CLOSE_FROM: u32 = 5;

/// What the kernel starts with; the machine's own is nobody's business in a container.
const NO_DOMAIN: &str = "(none)";

/// A container on its way.
struct Launch<'a> {
    options: &'a Options,
    spec: &'a LaunchSpec,
    /// What the operator should know of this run.
    notes: Vec<String>,
    defaults: Defaults,
    mounts: Vec<Planned>,
    /// Taken by the step that mounts them.
    sources: Option<Sources>,
    root: Root,
    /// PID 1's socket, until it has said that the network is there.
    init: Option<OwnedFd>,
    texts: Option<LaunchGo>,
    working_dir: Option<OwnedFd>,
    user: Option<User>,
}

/// One step on the root: its name in a failure, and what it does.
struct Step {
    name: &'static str,
    act: fn(&mut Launch<'_>) -> Result<(), Fault>,
}

/// In this order. The system's mounts come first, so that a unit's can lie on them; masks come last, so that nothing
/// uncovers what they hide; after `pivot` no path of the machine exists. What stands before `network` is done while the
/// network is being made; /sys comes after it, because it shows the network namespace of whoever mounts it.
const STEPS: [Step; 13] = [
    step("proc", |launch| devices::mount_proc(&launch.root)),
    step("dev", |launch| {
        devices::mount_dev(&launch.root, |target| launch.mounts_itself(target))
    }),
    step("network", |launch| launch.enter_network()),
    step("sys", |launch| {
        devices::mount_sys(&launch.root, |target| launch.mounts_itself(target))
    }),
    step("etc", |launch| launch.mount_etc()),
    step("mount", |launch| launch.mount_planned()),
    step("masks", |launch| masks::apply(&launch.root)),
    step("user", |launch| launch.find_user()),
    step("working_dir", |launch| launch.find_working_dir()),
    step("read_only", |launch| launch.protect_root()),
    step("pivot", |launch| launch.pivot()),
    step("hostname", |launch| launch.set_names()),
    step("limits", |launch| confine::limit(launch.options.limits)),
];

const fn step(name: &'static str, act: fn(&mut Launch<'_>) -> Result<(), Fault>) -> Step {
    Step { name, act }
}

/// Becomes the workload, or reports why not.
pub(crate) fn run(options: &Options) -> ExitCode {
    let mut report = match Report::inherited() {
        Ok(report) => report,
        Err(status) => return status,
    };
    let (failure, status) = match launch(options, &mut report) {
        Ok(never) => match never {},
        Err(failed) => failed,
    };
    report.failed(failure);
    ExitCode::from(status)
}

/// A failure, and the exit status that goes with it.
pub(crate) type Failed = (LaunchFailure, u8);

/// Gives a step's error the step's name.
pub(crate) fn at_step<T>(name: &str, result: Result<T, Fault>) -> Result<T, Failed> {
    result.map_err(|fault| (fault.at_step(name), fault.exit_status()))
}

fn launch(options: &Options, report: &mut Report) -> Result<Infallible, Failed> {
    sys::rlimit::set_umask(confine::UMASK);
    let spec: LaunchSpec = at_step("spec", read_spec())?;
    let go = at_step(
        "network",
        sys::descriptor::inherited(GO).at("take over", SOCKET),
    )?;
    at_step("limits", reset_oom_score())?;
    let first = spec.container.init.then(init::open).transpose()?;
    let image = at_step("image", find_image(options, &spec.container.image))?;
    let argv = command::argv(&spec.container, &image.config)
        .map_err(|reason| Fault::invalid(&spec.container.image, reason));
    let argv = at_step("command", argv)?;
    let stop_signal = command::stop_signal(&spec.container, &image.config);
    let mut launch = Launch::start(options, &spec, &image, go)?;
    let (digest, health) = (image.digest.clone(), health::of_image(&image.config));
    // Mounted layers need no lock: the store looks for them in the mount tables.
    drop(image);
    for step in &STEPS {
        at_step(step.name, (step.act)(&mut launch))?;
    }
    let notes = std::mem::take(&mut launch.notes);
    let program = launch.become_user(&argv)?;
    report.prepared(Prepared {
        argv,
        stop_signal,
        image_digest: digest,
        health,
        notes,
    });
    if let Some(own) = first {
        return init::become_first(&own, &program, report);
    }
    at_step(
        "exec",
        sys::program::close_from(CLOSE_FROM).at("close descriptors", ""),
    )?;
    at_step("exec", Err(program.execute()))
}

impl<'a> Launch<'a> {
    /// Everything up to a root that consists of the image and the unit's writable layer.
    fn start(
        options: &'a Options,
        spec: &'a LaunchSpec,
        image: &Image,
        init: OwnedFd,
    ) -> Result<Self, Failed> {
        let defaults = Defaults::from(&image.config);
        let mounts = mounts::plan(
            &spec.unit,
            &spec.mounts,
            &image.config.volumes,
            spec.container.read_only,
        );
        let mounts = at_step("mount", mounts)?;
        let mounts = mounts::with_notify_socket(mounts, spec.notify_socket.as_deref());
        at_step(
            "private",
            sys::mount::make_all_private().at("make all mounts private", "/"),
        )?;
        let sources = at_step("mount", mounts::open_sources(&mounts))?;
        let record = Record {
            digest: image.digest.clone(),
            defaults,
            has_root: true,
        };
        let image_root = image.root.as_deref();
        let writable = Writable::open(
            &options.containers(),
            &spec.unit,
            spec.root,
            &record,
            image_root,
        );
        let writable = at_step("writable_layer", writable)?;
        let root = at_step("root", Root::build(&writable, image, options.overlay))?;
        let covered = at_step("mount", Covered::find(&root, &mounts))?;
        let (mounts, sources) = mounts::leave_out(mounts, sources, |mount| covered.has(mount));
        Ok(Self {
            options,
            spec,
            notes: covered.note().into_iter().collect(),
            defaults: record.defaults,
            mounts,
            sources: Some(sources),
            root,
            init: Some(init),
            texts: None,
            working_dir: None,
            user: None,
        })
    }

    fn mounts_itself(&self, target: &str) -> bool {
        self.mounts.iter().any(|mount| mount.target == target)
    }

    /// Wait for PID 1's word, and take what comes with it.
    fn enter_network(&mut self) -> Result<(), Fault> {
        let Some(init) = self.init.take() else {
            return Ok(());
        };
        let mut buffer = vec![0; GO_BYTES_MAX];
        let (bytes, descriptors) =
            sys::socket::receive(init.as_fd(), &mut buffer).at("read", SOCKET)?;
        if bytes == 0 {
            return Err(Fault::invalid(SOCKET, "PID 1 has called the launch off"));
        }
        let text = buffer.get(..bytes).unwrap_or_default();
        let go = serde_json::from_slice(text)
            .map_err(|error| Fault::invalid(SOCKET, error.to_string()))?;
        self.texts = Some(go);
        match self.spec.network {
            LaunchNetwork::Host => Ok(()),
            LaunchNetwork::Namespace => {
                let Some(namespace) = descriptors.first() else {
                    return Err(Fault::invalid(SOCKET, "no network namespace came with it"));
                };
                sys::namespace::enter_network(namespace.as_fd())
                    .at("enter the network namespace from", SOCKET)
            }
        }
    }

    fn mount_etc(&mut self) -> Result<(), Fault> {
        let go = self.texts.as_ref();
        let texts = etc::Texts {
            hosts: go.map_or("", |go| &go.hosts),
            resolv_conf: go.map_or("", |go| &go.resolv_conf),
            hostname: &self.spec.container.hostname,
        };
        etc::mount(&self.root, texts, |target| self.mounts_itself(target))
    }

    fn mount_planned(&mut self) -> Result<(), Fault> {
        match self.sources.take() {
            Some(sources) => {
                let volumes = self.options.volumes();
                mounts::mount_all(&self.root, &volumes, &self.mounts, sources)
            }
            None => Ok(()),
        }
    }

    fn find_user(&mut self) -> Result<(), Fault> {
        let text = self.spec.container.user.as_ref();
        let text = text.unwrap_or(&self.defaults.user);
        self.user = Some(user::find(self.root.as_fd(), text)?);
        Ok(())
    }

    /// Made when it is missing, as Docker does.
    fn find_working_dir(&mut self) -> Result<(), Fault> {
        let path = self.spec.container.working_dir.as_ref();
        let path = path.unwrap_or(&self.defaults.working_dir);
        let folder = match path::make_folder(self.root.as_fd(), Path::new(path), Links::Follow) {
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                return Err(Fault::new(
                    path,
                    Problem::WrongKind {
                        expected: "a folder in the image",
                    },
                ));
            }
            other => other.at("open", path)?,
        };
        self.working_dir = Some(folder);
        Ok(())
    }

    fn protect_root(&mut self) -> Result<(), Fault> {
        if self.spec.container.read_only {
            self.root.make_read_only()
        } else {
            Ok(())
        }
    }

    fn pivot(&mut self) -> Result<(), Fault> {
        self.root.pivot()?;
        // It was looked up below the root that has just become `/`, so it can't be outside (CVE-2024-21626).
        match &self.working_dir {
            Some(folder) => path::change_folder(folder.as_fd()).at("enter", "working directory"),
            None => Ok(()),
        }
    }

    fn set_names(&mut self) -> Result<(), Fault> {
        let name = &self.spec.container.hostname;
        sys::namespace::set_host_name(name).at("set the host name", name)?;
        sys::namespace::set_domain_name(NO_DOMAIN).at("set the domain name", NO_DOMAIN)
    }

    /// The last steps; with them goes every descriptor that could lead out.
    fn become_user(self, argv: &[String]) -> Result<Program, Failed> {
        let container = &self.spec.container;
        let mut environment = Environment::new(&self.defaults, container, &self.spec.environment);
        if let Some(user) = &self.user {
            environment.set_default("HOME", &user.home);
            at_step(
                "session",
                sys::program::start_session().at("start a session", ""),
            )?;
            at_step("capabilities", confine::become_user(user))?;
        }
        at_step(
            "exec",
            sys::signal::reset_for_child().at("reset signals", ""),
        )?;
        at_step("exec", Program::find(argv, &environment, &container.image))
    }
}

/// JSON on descriptor 3.
pub(crate) fn read_spec<T: DeserializeOwned>() -> Result<T, Fault> {
    let name = "descriptor 3";
    let mut text = Vec::new();
    let spec = sys::descriptor::inherited(SPEC).at("take over", name)?;
    File::from(spec).read_to_end(&mut text).at("read", name)?;
    serde_json::from_slice(&text).map_err(|error| Fault::invalid(name, error.to_string()))
}

/// PID 1 may be exempt from the kernel's choice of victims; a container is not.
pub(crate) fn reset_oom_score() -> Result<(), Fault> {
    let path = "/proc/self/oom_score_adj";
    std::fs::write(path, "0").at("write", path)
}

fn find_image(options: &Options, reference: &str) -> Result<Image, Fault> {
    Store::at(&options.images())
        .image(reference)
        .map_err(|error| Fault::new(reference, Problem::Image(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_image_can_uncover_a_mask() {
        let position = |name| STEPS.iter().position(|step| step.name == name).unwrap();
        assert!(position("mount") < position("masks"));
        assert!(position("masks") < position("pivot"));
        assert!(position("working_dir") < position("read_only"));
        assert!(position("network") < position("sys"));
    }
}
