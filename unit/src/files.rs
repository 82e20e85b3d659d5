//! The texts of all unit files and drop-ins, gathered from directories.
//!
//! ```text
//! DIRECTORY/web.container.toml                      units["web.container.toml"]
//! DIRECTORY/web.container.toml.d/10-memory.toml     drop_ins["web.container.toml"]["10-memory.toml"]
//! ```
//!
//! Whatever else lies there is named in a warning (`neighbours`), unless nobody can have meant it as a unit.
//!
//! A file in a later directory stands in for one of the same name in an earlier one, drop-ins too; the drop-ins of all
//! directories change the unit, in the order of their names.

use crate::neighbours::{self, Verdict};
use crate::{Diagnostic, Severity, Source};
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
    /// Folders of drop-ins, by the file that they change, and one of their paths.
    pub(crate) folders: BTreeMap<String, String>,
    /// What is no unit. With a name: unless some unit speaks of it by that.
    strays: Vec<(Option<String>, Diagnostic)>,
}

/// Of folders in a folder of units, to look for units that somebody put there: so deep, and so many entries in all.
const BURIED_DEPTH_MAX: u32 = 3;
const BURIED_ENTRIES_MAX: usize = 1000;

impl Files {
    pub(crate) fn add(&mut self, source: Source) {
        let in_folder = source.changes().is_some();
        let verdict = if in_folder {
            neighbours::drop_in(source.file_name())
        } else {
            neighbours::file(source.file_name())
        };
        if verdict != Verdict::Read {
            let name = source.file_name().to_owned();
            return self.judge(&source.file, &name, verdict);
        }
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
        let entries = self.entries(directory);
        let names: Vec<String> = entries.iter().map(|path| file_name_of(path)).collect();
        for (path, name) in entries.iter().zip(&names) {
            let shown = path.display().to_string();
            let is_folder = path.is_dir() && !name.ends_with(".toml");
            let verdict = if is_folder || name.ends_with(".toml.d") {
                neighbours::folder(name, &names)
            } else {
                neighbours::file(name)
            };
            match verdict {
                Verdict::Read if name.ends_with(".toml.d") => self.read_drop_ins(path, &mut seen),
                Verdict::Read => self.read_file(path),
                Verdict::Unknown(stray) if is_folder && !path.is_symlink() => {
                    let mut left = BURIED_ENTRIES_MAX;
                    let before = self.strays.len();
                    self.dig(path, BURIED_DEPTH_MAX, &mut left, &mut seen);
                    if self.strays.len() == before {
                        self.judge(&shown, name, Verdict::Unknown(stray));
                    }
                }
                verdict @ (Verdict::Neutral | Verdict::Stray(_) | Verdict::Unknown(_)) => {
                    self.judge(&shown, name, verdict);
                }
            }
            seen.push(shown);
        }
        seen
    }

    fn read_drop_ins(&mut self, folder: &Path, seen: &mut Vec<String>) {
        let shown = folder.display().to_string();
        let name = file_name_of(folder);
        let unit_file = name.strip_suffix(".d").unwrap_or(&name);
        self.folders.insert(unit_file.to_owned(), shown);
        for path in self.entries(folder) {
            let name = file_name_of(&path);
            let verdict = if path.is_dir() {
                neighbours::folder_of_drop_in(&name)
            } else {
                neighbours::drop_in(&name)
            };
            match verdict {
                Verdict::Read => self.read_file(&path),
                verdict @ (Verdict::Neutral | Verdict::Stray(_) | Verdict::Unknown(_)) => {
                    self.judge(&path.display().to_string(), &name, verdict);
                }
            }
            seen.push(path.display().to_string());
        }
    }

    /// Units in a folder that is not looked into.
    fn dig(&mut self, folder: &Path, depth: u32, left: &mut usize, seen: &mut Vec<String>) {
        for path in self.entries(folder) {
            let Some(rest) = left.checked_sub(1) else {
                return;
            };
            *left = rest;
            let name = file_name_of(&path);
            // A link could lead round in a circle, or anywhere.
            let is_folder = !path.is_symlink() && path.is_dir();
            if is_folder && !name.starts_with('.') {
                if let Some(depth) = depth.checked_sub(1) {
                    self.dig(&path, depth, left, seen);
                }
            } else if let Some(stray) = neighbours::buried(&name) {
                let shown = path.display().to_string();
                self.judge(&shown, &name, Verdict::Stray(stray));
                seen.push(shown);
            }
        }
    }

    /// Keeps what is to be said.
    fn judge(&mut self, path: &str, name: &str, verdict: Verdict) {
        let (name, stray) = match verdict {
            Verdict::Read | Verdict::Neutral => return,
            Verdict::Stray(stray) => (None, stray),
            Verdict::Unknown(stray) => (Some(name.to_owned()), stray),
        };
        let message = format!("{}, and is not read", stray.is);
        let warning = Diagnostic::warning(path, None, message).hint(stray.hint);
        self.strays.push((name, warning));
    }

    /// Warnings of what is no unit. A file that a unit names is that unit's own matter.
    pub(crate) fn take_strays(&mut self) -> Vec<Diagnostic> {
        let strays = std::mem::take(&mut self.strays);
        let drop_ins = self.drop_ins.values().flat_map(BTreeMap::values);
        let sources: Vec<&Source> = self.units.values().chain(drop_ins).flatten().collect();
        let named = |name: &String| sources.iter().any(|source| source.text.contains(name));
        let strays = strays.into_iter();
        let left = strays.filter(|(name, _)| !name.as_ref().is_some_and(named));
        left.map(|(_, warning)| warning).collect()
    }

    /// Sorted.
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
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        paths.sort();
        paths
    }

    /// A file that was asked about by its name: when it is no unit, that is an error.
    pub(crate) fn read_named(&mut self, path: &Path) {
        let before = self.strays.len();
        self.read_file(path);
        for (_, mut stray) in self.strays.split_off(before.min(self.strays.len())) {
            stray.severity = Severity::Error;
            self.diagnostics.push(stray);
        }
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
