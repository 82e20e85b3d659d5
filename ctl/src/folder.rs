//! A folder of unit files, on its way to the machine: the files that `check` would look at, as one JSON object.

use crate::failure::Failure;
use control::change::UNIT_FILES_BYTES_MAX;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Whether a folder without unit files is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Empty {
    Refused,
    Allowed,
}

impl Empty {
    /// As the flag says.
    pub(crate) fn of(allowed: bool) -> Self {
        if allowed {
            Self::Allowed
        } else {
            Self::Refused
        }
    }
}

/// Path in the folder → text, as JSON.
pub(crate) fn read(folder: &Path, empty: Empty) -> Result<Vec<u8>, Failure> {
    let failed = |path: &Path, error: io::Error| {
        Failure::Failed(format!("{}: cannot be read: {error}", path.display()))
    };
    if !folder.is_dir() {
        let what = if folder.exists() {
            "not a folder"
        } else {
            "no such folder"
        };
        return Err(Failure::Failed(format!("{}: {what}", folder.display())));
    }
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let mut add = |name: String, path: &Path| -> Result<(), Failure> {
        let text = fs::read_to_string(path).map_err(|error| failed(path, error))?;
        files.insert(name, text);
        Ok(())
    };
    for path in entries(folder).map_err(|error| failed(folder, error))? {
        let name = name_of(&path);
        if path.is_dir() && name.ends_with(".toml.d") {
            for inner in entries(&path).map_err(|error| failed(&path, error))? {
                if name_of(&inner).ends_with(".toml") {
                    add(format!("{name}/{}", name_of(&inner)), &inner)?;
                }
            }
        } else if name.ends_with(".toml") {
            add(name, &path)?;
        }
    }
    if files.is_empty() && empty == Empty::Refused {
        return Err(Failure::Failed(format!(
            "{}: no unit file in it; if all units of the operator are to go, say `--allow-empty`",
            folder.display()
        )));
    }
    let text = serde_json::to_vec(&files)
        .map_err(|error| Failure::Failed(format!("not writable as JSON: {error}")))?;
    if text.len() > UNIT_FILES_BYTES_MAX {
        let most = UNIT_FILES_BYTES_MAX >> 20;
        let folder = folder.display();
        return Err(Failure::Failed(format!(
            "{folder}: more than {most} MiB of unit files"
        )));
    }
    Ok(text)
}

/// Sorted, without hidden ones and what editors keep.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !name_of(&path).starts_with(['.', '#']) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_check_looks_at_goes_to_the_machine() {
        let folder = std::env::temp_dir().join(format!("ctl-folder-{}", std::process::id()));
        let drop_ins = folder.join("web.container.toml.d");
        fs::create_dir_all(&drop_ins).unwrap();
        let refused = read(&folder, Empty::Refused).unwrap_err().to_string();
        assert!(refused.contains("--allow-empty"), "{refused}");
        assert_eq!(read(&folder, Empty::Allowed).unwrap(), b"{}");
        for (path, text) in [
            (folder.join("web.container.toml"), "[container]\n"),
            (folder.join("README.md"), "not a unit"),
            (folder.join(".hidden.container.toml"), "nor this"),
            (drop_ins.join("10.toml"), "x = 1"),
        ] {
            fs::write(path, text).unwrap();
        }
        let text = String::from_utf8(read(&folder, Empty::Refused).unwrap()).unwrap();
        assert_eq!(
            text,
            r#"{"web.container.toml":"[container]\n","web.container.toml.d/10.toml":"x = 1"}"#
        );
        fs::write(drop_ins.join("20.toml"), [0xff]).unwrap();
        let bad = read(&folder, Empty::Refused).unwrap_err().to_string();
        assert!(bad.contains("20.toml: cannot be read"), "{bad}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
