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

use crate::neighbours::{self, Stray, Verdict};
use crate::spoken_of::{Place, SpokenOf};
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
    /// What is no unit. With a place: unless some unit speaks of that.
    strays: Vec<(Option<Place>, Diagnostic)>,
}

/// Of a folder in a folder of units, to look for units that somebody put there: so deep, and so many entries in all.
const BURIED_DEPTH_MAX: u32 = 8;
const BURIED_ENTRIES_MAX: usize = 1000;

/// Whose units lie in a folder by mistake, and how much of it is still looked at.
struct Dig<'d> {
    /// The folder of units around it.
    home: &'d Path,
    texts: bool,
    left: usize,
    /// Not all of it was seen.
    cut: bool,
}

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
            let place = Place::new(Path::new(""), Path::new(&name));
            return self.judge(&source.file, place, verdict);
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
                    self.look_below(directory, path, false, stray, &mut seen);
                }
                Verdict::Texts(stray) if !path.is_symlink() => {
                    self.look_below(directory, path, true, stray, &mut seen);
                }
                verdict @ (Verdict::Neutral
                | Verdict::Stray(_)
                | Verdict::Unknown(_)
                | Verdict::Texts(_)) => {
                    self.judge(&shown, Place::new(directory, path), verdict);
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
                verdict @ (Verdict::Neutral
                | Verdict::Stray(_)
                | Verdict::Unknown(_)
                | Verdict::Texts(_)) => {
                    let place = Place::new(folder, &path);
                    self.judge(&path.display().to_string(), place, verdict);
                }
            }
            seen.push(path.display().to_string());
        }
    }

    /// Names what is in a folder and looks like a unit; if there is none, the folder itself, unless it has `texts`.
    fn look_below(
        &mut self,
        home: &Path,
        folder: &Path,
        texts: bool,
        stray: Stray,
        seen: &mut Vec<String>,
    ) {
        let mut dig = Dig {
            home,
            texts,
            left: BURIED_ENTRIES_MAX,
            cut: false,
        };
        let before = self.strays.len();
        self.dig(folder, BURIED_DEPTH_MAX, &mut dig, seen);
        if self.strays.len() == before && (!texts || dig.cut) {
            let place = Place::new(home, folder);
            self.judge(
                &folder.display().to_string(),
                place,
                Verdict::Unknown(stray),
            );
        }
    }

    fn dig(&mut self, folder: &Path, depth: u32, dig: &mut Dig<'_>, seen: &mut Vec<String>) {
        // What cannot be read is as good as empty: nothing of it is read anyway.
        for path in sorted_entries(folder).unwrap_or_default() {
            let Some(left) = dig.left.checked_sub(1) else {
                dig.cut = true;
                return;
            };
            dig.left = left;
            let name = file_name_of(&path);
            // A link could lead round in a circle, or anywhere.
            let is_folder = !path.is_symlink() && path.is_dir();
            let verdict = match (is_folder, neighbours::buried_folder(&name)) {
                (true, Some(stray)) => Verdict::Stray(stray),
                (true, None) => {
                    if !name.starts_with('.') {
                        match depth.checked_sub(1) {
                            Some(depth) => self.dig(&path, depth, dig, seen),
                            None => dig.cut = true,
                        }
                    }
                    continue;
                }
                (false, _) => neighbours::buried(&name),
            };
            // Among texts, YAML that declares nothing is an example or a page's settings.
            let example = || !read(&path).is_ok_and(|text| neighbours::is_manifest(&text));
            match verdict {
                Verdict::Unknown(_) if dig.texts && example() => {}
                verdict @ (Verdict::Stray(_) | Verdict::Unknown(_)) => {
                    let shown = path.display().to_string();
                    self.judge(&shown, Place::new(dig.home, &path), verdict);
                    seen.push(shown);
                }
                Verdict::Read | Verdict::Neutral | Verdict::Texts(_) => {}
            }
        }
    }

    /// Keeps what is to be said.
    fn judge(&mut self, path: &str, place: Place, verdict: Verdict) {
        let (place, stray) = match verdict {
            Verdict::Read | Verdict::Neutral | Verdict::Texts(_) => return,
            Verdict::Stray(stray) => (None, stray),
            Verdict::Unknown(stray) => (Some(place), stray),
        };
        let message = format!("{}, and is not read", stray.is);
        let warning = Diagnostic::warning(path, None, message).hint(stray.hint);
        self.strays.push((place, warning));
    }

    /// Warnings of what is no unit. A file that a unit speaks of is that unit's own matter.
    pub(crate) fn take_strays(&mut self) -> Vec<Diagnostic> {
        let strays = std::mem::take(&mut self.strays);
        if strays.iter().all(|(place, _)| place.is_none()) {
            return strays.into_iter().map(|(_, warning)| warning).collect();
        }
        let drop_ins = self.drop_ins.values().flat_map(BTreeMap::values);
        let sources = self.units.values().chain(drop_ins).flatten();
        let spoken = SpokenOf::by(sources);
        let strays = strays.into_iter();
        let left = strays.filter(|(place, _)| !place.as_ref().is_some_and(|it| spoken.has(it)));
        left.map(|(_, warning)| warning).collect()
    }

    /// Sorted; none, and an error to report, if it cannot be read.
    fn entries(&mut self, directory: &Path) -> Vec<PathBuf> {
        match sorted_entries(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                let directory = directory.display().to_string();
                let message = format!("cannot be read: {error}");
                self.diagnostics
                    .push(Diagnostic::error(&directory, None, message));
                Vec::new()
            }
        }
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

fn sorted_entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort();
    Ok(paths)
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
