//! A directory of unit files as the document that goes to the guest by fw_cfg: one JSON object, file name → text.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Of the whole document: it is loaded into the guest's memory while it boots.
const DOCUMENT_BYTES_MAX: usize = 8 << 20;

#[derive(Debug)]
pub enum UnitsError {
    Io {
        path: PathBuf,
        source: io::Error,
    },
    /// No file of the directory has the name of a unit.
    Empty {
        folder: PathBuf,
    },
    TooLarge {
        folder: PathBuf,
        bytes: usize,
    },
}

impl fmt::Display for UnitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "unit files {}: {source}", path.display()),
            Self::Empty { folder } => {
                write!(
                    f,
                    "{}: no unit files in it; they are called NAME.container.toml or NAME.target.toml",
                    folder.display()
                )
            }
            Self::TooLarge { folder, bytes } => write!(
                f,
                "{}: {} of unit files, the limit is {}",
                folder.display(),
                unit::bytes::display(*bytes as u64),
                unit::bytes::display(DOCUMENT_BYTES_MAX as u64)
            ),
        }
    }
}

impl std::error::Error for UnitsError {}

/// The document of all `*.toml` files of a directory, and of those in its `*.toml.d` folders (drop-ins).
///
/// # Errors
/// When the directory or a file can't be read, or there is nothing in it. Whether the units are good is not looked at.
pub fn units_document(folder: &Path) -> Result<String, UnitsError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| UnitsError::Io { path, source }
    };
    let mut files = BTreeMap::new();
    let mut folders = vec![(String::new(), folder.to_owned())];
    while let Some((prefix, folder)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(at(&folder))? {
            let path = entry.map_err(at(&folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            if name.ends_with(".toml") {
                let text = fs::read_to_string(&path).map_err(at(&path))?;
                files.insert(format!("{prefix}{name}"), text);
            } else if prefix.is_empty() && name.ends_with(".toml.d") {
                folders.push((format!("{name}/"), path.clone()));
            }
        }
    }
    if files.is_empty() {
        return Err(UnitsError::Empty {
            folder: folder.to_owned(),
        });
    }
    let document = serde_json::to_string(&files)
        .map_err(io::Error::from)
        .map_err(at(folder))?;
    if document.len() > DOCUMENT_BYTES_MAX {
        return Err(UnitsError::TooLarge {
            folder: folder.to_owned(),
            bytes: document.len(),
        });
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unit_files_go_to_the_guest() {
        let folder = std::env::temp_dir().join(format!("keelson-units-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("README.md"), "no unit").unwrap();
        fs::write(folder.join(".web.container.toml"), "of an editor").unwrap();
        assert!(matches!(
            units_document(&folder),
            Err(UnitsError::Empty { .. })
        ));
        fs::write(folder.join("web.container.toml"), "[container]\n").unwrap();
        assert_eq!(
            units_document(&folder).unwrap(),
            r#"{"web.container.toml":"[container]\n"}"#
        );
        let drop_ins = folder.join("web.container.toml.d");
        fs::create_dir_all(&drop_ins).unwrap();
        fs::write(drop_ins.join("10.toml"), "[env]\n").unwrap();
        fs::write(drop_ins.join("notes"), "no drop-in").unwrap();
        assert_eq!(
            units_document(&folder).unwrap(),
            r#"{"web.container.toml":"[container]\n","web.container.toml.d/10.toml":"[env]\n"}"#
        );
        fs::remove_dir_all(&folder).unwrap();
        let error = units_document(&folder).unwrap_err().to_string();
        assert!(error.contains("No such file"), "{error}");
    }
}
