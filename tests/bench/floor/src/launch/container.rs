//! The least container: namespaces, a group, an overlay of the same layers, the mounts and masks that every container has,
//! pivot, execve; and nothing that tells anyone about it. What a C program of a page does.

use super::{failed, place};
use crate::redis::mount;
use nix::mount::{MntFlags, MsFlags, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use sys::pidfd::Ended;
use sys::program::Fork;

const GROUP: &str = "/sys/fs/cgroup/bench-least";
const ROOT: &str = "/tmp/least";
const DEVICES: [(&str, (u64, u64)); 6] = [
    ("null", (1, 3)),
    ("zero", (1, 5)),
    ("full", (1, 7)),
    ("random", (1, 8)),
    ("urandom", (1, 9)),
    ("tty", (5, 0)),
];
const MASKED: [&str; 6] = ["acpi", "interrupts", "kcore", "keys", "scsi", "timer_list"];
const READ_ONLY: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];

pub(crate) struct Least {
    overlay: String,
    home: File,
}

impl Least {
    pub(crate) fn new(layers: &[PathBuf]) -> io::Result<Self> {
        fs::create_dir_all(ROOT)?;
        Ok(Self {
            overlay: place::overlay(layers, "least")?,
            home: File::open("/proc/self/ns/pid")?,
        })
    }

    /// From before the clone until it has been reaped and its group is gone.
    pub(crate) fn run(&self) -> io::Result<Duration> {
        let begun = Instant::now();
        fs::create_dir(GROUP)?;
        for (knob, value) in [("memory.max", "1073741824"), ("pids.max", "4096")] {
            fs::write(Path::new(GROUP).join(knob), value)?;
        }
        let group = File::open(GROUP)?;
        unshare(CloneFlags::CLONE_NEWPID)?;
        let forked = sys::clone::fork_into(Some(group.as_fd()));
        // A child can't go back to where its parent is.
        if !matches!(forked, Ok(Fork::Child)) {
            setns(self.home.as_fd(), CloneFlags::CLONE_NEWPID)?;
        }
        let child = match forked? {
            Fork::Parent(child) => child,
            Fork::Child => {
                let error = self.become_true();
                println!("floor: failed: least container: {error}");
                sys::program::exit_at_once(1)
            }
        };
        let ended = sys::pidfd::wait(child.pidfd.as_fd())?;
        fs::remove_dir(GROUP)?;
        let time = begun.elapsed();
        match ended {
            Ended::Code(0) => Ok(time),
            other => Err(failed(format!("{other:?}"))),
        }
    }

    fn become_true(&self) -> io::Error {
        match self.enter() {
            Ok(()) => {
                let words = [c"true".to_owned()];
                let path = [CString::from(c"PATH=/bin")];
                sys::program::execute(c"/bin/true", &words, &path)
            }
            Err(error) => error,
        }
    }

    fn enter(&self) -> io::Result<()> {
        unshare(
            CloneFlags::CLONE_NEWNS
                | CloneFlags::CLONE_NEWUTS
                | CloneFlags::CLONE_NEWIPC
                | CloneFlags::CLONE_NEWNET
                | CloneFlags::CLONE_NEWCGROUP,
        )?;
        let none = None::<&str>;
        nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        let root = Path::new(ROOT);
        place::mount_overlay(&self.overlay, root)?;
        let strict = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let at = |name: &str| root.join(name);
        let on = |what: &str, name: &str, flags| {
            let place = at(name);
            fs::create_dir_all(&place)?;
            mount(what, &place.to_string_lossy(), what, flags)
        };
        on("proc", "proc", strict)?;
        on("tmpfs", "dev", MsFlags::MS_NOSUID)?;
        let dev = File::open(at("dev"))?;
        for (name, number) in DEVICES {
            sys::device::make_character(dev.as_fd(), name, 0o666, number)?;
        }
        for (name, target) in [("fd", "/proc/self/fd"), ("ptmx", "pts/ptmx")] {
            symlink(target, at("dev").join(name))?;
        }
        on("devpts", "dev/pts", MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC)?;
        on("tmpfs", "dev/shm", strict)?;
        on("mqueue", "dev/mqueue", strict)?;
        on("sysfs", "sys", strict | MsFlags::MS_RDONLY)?;
        mount(
            "cgroup2",
            &at("sys/fs/cgroup").to_string_lossy(),
            "cgroup2",
            strict | MsFlags::MS_RDONLY,
        )?;
        for name in MASKED {
            let target = at("proc").join(name);
            match fs::symlink_metadata(&target) {
                Err(_) => {}
                Ok(found) if found.is_dir() => {
                    mount(
                        "tmpfs",
                        &target.to_string_lossy(),
                        "tmpfs",
                        strict | MsFlags::MS_RDONLY,
                    )?;
                }
                Ok(_) => {
                    let null = at("dev/null");
                    nix::mount::mount(Some(&null), &target, none, MsFlags::MS_BIND, none)?;
                }
            }
        }
        for name in READ_ONLY {
            let target = at("proc").join(name);
            if target.exists() {
                nix::mount::mount(Some(&target), &target, none, MsFlags::MS_BIND, none)?;
                let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | strict;
                nix::mount::mount(none, &target, none, flags, none)?;
            }
        }
        std::env::set_current_dir(root)?;
        nix::unistd::pivot_root(".", ".")?;
        umount2(".", MntFlags::MNT_DETACH)?;
        sys::namespace::set_host_name("least")
    }
}
