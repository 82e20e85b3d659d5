//! From directories of files to the set.
//!
//! ```text
//! Files ──▶ a Document for each unit (its file and its drop-ins) ──▶ UnitFile ──▶ Draft ──▶ resolve ──▶ Loaded
//! ```
//!
//! A file `redis@1.container.toml` stands in for that instance of `redis@.container.toml` and of its drop-ins, as a
//! file of its own does in systemd; drop-ins of `redis@1.container.toml.d` change that instance only.

use crate::document::Document;
use crate::draft::Draft;
use crate::file::{self, Contents, UnitFile};
use crate::file_name::{self, FileName};
use crate::files::{Files, Readable};
use crate::nearest::nearest;
use crate::neighbours;
use crate::validate::{self, Instance};
use crate::{BadUnit, Choices, Diagnostic, Loaded, Severity, Source, UnitName, resolve};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Of one unit. Each is read again whenever the units are loaded.
const DROP_INS_MAX: usize = 64;

/// Reads all unit files of the directories, lowest precedence first. A directory that does not exist is empty.
#[must_use]
pub fn load(directories: &[PathBuf]) -> Loaded {
    let mut files = Files::default();
    for directory in directories {
        files.read_directory(directory);
    }
    resolved(files, None)
}

/// Where unit files come from.
#[derive(Clone, Debug)]
pub enum Layer {
    Folder(PathBuf),
    Sources(Vec<Source>),
}

/// Loads the layers, lowest precedence first, as the operator wants them.
#[must_use]
pub fn load_layers(layers: Vec<Layer>, choices: &Choices) -> Loaded {
    let mut files = Files::default();
    for layer in layers {
        match layer {
            Layer::Folder(folder) => {
                files.read_directory(&folder);
            }
            Layer::Sources(sources) => sources.into_iter().for_each(|source| files.add(source)),
        }
    }
    resolved(files, Some(choices))
}

/// As [`load`], for texts that are not in files: a later source stands in for an earlier one of the same file name. A
/// source named `web.container.toml.d/10-memory.toml` is a drop-in.
#[must_use]
pub fn load_sources(sources: Vec<Source>) -> Loaded {
    let mut files = Files::default();
    for source in sources {
        files.add(source);
    }
    resolved(files, None)
}

/// Checks files, and all files of directories. The neighbours of a named file are read too, so that it may refer to
/// them, but nothing is said about them; its drop-ins are part of it, and a named drop-in is checked with its unit.
#[must_use]
pub fn check(paths: &[PathBuf]) -> Loaded {
    let mut files = Files::default();
    let named: Vec<&PathBuf> = paths.iter().filter(|path| !path.is_dir()).collect();
    let parents: BTreeSet<PathBuf> = named.iter().map(|path| home(path)).collect();
    for parent in &parents {
        files.read_directory(parent);
    }
    files.diagnostics.clear();
    files.take_strays();
    files.folders.clear();
    let mut asked: BTreeSet<String> = BTreeSet::new();
    let mut folders: Vec<String> = Vec::new();
    for directory in paths.iter().filter(|path| path.is_dir()) {
        asked.extend(files.read_directory(directory));
    }
    for path in named {
        if let Some(name) = path.file_name() {
            let folder = home(path).join(format!("{}.d", name.to_string_lossy()));
            folders.push(format!("{}/", folder.display()));
        }
        asked.insert(path.display().to_string());
        files.read_named(path);
    }
    let wanted =
        |file: &str| asked.contains(file) || folders.iter().any(|folder| file.starts_with(folder));
    let mut loaded = resolved(files, None);
    loaded
        .diagnostics
        .retain(|diagnostic| diagnostic.concerns(wanted));
    loaded.bad.retain(|bad| {
        wanted(&bad.source)
            || bad
                .diagnostics
                .iter()
                .any(|diagnostic| diagnostic.concerns(wanted))
    });
    loaded
}

/// Warnings of what lies in a folder of units and is none, nothing else: for whoever takes the units of it elsewhere.
#[must_use]
pub fn strays(directory: &Path) -> Vec<Diagnostic> {
    let mut files = Files::default();
    files.read_directory(directory);
    let mut loader = Loader::new(&files);
    loader.drafts();
    loader.diagnostics.clear();
    loader.warn_of_unused();
    let mut strays = loader.diagnostics;
    strays.extend(files.take_strays());
    Diagnostic::sort(&mut strays);
    strays
}

/// The directory of units that a file belongs to.
fn home(path: &Path) -> PathBuf {
    let parent = path.parent().unwrap_or(Path::new(""));
    let in_drop_ins = parent
        .file_name()
        .is_some_and(|name| name.to_string_lossy().ends_with(".toml.d"));
    let home = if in_drop_ins {
        parent.parent().unwrap_or(Path::new(""))
    } else {
        parent
    };
    if home.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        home.to_owned()
    }
}

/// Without choices, every unit may start.
fn resolved(mut files: Files, choices: Option<&Choices>) -> Loaded {
    let mut diagnostics = std::mem::take(&mut files.diagnostics);
    diagnostics.extend(files.take_strays());
    let mut loader = Loader::new(&files);
    loader.diagnostics = diagnostics;
    let drafts = loader.drafts();
    loader.warn_of_unused();
    resolve::resolve(drafts, loader.lame, loader.bad, loader.diagnostics, choices)
}

struct Loader<'f> {
    units: &'f BTreeMap<String, Readable>,
    drop_ins: &'f BTreeMap<String, BTreeMap<String, Readable>>,
    /// Of drop-ins, by the file that they change.
    folders: &'f BTreeMap<String, String>,
    /// Units whose drop-ins have been looked at.
    used: BTreeSet<String>,
    bad: Vec<BadUnit>,
    /// Those of `bad` whose dependencies can be read.
    lame: Vec<Draft>,
    diagnostics: Vec<Diagnostic>,
}

impl<'f> Loader<'f> {
    fn new(files: &'f Files) -> Self {
        Self {
            units: &files.units,
            drop_ins: &files.drop_ins,
            folders: &files.folders,
            used: BTreeSet::new(),
            bad: Vec::new(),
            lame: Vec::new(),
            diagnostics: Vec::new(),
        }
    }

    fn drafts(&mut self) -> Vec<Draft> {
        let parse = |name: &str| file_name::parse(name);
        let parsed: Vec<_> = self
            .units
            .iter()
            .map(|(name, file)| (name, parse(name), file))
            .collect();
        let own_file: BTreeSet<UnitName> = parsed
            .iter()
            .filter_map(|(_, kind, _)| kind.clone().ok()?.container())
            .collect();
        let mut drafts = Vec::new();
        for (name, kind, file) in parsed {
            match (kind, file) {
                (Ok(kind), Ok(source)) => match self.drop_ins_of(name) {
                    Ok(drop_ins) => {
                        drafts.extend(self.unit(name, kind, source, drop_ins, &own_file));
                    }
                    Err(unreadable) => {
                        self.reject(&source.file, &kind.to_string(), unreadable);
                    }
                },
                (Ok(kind), Err(unreadable)) => {
                    self.used.insert(name.clone());
                    let file = unreadable.file.clone();
                    self.reject(&file, &kind.to_string(), vec![unreadable.clone()]);
                }
                (Err((unit, fault)), file) => {
                    self.used.insert(name.clone());
                    let file = file
                        .as_ref()
                        .map_or_else(|unreadable| &unreadable.file, |source| &source.file);
                    let message = format!("`{name}` {}", fault.problem);
                    let error = Diagnostic::error(file, None, message);
                    let error = error.expected(fault.expected).hint_if(fault.hint);
                    self.reject(file, &unit, vec![error]);
                }
            }
        }
        drafts
    }

    /// In the order in which they change the unit; or those that cannot be read.
    fn drop_ins_of(&mut self, unit_file: &str) -> Result<Vec<&'f Source>, Vec<Diagnostic>> {
        self.used.insert(unit_file.to_owned());
        let Some(files) = self.drop_ins.get(unit_file) else {
            return Ok(Vec::new());
        };
        let mut errors: Vec<Diagnostic> = Vec::new();
        let mut sources = Vec::new();
        for file in files.values() {
            match file {
                Ok(source) if sources.len() >= DROP_INS_MAX => {
                    let error =
                        Diagnostic::error(&source.file, None, "this drop-in is one too many");
                    errors.push(error.expected(format!("at most {DROP_INS_MAX} for one unit")));
                }
                Ok(source) => sources.push(source),
                Err(unreadable) => errors.push(unreadable.clone()),
            }
        }
        if errors.is_empty() {
            Ok(sources)
        } else {
            Err(errors)
        }
    }

    /// A drop-in that changes nothing is not what somebody wrote it for.
    fn warn_of_unused(&mut self) {
        for (unit_file, files) in self.drop_ins {
            if self.used.contains(unit_file) {
                continue;
            }
            for file in files.values() {
                let path = match file {
                    Ok(source) => &source.file,
                    Err(unreadable) => &unreadable.file,
                };
                let message = format!("there is no unit `{unit_file}` for this drop-in to change");
                let warning = Diagnostic::warning(path, None, message);
                let hint = self.hint_for_unused(unit_file);
                self.diagnostics.push(warning.hint_if(hint));
            }
        }
        self.warn_of_empty();
    }

    /// The same of an empty folder.
    fn warn_of_empty(&mut self) {
        for (unit_file, path) in self.folders {
            if self.used.contains(unit_file) || self.drop_ins.contains_key(unit_file) {
                continue;
            }
            let message =
                format!("there is no unit `{unit_file}` for drop-ins in this folder to change");
            let warning = Diagnostic::warning(path, None, message);
            let hint = self.hint_for_unused(unit_file);
            self.diagnostics.push(warning.hint_if(hint));
        }
    }

    fn hint_for_unused(&self, unit_file: &str) -> Option<String> {
        let files: Vec<&str> = self.units.keys().map(String::as_str).collect();
        if let Some(hint) = neighbours::shared_drop_ins(unit_file, &files) {
            return Some(hint);
        }
        let template = unit_file
            .split_once('@')
            .map(|(base, _)| format!("{base}@.container.toml"));
        if let Some(template) = template.filter(|template| self.used.contains(template)) {
            return Some(format!("`{template}` makes no instance of this name"));
        }
        let (name, kind) = split_kind(unit_file);
        let same_kind = |other: &'f str| {
            let (name, of) = split_kind(other);
            (of == kind).then_some(name)
        };
        let names = self.units.keys().filter_map(|file| same_kind(file));
        let near = nearest(name, names)?;
        Some(format!("a unit with a similar name exists: `{near}{kind}`"))
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
        document: &Document<'_>,
        draft: Draft,
        diagnostics: Vec<Diagnostic>,
    ) -> Option<Draft> {
        if diagnostics.iter().any(Diagnostic::is_error) {
            self.reject(document.file(), draft.unit.name.as_str(), diagnostics);
            self.lame.push(draft);
            return None;
        }
        self.diagnostics.extend(diagnostics);
        Some(draft)
    }

    fn unit(
        &mut self,
        file_name: &str,
        kind: FileName,
        source: &'f Source,
        drop_ins: Vec<&'f Source>,
        own_file: &BTreeSet<UnitName>,
    ) -> Vec<Draft> {
        if let FileName::Template(base) = &kind {
            return self.template(file_name, source, &drop_ins, base, own_file);
        }
        let document = Document::new(source, drop_ins);
        let contents = match &kind {
            FileName::Container(_) | FileName::Template(_) => Contents::Container,
            FileName::Target(_) => Contents::Target,
            FileName::Timer(_) => Contents::Timer,
        };
        let (file, diagnostics) = file::read(&document, contents);
        let Some(file) = file else {
            self.reject(document.file(), &kind.to_string(), diagnostics);
            return Vec::new();
        };
        let (draft, more) = match kind {
            FileName::Container(name) => container(&document, &file, name),
            FileName::Target(name) => validate::target(&document, &file, name),
            FileName::Timer(name) => validate::timer(&document, &file, name),
            FileName::Template(_) => return Vec::new(),
        };
        let diagnostics = merge(diagnostics, more);
        self.keep(&document, draft, diagnostics)
            .into_iter()
            .collect()
    }

    /// What is wrong with the file is said once, and makes all instances bad; what is wrong with one instance makes
    /// only that one bad, and is said for the first that has it.
    fn template(
        &mut self,
        file_name: &str,
        source: &'f Source,
        drop_ins: &[&'f Source],
        base: &str,
        own_file: &BTreeSet<UnitName>,
    ) -> Vec<Draft> {
        let document = Document::new(source, drop_ins.iter().copied());
        let (file, diagnostics) = file::read(&document, Contents::Container);
        let Some(file) = file else {
            self.reject(document.file(), base, diagnostics);
            return Vec::new();
        };
        let (instances, more) = validate::replicas::instances(&document, &file, base);
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
        let suffix = file_name.strip_prefix(base).unwrap_or_default();
        for instance in instances
            .into_iter()
            .filter(|instance| !own_file.contains(&instance.name))
        {
            let name = instance.name.clone();
            let own_drop_ins = self.drop_ins_of(&format!("{name}{suffix}"));
            let (draft, own) = match own_drop_ins {
                Ok(own) if own.is_empty() => {
                    let (draft, own) = validate::container(&document, &file, &instance);
                    (Some(draft), own)
                }
                Ok(own) => self.changed_instance(source, drop_ins, &own, &instance),
                Err(unreadable) => (None, unreadable),
            };
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
                    name: name.to_string(),
                    source: source.file.clone(),
                    diagnostics: own,
                });
                self.lame.extend(draft);
            } else {
                drafts.extend(draft);
            }
        }
        self.diagnostics.extend(said);
        drafts
    }

    /// An instance with drop-ins of its own.
    fn changed_instance(
        &self,
        source: &'f Source,
        common: &[&'f Source],
        own: &[&'f Source],
        instance: &Instance,
    ) -> (Option<Draft>, Vec<Diagnostic>) {
        let document = Document::new(source, common.iter().chain(own).copied());
        let (file, mut diagnostics) = file::read(&document, Contents::Container);
        let Some(file) = file else {
            return (None, diagnostics);
        };
        for part in document.parts().skip(common.len().saturating_add(1)) {
            let Some(span) = file::written(part, "replicas") else {
                continue;
            };
            let message = "`[replicas]` counts only for a whole template, not for one instance";
            let error = document.error(&span, message);
            diagnostics.push(error.hint("take it out, or move it to a drop-in of the template"));
        }
        let (draft, more) = validate::container(&document, &file, instance);
        (Some(draft), merge(diagnostics, more))
    }
}

/// `web` and `.container.toml`
fn split_kind(file_name: &str) -> (&str, &str) {
    let stem = file_name.strip_suffix(".toml").unwrap_or(file_name);
    file_name.split_at(stem.rfind('.').unwrap_or(stem.len()))
}

fn container(document: &Document<'_>, file: &UnitFile, name: UnitName) -> (Draft, Vec<Diagnostic>) {
    let base = name.as_str().split('@').next().unwrap_or("").to_owned();
    let instance = Instance {
        name,
        replica: None,
    };
    let (draft, mut diagnostics) = validate::container(document, file, &instance);
    if let Some(replicas) = &file.replicas {
        let error = document.error(&replicas.span(), "`[replicas]` counts only in a template");
        diagnostics.push(error.hint(format!(
            "name the file `{base}@.container.toml`, or take `[replicas]` out"
        )));
    }
    (draft, diagnostics)
}

fn same_place(a: &Diagnostic, b: &Diagnostic) -> bool {
    (a.severity, &a.file, &a.place) == (b.severity, &b.file, &b.place)
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
