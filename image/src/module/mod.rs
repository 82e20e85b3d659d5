//! Kernel modules: from the names in `rootfs/modules.toml` to the files and indexes in the image.
//!
//! ```text
//! modules.toml ─▶ List ──┐
//! kernel package ─▶ Library (name, file, modinfo of each) ─┴─▶ Closure ─▶ .ko files, modules.dep, .alias, .softdep, .sha256
//! ```
//!
//! Distributions make the index files when a kernel is installed; ours never is, so the indexes are made here, from
//! what each module says of itself (`.modinfo`), and only for the modules that the image carries.

mod closure;
mod library;
mod list;
mod modinfo;
mod pack;
mod slim;

pub(crate) use closure::{Closure, Trees, Unpacking};
pub(crate) use library::Library;
pub(crate) use list::List;

/// The kernel's own spelling of a module name: file names may have dashes where it has underscores.
pub(crate) fn normal(name: &str) -> String {
    name.replace('-', "_")
}
