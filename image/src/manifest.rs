//! `manifest.json`: what an image is made of.

use crate::kernel::Origin;
use crate::size::Size;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct Manifest {
    /// Of this document.
    pub(crate) schema: u32,
    pub(crate) version: String,
    pub(crate) kernel: KernelPart,
    pub(crate) modules: ModulePart,
    /// Command line.
    pub(crate) cmdline: String,
    /// File → SHA-256, of the files beside the manifest.
    pub(crate) files: Vec<FilePart>,
    pub(crate) sizes: Vec<Size>,
}

#[derive(Debug, Serialize)]
pub(crate) struct KernelPart {
    pub(crate) release: String,
    pub(crate) sha256: String,
    pub(crate) origin: Origin,
}

#[derive(Debug, Serialize)]
pub(crate) struct ModulePart {
    pub(crate) count: usize,
    /// Stored uncompressed.
    pub(crate) plain: usize,
    /// Listed in `rootfs/modules.toml`, and neither a module nor a part of this kernel.
    pub(crate) absent: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct FilePart {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}
