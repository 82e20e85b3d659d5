//! All modules of a kernel: `/lib/modules/<release>` of its package.

use super::modinfo::{self, Modinfo};
use super::normal;
use crate::error::{BuildError, at, content};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One module of the library.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Relative to the library: `kernel/fs/ext4/ext4.ko.xz`.
    pub(crate) path: String,
    pub(crate) info: Modinfo,
}

#[derive(Debug)]
pub(crate) struct Library {
    pub(crate) folder: PathBuf,
    pub(crate) entries: BTreeMap<String, Entry>,
    /// Names of what the kernel has inside.
    pub(crate) builtin: BTreeSet<String>,
    /// Requests (`crypto-crc32c`) that a built-in serves.
    builtin_aliases: BTreeSet<String>,
    /// Request → modules that serve it.
    providers: BTreeMap<String, Vec<String>>,
}

impl Library {
    /// Read every module's `.modinfo`. `cache` is a file that keeps them for the next build of the same kernel.
    pub(crate) fn read(folder: &Path, cache: &Path) -> Result<Self, BuildError> {
        let paths = module_files(folder)?;
        let cached: BTreeMap<String, Entry> = std::fs::read(cache)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let same =
            cached.len() == paths.len() && cached.values().all(|entry| paths.contains(&entry.path));
        let entries = if same { cached } else { scan(folder, &paths)? };
        if !same {
            let parent = cache.parent().unwrap_or(folder);
            std::fs::create_dir_all(parent).map_err(at(parent))?;
            std::fs::write(cache, serde_json::to_vec(&entries).unwrap_or_default())
                .map_err(at(cache))?;
        }
        let list = folder.join("modules.builtin");
        let builtin = std::fs::read_to_string(&list)
            .map_err(at(&list))?
            .lines()
            .map(name_of)
            .collect();
        let info = std::fs::read(folder.join("modules.builtin.modinfo")).unwrap_or_default();
        let builtin_aliases = info
            .split(|byte| *byte == 0)
            .filter_map(|field| std::str::from_utf8(field).ok()?.split_once(".alias="))
            .map(|(_, alias)| alias.to_owned())
            .collect();
        Ok(Self::with(
            folder.to_path_buf(),
            entries,
            builtin,
            builtin_aliases,
        ))
    }

    #[cfg(test)]
    pub(crate) fn for_test(
        folder: PathBuf,
        entries: BTreeMap<String, Entry>,
        builtin: BTreeSet<String>,
    ) -> Self {
        Self::with(folder, entries, builtin, BTreeSet::new())
    }

    fn with(
        folder: PathBuf,
        entries: BTreeMap<String, Entry>,
        builtin: BTreeSet<String>,
        builtin_aliases: BTreeSet<String>,
    ) -> Self {
        let mut providers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, entry) in &entries {
            for alias in entry
                .info
                .aliases
                .iter()
                .filter(|alias| !alias.contains(['*', '?', '[']))
            {
                providers
                    .entry(normal(alias))
                    .or_default()
                    .push(name.clone());
            }
        }
        Self {
            folder,
            entries,
            builtin,
            builtin_aliases,
            providers,
        }
    }

    /// Modules that a name or request stands for; empty when none has it or the kernel has it inside.
    pub(crate) fn serving(&self, request: &str) -> Vec<String> {
        let name = normal(request);
        if self.entries.contains_key(&name) {
            return vec![name];
        }
        if self.builtin.contains(&name) {
            return Vec::new();
        }
        // A generic implementation may be inside while processor-specific ones are modules; those are wanted too.
        self.providers.get(&name).cloned().unwrap_or_default()
    }

    /// The kernel has it inside.
    pub(crate) fn is_builtin(&self, request: &str) -> bool {
        self.builtin.contains(&normal(request)) || self.builtin_aliases.contains(request)
    }

    /// Path of a module's file on the build host.
    pub(crate) fn file(&self, entry: &Entry) -> PathBuf {
        self.folder.join(&entry.path)
    }
}

fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    normal(file.split(".ko").next().unwrap_or(file))
}

/// Relative paths of all modules.
fn module_files(folder: &Path) -> Result<BTreeSet<String>, BuildError> {
    let mut found = BTreeSet::new();
    let mut queue = vec![folder.join("kernel")];
    while let Some(place) = queue.pop() {
        for entry in std::fs::read_dir(&place).map_err(at(&place))? {
            let path = entry.map_err(at(&place))?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                queue.push(path);
            } else if name.ends_with(".ko") || name.contains(".ko.") {
                let relative = path.strip_prefix(folder).unwrap_or(&path);
                found.insert(relative.to_string_lossy().into_owned());
            }
        }
    }
    Ok(found)
}

/// Thousands of files to decompress: shared among the processors.
fn scan(folder: &Path, paths: &BTreeSet<String>) -> Result<BTreeMap<String, Entry>, BuildError> {
    let paths: Vec<&String> = paths.iter().collect();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let share = paths.len().div_ceil(workers).max(1);
    let read_one = |path: &String| {
        let file = folder.join(path);
        let bytes = modinfo::read(&file).map_err(at(&file))?;
        let info = Modinfo::of_module(&bytes).map_err(|problem| content(&file, problem))?;
        Ok((
            name_of(path),
            Entry {
                path: path.clone(),
                info,
            },
        ))
    };
    std::thread::scope(|scope| {
        let run = |share: &[&String]| share.iter().map(|path| read_one(path)).collect::<Vec<_>>();
        let threads: Vec<_> = paths
            .chunks(share)
            .map(|share| scope.spawn(move || run(share)))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_default())
            .collect()
    })
}
