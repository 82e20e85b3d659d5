//! What the unit and the image want mounted: volumes, folders and files of the machine, tmpfs.

use crate::failure::{At, Fault, Problem};
use crate::image_volumes;
use crate::root::Root;
use crate::volume::{Volume, anonymous_name};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::mount::{Depth, FileSystem, Tree, attribute};
use sys::path::{self, Kind, Links};
use unit::mount_target::{self, TargetError};
use unit::{Mount, MountKind, MountOptions, NOTIFY_SOCKET, UnitName};

/// Where programs expect to write though the root is read-only: path and mode. Programs there can be executed, as podman has
/// it: s6-overlay copies its own to /run.
const WRITABLE_IN_READ_ONLY: [(&str, &str); 3] =
    [("/run", "0755"), ("/tmp", "1777"), ("/var/tmp", "1777")];

/// Half of Docker's /dev/shm is enough for scratch files; more is a unit's decision.
const WRITABLE_IN_READ_ONLY_SIZE: u64 = 32 << 20;

/// `PROC_SUPER_MAGIC` of linux/magic.h.
const PROC_MAGIC: i64 = 0x9fa0;

/// One mount, its target normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) target: String,
    pub(crate) origin: Origin,
    read_only: bool,
    options: MountOptions,
    what: What,
}

/// Who wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Unit,
    /// A VOLUME.
    Image,
    Launcher,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Volume {
        name: String,
    },
    Bind {
        source: String,
    },
    Tmpfs {
        size: u64,
        mode: String,
        filled: Filled,
    },
}

/// Whether a tmpfs takes over what the image has at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filled {
    FromImage,
    Empty,
}

/// What the unit wants; then the image's VOLUMEs and, with a read-only root, the places that stay writable, unless the
/// unit has something there itself. Parents before what lies in them.
pub(crate) fn plan(
    unit: &UnitName,
    mounts: &[Mount],
    image_volumes: &[String],
    read_only_root: bool,
) -> Result<Vec<Planned>, Fault> {
    let mut planned = Vec::new();
    for mount in mounts {
        planned.push(Planned {
            target: normalise(&mount.target)?,
            origin: Origin::Unit,
            read_only: mount.read_only,
            options: mount.options,
            what: match &mount.kind {
                MountKind::Volume { name } => What::Volume { name: name.clone() },
                MountKind::Bind { source } => What::Bind {
                    source: source.clone(),
                },
                MountKind::Tmpfs { size, mode } => What::Tmpfs {
                    size: *size,
                    mode: format!("{mode:04o}"),
                    filled: Filled::Empty,
                },
            },
        });
    }
    for volume in image_volumes {
        let target = normalise(&image_volumes::clean(volume))?;
        let name = anonymous_name(unit, &target)?;
        let volume = Planned {
            target,
            origin: Origin::Image,
            read_only: false,
            options: MountOptions::default(),
            what: What::Volume { name },
        };
        add_unless_covered(&mut planned, volume);
    }
    for (target, mode) in WRITABLE_IN_READ_ONLY.iter().filter(|_| read_only_root) {
        let tmpfs = What::Tmpfs {
            size: WRITABLE_IN_READ_ONLY_SIZE,
            mode: (*mode).to_owned(),
            filled: Filled::FromImage,
        };
        let scratch = Planned {
            target: (*target).to_owned(),
            origin: Origin::Launcher,
            read_only: false,
            options: MountOptions {
                exec: Some(true),
                ..MountOptions::default()
            },
            what: tmpfs,
        };
        add_unless_covered(&mut planned, scratch);
    }
    planned.sort_by_key(|mount| mount.target.matches('/').count());
    Ok(planned)
}

/// And the socket over which the container tells PID 1 what it does.
pub(crate) fn with_notify_socket(mut planned: Vec<Planned>, source: Option<&str>) -> Vec<Planned> {
    let Some(source) = source else {
        return planned;
    };
    planned.push(Planned {
        target: NOTIFY_SOCKET.to_owned(),
        origin: Origin::Launcher,
        read_only: false,
        options: MountOptions::default(),
        what: What::Bind {
            source: source.to_owned(),
        },
    });
    planned.sort_by_key(|mount| mount.target.matches('/').count());
    planned
}

fn add_unless_covered(planned: &mut Vec<Planned>, new: Planned) {
    if !planned.iter().any(|mount| mount.target == new.target) {
        planned.push(new);
    }
}

/// As the check of unit files has it: what it refuses is refused here too, of images.
fn normalise(target: &str) -> Result<String, Fault> {
    mount_target::normalise(target).map_err(|error| match error {
        TargetError::Relative | TargetError::Parent => Fault::invalid(target, error.reason()),
        TargetError::Reserved(_) | TargetError::NotInSys => reserved(target, error.reason()),
    })
}

fn reserved(target: &str, reason: &'static str) -> Fault {
    Fault::new(target, Problem::Reserved { reason })
}

impl Planned {
    /// Of a tmpfs where links of the image lead: /var/run is a link to /run in most.
    fn place(&self, root: &Root) -> Result<PathBuf, Fault> {
        let target = Path::new(&self.target);
        match self.what {
            What::Tmpfs { .. } => path::real(root.as_fd(), target).at("look up", &self.target),
            What::Volume { .. } | What::Bind { .. } => Ok(target.to_owned()),
        }
    }

    /// Attributes to set, and those to clear before. `place` is where the target really is.
    fn attributes(&self, place: &Path) -> (u64, u64) {
        let MountOptions {
            exec,
            nosuid,
            nodev,
            noatime,
        } = self.options;
        let is_tmpfs = matches!(self.what, What::Tmpfs { .. });
        let (mut set, mut clear) = (0, 0);
        if is_tmpfs {
            set = attribute::NOSUID | attribute::NODEV;
        }
        let exec = if is_tmpfs {
            let executes = |place: &str| self.options.executes(place);
            Some(executes(&self.target) || executes(&place.to_string_lossy()))
        } else {
            exec
        };
        match exec {
            // As the source has it.
            None => {}
            Some(true) => clear |= attribute::NOEXEC,
            Some(false) => set |= attribute::NOEXEC,
        }
        for (wanted, attribute) in [(nosuid, attribute::NOSUID), (nodev, attribute::NODEV)] {
            set |= if wanted { attribute } else { 0 };
        }
        if noatime {
            set |= attribute::NOATIME;
            clear |= attribute::ACCESS_TIMES;
        }
        if self.read_only {
            set |= attribute::READ_ONLY;
        }
        (set, clear)
    }
}

/// Sources on the machine, opened before anything of the container is mounted: a bind of `/` must not contain it.
#[derive(Debug)]
pub(crate) struct Sources {
    /// One per planned mount; only binds have one.
    trees: Vec<Option<Tree>>,
}

/// Take out those mounts of which `drop` says so, and what was opened for them.
pub(crate) fn leave_out(
    planned: Vec<Planned>,
    sources: Sources,
    drop: impl Fn(&Planned) -> bool,
) -> (Vec<Planned>, Sources) {
    let both = planned.into_iter().zip(sources.trees);
    let (planned, trees) = both.filter(|(mount, _)| !drop(mount)).unzip();
    (planned, Sources { trees })
}

pub(crate) fn open_sources(planned: &[Planned]) -> Result<Sources, Fault> {
    let mut trees = Vec::with_capacity(planned.len());
    for mount in planned {
        trees.push(match &mount.what {
            What::Bind { source } => Some(open_source(source)?),
            What::Volume { .. } | What::Tmpfs { .. } => None,
        });
    }
    Ok(Sources { trees })
}

fn open_source(source: &str) -> Result<Tree, Fault> {
    match path::host_handle(Path::new(source)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Fault::new(source, Problem::SourceMissing))
        }
        Err(error) => Err(error).at("open", source),
        Ok(found) => Tree::copy(found.as_fd(), Depth::Recursive).at("copy the mount of", source),
    }
}

/// All of them, in order.
pub(crate) fn mount_all(
    root: &Root,
    volumes: &Path,
    planned: &[Planned],
    sources: Sources,
) -> Result<(), Fault> {
    for (mount, source) in planned.iter().zip(sources.trees) {
        let (tree, target) = match (&mount.what, source) {
            (What::Bind { source }, Some(tree)) => bind(root, mount, source, tree)?,
            (What::Bind { source }, None) => {
                return Err(Fault::new(source, Problem::SourceMissing));
            }
            (What::Volume { name }, _) => {
                let (target, content) = folder_target(root, &mount.target)?;
                let volume = Volume::open(volumes, name)?;
                let content = content.as_ref().map(AsFd::as_fd);
                (volume.mount(content, &mount.target)?, target)
            }
            (What::Tmpfs { size, mode, filled }, _) => {
                let (target, content) = folder_target(root, &mount.target)?;
                let tree = tmpfs(&mount.target, *size, mode)?;
                if let (Filled::FromImage, Some(content)) = (filled, &content) {
                    let writable = tree.as_fd();
                    crate::copy::copy_content(content.as_fd(), writable, Path::new(&mount.target))?;
                }
                (tree, target)
            }
        };
        let (set, clear) = mount.attributes(&mount.place(root)?);
        if (set, clear) != (0, 0) {
            tree.change_attributes(set, clear, Depth::Recursive)
                .at("change the options of", &mount.target)?;
        }
        tree.attach(target.as_fd()).at("mount on", &mount.target)?;
    }
    Ok(())
}

/// Folder on folder, anything else on a file; the target is made after the source's kind.
fn bind(root: &Root, mount: &Planned, source: &str, tree: Tree) -> Result<(Tree, OwnedFd), Fault> {
    let target = &mount.target;
    let made = if path::kind(tree.as_fd()).at("look at", source)? == Kind::Folder {
        path::make_folder(root.as_fd(), Path::new(target), Links::Follow)
            .map_err(|error| wrong_kind(error, target, "a folder, as the source is one"))?
    } else {
        path::make_file(root.as_fd(), Path::new(target), Links::Follow)
            .map_err(|error| wrong_kind(error, target, "a file, as the source is one"))?
    };
    refuse_proc(&made, target)?;
    Ok((tree, made))
}

/// A handle of the target, and the target open for reading when it was there already.
fn folder_target(root: &Root, target: &str) -> Result<(OwnedFd, Option<OwnedFd>), Fault> {
    let expected = "a folder in the image";
    let path = Path::new(target);
    let content = match path::open(root.as_fd(), path, path::READ_FOLDER, Links::Follow) {
        Ok(content) => Some(content),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(wrong_kind(error, target, expected)),
    };
    let handle = path::make_folder(root.as_fd(), path, Links::Follow)
        .map_err(|error| wrong_kind(error, target, expected))?;
    refuse_proc(&handle, target)?;
    Ok((handle, content))
}

fn wrong_kind(error: io::Error, target: &str, expected: &'static str) -> Fault {
    match error.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            Fault::new(target, Problem::WrongKind { expected })
        }
        _ => Fault::new(
            target,
            Problem::System {
                doing: "open",
                source: error,
            },
        ),
    }
}

/// A link of the image can lead a target into /proc, where a mount would hide what security modules read and write
/// (CVE-2019-19921).
fn refuse_proc(target: &OwnedFd, name: &str) -> Result<(), Fault> {
    if path::file_system_magic(target.as_fd()).at("look at", name)? == PROC_MAGIC {
        return Err(reserved(
            name,
            "the image leads this path into /proc, where nothing can be mounted",
        ));
    }
    Ok(())
}

fn tmpfs(target: &str, size: u64, mode: &str) -> Result<Tree, Fault> {
    let text = |text: String| {
        CString::new(text).map_err(|_| Fault::invalid(target, "has a zero byte in it"))
    };
    let tmpfs = FileSystem::open(c"tmpfs").at("mount", target)?;
    tmpfs
        .set(c"size", &text(size.to_string())?)
        .at("mount", target)?;
    tmpfs
        .set(c"mode", &text(mode.to_owned())?)
        .at("mount", target)?;
    let never = attribute::NOSUID | attribute::NODEV;
    tmpfs.mount(never).at("mount", target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tmpfs_at(target: &str) -> Mount {
        Mount {
            kind: MountKind::Tmpfs {
                size: 4096,
                mode: 0o700,
            },
            target: target.to_owned(),
            read_only: true,
            options: MountOptions::default(),
        }
    }

    fn targets(mounts: &[&str], volumes: &[&str], read_only: bool) -> Result<Vec<String>, String> {
        let unit = UnitName::new("web").unwrap();
        let mounts: Vec<Mount> = mounts.iter().map(|target| tmpfs_at(target)).collect();
        let volumes: Vec<String> = volumes.iter().map(|path| (*path).to_owned()).collect();
        plan(&unit, &mounts, &volumes, read_only)
            .map(|planned| planned.into_iter().map(|mount| mount.target).collect())
            .map_err(|fault| fault.to_string())
    }

    #[test]
    fn parents_come_first() {
        let planned = targets(&["/a/b/c", "/z", "/a/b"], &[], false).unwrap();
        assert_eq!(planned, ["/z", "/a/b", "/a/b/c"]);
    }

    #[test]
    fn what_the_unit_mounts_replaces_the_images_volume() {
        let planned = targets(&["/data/"], &["/data", "/log"], false).unwrap();
        assert_eq!(planned, ["/data", "/log"]);
    }

    #[test]
    fn an_images_volume_is_read_as_docker_reads_it() {
        let planned = targets(&["/app/data"], &["/home/../app//data/", "log"], false).unwrap();
        assert_eq!(planned, ["/log", "/app/data"]);
    }

    #[test]
    fn a_read_only_root_has_writable_places_unless_the_unit_says_otherwise() {
        let planned = targets(&["/tmp"], &[], true).unwrap();
        assert_eq!(planned, ["/tmp", "/run", "/var/tmp"]);
    }

    #[test]
    fn targets_of_the_system_are_refused() {
        for target in [
            "/",
            "//",
            "/proc",
            "/proc/",
            "/dev",
            "/dev/pts",
            "/sys",
            "/sys/x",
            "relative",
            "/a/../b",
            "/sys/firmware/x",
        ] {
            assert!(targets(&[target], &[], false).is_err(), "{target}");
        }
        assert!(targets(&["/dev/shm", "/sys/fs/cgroup", "/etc/hosts"], &[], false).is_ok());
    }
}
