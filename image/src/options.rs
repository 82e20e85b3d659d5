//! What to build, and what came out.

use crate::kernel::KernelFiles;
use crate::size::Size;
use host::build::Profile;
use host::fetch::Freshness;
use std::path::PathBuf;

/// Everything that can be chosen about an image.
#[derive(Debug, Clone)]
pub struct ImageOptions {
    /// Folder of the artefacts.
    pub out: PathBuf,
    /// Instead of the distribution's kernel.
    pub kernel: Option<KernelFiles>,
    /// Parts of `rootfs/modules.toml` that not every image has.
    pub parts: Vec<String>,
    /// Folders of unit files to bake in.
    pub units: Vec<PathBuf>,
    /// Image archives to bake in.
    pub preload: Vec<PathBuf>,
    /// Whether to make the disk image, and of which size in bytes.
    pub disk: Option<u64>,
    /// Also as qcow2.
    pub qcow2: bool,
    /// How the target programs are compiled.
    pub profile: Profile,
    /// Whether parts compressed by an earlier build are used again.
    pub reuse: Reuse,
    /// Whether packages are taken from the cache or looked up anew.
    pub freshness: Freshness,
}

impl Default for ImageOptions {
    fn default() -> Self {
        Self {
            out: host::paths::image(),
            kernel: None,
            parts: Vec::new(),
            units: Vec::new(),
            preload: Vec::new(),
            disk: Some(crate::disk::BYTES),
            qcow2: false,
            profile: Profile::Os,
            reuse: Reuse::Segments,
            freshness: Freshness::Cached,
        }
    }
}

/// What an earlier build may give to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reuse {
    /// Compressed parts of the initramfs whose content is the same.
    #[default]
    Segments,
    /// Compress everything again (to prove that the same comes out).
    Nothing,
}

/// What [`crate::build`] made.
#[derive(Debug, Clone)]
pub struct Artefacts {
    /// Folder of all of them.
    pub folder: PathBuf,
    /// `vmlinuz`: for `-kernel`.
    pub kernel: PathBuf,
    /// `initramfs.img`: for `-initrd`.
    pub initramfs: PathBuf,
    /// The command line; also in the file `cmdline`.
    pub cmdline: String,
    /// `keelson.efi`: kernel, initramfs and command line in one file.
    pub release: PathBuf,
    /// `disk.raw`
    pub disk: Option<PathBuf>,
    /// `disk.qcow2`
    pub qcow2: Option<PathBuf>,
    /// `manifest.json`
    pub manifest: PathBuf,
    pub sizes: Vec<Size>,
}
