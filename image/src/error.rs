//! What can keep an image from being built.

use std::fmt;
use std::path::PathBuf;

/// Why there is no image.
#[derive(Debug)]
pub enum BuildError {
    /// A file can't be read or written.
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    /// A file is there, but it is not what it should be.
    Content { path: PathBuf, problem: String },
    /// The build host lacks something that could not be installed.
    Host(host::packages::EnsureError),
    /// A package could not be fetched.
    Fetch(host::apt::AptError),
    /// A program that we run failed.
    Run(host::run::RunError),
    /// There is no kernel for this system in reach.
    NoKernel { system: String },
    /// The kernel was built without something that we rely on; one line for each option.
    KernelConfig {
        release: String,
        path: PathBuf,
        lacking: Vec<String>,
    },
    /// The kernel lacks modules that no machine can boot without.
    Modules {
        release: String,
        missing: Vec<String>,
    },
    /// Unit files with errors; the text is what `keelctl check` prints.
    Units { diagnostics: String },
    /// A part of `rootfs/modules.toml` that there is not.
    Part { part: String, known: Vec<String> },
    /// A component is larger than `image/budget.toml` allows.
    Budget {
        component: String,
        bytes: u64,
        budget: u64,
    },
    /// The disk is too small for its partitions, all in bytes.
    DiskSize { asked: u64, least: u64 },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Content { path, problem } => write!(f, "{}: {problem}", path.display()),
            Self::Host(error) => error.fmt(f),
            Self::Fetch(error) => error.fmt(f),
            Self::Run(error) => error.fmt(f),
            Self::NoKernel { system } => write!(
                f,
                "no packaged kernel for {system}: give one with --kernel FILE --modules FOLDER (6.1 or later)"
            ),
            Self::KernelConfig {
                release,
                path,
                lacking,
            } => write!(
                f,
                "kernel {release} can't run Keelson, by its configuration {}:\n  {}\nbuild it with that, or take another one",
                path.display(),
                lacking.join("\n  ")
            ),
            Self::Modules { release, missing } => {
                write!(
                    f,
                    "kernel {release} has no {} (rootfs/modules.toml, `boot`)",
                    missing.join(", ")
                )
            }
            Self::Units { diagnostics } => write!(f, "unit files with errors:\n{diagnostics}"),
            Self::Part { part, known } => write!(
                f,
                "there is no part {part} in rootfs/modules.toml; there are: {}",
                known.join(", ")
            ),
            Self::Budget {
                component,
                bytes,
                budget,
            } => write!(
                f,
                "{component} is {bytes} bytes compressed, over its budget of {budget} (image/budget.toml)"
            ),
            Self::DiskSize { asked, least } => {
                write!(
                    f,
                    "a disk of {asked} bytes is too small, it has to have at least {least}"
                )
            }
        }
    }
}

impl std::error::Error for BuildError {}

impl From<host::packages::EnsureError> for BuildError {
    fn from(error: host::packages::EnsureError) -> Self {
        Self::Host(error)
    }
}

impl From<host::apt::AptError> for BuildError {
    fn from(error: host::apt::AptError) -> Self {
        Self::Fetch(error)
    }
}

impl From<host::run::RunError> for BuildError {
    fn from(error: host::run::RunError) -> Self {
        Self::Run(error)
    }
}

/// For `map_err`: the path that an I/O error is about.
pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> BuildError {
    let path = path.into();
    move |source| BuildError::File { path, source }
}

/// For `map_err` and `ok_or_else`: what is wrong with a file's content.
pub(crate) fn content(path: impl Into<PathBuf>, problem: impl Into<String>) -> BuildError {
    BuildError::Content {
        path: path.into(),
        problem: problem.into(),
    }
}
