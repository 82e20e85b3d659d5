//! The target programs, built by cargo as the image needs them.

use crate::progress;
use crate::run::{self, RunError};
use crate::{paths, target};
use std::path::PathBuf;

/// The crates whose program goes into the image. The program has the name of [`PROGRAMS`], in the same order.
pub const CRATES: [&str; 7] = ["init", "launcher", "netd", "logd", "store", "relay", "ctl"];
/// Their executables.
pub const PROGRAMS: [&str; 7] = [
    "init", "launcher", "netd", "logd", "store", "relay", "keelctl",
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
    let made = build(&CRATES, profile)?;
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

/// The folder with the programs of these packages.
fn build(packages: &[&str], profile: Profile) -> Result<PathBuf, RunError> {
    target::ensure()?;
    let folder = paths::made().join("build");
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
    command.args(["--config", &remap_flags()]);
    for name in packages {
        command.args(["-p", name]);
    }
    run::watched(&mut command, &mut step)?;
    step.done("");
    Ok(folder.join(target::TRIPLE).join(profile.folder()))
}

fn remap_flags() -> String {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .unwrap_or_default();
    let flag = |from: &std::path::Path, to: &str| {
        format!("\"--remap-path-prefix={}={to}\"", from.display())
    };
    format!(
        "target.{}.rustflags=[{},{}]",
        target::TRIPLE,
        flag(&paths::workspace(), "/keelson"),
        flag(&home, "/cargo")
    )
}
