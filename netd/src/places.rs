//! The files that this program reads and writes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use sys::paths;

/// All below one root: `/`, or a folder of a test.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    root: PathBuf,
}

impl Places {
    pub(crate) fn below(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    fn at(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// Of the kernel.
    pub(crate) fn command_line(&self) -> PathBuf {
        self.at("/proc/cmdline")
    }

    /// Addresses given to units.
    pub(crate) fn addresses(&self) -> PathBuf {
        self.at(paths::NETWORK).join("addresses.json")
    }

    /// The last lease of the machine's link.
    pub(crate) fn lease(&self) -> PathBuf {
        self.at(paths::NETWORK).join("lease.json")
    }

    /// The machine's resolvers; `/etc/resolv.conf` of the image leads here.
    pub(crate) fn resolvers(&self) -> PathBuf {
        self.at(paths::RUN).join("resolv.conf")
    }

    /// Which of the kernel's reserved ports are ours.
    pub(crate) fn reserved_ports(&self) -> PathBuf {
        self.at(paths::RUN).join("reserved_ports")
    }
}

/// Whether a file must outlive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// It is on the disk when this returns.
    OverPowerCut,
    UntilReboot,
}

/// Put `text` in the place of the file's content: the old or the new, never a part.
pub(crate) fn replace(path: &Path, text: &[u8], keep: Keep) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(text)?;
    if keep == Keep::OverPowerCut {
        file.sync_all()?;
    }
    fs::rename(&temporary, path)?;
    if keep == Keep::OverPowerCut {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
