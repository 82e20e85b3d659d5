//! Where things are on a running machine. One word per place; every program takes them from here.

/// The state partition (ext4) or, without one, a tmpfs: everything that outlives a release.
pub const STATE: &str = "/var";
/// Machine id, random seed, host name, boot history. Written by `init`.
pub const MACHINE: &str = "/var/machine";
/// Operator's unit files that outlive a reboot. Written by `init`.
pub const UNITS: &str = "/var/units";
/// Blobs, layers and references. Written by `store`.
pub const IMAGES: &str = "/var/images";
/// In it: which archives of a release have been loaded. The number is that of the form of layers: an archive that an
/// older release loaded, whose layers may lack what this one knows of, is loaded once more.
pub const PRELOADED: &str = "preloaded.2";
/// Writable layers, one folder per unit. Written by `launcher`.
pub const CONTAINERS: &str = "/var/containers";
/// Named volumes. Written by `launcher`.
pub const VOLUMES: &str = "/var/volumes";
/// What containers wrote. Written by `logd`.
pub const LOGS: &str = "/var/logs";
/// Addresses given to units. Written by `netd`.
pub const NETWORK: &str = "/var/network";

/// Folders of the state partition, made at boot when they are missing.
pub const STATE_FOLDERS: [&str; 9] = [
    MACHINE,
    "/var/config",
    UNITS,
    IMAGES,
    CONTAINERS,
    VOLUMES,
    LOGS,
    "/var/secrets",
    NETWORK,
];

/// Runtime files (tmpfs).
pub const RUN: &str = "/run/keelson";
/// The control socket of PID 1 (stream, mode 0600).
pub const CONTROL_SOCKET: &str = "/run/keelson/control.sock";
/// Notify sockets, one per run (init alone may enter).
pub const NOTIFY: &str = "/run/keelson/notify";
/// What logd has written and not yet taken out of its pipe; for the next one.
pub const LOG_LEDGER: &str = "/run/keelson/log.ledger";
/// Unit files handed over for this boot only (fw_cfg).
pub const RUN_UNITS: &str = "/run/keelson/units";
/// Unit files of the release, read-only.
pub const SYSTEM_UNITS: &str = "/usr/lib/keelson/units";
/// Image archives of the release, with `index.json`.
pub const PRELOAD: &str = "/usr/lib/keelson/preload";
/// The programs of the release: init, e2fsck, and `programs`, which each of the others is a link to.
pub const PROGRAMS: &str = "/usr/lib/keelson/bin";
/// Kernel modules: `/usr/lib/modules/<release>`.
pub const MODULES: &str = "/usr/lib/modules";

/// The cgroup v2 hierarchy.
pub const CGROUP: &str = "/sys/fs/cgroup";
/// One group per run: `<unit>:<run>`.
pub const CGROUP_CONTAINERS: &str = "/sys/fs/cgroup/containers";
/// One group per system program.
pub const CGROUP_SYSTEM: &str = "/sys/fs/cgroup/system";
