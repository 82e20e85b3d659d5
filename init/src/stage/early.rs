//! The kernel's own file systems, and a voice.
//!
//! The root that the kernel unpacked is the `rootfs` mount, which can never be left by pivot_root(2) (it has no parent)
//! and which is writable. So the very first thing is a read-only bind mount of it, moved over `/`: containers can pivot
//! away from it, nothing can write to it, and not one byte is copied.

use super::{Boot, StageError};
use crate::console;
use crate::first_drivers;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;
use std::fs::{self, File};
use std::os::fd::OwnedFd;

const NO: MsFlags = MsFlags::from_bits_retain(
    MsFlags::MS_NOSUID.bits() | MsFlags::MS_NODEV.bits() | MsFlags::MS_NOEXEC.bits(),
);

/// (type, target, flags, options)
const MOUNTS: [(&str, &str, MsFlags, &str); 8] = [
    ("proc", "/proc", NO, ""),
    ("sysfs", "/sys", NO, ""),
    ("devtmpfs", "/dev", MsFlags::MS_NOSUID, "mode=0755"),
    (
        "devpts",
        "/dev/pts",
        MsFlags::from_bits_retain(MsFlags::MS_NOSUID.bits() | MsFlags::MS_NOEXEC.bits()),
        "ptmxmode=0666,mode=0620,gid=5",
    ),
    (
        "tmpfs",
        "/dev/shm",
        MsFlags::from_bits_retain(MsFlags::MS_NOSUID.bits() | MsFlags::MS_NODEV.bits()),
        "mode=1777",
    ),
    (
        "tmpfs",
        "/run",
        MsFlags::from_bits_retain(MsFlags::MS_NOSUID.bits() | MsFlags::MS_NODEV.bits()),
        "mode=0755",
    ),
    (
        "tmpfs",
        "/tmp",
        MsFlags::from_bits_retain(MsFlags::MS_NOSUID.bits() | MsFlags::MS_NODEV.bits()),
        "mode=1777",
    ),
    (
        "cgroup2",
        "/sys/fs/cgroup",
        NO,
        "nsdelegate,memory_recursiveprot",
    ),
];

pub(super) fn run(boot: &mut Boot) -> Result<(), StageError> {
    let root = File::open("/").map_err(|error| StageError::io("/", error))?;
    boot.release_root = Some(OwnedFd::from(root));
    leave_rootfs()?;
    for (kind, target, flags, options) in MOUNTS {
        // Folders inside /dev are not in devtmpfs yet; the others are part of the release.
        if target.starts_with("/dev/") {
            let _ = fs::create_dir(target);
        }
        mount(Some(kind), target, Some(kind), flags, Some(options))
            .map_err(|errno| StageError::io(target, errno))?;
    }
    super::hurry(true);
    console::open();
    sys::kmsg::install("init");
    console::say(format_args!(
        "init {} at {} ms",
        env!("CARGO_PKG_VERSION"),
        sys::clock::since_boot_ms()
    ));
    if let Some(warning) = crate::health::too_little_for_anything() {
        console::warn(warning);
    }
    if let Err(error) = crate::modprobe::install() {
        console::warn(format_args!("modules that the kernel asks for: {error}"));
    }
    begin_drivers(boot)?;
    let _ = nix::sys::stat::umask(Mode::from_bits_retain(0o022));
    for folder in [sys::paths::RUN, sys::paths::RUN_UNITS] {
        fs::create_dir_all(folder).map_err(|error| StageError::io(folder, error))?;
    }
    boot.cmdline = crate::cmdline::Cmdline::read();
    if let Err(error) = sys::power::ctrl_alt_del_as_signal() {
        console::warn(format_args!(
            "ctrl-alt-del resets the machine at once: {error}"
        ));
    }
    raise_descriptor_limit();
    super::sysctl::apply(&boot.cmdline);
    cgroups()
}

/// They are on their way while everything else is made ready.
fn begin_drivers(boot: &mut Boot) -> Result<(), StageError> {
    boot.modules = super::modules::index()?;
    let started_ms = sys::clock::since_boot_ms();
    match first_drivers::of_devices(&mut boot.modules, boot.release_root.as_ref()) {
        Ok((child, storage)) => {
            boot.first_drivers = Some((child, started_ms));
            boot.storage_drivers = Some(storage);
        }
        Err(error) => console::warn(format_args!("drivers: {error}")),
    }
    // The event loop reaps it.
    if let Err(error) = first_drivers::of_file_system(&mut boot.modules, boot.release_root.as_ref())
    {
        log::warn!("drivers of the state's file system: {error}");
    }
    Ok(())
}

fn leave_rootfs() -> Result<(), StageError> {
    let step = |what: &'static str| move |errno: nix::errno::Errno| StageError::io(what, errno);
    let none = None::<&str>;
    mount(Some("/"), "/mnt", none, MsFlags::MS_BIND, none).map_err(step("bind / to /mnt"))?;
    let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NODEV;
    mount(none, "/mnt", none, read_only, none).map_err(step("make /mnt read-only"))?;
    nix::unistd::chdir("/mnt").map_err(step("/mnt"))?;
    mount(Some("."), "/", none, MsFlags::MS_MOVE, none).map_err(step("move /mnt to /"))?;
    nix::unistd::chroot(".").map_err(step("change root"))?;
    nix::unistd::chdir("/").map_err(step("/"))?;
    // What containers do to their mounts stays with them.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(step("make / private"))
}

/// Four descriptors per running container, and room to spare: the kernel's own ceiling per process.
const DESCRIPTORS_MAX: u64 = 65_536;

fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, setrlimit};
    if let Err(errno) = setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS_MAX, DESCRIPTORS_MAX) {
        console::warn(format_args!("descriptor limit stays low: {errno}"));
    }
}

/// What a container's group can be limited by, or is charged for (cgroup-v2.rst). Each more makes each group dearer to make
/// and to remove; who adds a key that needs one adds it here.
const OF_CONTAINERS: [&str; 4] = ["cpu", "io", "memory", "pids"];

fn cgroups() -> Result<(), StageError> {
    use sys::cgroup::Cgroup;
    let group = |path: &str| {
        Cgroup::create(path.as_ref()).map_err(|error| StageError::text(error.to_string()))
    };
    let controllers = |group: &Cgroup| {
        group
            .enable_all_controllers()
            .map_err(|error| StageError::text(error.to_string()))
    };
    let root = group(sys::paths::CGROUP)?;
    controllers(&root)?;
    group(sys::paths::CGROUP_CONTAINERS)?
        .enable_controllers(&OF_CONTAINERS)
        .map_err(|error| StageError::text(error.to_string()))?;
    controllers(&group(sys::paths::CGROUP_SYSTEM)?)?;
    let own = group(&format!("{}/init", sys::paths::CGROUP_SYSTEM))?;
    own.set("cgroup.procs", "0")
        .map_err(|error| StageError::text(error.to_string()))
}
