//! The target programs, built by cargo as the image needs them.

use crate::progress;
use crate::run::{self, RunError};
use crate::{paths, target};
use std::path::PathBuf;

/// The programs that go into the image, and the crates that they are made of.
const PROGRAMS: [&str; 2] = ["init", ALL_BUT_INIT];
/// What [`NAMES`] are links to.
pub const ALL_BUT_INIT: &str = "programs";
/// The names by which the second of them is called.
pub const NAMES: [&str; 7] = [
    "launcher", "netd", "logd", "prober", "store", "relay", "keelctl",
];

/// How the programs are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// As released: small, optimised over crate borders (`[profile.os]`).
    #[default]
    Os,
    /// Quick to build.
    Dev,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Os => "os",
            Self::Dev => "dev",
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Os => "os",
            Self::Dev => "debug",
        }
    }
}

/// One program of the image.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its name in `/usr/lib/keelson/bin`.
    pub name: String,
    /// The file that cargo built.
    pub path: PathBuf,
}

/// Build every target program (cargo does nothing for those that are up to date).
///
/// Paths of the build machine are mapped away, so that the same source gives the same bytes in another folder.
///
/// # Errors
/// When the Rust target can't be had or cargo fails; its last lines are in the error.
pub fn programs(profile: Profile) -> Result<Vec<Program>, RunError> {
    let made = build(&PROGRAMS, profile)?;
    Ok(PROGRAMS
        .iter()
        .map(|name| Program {
            name: (*name).to_owned(),
            path: made.join(name),
        })
        .collect())
}

/// Build one more program for the target, which is not part of the image. The package has the program's name.
///
/// # Errors
/// As [`programs`].
pub fn program(name: &str, profile: Profile) -> Result<Program, RunError> {
    Ok(Program {
        name: name.to_owned(),
        path: build(&[name], profile)?.join(name),
    })
}

/// The linker's map of [`ALL_BUT_INIT`] as it was last built, in the form of [`crate::link_map`].
#[must_use]
pub fn link_map() -> PathBuf {
    made(Profile::Os).join("programs.map")
}

fn folder() -> PathBuf {
    paths::made().join("build")
}

/// Where cargo leaves programs.
fn made(profile: Profile) -> PathBuf {
    folder().join(target::TRIPLE).join(profile.folder())
}

/// The folder with the programs of these packages.
fn build(packages: &[&str], profile: Profile) -> Result<PathBuf, RunError> {
    target::ensure()?;
    let folder = folder();
    let mut step = progress::step("build the target programs");
    let mut command = target::cargo();
    command
        .args([
            "build",
            "--profile",
            profile.name(),
            "--target",
            target::TRIPLE,
            "--target-dir",
        ])
        .arg(&folder);
    // Inherited flags would replace, not extend, those of the workspace's configuration.
    command
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.args(["--config", &rust_flags(profile)]);
    for name in packages {
        command.args(["-p", name]);
    }
    run::watched(&mut command, &mut step)?;
    step.done("");
    Ok(made(profile))
}

/// At fixed addresses (docs/decisions/019): a program that needs no relocation shares the pages that it would have written
/// on, and its start has no fault for each.
const FIXED: &str = "-Crelocation-model=static";

/// What the linker does for small files (docs/decisions/009): functions of the same code once, no tables for unwinding.
const SMALL: [&str; 2] = ["--icf=all", "-Thost/no-unwinding.ld"];

/// Symbols that tell one instance of a generic function from another, for programs/order.ld (docs/decisions/021). They are not
/// in the file.
const NAMES_IN_FULL: &str = "-Csymbol-mangling-version=v0";

fn rust_flags(profile: Profile) -> String {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .unwrap_or_default();
    let remap = |from: PathBuf, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let mut flags = vec![
        FIXED.to_owned(),
        remap(paths::workspace(), "/keelson"),
        remap(home, "/cargo"),
    ];
    match profile {
        Profile::Os => {
            flags.push(NAMES_IN_FULL.to_owned());
            flags.extend(SMALL.map(|option| format!("-Clink-arg={option}")));
        }
        // A panic unwinds.
        Profile::Dev => {}
    }
    let flags: Vec<String> = flags.iter().map(|flag| format!("\"{flag}\"")).collect();
    format!("target.{}.rustflags=[{}]", target::TRIPLE, flags.join(","))
}
