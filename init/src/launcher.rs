//! The launcher: started for a run's container, or for a hook's own.

use crate::machine::Machine;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use supervisor::RunId;
use sys::cgroup::{Cgroup, CgroupError};
use sys::clone::{CONTAINER_NAMESPACES, Child, Spawn, spawn};
use unit::{
    ContainerUnit, LaunchGo, LaunchNetwork, LaunchRoot, LaunchSpec, NetworkMode, Resources, Unit,
};

/// Standard descriptors and those that unit/src/launch.rs names.
const SPEC: RawFd = 3;
const REPORT: RawFd = 4;
const GO: RawFd = 5;

/// The group of the container's own processes, below that of its run. What is executed beside them has groups of its own
/// there, so that the kernel can end one of them alone when the unit's memory is used up.
const WORKLOAD: &str = "workload";
/// The controllers of the groups below a run's. With them the container finds its limits where programs look for them.
const CONTROLLERS: &str = "+cpu +memory +pids";

/// The period of `cpu.max`, microseconds: the kernel's default.
const CPU_PERIOD_US: u64 = 100_000;

/// One that does what can be done without a network, and waits.
#[derive(Debug)]
pub(crate) struct Launcher {
    /// With the unit's limits; the container itself is in [`WORKLOAD`] below it.
    pub group: Cgroup,
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
    null: BorrowedFd<'_>,
    stdout: BorrowedFd<'_>,
    stderr: BorrowedFd<'_>,
) -> Result<Launcher, String> {
    let group = make_group(&spec.group, &spec.resources).map_err(|error| error.to_string())?;
    let started = start_in(&group, spec, null, stdout, stderr);
    if started.is_err() {
        // There is nothing in it.
        let _ = group.remove();
    }
    let (child, go, report) = started?;
    Ok(Launcher {
        group,
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
    let folder = workload(group).descriptor();
    let folder = folder.map_err(|error| error.to_string())?;
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

/// A group with a unit's limits (cgroup-v2.rst: memory, cpu, pids), and that of its container in it. The limits are the
/// outer one's, which counts everything of the unit; the inner one has the same, since it is the root of what the container
/// sees.
fn make_group(name: &str, resources: &Resources) -> Result<Cgroup, CgroupError> {
    let path = format!("{}/{name}", sys::paths::CGROUP_CONTAINERS);
    let group = Cgroup::create(path.as_ref())?;
    let make = || -> Result<(), CgroupError> {
        limit(&group, resources)?;
        group.set("cgroup.subtree_control", CONTROLLERS)?;
        let inner = Cgroup::create(workload(&group).path())?;
        limit(&inner, resources)?;
        die_together(&inner)
    };
    let result = make();
    if result.is_err() {
        let _ = group.remove();
    }
    result.map(|()| group)
}

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

/// One process of it that is killed for memory takes the others along: half a container is no container.
///
/// # Errors
/// Names the file.
pub(crate) fn die_together(group: &Cgroup) -> Result<(), CgroupError> {
    group.set("memory.oom.group", "1")
}

/// The group of the container's own processes, below this one of a run.
pub(crate) fn workload(group: &Cgroup) -> Cgroup {
    Cgroup::at(group.path().join(WORKLOAD))
}

/// How often a process of a run's group, or of one right below it, was refused because of `pids.max`. The kernel counts it
/// at the group that forks, from 6.11 on at the one whose limit it is and above (cgroup-v2.rst, `pids.events`).
pub(crate) fn refused_forks(group: &Cgroup) -> u64 {
    let of = |group: &Cgroup| group.keyed("pids.events", "max").unwrap_or(0);
    let above = group.path().parent();
    let above = above.filter(|path| *path != std::path::Path::new(sys::paths::CGROUP_CONTAINERS));
    let above = above.map(|path| of(&Cgroup::at(path)));
    of(group).max(above.unwrap_or(0))
}

/// How often the kernel has ended a process of exactly this group because memory was short.
pub(crate) fn killed_for_memory(group: &Cgroup) -> u64 {
    group.keyed("memory.events", "oom_kill").unwrap_or(0)
}
