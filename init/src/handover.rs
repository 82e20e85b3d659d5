//! What PID 1 hands over to its next program: all that it knows, as JSON in a sealed memory file.
//!
//! ```text
//! { "version": 1, "machine": { … , "socket": 17, … } }       descriptors by number, see `carried`
//! ```
//!
//! A field may be added with `#[serde(default)]`; whatever else changes the meaning raises [`VERSION`]. A program that does
//! not understand a handover says so in a check, before it is executed, and nothing has happened.

use crate::carried::{Reading, reading, writing};
use crate::machine::Machine;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::os::fd::{OwnedFd, RawFd};
use std::process::ExitCode;

/// Of the form.
const VERSION: u32 = 1;
/// `init --check-handover`: reads what is on descriptor [`CHECKED`], and takes nothing over.
pub(crate) const CHECK: &str = "--check-handover";
/// `init --take-over NUMBER`, as PID 1.
pub(crate) const TAKE_OVER: &str = "--take-over";
pub(crate) const CHECKED: RawFd = 3;
/// Nobody's: a check can do no harm.
const NOBODY: u32 = 65_534;

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    machine: &'a Machine,
}

#[derive(Deserialize)]
struct Head {
    version: u32,
}

#[derive(Deserialize)]
struct Whole {
    machine: Machine,
}

/// In a memory file, with the numbers of the descriptors that must stay open.
///
/// # Errors
/// In one line.
pub(crate) fn write(machine: &Machine) -> Result<(OwnedFd, Vec<RawFd>), String> {
    let version = VERSION;
    let (text, numbers) = writing(|| serde_json::to_vec(&Written { version, machine }));
    let text = text.map_err(|error| format!("handover: {error}"))?;
    let file = sys::memfd::sealed("handover", &text).map_err(|error| format!("memfd: {error}"))?;
    Ok((file, numbers))
}

fn parse(text: &[u8], how: Reading) -> Result<Machine, String> {
    let head: Head = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if head.version != VERSION {
        return Err(format!(
            "the handover has version {}, this program reads {VERSION}",
            head.version
        ));
    }
    let whole: Result<Whole, _> = reading(how, || serde_json::from_slice(text));
    whole
        .map(|whole| whole.machine)
        .map_err(|error| error.to_string())
}

fn text_of(number: RawFd) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::from(sys::descriptor::inherited(number)?).read_to_end(&mut text)?;
    Ok(text)
}

/// The new program's first act, before it opens anything: its numbers could be those that are handed over.
///
/// # Errors
/// In one line. There is no way back then.
pub(crate) fn take_over(number: RawFd) -> Result<Machine, String> {
    let text = text_of(number).map_err(|error| format!("descriptor {number}: {error}"))?;
    parse(&text, Reading::TakeOver)
}

/// In a child: could this program read it? Why not is said on standard error.
pub(crate) fn check() -> ExitCode {
    let nobody = nix::unistd::Uid::from_raw(NOBODY);
    let checked = match nix::unistd::setuid(nobody) {
        Err(errno) if nix::unistd::geteuid().is_root() => Err(errno.to_string()),
        _ => text_of(CHECKED)
            .map_err(|error| format!("descriptor {CHECKED}: {error}"))
            .and_then(|text| parse(&text, Reading::Check)),
    };
    match checked {
        Ok(machine) => {
            // Nothing that it would end or remove belongs to this process.
            std::mem::forget(machine);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
