//! A validated unit: every value has its type, every default is filled in.
//!
//! What a unit is, is here; how it lives, beside: [`Dependencies`], [`Conditions`], [`Service`], [`Readiness`],
//! [`Health`], [`Timer`], [`Update`].

use crate::{
    Conditions, Dependencies, Health, MountOptions, Readiness, Service, Timer, UnitName, Update,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// One unit, whatever its kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    pub name: UnitName,
    /// The file it was read from.
    pub source: String,
    /// The files that changed parts of it, in the order in which they did.
    pub drop_ins: Vec<String>,
    pub description: String,
    pub dependencies: Dependencies,
    /// Targets that want this unit; `default.target` unless the file says otherwise.
    pub wanted_by: Vec<UnitName>,
    /// Not met: the unit is skipped, which is no failure.
    pub conditions: Conditions,
    /// Not empty: nothing starts the unit unless one of these is enabled.
    pub profiles: Vec<String>,
    /// Which instance of a template it is.
    pub replica: Option<Replica>,
    pub kind: UnitKind,
}

impl Unit {
    #[must_use]
    pub fn container(&self) -> Option<&ContainerUnit> {
        match &self.kind {
            UnitKind::Container(container) => Some(container),
            UnitKind::Target | UnitKind::Timer { .. } => None,
        }
    }
}

/// The place of an instance among those that its template makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// `redis@`
    pub template: String,
    /// From 0.
    pub index: u32,
    /// So many instances of the template are restarted at the same time when it changes; at least 1.
    pub max_parallel: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitKind {
    Container(Box<ContainerUnit>),
    /// A group: running as soon as what it requires and wants was started.
    Target,
    /// Starts another unit at its times.
    Timer {
        timer: Timer,
        unit: UnitName,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerUnit {
    pub container: Container,
    pub service: Service,
    pub resources: Resources,
    pub ports: Vec<Port>,
    pub mounts: Vec<Mount>,
    pub network: Network,
    pub logging: Logging,
    pub readiness: Readiness,
    pub health: Health,
    /// A scheduled job: whoever wants or starts the unit at boot arms the timer, and the timer starts the runs.
    pub timer: Option<Timer>,
    pub update: Update,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Normalised reference: `docker.io/library/redis:7`.
    pub image: String,
    /// Replaces the image's ENTRYPOINT and clears its CMD.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's CMD.
    pub command: Option<Vec<String>>,
    pub env: BTreeMap<String, String>,
    /// Default: the image's.
    pub working_dir: Option<String>,
    /// `uid[:gid]` or `name[:group]`, looked up in the container's /etc/passwd. Default: the image's.
    pub user: Option<String>,
    /// Default: the unit's name with `@` as `-`.
    pub hostname: String,
    /// The container's first process is one of ours that forwards signals and reaps; the command is its child.
    #[serde(default)]
    pub init: bool,
    pub read_only: bool,
    /// Number of the signal; default: the image's STOPSIGNAL, else SIGTERM.
    pub stop_signal: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Bytes: `memory.max`. None: no limit.
    pub memory: Option<u64>,
    /// Thousandths of a CPU: `cpu.max`. None: no limit.
    pub cpus_milli: Option<u64>,
    /// `pids.max`.
    pub pids: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
}

/// One published port, or a range of equal length on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// None: every address of the machine.
    pub host_ip: Option<IpAddr>,
    /// None: any free port, chosen when the unit starts.
    pub host_port: Option<u16>,
    pub container_port: u16,
    /// Number of consecutive ports, at least 1.
    pub count: u16,
    pub protocol: Protocol,
}

impl Port {
    /// Most ports that one unit publishes, ranges taken apart: netd holds each with a socket (about 2 KiB of kernel memory).
    pub const PER_UNIT_MAX: usize = 4096;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub kind: MountKind,
    /// Absolute path in the container.
    pub target: String,
    pub read_only: bool,
    #[serde(default)]
    pub options: MountOptions,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountKind {
    /// A named volume; filled from the image when it is first used and empty.
    Volume { name: String },
    /// An absolute path of the machine, which must exist.
    Bind { source: String },
    /// `size` in bytes, `mode` as in chmod.
    Tmpfs { size: u64, mode: u32 },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    pub mode: NetworkMode,
    /// Host name → address or `host-gateway`.
    pub extra_hosts: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// A namespace of its own, on the machine's bridge.
    #[default]
    Bridge,
    /// The machine's own network.
    Host,
    /// A namespace with nothing but loopback.
    None,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// Bytes per file.
    pub max_size: u64,
    /// Files kept, the one being written included.
    pub max_files: u32,
}
