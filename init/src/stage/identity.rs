//! Who this machine is: machine id (machine-id(5)), host name, and the random seed that it carries from boot to boot.

use super::{Boot, StageError};
use crate::console;
use crate::durable;
use crate::seed;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const MACHINE_ID: &str = "/var/machine/id";
const HOSTNAME: &str = "/var/machine/hostname";

pub(super) fn run(boot: &mut Boot) -> Result<(), StageError> {
    let result = identify(boot);
    super::netd::begin(boot);
    result
}

fn identify(boot: &mut Boot) -> Result<(), StageError> {
    use_seed(boot);
    boot.machine_id = machine_id()?;
    let etc = Path::new("/etc/machine-id");
    fs::write(etc, format!("{}\n", boot.machine_id))
        .map_err(|error| StageError::io("/etc/machine-id", error))?;
    boot.hostname = hostname(boot);
    nix::unistd::sethostname(&boot.hostname)
        .map_err(|errno| StageError::io(boot.hostname.clone(), errno))?;
    fs::write("/etc/hostname", format!("{}\n", boot.hostname))
        .map_err(|error| StageError::io("/etc/hostname", error))
}

/// Kernel command line, then what the operator stored, then a name made of the machine id.
fn hostname(boot: &Boot) -> String {
    let stored = fs::read_to_string(HOSTNAME)
        .ok()
        .map(|text| text.trim().to_owned());
    let given = boot
        .cmdline
        .get("keelson.hostname")
        .map(str::to_owned)
        .or(stored);
    if let Some(name) = given {
        if valid_hostname(&name) {
            return name;
        }
        console::warn(format_args!(
            "host name {name:?} is not one (RFC 1123: letters, digits, hyphens): ignoring it"
        ));
    }
    format!("keelson-{}", boot.machine_id.get(..8).unwrap_or("machine"))
}

fn valid_hostname(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 64 && name.split('.').all(label)
}

/// 32 hexadecimal digits; made at the first boot.
fn machine_id() -> Result<String, StageError> {
    if let Ok(text) = fs::read_to_string(MACHINE_ID) {
        let id = text.trim();
        if id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit()) {
            return Ok(id.to_owned());
        }
        console::warn(format_args!(
            "{MACHINE_ID} does not hold 32 hexadecimal digits: making a new machine id"
        ));
    }
    let mut id = String::new();
    let bytes = sys::random::bytes::<16>();
    for byte in bytes.map_err(|error| StageError::io("getrandom", error))? {
        let _ = write!(id, "{byte:02x}");
    }
    durable::write(Path::new(MACHINE_ID), format!("{id}\n").as_bytes())
        .map_err(|error| StageError::io(MACHINE_ID, error))?;
    Ok(id)
}

/// Where the kernel has no good random numbers yet, the machine's own must not wait for any.
fn use_seed(boot: &Boot) {
    if boot.state_device.is_none() || !seed::is_needed() {
        return;
    }
    match seed::renew() {
        Ok(seeding) => log::info!("random seed: {seeding:?}"),
        Err(error) => console::warn(format_args!("random seed: {error}")),
    }
}
