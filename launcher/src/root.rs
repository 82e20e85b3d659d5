//! The place where the root is built, and the way into it.
//!
//! One tmpfs (the stage) serves as the container's /dev and holds the files that are mounted over the image's /etc/hosts
//! and its like: a superblock costs four times what a bind mount costs.

use crate::failure::{At, Fault, Problem};
use crate::options::OverlayOptions;
use crate::overlay::{Overlay, Stage};
use crate::writable::{UPPER, Writable, dress};
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use store::Image;
use sys::mount::{self, Depth, FileSystem, Tree, attribute};
use sys::path::{self, Links};

/// Bytes that a container may keep in its /dev: Docker's.
const STAGE_SIZE: &CStr = c"65536k";

/// The root as it grows.
#[derive(Debug)]
pub(crate) struct Root {
    stage: OwnedFd,
    root: OwnedFd,
}

impl Root {
    /// The stage, and the overlay of an image's layers on it.
    pub(crate) fn build(
        writable: &Writable,
        image: &Image,
        how: OverlayOptions,
    ) -> Result<Self, Fault> {
        let place = writable.stage();
        let (upper, work) = (writable.upper(), writable.work());
        let overlay = Overlay::new(&image.layers, &upper, &work)?;
        let tmpfs = FileSystem::open(c"tmpfs").at("mount", &place)?;
        tmpfs.set(c"mode", c"0755").at("mount", &place)?;
        tmpfs.set(c"size", STAGE_SIZE).at("mount", &place)?;
        let tree = tmpfs.mount(attribute::NOSUID).at("mount", &place)?;
        let below = File::open(&place).at("open", &place)?;
        tree.attach(below.as_fd()).at("mount on", &place)?;
        for folder in ["root", "dev", "empty"].iter().chain(writable.on_stage()) {
            sys::path::make_one_folder(tree.as_fd(), folder).at("make", place.join(folder))?;
            if *folder == UPPER {
                let made = path::open(
                    tree.as_fd(),
                    Path::new(folder),
                    path::READ_FOLDER,
                    Links::Refuse,
                )
                .at("open", place.join(folder))?;
                dress(made.as_fd(), image.root.as_deref())?;
            }
        }
        let empty = place.join("empty");
        let stage = Stage {
            descriptor: tree.into_descriptor(),
            empty: &empty,
        };
        let root = overlay.mount(how, &stage, "root")?;
        Ok(Self {
            stage: stage.descriptor,
            root,
        })
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    pub(crate) fn stage(&self) -> BorrowedFd<'_> {
        self.stage.as_fd()
    }

    /// A copy of something on the stage, to be mounted elsewhere.
    pub(crate) fn copy_of_stage(&self, name: &CStr) -> Result<Tree, Fault> {
        Tree::copy_below(self.stage.as_fd(), name, Depth::Single)
            .at("copy the mount of", name.to_string_lossy().as_ref())
    }

    /// An ordinary folder of the image for a mount of the system's, made when it is missing. No link is followed:
    /// an image whose /proc is a link means something by it, and nothing good.
    pub(crate) fn system_folder(&self, name: &str) -> Result<OwnedFd, Fault> {
        match path::make_folder(self.as_fd(), Path::new(name), Links::Refuse) {
            Err(error) if sys::path::is_link_refused(&error) => {
                Err(Fault::new(name, Problem::LinkInImage))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Err(Fault::new(
                name,
                Problem::WrongKind {
                    expected: "a folder in the image",
                },
            )),
            other => other.at("open", name),
        }
    }

    /// Whatever the path is at the moment.
    pub(crate) fn handle(&self, name: &str, links: Links) -> std::io::Result<OwnedFd> {
        path::open(self.as_fd(), Path::new(name), path::HANDLE, links)
    }

    /// Nothing can be changed on the root any more, but on what is mounted below it.
    pub(crate) fn make_read_only(&self) -> Result<(), Fault> {
        mount::add_attributes(self.as_fd(), attribute::READ_ONLY, Depth::Single)
            .at("make read-only", "/")
    }

    /// It becomes `/`, and everything of the machine is gone.
    pub(crate) fn pivot(&self) -> Result<(), Fault> {
        match mount::pivot(self.as_fd()) {
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Err(Fault::invalid(
                "/",
                "the machine's root can't be exchanged: it is the kernel's initial rootfs, which init has to move away from first",
            )),
            other => other.at("change the root to", "/"),
        }
    }
}
