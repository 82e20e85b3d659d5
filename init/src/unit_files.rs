//! Where unit files come from, and how the operator's are replaced.
//!
//! ```text
//! release    /usr/lib/keelson/units     read-only
//! operator   /var/units                 replaced as a whole, by `keelctl apply`
//! boot       /run/keelson/units         fw_cfg, for one boot
//! ```
//!
//! The writer is a child, this program under the name [`PROGRAM`]: a disk that hangs must not stop PID 1. It gets the
//! files on descriptor 3, and says on descriptor 4 what went wrong.
//!
//! ```text
//! units.new ── all files ── sync ──▶ units ⇄ units.new (one step) ── sync ──▶ the old ones are removed
//! ```
//!
//! Whenever the power goes, `/var/units` is the old folder or the new one. What is left over of `units.new` is removed by
//! the next writer.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use sys::clone::{Child, Spawn, spawn};
use unit::{Layer, Source};

/// The writer's name.
pub(crate) const PROGRAM: &str = "unitfiles";

/// Descriptors of the writer.
const FILES: i32 = 3;
const ERRORS: i32 = 4;

/// Path in the folder → text.
pub(crate) type UnitFiles = BTreeMap<String, String>;

/// All of them, lowest precedence first; with `operator` in the place of what is in `/var/units`.
pub(crate) fn layers(operator: Option<&UnitFiles>) -> Vec<Layer> {
    let folder = |path: &str| Layer::Folder(PathBuf::from(path));
    let own = match operator {
        None => folder(sys::paths::UNITS),
        Some(files) => {
            let sources = files.iter().map(|(name, text)| Source {
                file: format!("{}/{name}", sys::paths::UNITS),
                text: text.clone(),
            });
            Layer::Sources(sources.collect())
        }
    };
    vec![
        folder(sys::paths::SYSTEM_UNITS),
        own,
        folder(sys::paths::RUN_UNITS),
    ]
}

/// As a request brings them.
///
/// # Errors
/// One line: not JSON, or a name that is not one of a unit file.
pub(crate) fn parse(text: &[u8]) -> Result<UnitFiles, String> {
    let files: UnitFiles =
        serde_json::from_slice(text).map_err(|error| format!("unit files: {error}"))?;
    match files.keys().find(|name| !is_unit_path(name)) {
        None => Ok(files),
        Some(bad) => Err(format!(
            "unit files: {bad:?} is neither a file name nor a drop-in"
        )),
    }
}

/// `web.container.toml`, or a drop-in: `web.container.toml.d/10-memory.toml`.
pub(crate) fn is_unit_path(name: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('/');
    match name.split_once('/') {
        None => plain(name),
        Some((folder, file)) => plain(folder) && folder.ends_with(".toml.d") && plain(file),
    }
}

/// Those of a folder that are read; nothing when it can't be read.
pub(crate) fn stored(folder: &Path) -> UnitFiles {
    let mut files = UnitFiles::new();
    let list = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    for path in list(folder) {
        let inner = if path.is_dir() {
            list(&path)
        } else {
            vec![path]
        };
        for path in inner {
            if let Ok(name) = path.strip_prefix(folder)
                && let Ok(text) = fs::read_to_string(&path)
            {
                files.insert(name.display().to_string(), text);
            }
        }
    }
    files
}

/// Start the writer: `files` is what [`parse`] takes.
///
/// # Errors
/// As memfd_create(2) and clone3(2).
pub(crate) fn spawn_writer(
    files: &[u8],
    null: BorrowedFd<'_>,
    log: BorrowedFd<'_>,
    errors: BorrowedFd<'_>,
) -> io::Result<Child> {
    let files = sys::memfd::sealed(PROGRAM, files)?;
    let program = CString::new(format!("{}/init", sys::paths::PROGRAMS))?;
    let name: &CStr = c"unitfiles";
    spawn(&Spawn {
        namespaces: 0,
        cgroup: None,
        program: &program,
        arguments: &[name],
        environment: &[],
        descriptors: &[
            (null, 0),
            (log, 1),
            (log, 2),
            (files.as_fd(), FILES),
            (errors, ERRORS),
        ],
    })
}

/// The writer.
pub(crate) fn main() -> ExitCode {
    let done = take_files().and_then(|files| {
        replace(Path::new(sys::paths::UNITS), &files, &mut |_| Ok(()))
            .map_err(|error| error.to_string())
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            if let Ok(errors) = sys::descriptor::inherited(ERRORS) {
                // It is said by the exit status too.
                let _ = File::from(errors).write_all(message.as_bytes());
            }
            ExitCode::FAILURE
        }
    }
}

fn take_files() -> Result<UnitFiles, String> {
    let mut text = Vec::new();
    let read = sys::descriptor::inherited(FILES)
        .and_then(|files| File::from(files).read_to_end(&mut text));
    read.map_err(|error| format!("unit files: {error}"))?;
    parse(&text)
}

/// What the writer does, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Cleared,
    Written,
    Synced,
    Exchanged,
    Removed,
}

/// `at` is told each step when it is done.
fn replace(
    folder: &Path,
    files: &UnitFiles,
    at: &mut dyn FnMut(Step) -> io::Result<()>,
) -> io::Result<()> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: io::Error| io::Error::new(error.kind(), format!("{path}: {error}"))
    };
    let fresh = folder.with_extension("new");
    remove(&fresh).map_err(failed(&fresh))?;
    at(Step::Cleared)?;
    fs::create_dir(&fresh).map_err(failed(&fresh))?;
    for (name, text) in files {
        let path = fresh.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed(parent))?;
        }
        fs::write(&path, text).map_err(failed(&path))?;
    }
    at(Step::Written)?;
    let opened = File::open(&fresh).map_err(failed(&fresh))?;
    sys::folder::sync_file_system(opened.as_fd()).map_err(failed(&fresh))?;
    at(Step::Synced)?;
    match sys::exchange::exchange(&fresh, folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(&fresh, folder),
        done => done,
    }
    .map_err(failed(folder))?;
    if let Some(parent) = folder.parent() {
        let synced = File::open(parent).and_then(|parent| parent.sync_all());
        synced.map_err(failed(parent))?;
    }
    at(Step::Exchanged)?;
    // The new ones are in force: what is left of the old ones does no harm.
    let _ = remove(&fresh);
    at(Step::Removed)
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_outside_the_folder_of_units() {
        for good in ["web.container.toml", "web.container.toml.d/10.toml"] {
            assert!(is_unit_path(good), "{good}");
            assert!(parse(format!("{{\"{good}\":\"\"}}").as_bytes()).is_ok());
        }
        for bad in [
            "",
            ".x",
            "/etc/passwd",
            "../x.toml",
            "a/b.toml",
            "x.toml.d/../y.toml",
            "x.toml.d/.toml",
            "x.toml.d/",
            "..toml.d/x.toml",
        ] {
            assert!(!is_unit_path(bad), "{bad}");
            assert!(parse(format!("{{\"{bad}\":\"\"}}").as_bytes()).is_err());
        }
    }

    fn files(names: &[&str], text: &str) -> UnitFiles {
        let file = |name: &&str| (name.to_string(), text.to_owned());
        names.iter().map(file).collect()
    }

    #[test]
    fn whenever_the_writer_dies_the_folder_is_the_old_one_or_the_new_one() {
        let root = std::env::temp_dir().join(format!("init-unit-files-{}", std::process::id()));
        let folder = root.join("units");
        fs::create_dir_all(&root).unwrap();
        let old = files(&["web.container.toml", "gone.container.toml"], "old");
        let new = files(
            &["web.container.toml", "web.container.toml.d/9.toml"],
            "new",
        );
        let steps = [
            Step::Cleared,
            Step::Written,
            Step::Synced,
            Step::Exchanged,
            Step::Removed,
        ];
        for last in steps {
            replace(&folder, &old, &mut |_| Ok(())).unwrap();
            assert_eq!(stored(&folder), old);
            let died = replace(&folder, &new, &mut |step| {
                if step == last {
                    Err(io::Error::other("power cut"))
                } else {
                    Ok(())
                }
            });
            assert!(died.is_err());
            let in_force = matches!(last, Step::Exchanged | Step::Removed);
            assert_eq!(
                stored(&folder),
                if in_force { new.clone() } else { old.clone() }
            );
        }
        // Whatever was left over, the next one gets through.
        replace(&folder, &new, &mut |_| Ok(())).unwrap();
        assert_eq!(stored(&folder), new);
        assert!(!root.join("units.new").exists());
        fs::remove_dir_all(&root).unwrap();
    }
}
