//! What must be writable of a read-only root: `/etc`, in memory.

use super::{Boot, StageError};
use nix::mount::{MsFlags, mount};
use std::fs;

const LAYERS: &str = "/run/keelson/etc";

pub(super) fn run(boot: &mut Boot) -> Result<(), StageError> {
    boot.modules
        .load("overlay")
        .map_err(|error| StageError::text(error.to_string()))?;
    let (upper, work) = (format!("{LAYERS}/upper"), format!("{LAYERS}/work"));
    for folder in [&upper, &work] {
        fs::create_dir_all(folder).map_err(|error| StageError::io(folder.as_str(), error))?;
    }
    let options = format!("lowerdir=/etc,upperdir={upper},workdir={work}");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(
        Some("overlay"),
        "/etc",
        Some("overlay"),
        flags,
        Some(options.as_str()),
    )
    .map_err(|errno| StageError::io("overlay on /etc", errno))
}
