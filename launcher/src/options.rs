//! The command line: what differs between a machine and a test of the launcher.

use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Run,
    Exec,
    /// The program of the command, and what it is executed with.
    Init {
        path: String,
        argv: Vec<String>,
    },
    /// Folders below /var/containers.
    Discard {
        folders: Vec<String>,
    },
}

/// How overlayfs is told about its layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverlayOptions {
    /// One `lowerdir+` per layer: Linux 6.8.
    OneByOne,
    /// One page of options.
    Page,
}

/// Limits of the workload (getrlimit(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limits {
    Default,
    /// Those of whoever starts the launcher; to raise a hard limit takes `CAP_SYS_RESOURCE`, which a test may lack.
    Inherited,
}

/// `launcher run|exec [--state DIR] [--limits default|inherited] [--overlay one-by-one|page] [--cgroups own|none]`,
/// `launcher discard FOLDER…`, `launcher init PATH ARGV…`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// In place of /var.
    pub(crate) state: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) overlay: OverlayOptions,
    /// A command has a group of its own (descriptor 7), or stays in the launcher's.
    pub(crate) has_group: bool,
}

/// The first kernel whose overlayfs has `lowerdir+`.
const LOWERDIR_ONE_BY_ONE_SINCE: (u32, u32) = (6, 8);

impl Options {
    pub(crate) fn parse(
        mut arguments: impl Iterator<Item = String>,
    ) -> Result<(Mode, Self), String> {
        let usage = "use: launcher run|exec [--state DIR] [--limits default|inherited] [--overlay one-by-one|page] [--cgroups own|none], or launcher discard FOLDER…";
        let mode = match arguments.next().as_deref() {
            Some("run") => Mode::Run,
            Some("exec") => Mode::Exec,
            Some("init") => Mode::Init {
                path: arguments.next().unwrap_or_default(),
                argv: arguments.by_ref().collect(),
            },
            Some("discard") => {
                let folders = arguments.by_ref().collect();
                Mode::Discard { folders }
            }
            _ => return Err(usage.to_owned()),
        };
        let mut options = Self {
            state: PathBuf::from(sys::paths::STATE),
            limits: Limits::Default,
            overlay: if sys::namespace::kernel_version() >= LOWERDIR_ONE_BY_ONE_SINCE {
                OverlayOptions::OneByOne
            } else {
                OverlayOptions::Page
            },
            has_group: true,
        };
        while let Some(name) = arguments.next() {
            let value = arguments.next();
            match (name.as_str(), value.as_deref()) {
                ("--state", Some(folder)) => options.state = PathBuf::from(folder),
                ("--limits", Some("default")) => options.limits = Limits::Default,
                ("--limits", Some("inherited")) => options.limits = Limits::Inherited,
                ("--overlay", Some("one-by-one")) => options.overlay = OverlayOptions::OneByOne,
                ("--overlay", Some("page")) => options.overlay = OverlayOptions::Page,
                ("--cgroups", Some("none")) => options.has_group = false,
                ("--cgroups", Some("own")) => options.has_group = true,
                _ => return Err(format!("{name}: {usage}")),
            }
        }
        Ok((mode, options))
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.place(sys::paths::IMAGES)
    }

    pub(crate) fn containers(&self) -> PathBuf {
        self.place(sys::paths::CONTAINERS)
    }

    pub(crate) fn volumes(&self) -> PathBuf {
        self.place(sys::paths::VOLUMES)
    }

    fn place(&self, path: &str) -> PathBuf {
        let path = Path::new(path);
        self.state
            .join(path.strip_prefix(sys::paths::STATE).unwrap_or(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Mode, Options), String> {
        Options::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_machines_places_are_the_default() {
        let (mode, options) = parse("run").unwrap();
        assert_eq!(mode, Mode::Run);
        assert_eq!(options.images(), Path::new("/var/images"));
        assert_eq!(options.limits, Limits::Default);
    }

    #[test]
    fn the_state_can_be_elsewhere() {
        let (_, options) = parse("exec --state /tmp/x --limits inherited --overlay page").unwrap();
        assert_eq!(options.containers(), Path::new("/tmp/x/containers"));
        assert_eq!(options.limits, Limits::Inherited);
        assert_eq!(options.overlay, OverlayOptions::Page);
    }

    #[test]
    fn folders_to_discard_are_no_options() {
        let (mode, _) = parse("discard web:7 db:9").unwrap();
        let folders = ["web:7", "db:9"].map(str::to_owned).into();
        assert_eq!(mode, Mode::Discard { folders });
    }

    #[test]
    fn a_commands_words_are_no_options() {
        let (mode, _) = parse("init /bin/sh sh --state /x").unwrap();
        let path = "/bin/sh".to_owned();
        let argv = ["sh", "--state", "/x"].map(str::to_owned).into();
        assert_eq!(mode, Mode::Init { path, argv });
    }

    #[test]
    fn what_is_unknown_is_refused() {
        assert!(parse("walk").is_err());
        assert!(parse("run --state").is_err());
        assert!(parse("run --limits 7").is_err());
        assert!(parse("run --volatile yes").is_err());
    }
}
