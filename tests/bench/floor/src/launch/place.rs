//! Where the measuring process lives: a root of its own, with crun's files where its loader looks for them, and the machine's
//! /proc, /sys, /dev, /run and /var.

use super::failed;
use crate::redis::mount;
use nix::mount::{MntFlags, MsFlags, umount2};
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use store::Store;

/// Files that the benchmark has added to the release's initramfs.
const FILES: &str = "/bench";
pub(crate) const AGENT: &str = "/bench/agent";
/// /proc of the kernel's first root, from which PID 1 moves away.
pub(crate) const PROC: &str = "/bench/proc";
/// In our root.
pub(crate) const BUSYBOX: &str = "/bin/busybox";
pub(crate) const CRUN: &str = "/bin/crun";
/// The machine's root, in ours.
const MACHINE_ROOT: &str = "/machine";
/// What QEMU's user network gives to its first guest.
pub(crate) const MACHINE: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// Whose layers everything runs in.
const IMAGE: &str = "docker.io/library/redis:latest";
/// So long the machine may take to have its disk and its images.
const IMAGES: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// On the machine's disk: an overlay can't lie upon an overlay's upper layer of another kind.
pub(crate) const SCRATCH: &str = "/var/bench";

/// A file of the machine, as we see it.
pub(crate) fn machine(path: &Path) -> PathBuf {
    Path::new(MACHINE_ROOT).join(path.strip_prefix("/").unwrap_or(path))
}

/// As PID 1, before Keelson's: a way to the root that it moves to.
pub(crate) fn prepare() -> io::Result<()> {
    fs::create_dir_all(PROC)?;
    mount("proc", PROC, "proc", MsFlags::empty())
}

/// Into a root of our own. Gives the layers of the image, bottom first.
pub(crate) fn enter() -> io::Result<Vec<PathBuf>> {
    wait_for_images()?;
    std::env::set_current_dir(format!("{PROC}/1/root"))?;
    nix::unistd::chroot(".")?;
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none = None::<&str>;
    nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let root = Path::new("/mnt");
    mount("tmpfs", "/mnt", "tmpfs", MsFlags::empty())?;
    for folder in [
        "bin",
        "lib64",
        "machine",
        "root",
        "tmp",
        "usr/lib/x86_64-linux-gnu",
    ] {
        fs::create_dir_all(root.join(folder))?;
    }
    for program in ["busybox", "crun"] {
        copy(program, &root.join("bin"))?;
    }
    for entry in fs::read_dir(format!("{FILES}/lib"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let folder = if name.starts_with("ld-") {
            "lib64"
        } else {
            "usr/lib/x86_64-linux-gnu"
        };
        copy(&format!("lib/{name}"), &root.join(folder))?;
    }
    symlink("usr/lib", root.join("lib"))?;
    let bind = |from: &str, to: &Path| {
        let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
        nix::mount::mount(Some(from), to, none, flags, none)
    };
    for folder in ["proc", "sys", "dev", "run", "var"] {
        let place = root.join(folder);
        fs::create_dir_all(&place)?;
        bind(&format!("/{folder}"), &place)?;
    }
    // The machine's root without what is mounted on it.
    nix::mount::mount(
        Some("/"),
        &root.join("machine"),
        none,
        MsFlags::MS_BIND,
        none,
    )?;
    std::env::set_current_dir(root)?;
    nix::unistd::pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    std::env::set_current_dir("/")?;
    fs::create_dir_all(SCRATCH)?;
    let image = Store::at(Path::new(sys::paths::IMAGES)).image(IMAGE);
    Ok(image.map_err(failed)?.layers.clone())
}

fn copy(name: &str, folder: &Path) -> io::Result<()> {
    let file = Path::new(name).file_name().unwrap_or_default();
    fs::copy(Path::new(FILES).join(name), folder.join(file)).map(|_| ())
}

/// The disk is mounted and the image is on it.
pub(crate) fn wait_for_images() -> io::Result<()> {
    let images = format!("{PROC}/1/root{}", sys::paths::IMAGES);
    let until = Instant::now() + IMAGES;
    // Both roots have the path; only the machine's has something in it.
    while !fs::read_dir(&images).is_ok_and(|mut found| found.next().is_some()) {
        if Instant::now() > until {
            return Err(failed("the machine has no images"));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

/// `lowerdir=…,upperdir=…,workdir=…` of overlayfs, with a writable layer of this name, new.
pub(crate) fn overlay(layers: &[PathBuf], name: &str) -> io::Result<String> {
    let folder = Path::new(SCRATCH).join(name);
    let _ = fs::remove_dir_all(&folder);
    let (upper, work) = (folder.join("upper"), folder.join("work"));
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    let lower: Vec<String> = layers
        .iter()
        .rev()
        .map(|layer| layer.display().to_string())
        .collect();
    Ok(format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.join(":"),
        upper.display(),
        work.display()
    ))
}

/// Mount it.
pub(crate) fn mount_overlay(options: &str, place: &Path) -> io::Result<()> {
    let none = None::<&str>;
    Ok(nix::mount::mount(
        none,
        place,
        Some("overlay"),
        MsFlags::empty(),
        Some(options),
    )?)
}
