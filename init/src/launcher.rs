//! The launcher: started for a run's container, or for a hook's own.

use crate::machine::Machine;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use supervisor::RunId;
use sys::cgroup::{Cgroup, CgroupError};
use sys::clone::{CONTAINER_NAMESPACES, Child, Spawn, spawn};
use sys::device_filter;
use unit::{
    ContainerUnit, LaunchGo, LaunchNetwork, LaunchRoot, LaunchSpec, NetworkMode, Resources, Unit,
};

/// Standard descriptors and those that unit/src/launch.rs names.
const SPEC: RawFd = 3;
const REPORT: RawFd = 4;
const GO: RawFd = 5;

/// The period of `cpu.max`, microseconds: the kernel's default.
const CPU_PERIOD_US: u64 = 100_000;

/// What may run beside a container, below the same limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Commands that join it (`place`).
    Commands,
    Nothing,
}

/// One that does what can be done without a network, and waits.
#[derive(Debug)]
pub(crate) struct Launcher {
    pub group: Cgroup,
    /// Below it, where the container is; None: in the group itself.
    pub main: Option<Cgroup>,
    pub child: Child,
    /// Our end of the socket on which it waits for its [`LaunchGo`].
    pub go: OwnedFd,
    /// The reading end of its report, non-blocking.
    pub report: OwnedFd,
}

/// The container of a run, as its unit declares it.
pub(crate) fn spec(unit: &Unit, container: &ContainerUnit, run: RunId) -> LaunchSpec {
    LaunchSpec {
        unit: unit.name.clone(),
        run: run.0,
        group: format!("{}:{}", unit.name, run.0),
        container: container.container.clone(),
        environment: Vec::new(),
        resources: container.resources.clone(),
        mounts: container.mounts.clone(),
        root: LaunchRoot::Kept,
        notify_socket: None,
        network: match container.network.mode {
            NetworkMode::Host => LaunchNetwork::Host,
            NetworkMode::Bridge | NetworkMode::None => LaunchNetwork::Namespace,
        },
    }
}

/// Start it, in a group of its own with the unit's limits.
///
/// # Errors
/// In words, what could not be made. Nothing of it is left then.
pub(crate) fn start(
    spec: &LaunchSpec,
    beside: Beside,
    null: BorrowedFd<'_>,
    stdout: BorrowedFd<'_>,
    stderr: BorrowedFd<'_>,
) -> Result<Launcher, String> {
    let made = make_groups(&spec.group, &spec.resources, beside);
    let (group, main) = made.map_err(|error| error.to_string())?;
    let born_in = main.as_ref().unwrap_or(&group);
    let started = start_in(born_in, spec, null, stdout, stderr);
    if started.is_err() {
        // There is nothing in it.
        let _ = group.remove_with_children();
    }
    let (child, go, report) = started?;
    Ok(Launcher {
        group,
        main,
        child,
        go,
        report,
    })
}

fn start_in(
    group: &Cgroup,
    spec: &LaunchSpec,
    null: BorrowedFd<'_>,
    stdout: BorrowedFd<'_>,
    stderr: BorrowedFd<'_>,
) -> Result<(Child, OwnedFd, OwnedFd), String> {
    let step = |step: &'static str| move |error: io::Error| format!("{step}: {error}");
    let text =
        serde_json::to_vec(spec).map_err(|error| format!("launch specification: {error}"))?;
    let spec = sys::memfd::sealed("launch", &text).map_err(step("launch specification"))?;
    let (report, report_write) = io::pipe().map_err(step("pipe"))?;
    let report = OwnedFd::from(report);
    sys::descriptor::set_nonblocking(report.as_fd(), true).map_err(step("pipe"))?;
    let (go, launcher) = sys::socket::seqpacket_pair().map_err(step("socket"))?;
    let folder = group.descriptor().map_err(|error| error.to_string())?;
    let program = CString::new(format!("{}/launcher", sys::paths::PROGRAMS)).unwrap_or_default();
    let child = spawn(&Spawn {
        namespaces: CONTAINER_NAMESPACES,
        cgroup: Some(folder.as_fd()),
        program: &program,
        arguments: &[c"launcher", c"run"],
        environment: &[],
        descriptors: &[
            (null, 0),
            (stdout, 1),
            (stderr, 2),
            (spec.as_fd(), SPEC),
            (report_write.as_fd(), REPORT),
            (launcher.as_fd(), GO),
        ],
    });
    Ok((child.map_err(step("clone"))?, go, report))
}

impl Machine {
    /// Keep the machine's devices from all containers: their groups lie below this one. At the first of them; each one's own
    /// program in the kernel cost it up to 1.4 ms.
    ///
    /// # Errors
    /// In words. No container may start then.
    pub(crate) fn filter_devices(&mut self) -> Result<(), String> {
        if self.devices_filtered {
            return Ok(());
        }
        let group = Cgroup::at(sys::paths::CGROUP_CONTAINERS);
        let folder = group.descriptor().map_err(|error| error.to_string())?;
        device_filter::attach(folder.as_fd(), &device_filter::OF_CONTAINERS)
            .map_err(|error| format!("devices: {}: {error}", sys::paths::CGROUP_CONTAINERS))?;
        self.devices_filtered = true;
        Ok(())
    }

    /// Let a launcher go on, in the network that the run has got.
    ///
    /// # Errors
    /// In words. A launcher that has ended is none: its end says why.
    pub(crate) fn let_go(&self, run: RunId, launcher: &OwnedFd) -> Result<(), String> {
        let attached = self.network.attached(run);
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let namespace = attached.and_then(|attached| attached.namespace.as_ref());
        let go = match attached {
            Some(attached) if namespace.is_some() => LaunchGo {
                hosts: attached.hosts.clone(),
                resolv_conf: attached.resolv_conf.clone(),
            },
            // The machine's network, whose files netd has brought up to date.
            Some(_) | None => LaunchGo {
                hosts: text("/etc/hosts"),
                resolv_conf: text("/etc/resolv.conf"),
            },
        };
        let go = serde_json::to_vec(&go).map_err(|error| format!("launch: {error}"))?;
        let namespace: Vec<BorrowedFd<'_>> = namespace
            .iter()
            .map(|namespace| namespace.as_fd())
            .collect();
        match sys::socket::send(launcher.as_fd(), &go, &namespace) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(format!("launch: {error}")),
            Ok(_) => Ok(()),
        }
    }
}

/// A group with a unit's limits (cgroup-v2.rst: memory, cpu, pids), and the one below it in which the container is: it has
/// the same limits, so that the container, for which it is the topmost group, sees them.
fn make_groups(
    name: &str,
    resources: &Resources,
    beside: Beside,
) -> Result<(Cgroup, Option<Cgroup>), CgroupError> {
    let path = format!("{}/{name}", sys::paths::CGROUP_CONTAINERS);
    let group = Cgroup::create(path.as_ref())?;
    let made = limit(&group, resources).and_then(|()| match beside {
        Beside::Nothing => Ok(None),
        Beside::Commands => {
            group.enable_controllers(&CONTROLLERS)?;
            let main = group.child("main")?;
            limit(&main, resources)?;
            Ok(Some(main))
        }
    });
    let made = made.and_then(|main| {
        // One process of it that is killed for memory takes the others along: half a container is no container. What runs
        // beside it is not taken along.
        main.as_ref()
            .unwrap_or(&group)
            .set("memory.oom.group", "1")
            .map(|()| main)
    });
    if made.is_err() {
        let _ = group.remove_with_children();
    }
    made.map(|main| (group, main))
}

/// Of the groups below a run's.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

fn limit(group: &Cgroup, resources: &Resources) -> Result<(), CgroupError> {
    if let Some(bytes) = resources.memory {
        group.set("memory.max", &bytes.to_string())?;
    }
    if let Some(milli) = resources.cpus_milli {
        let quota = milli.saturating_mul(CPU_PERIOD_US) / 1000;
        group.set("cpu.max", &format!("{quota} {CPU_PERIOD_US}"))?;
    }
    group.set("pids.max", &resources.pids.to_string())
}
