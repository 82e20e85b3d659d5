//! The texts of all unit files and drop-ins, gathered from directories.
//!
//! ```text
//! DIRECTORY/web.container.toml                      units["web.container.toml"]
//! DIRECTORY/web.container.toml.d/10-memory.toml     drop_ins["web.container.toml"]["10-memory.toml"]
//! ```
//!
//! A file in a later directory stands in for one of the same name in an earlier one, drop-ins too; the drop-ins of all
//! directories change the unit, in the order of their names.

use crate::{Diagnostic, Source};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Of one file. A unit is a page or two of text; a larger file is something else, and PID 1 would have to go through it.
const FILE_BYTES_MAX: usize = 64 << 10;

/// `Err` for a file that cannot be read.
pub(crate) type Readable = Result<Source, Diagnostic>;

#[derive(Default)]
pub(crate) struct Files {
    /// By file name.
    pub(crate) units: BTreeMap<String, Readable>,
    /// By the name of the file that they change, then by their own.
    pub(crate) drop_ins: BTreeMap<String, BTreeMap<String, Readable>>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Files {
    pub(crate) fn add(&mut self, source: Source) {
        if source.text.len() > FILE_BYTES_MAX {
            return self.unreadable(Path::new(&source.file), &too_large());
        }
        self.keep(&source.file.clone(), Ok(source));
    }

    fn keep(&mut self, path: &str, file: Readable) {
        let key = Source {
            file: path.to_owned(),
            text: String::new(),
        };
        let name = key.file_name().to_owned();
        match key.changes() {
            Some(unit) => {
                let drop_ins = self.drop_ins.entry(unit.to_owned()).or_default();
                drop_ins.insert(name, file);
            }
            None => {
                self.units.insert(name, file);
            }
        }
    }

    /// Every path that it looked at, and the directory.
    pub(crate) fn read_directory(&mut self, directory: &Path) -> Vec<String> {
        let mut seen = vec![directory.display().to_string()];
        for path in self.entries(directory) {
            let name = file_name_of(&path);
            if name.ends_with(".toml.d") {
                seen.push(path.display().to_string());
                for path in self.entries(&path) {
                    if file_name_of(&path).ends_with(".toml") {
                        seen.push(path.display().to_string());
                        self.read_file(&path);
                    }
                }
            } else if name.ends_with(".toml") {
                seen.push(path.display().to_string());
                self.read_file(&path);
            }
        }
        seen
    }

    /// Sorted, without hidden ones.
    fn entries(&mut self, directory: &Path) -> Vec<PathBuf> {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                let directory = directory.display().to_string();
                let message = format!("cannot be read: {error}");
                self.diagnostics
                    .push(Diagnostic::error(&directory, None, message));
                return Vec::new();
            }
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut paths: Vec<PathBuf> = paths
            .filter(|path| !file_name_of(path).starts_with('.'))
            .collect();
        paths.sort();
        paths
    }

    pub(crate) fn read_file(&mut self, path: &Path) {
        match read(path) {
            Ok(text) => self.add(Source {
                file: path.display().to_string(),
                text,
            }),
            Err(error) => self.unreadable(path, &error),
        }
    }

    /// It stands in for an earlier file all the same: which of the two is meant is not in doubt.
    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        let file = path.display().to_string();
        let diagnostic = Diagnostic::error(&file, None, format!("cannot be read: {error}"));
        self.keep(&file, Err(diagnostic));
    }
}

fn file_name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn too_large() -> io::Error {
    io::Error::other(format!("larger than {} KiB", FILE_BYTES_MAX >> 10))
}

/// The text of a regular file: reading anything else could block for ever.
fn read(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(FILE_BYTES_MAX)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error
            .as_bytes()
            .get(..error.utf8_error().valid_up_to())
            .map_or(0, |good| good.split(|byte| *byte == b'\n').count());
        io::Error::other(format!("not UTF-8 in line {line}"))
    })
}
