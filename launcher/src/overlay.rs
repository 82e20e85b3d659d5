//! The root: the image's layers under the unit's writable one (overlayfs, Documentation/filesystems/overlayfs.rst).

use crate::failure::{At, Fault};
use crate::options::OverlayOptions;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use sys::mount::{self, FileSystem, OPTION_BYTES_MAX, Tree};
use sys::path::{self, Links};

/// Most layers of one overlay: OVL_MAX_STACK of fs/overlayfs.
const LAYERS_MAX: usize = 500;
/// What mount(2) takes as options, the final zero included: one page.
const PAGE_BYTES: usize = 4096;

/// What lies on what.
#[derive(Debug)]
pub(crate) struct Overlay<'a> {
    /// Top first.
    lower: Vec<&'a Path>,
    upper: &'a Path,
    work: &'a Path,
}

impl<'a> Overlay<'a> {
    /// `layers` bottom first. A layer that occurs twice counts where it lies topmost: there it hides all that it hides
    /// further down, and overlayfs refuses the same folder twice.
    pub(crate) fn new(
        layers: &'a [PathBuf],
        upper: &'a Path,
        work: &'a Path,
    ) -> Result<Self, Fault> {
        let mut seen = BTreeSet::new();
        let lower: Vec<&Path> = layers
            .iter()
            .rev()
            .map(PathBuf::as_path)
            .filter(|layer| seen.insert(*layer))
            .collect();
        if lower.len() > LAYERS_MAX {
            let reason = format!(
                "the image has {} layers, overlayfs takes {LAYERS_MAX}; build it with fewer",
                lower.len()
            );
            return Err(Fault::invalid("", reason));
        }
        Ok(Self { lower, upper, work })
    }

    /// Mount it on the folder `name` of `stage`, which is an attached mount; `empty` is an empty folder, for an image
    /// without layers. The descriptor is that of the overlay's root.
    pub(crate) fn mount(
        mut self,
        how: OverlayOptions,
        stage: &Stage<'a>,
        name: &str,
    ) -> Result<OwnedFd, Fault> {
        if self.lower.is_empty() {
            self.lower.push(stage.empty);
        }
        let target = path::folder(stage.descriptor.as_fd(), Path::new(name), Links::Refuse)
            .at("open", name)?;
        match how {
            OverlayOptions::OneByOne => {
                let tree = self.one_by_one()?;
                tree.attach(target.as_fd()).at("mount the root on", name)?;
                Ok(tree.into_descriptor())
            }
            OverlayOptions::Page => {
                self.by_page(&target)?;
                // The handle of before is what lies beneath.
                path::folder(stage.descriptor.as_fd(), Path::new(name), Links::Refuse)
                    .at("open", name)
            }
        }
    }

    fn one_by_one(&self) -> Result<Tree, Fault> {
        let overlay = FileSystem::open(c"overlay").at("mount", "overlay")?;
        let set = |key: &CStr, path: &Path| {
            if path.as_os_str().len() > OPTION_BYTES_MAX {
                return Err(Fault::invalid(
                    path,
                    format!("the path is longer than {OPTION_BYTES_MAX} bytes"),
                ));
            }
            overlay.set(key, &c_path(path)?).at("use as layer", path)
        };
        for layer in &self.lower {
            set(c"lowerdir+", layer)?;
        }
        set(c"upperdir", self.upper)?;
        set(c"workdir", self.work)?;
        // Not the kernel's default, which its configuration decides: with an index, a layer whose lower ones have been
        // unpacked anew would be refused.
        overlay.set(c"index", c"off").at("mount", "overlay")?;
        overlay.mount(0).at("mount the layers", self.upper)
    }

    /// All paths go by `/proc/self/fd/N`, so that 127 layers (as many as Docker allows) fit into the page.
    fn by_page(&self, target: &OwnedFd) -> Result<(), Fault> {
        let mut open = Vec::with_capacity(self.lower.len() + 2);
        let mut short = |path: &Path| -> Result<String, Fault> {
            let folder = std::fs::File::open(path).at("open", path)?;
            let name = format!("/proc/self/fd/{}", folder.as_raw_fd());
            open.push(folder);
            Ok(name)
        };
        let lower: Result<Vec<String>, Fault> =
            self.lower.iter().map(|layer| short(layer)).collect();
        let options = format!(
            "lowerdir={},upperdir={},workdir={},index=off",
            lower?.join(":"),
            short(self.upper)?,
            short(self.work)?
        );
        if options.len() >= PAGE_BYTES {
            let reason = format!(
                "the image has {} layers, too many for this kernel (before 6.8); build it with fewer",
                self.lower.len()
            );
            return Err(Fault::invalid("", reason));
        }
        let target = format!("/proc/self/fd/{}", target.as_raw_fd());
        mount::mount_by_options(
            c"overlay",
            &c_path(Path::new(&target))?,
            &c_path(Path::new(&options))?,
        )
        .at("mount the layers", self.upper)
    }
}

/// Where the root is built.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) descriptor: OwnedFd,
    /// Path of an empty folder.
    pub(crate) empty: &'a Path,
}

fn c_path(path: &Path) -> Result<CString, Fault> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Fault::invalid(path, "has a zero byte in it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_that_occurs_twice_counts_where_it_lies_topmost() {
        let layers: Vec<PathBuf> = ["a", "b", "a", "c"].iter().map(PathBuf::from).collect();
        let overlay = Overlay::new(&layers, Path::new("u"), Path::new("w")).unwrap();
        assert_eq!(
            overlay.lower,
            [Path::new("c"), Path::new("a"), Path::new("b")]
        );
    }

    #[test]
    fn too_many_layers_are_refused() {
        let layers: Vec<PathBuf> = (0..=LAYERS_MAX)
            .map(|n| PathBuf::from(n.to_string()))
            .collect();
        let error = Overlay::new(&layers, Path::new("u"), Path::new("w")).unwrap_err();
        assert!(error.to_string().contains("501 layers"));
    }
}
