//! Redis as PID 1, from the layers that are on the machine's disk, with nothing between the kernel and it.

use crate::{REPORT, network, say};
use nix::mount::MsFlags;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use store::Store;

/// Module files, one per line, what others need first.
const MODULES: &str = "/modules";
/// The third partition of the only disk (docs/architecture.md, "The disk").
const STATE: &str = "/dev/vda3";
/// The others follow.
const FIRST_PORT: u16 = 6379;
/// What the demo's units run.
const IMAGE: &str = "docker.io/library/redis:latest";
/// Where programs, libraries and the loader are in a layer of Debian's.
const PROGRAMS: &str = "usr/local/bin";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
const LOADER: &str = "usr/lib64/ld-linux-x86-64.so.2";

/// The step that failed, and why.
#[derive(Debug)]
pub(crate) struct Failed {
    step: String,
    source: io::Error,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.source)
    }
}

impl From<Failed> for io::Error {
    fn from(failed: Failed) -> Self {
        Self::other(failed.to_string())
    }
}

/// Become Redis, with others as children. Returns only the reason why not.
pub(crate) fn start(instances: u16) -> Option<io::Error> {
    match prepare(instances) {
        Ok(mut command) => {
            say("redis");
            Some(command.exec())
        }
        Err(failed) => Some(failed.into()),
    }
}

fn prepare(instances: u16) -> Result<Command, Failed> {
    let step = |step: &str| {
        let step = step.to_owned();
        move |source| Failed { step, source }
    };
    mount("proc", "/proc", "proc", MsFlags::empty()).map_err(step("mount /proc"))?;
    mount("devtmpfs", "/dev", "devtmpfs", MsFlags::empty()).map_err(step("mount /dev"))?;
    let list = fs::read_to_string(MODULES).map_err(step(MODULES))?;
    for module in list.lines() {
        sys::module::load(Path::new(module), c"").map_err(step(module))?;
        // Its memory, as our init gives it back.
        fs::remove_file(module).map_err(step(module))?;
    }
    mount(STATE, sys::paths::STATE, "ext4", MsFlags::MS_RDONLY).map_err(step(STATE))?;
    network::up().map_err(step("network"))?;
    Command::new("/proc/self/exe")
        .arg(REPORT)
        .spawn()
        .map_err(step("reporter"))?;
    for port in (FIRST_PORT..).take(instances.into()).skip(1) {
        let other = redis(port).and_then(|mut command| command.spawn());
        other.map_err(step("another redis"))?;
    }
    redis(FIRST_PORT).map_err(step("redis"))
}

/// The image's own command, its program started by its own loader: the layers need not become one tree for that.
fn redis(port: u16) -> io::Result<Command> {
    let store = Store::at(Path::new(sys::paths::IMAGES));
    let image = store
        .image(IMAGE)
        .map_err(|error| io::Error::other(error.to_string()))?;
    let mut words = image.config.entrypoint.iter().chain(&image.config.cmd);
    let name = words.next().ok_or(io::ErrorKind::NotFound)?;
    let find = |path: &str| -> io::Result<PathBuf> {
        let found = image
            .layers
            .iter()
            .rev()
            .map(|layer| layer.join(path))
            .find(|path| path.exists());
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, path.to_owned()))
    };
    let mut command = Command::new(find(LOADER)?);
    command
        .arg("--library-path")
        .arg(find(LIBRARIES)?)
        .arg(find(&format!("{PROGRAMS}/{name}"))?)
        .args(words)
        .args(["--port", &port.to_string()]);
    // What it says would go over an emulated serial line.
    let null = File::options().read(true).write(true).open("/dev/null")?;
    command
        .stdin(null.try_clone()?)
        .stdout(null.try_clone()?)
        .stderr(null);
    Ok(command)
}

pub(crate) fn mount(what: &str, place: &str, kind: &str, flags: MsFlags) -> io::Result<()> {
    Ok(nix::mount::mount(
        Some(what),
        place,
        Some(kind),
        flags,
        None::<&str>,
    )?)
}
