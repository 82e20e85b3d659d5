//! From directories of files to the set.
//!
//! A file in a later directory stands in for one of the same name in an earlier one. A file `redis@1.container.toml`
//! stands in for that instance of `redis@.container.toml`, as in systemd.

use crate::draft::Draft;
use crate::file::{self, Contents};
use crate::file_name::{self, FileName};
use crate::validate::{self, Instance};
use crate::{BadUnit, Diagnostic, Loaded, Severity, Source, UnitName, resolve};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Of one file. A unit is a page or two of text; a larger file is something else, and PID 1 would have to go through it.
const FILE_BYTES_MAX: usize = 64 << 10;

/// Reads all unit files of the directories, lowest precedence first. A directory that does not exist is empty.
#[must_use]
pub fn load(directories: &[PathBuf]) -> Loaded {
    let mut files = Files::default();
    for directory in directories {
        files.read_directory(directory);
    }
    files.load()
}

/// As [`load`], for texts that are not in files: a later source stands in for an earlier one of the same file name.
#[must_use]
pub fn load_sources(sources: Vec<Source>) -> Loaded {
    let mut files = Files::default();
    for source in sources {
        files.add(source);
    }
    files.load()
}

/// Checks files, and all files of directories. The neighbours of a named file are read too, so that it may refer to
/// them, but nothing is said about them.
#[must_use]
pub fn check(paths: &[PathBuf]) -> Loaded {
    let mut files = Files::default();
    let named: Vec<&PathBuf> = paths.iter().filter(|path| !path.is_dir()).collect();
    let parents: BTreeSet<&Path> = named.iter().filter_map(|path| path.parent()).collect();
    for parent in parents {
        files.read_directory(if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        });
    }
    files.diagnostics.clear();
    let mut asked: BTreeSet<String> = BTreeSet::new();
    for directory in paths.iter().filter(|path| path.is_dir()) {
        asked.extend(files.read_directory(directory));
    }
    for path in named {
        asked.insert(path.display().to_string());
        files.read_file(path);
    }
    let mut loaded = files.load();
    loaded
        .diagnostics
        .retain(|diagnostic| asked.contains(&diagnostic.file));
    loaded.bad.retain(|bad| asked.contains(&bad.source));
    loaded
}

#[derive(Default)]
struct Files {
    /// By file name; `Err` for one that cannot be read.
    files: BTreeMap<String, Result<Source, Diagnostic>>,
    diagnostics: Vec<Diagnostic>,
    bad: Vec<BadUnit>,
}

impl Files {
    fn add(&mut self, source: Source) {
        if source.text.len() > FILE_BYTES_MAX {
            return self.unreadable(Path::new(&source.file), &too_large());
        }
        self.files.insert(source.file_name().to_owned(), Ok(source));
    }

    /// Every path that it looked at, and the directory.
    fn read_directory(&mut self, directory: &Path) -> Vec<String> {
        let mut seen = vec![directory.display().to_string()];
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return seen,
            Err(error) => {
                let directory = directory.display().to_string();
                let message = format!("cannot be read: {error}");
                self.diagnostics
                    .push(Diagnostic::error(&directory, None, message));
                return seen;
            }
        };
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        paths.sort();
        for path in paths {
            let name = file_name_of(&path);
            if name.starts_with('.') || !(name.ends_with(".toml") || name.ends_with(".toml.d")) {
                continue;
            }
            seen.push(path.display().to_string());
            if name.ends_with(".toml.d") {
                let message = "drop-ins are not supported yet, so this is ignored";
                let warning = Diagnostic::warning(&path.display().to_string(), None, message);
                self.diagnostics
                    .push(warning.hint("write the whole unit in a directory of higher precedence"));
            } else {
                self.read_file(&path);
            }
        }
        seen
    }

    fn read_file(&mut self, path: &Path) {
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
        self.files.insert(file_name_of(path), Err(diagnostic));
    }

    fn load(mut self) -> Loaded {
        let files = std::mem::take(&mut self.files);
        let own_file: BTreeSet<UnitName> = files
            .keys()
            .filter_map(|name| file_name::parse(name).ok()?.container())
            .collect();
        let mut drafts = Vec::new();
        for (name, file) in files {
            match (file_name::parse(&name), file) {
                (Ok(FileName::Container(unit)), Ok(source)) => {
                    drafts.extend(self.container(&source, unit));
                }
                (Ok(FileName::Template(base)), Ok(source)) => {
                    drafts.extend(self.template(&source, &base, &own_file));
                }
                (Ok(FileName::Target(unit)), Ok(source)) => {
                    drafts.extend(self.target(&source, &unit));
                }
                (Ok(unit), Err(unreadable)) => {
                    let file = unreadable.file.clone();
                    self.reject(&file, &unit.to_string(), vec![unreadable]);
                }
                (Err((unit, fault)), file) => {
                    let file = file.map_or_else(|unreadable| unreadable.file, |source| source.file);
                    let error =
                        Diagnostic::error(&file, None, format!("`{name}` {}", fault.problem));
                    let error = error.expected(fault.expected).hint_if(fault.hint);
                    self.reject(&file, &unit, vec![error]);
                }
            }
        }
        resolve::resolve(drafts, self.bad, self.diagnostics)
    }

    fn reject(&mut self, file: &str, unit: &str, diagnostics: Vec<Diagnostic>) {
        self.diagnostics.extend(diagnostics.iter().cloned());
        self.bad.push(BadUnit {
            name: unit.to_owned(),
            source: file.to_owned(),
            diagnostics,
        });
    }

    fn keep(
        &mut self,
        source: &Source,
        draft: Draft,
        diagnostics: Vec<Diagnostic>,
    ) -> Option<Draft> {
        if diagnostics.iter().any(Diagnostic::is_error) {
            self.reject(&source.file, draft.unit.name.as_str(), diagnostics);
            return None;
        }
        self.diagnostics.extend(diagnostics);
        Some(draft)
    }

    fn container(&mut self, source: &Source, name: UnitName) -> Option<Draft> {
        let (file, mut diagnostics) = file::read(source, Contents::Container);
        let Some(file) = file else {
            self.reject(&source.file, name.as_str(), diagnostics);
            return None;
        };
        if let Some(replicas) = &file.replicas {
            let error = source.error(&replicas.span(), "`[replicas]` counts only in a template");
            let base = name.as_str().split('@').next().unwrap_or("");
            diagnostics.push(error.hint(format!(
                "name the file `{base}@.container.toml`, or take `[replicas]` out"
            )));
        }
        let (draft, more) = validate::container(source, &file, &Instance { name, position: 0 });
        let diagnostics = merge(diagnostics, more);
        self.keep(source, draft, diagnostics)
    }

    fn target(&mut self, source: &Source, name: &UnitName) -> Option<Draft> {
        let (file, diagnostics) = file::read(source, Contents::Target);
        let Some(file) = file else {
            self.reject(&source.file, name.as_str(), diagnostics);
            return None;
        };
        let (draft, more) = validate::target(source, &file, name);
        let diagnostics = merge(diagnostics, more);
        self.keep(source, draft, diagnostics)
    }

    /// What is wrong with the file is said once, and makes all instances bad; what is wrong with one instance makes
    /// only that one bad, and is said for the first that has it.
    fn template(
        &mut self,
        source: &Source,
        base: &str,
        own_file: &BTreeSet<UnitName>,
    ) -> Vec<Draft> {
        let (file, diagnostics) = file::read(source, Contents::Container);
        let Some(file) = file else {
            self.reject(&source.file, base, diagnostics);
            return Vec::new();
        };
        let (instances, more) = validate::replicas::instances(source, &file, base);
        let common = merge(diagnostics, more);
        let broken = common.iter().any(Diagnostic::is_error);
        if broken && instances.is_empty() {
            self.bad.push(BadUnit {
                name: base.to_owned(),
                source: source.file.clone(),
                diagnostics: common.clone(),
            });
        }
        let mut said: Vec<Diagnostic> = common.clone();
        let mut drafts = Vec::new();
        for instance in instances
            .into_iter()
            .filter(|instance| !own_file.contains(&instance.name))
        {
            let (draft, own) = validate::container(source, &file, &instance);
            let own = if broken {
                merge(common.clone(), own)
            } else {
                own
            };
            let bad = own.iter().any(Diagnostic::is_error);
            said.extend(
                own.iter()
                    .filter(|new| !said.iter().any(|old| same_place(old, new)))
                    .cloned()
                    .collect::<Vec<_>>(),
            );
            if bad {
                self.bad.push(BadUnit {
                    name: instance.name.to_string(),
                    source: source.file.clone(),
                    diagnostics: own,
                });
            } else {
                drafts.push(draft);
            }
        }
        self.diagnostics.extend(said);
        drafts
    }
}

fn same_place(a: &Diagnostic, b: &Diagnostic) -> bool {
    (a.severity, &a.place) == (b.severity, &b.place)
}

/// When the file as written has errors, validation goes on with what is left of it, so a second mistake at the same
/// place is only a consequence of the first.
fn merge(written: Vec<Diagnostic>, validated: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let fresh = validated
        .into_iter()
        .filter(|new| !written.iter().any(|old| same_place(old, new)));
    let fresh: Vec<Diagnostic> = fresh.collect();
    let mut all = written;
    all.extend(fresh);
    all.sort_by_key(|diagnostic| {
        (
            diagnostic.severity != Severity::Error,
            diagnostic.line(),
            diagnostic.column(),
        )
    });
    all
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
