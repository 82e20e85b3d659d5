//! apt, asked and used without changing anything of the machine's own configuration.

mod dependency;
mod private;
mod sources;

pub use dependency::Dependency;
pub(crate) use dependency::Record;
pub use private::{Archive, Pin};
pub use sources::{Source, configured};

use crate::run::{self, RunError};
use std::fmt;
use std::path::PathBuf;

/// What went wrong with apt.
#[derive(Debug)]
pub enum AptError {
    /// apt or dpkg failed.
    Run(RunError),
    /// A file of ours could not be written or read.
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    /// No configured source has Debian's own archive.
    NoMirror,
    /// The package is in none of the sources asked.
    NoPackage { name: String },
    /// Installing would remove packages of the machine; we don't.
    Removes { wanted: String, removed: String },
}

impl fmt::Display for AptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(error) => error.fmt(f),
            Self::File { path, source } => write!(f, "{}: {source}", path.display()),
            Self::NoMirror => write!(
                f,
                "no source in /etc/apt has Debian's main archive; add one and run again"
            ),
            Self::NoPackage { name } => {
                write!(f, "package {name} is in none of the configured sources")
            }
            Self::Removes { wanted, removed } => {
                write!(
                    f,
                    "installing {wanted} would remove {removed}; install it by hand in the way you want"
                )
            }
        }
    }
}

impl std::error::Error for AptError {}

impl From<RunError> for AptError {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

pub(crate) fn file_error(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> AptError {
    let path = path.into();
    move |source| AptError::File { path, source }
}

/// The version that apt would install (`Candidate:` of apt-cache policy), `None` when there is none.
pub(crate) fn candidate(policy: &str) -> Option<&str> {
    let line = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate:"))?
        .trim();
    (line != "(none)").then_some(line)
}

/// The machine's own apt: what it has configured.
pub(crate) fn system_candidate(package: &str) -> Option<String> {
    let policy =
        run::output(std::process::Command::new("apt-cache").args(["policy", package])).ok()?;
    candidate(&policy).map(str::to_owned)
}

/// Packages that a simulated installation (`apt-get -s`) would remove.
pub(crate) fn removed(simulation: &str) -> Vec<&str> {
    simulation
        .lines()
        .filter_map(|line| line.strip_prefix("Remv ")?.split(' ').next())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidate_is_read_from_policy() {
        assert_eq!(
            candidate("x:\n  Installed: (none)\n  Candidate: 1:7.2+dfsg-7\n"),
            Some("1:7.2+dfsg-7")
        );
        assert_eq!(candidate("x:\n  Candidate: (none)\n"), None);
        assert_eq!(candidate(""), None);
    }

    #[test]
    fn removals_are_seen_in_a_simulation() {
        let text = "Inst a (1 Debian)\nRemv gdb [13.1-3]\nRemv libdw1 [0.1] [x]\nConf a (1)\n";
        assert_eq!(removed(text), ["gdb", "libdw1"]);
    }
}
