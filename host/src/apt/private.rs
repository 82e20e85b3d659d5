//! An apt of our own: sources, lists, preferences and archives under `target/keelson/cache/apt/NAME`, trusting only
//! Debian's archive keys. It reads releases that the machine has not configured, through the machine's own mirror.

use super::dependency::Record;
use super::{AptError, candidate, configured, file_error, removed};
use crate::progress::Step;
use crate::run;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Debian's archive keys of all releases in support (package debian-archive-keyring).
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Lists younger than this are not fetched again.
const LISTS_FRESH: Duration = Duration::from_secs(6 * 3600);

/// Packages (a glob list) that are taken from another suite than apt would.
#[derive(Debug, Clone, Copy)]
pub struct Pin<'a> {
    pub packages: &'a str,
    pub suite: &'a str,
}

/// A private apt configuration with its lists fetched.
#[derive(Debug, Clone)]
pub struct Archive {
    folder: PathBuf,
}

impl Archive {
    /// Debian's `suites` (such as `trixie`, `trixie-security`), from the mirrors that the machine has configured.
    ///
    /// # Errors
    /// When no mirror is configured or the lists can't be fetched and verified.
    pub fn debian(
        name: &str,
        suites: &[String],
        pin: Option<Pin<'_>>,
        step: &mut Step,
    ) -> Result<Self, AptError> {
        let mut text = String::new();
        for suite in suites {
            let uri = mirror(suite)?;
            let _ = write!(
                text,
                "Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: main\nArchitectures: amd64\nSigned-By: {KEYRING}\n\n"
            );
        }
        Self::open(name, Some(&text), pin, step)
    }

    /// The machine's own sources, with lists and archives of ours (so that no rights are needed).
    ///
    /// # Errors
    /// When the lists can't be fetched and verified.
    pub fn system(name: &str, step: &mut Step) -> Result<Self, AptError> {
        Self::open(name, None, None, step)
    }

    fn open(
        name: &str,
        sources: Option<&str>,
        pin: Option<Pin<'_>>,
        step: &mut Step,
    ) -> Result<Self, AptError> {
        let folder = crate::paths::cache().join("apt").join(name);
        for part in ["lists/partial", "archives/partial"] {
            let path = folder.join(part);
            std::fs::create_dir_all(&path).map_err(file_error(path))?;
        }
        let here = folder.display();
        let mut config = format!(
            "Dir::State::Lists \"{here}/lists\";\nDir::Cache \"{here}\";\nDir::Cache::Archives \"{here}/archives\";\n\
             Dir::Cache::pkgcache \"{here}/pkgcache.bin\";\nDir::Cache::srcpkgcache \"\";\n\
             APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\nAcquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n\
             Acquire::Retries \"3\";\nAPT::Get::Assume-Yes \"true\";\n"
        );
        if let Some(text) = sources {
            let _ = write!(
                config,
                "Dir::Etc::SourceList \"{here}/debian.sources\";\nDir::Etc::SourceParts \"/dev/null\";\n\
                 Dir::Etc::Preferences \"{here}/preferences\";\nDir::Etc::PreferencesParts \"/dev/null\";\n"
            );
            write(&folder.join("debian.sources"), text)?;
            let pin = pin.map(|pin| {
                format!(
                    "Package: {}\nPin: release n={}\nPin-Priority: 990\n",
                    pin.packages, pin.suite
                )
            });
            write(&folder.join("preferences"), &pin.unwrap_or_default())?;
        }
        write(&folder.join("apt.conf"), &config)?;
        let archive = Self { folder };
        archive.update(sources.unwrap_or_default(), step)?;
        Ok(archive)
    }

    fn update(&self, sources: &str, step: &mut Step) -> Result<(), AptError> {
        let stamp = self.folder.join("updated");
        let age = stamp
            .metadata()
            .and_then(|about| about.modified())
            .ok()
            .and_then(|time| time.elapsed().ok());
        let same = std::fs::read_to_string(&stamp).is_ok_and(|text| text == sources);
        if same && age.is_some_and(|age| age < LISTS_FRESH) {
            return Ok(());
        }
        step.at("fetch package lists");
        run::watched(
            self.command("apt-get")
                .args(["update", "-o", "APT::Update::Error-Mode=any"]),
            step,
        )?;
        write(&stamp, sources)
    }

    /// A command of apt that sees this configuration.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command.args(self.configuration());
        command
    }

    /// Arguments that have apt read this configuration after the machine's own, which would override it if it were
    /// named in `APT_CONFIG` (apt.conf(5)).
    pub(crate) fn configuration(&self) -> [String; 2] {
        let config = self.folder.join("apt.conf");
        ["-c".to_owned(), config.display().to_string()]
    }

    /// The version that apt would install.
    #[must_use]
    pub fn candidate(&self, package: &str) -> Option<String> {
        let policy = run::output(self.command("apt-cache").args(["policy", package])).ok()?;
        candidate(&policy).map(str::to_owned)
    }

    pub(crate) fn record(&self, package: &str) -> Option<Record> {
        let text =
            run::output(
                self.command("apt-cache")
                    .args(["show", "--no-all-versions", package]),
            )
            .ok()?;
        Record::parse(&text)
    }

    /// Fetch the .deb files of packages into `into` (apt verifies them against the signed lists); their paths, in the
    /// same order.
    pub(crate) fn download(
        &self,
        records: &[Record],
        into: &Path,
        step: &mut Step,
    ) -> Result<Vec<PathBuf>, AptError> {
        std::fs::create_dir_all(into).map_err(file_error(into))?;
        let wanted = records
            .iter()
            .map(|record| format!("{}={}", record.name, record.version));
        run::watched(
            self.command("apt-get")
                .current_dir(into)
                .arg("download")
                .args(wanted),
            step,
        )?;
        let entries = std::fs::read_dir(into).map_err(file_error(into))?;
        let debs: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .collect();
        let deb_of = |record: &Record| {
            let prefix = format!("{}_", record.name);
            let named = |path: &&PathBuf| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
            };
            debs.iter()
                .find(named)
                .cloned()
                .ok_or_else(|| AptError::NoPackage {
                    name: record.name.clone(),
                })
        };
        records.iter().map(deb_of).collect()
    }

    /// See what installing would do; an installation that removes anything is refused.
    pub(crate) fn simulate(&self, packages: &[&str]) -> Result<(), AptError> {
        let mut command = self.command("apt-get");
        command
            .args(["install", "--simulate", "--no-install-recommends"])
            .args(packages);
        let text = run::output(&mut command)?;
        let gone = removed(&text);
        if gone.is_empty() {
            return Ok(());
        }
        Err(AptError::Removes {
            wanted: packages.join(" "),
            removed: gone.join(" "),
        })
    }
}

/// The machine's mirror that has `suite`: the one of the configured source of the same kind (archive or security).
fn mirror(suite: &str) -> Result<String, AptError> {
    let sources = configured();
    let security = |suite: &str| suite.ends_with("-security");
    let same_kind = |source: &&super::Source| {
        security(&source.suite) == security(suite)
            && source
                .components
                .iter()
                .any(|component| component == "main")
    };
    let debian = |uri: &str| {
        uri.trim_end_matches('/')
            .rsplit('/')
            .any(|part| part.starts_with("debian"))
    };
    let found = sources
        .iter()
        .filter(same_kind)
        .find(|source| debian(&source.uri))
        .map(|source| source.uri.clone());
    // A machine without a source of security updates: they are beside the archive on the project's own servers and on
    // most mirrors.
    let beside = || {
        let archive = sources.iter().find(|source| debian(&source.uri))?;
        Some(format!("{}-security", archive.uri.trim_end_matches('/')))
    };
    found
        .or_else(|| security(suite).then(beside).flatten())
        .ok_or(AptError::NoMirror)
}

fn write(path: &Path, text: &str) -> Result<(), AptError> {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) && !path.ends_with("updated") {
        return Ok(());
    }
    std::fs::write(path, text).map_err(file_error(path))
}
