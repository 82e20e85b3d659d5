//! The modules of the image and everything they need.
//!
//! Hard dependencies of an uncompressed module are uncompressed too: the order of loading is theirs. Soft dependencies
//! (`crypto-crc32c`) are requests that several modules may serve; all of them come along, compressed unless listed.
//!
//! Files written, as modules.dep(5) and depmod(8) have them, restricted to the closure:
//! `modules.dep` (all that a module needs; load from right to left), `modules.alias`, `modules.softdep`,
//! `modules.builtin`.

use super::library::Library;
use super::list::List;
use super::slim::slim;
use super::{modinfo, normal, pack};
use crate::error::{BuildError, at};
use crate::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// Whether the kernel can unpack module files by itself (`CONFIG_MODULE_DECOMPRESS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unpacking {
    ByKernel,
    /// Every module has to be stored plain.
    Never,
}

/// How a module is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Packed,
    Plain,
}

/// Where the files go: a part of the image is either compressed or not.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    /// Modules that are stored plain, and the indexes of all.
    pub(crate) plain: Tree,
    /// Modules that are compressed, one by one.
    pub(crate) packed: Tree,
}

#[derive(Debug)]
pub(crate) struct Closure<'a> {
    library: &'a Library,
    forms: BTreeMap<String, Form>,
    boot: Vec<String>,
    /// Listed names that this kernel neither has as a module nor inside.
    pub(crate) absent: Vec<String>,
}

impl<'a> Closure<'a> {
    pub(crate) fn new(
        library: &'a Library,
        list: &List,
        parts: &[String],
        release: &str,
        unpacking: Unpacking,
    ) -> Result<Self, BuildError> {
        let mut closure = Self {
            library,
            forms: BTreeMap::new(),
            boot: Vec::new(),
            absent: Vec::new(),
        };
        let rest = if unpacking == Unpacking::ByKernel {
            Form::Packed
        } else {
            Form::Plain
        };
        let mut groups = vec![
            (&list.boot, Form::Plain),
            (&list.common, Form::Plain),
            (&list.hardware, rest),
            (&list.containers, rest),
        ];
        for name in parts {
            let part = list.parts.get(name).ok_or_else(|| BuildError::Part {
                part: name.clone(),
                known: list.parts.keys().cloned().collect(),
            })?;
            groups.push((part, rest));
        }
        for (names, form) in groups {
            for name in names {
                closure.take(name, form);
            }
        }
        let missing: Vec<String> = list
            .boot
            .iter()
            .filter(|name| closure.absent.contains(name))
            .cloned()
            .collect();
        if !missing.is_empty() {
            return Err(BuildError::Modules {
                release: release.to_owned(),
                missing,
            });
        }
        closure.boot = list
            .boot
            .iter()
            .map(|name| normal(name))
            .filter(|name| closure.forms.contains_key(name))
            .collect();
        if unpacking == Unpacking::Never {
            closure
                .forms
                .values_mut()
                .for_each(|form| *form = Form::Plain);
        }
        Ok(closure)
    }

    fn take(&mut self, name: &str, form: Form) {
        let serving = self.library.serving(name);
        if serving.is_empty() && !self.library.is_builtin(name) {
            self.absent.push(name.to_owned());
        }
        let mut queue: Vec<(String, Form)> = serving.into_iter().map(|name| (name, form)).collect();
        while let Some((name, form)) = queue.pop() {
            let Some(entry) = self.library.entries.get(&name) else {
                continue;
            };
            let known = self.forms.get(&name).copied();
            if known.is_some_and(|known| known >= form) {
                continue;
            }
            self.forms.insert(name, form);
            queue.extend(
                entry
                    .info
                    .depends
                    .iter()
                    .map(|needed| (needed.clone(), form)),
            );
            for request in entry
                .info
                .softdeps
                .iter()
                .flat_map(|line| line.split_whitespace())
            {
                if !request.ends_with(':') {
                    queue.extend(
                        self.library
                            .serving(request)
                            .into_iter()
                            .map(|name| (name, Form::Packed)),
                    );
                }
            }
        }
    }

    /// How many modules there are, and how many of them are stored plain.
    pub(crate) fn count(&self) -> (usize, usize) {
        (
            self.forms.len(),
            self.forms
                .values()
                .filter(|form| **form == Form::Plain)
                .count(),
        )
    }

    /// Path of a module in the image, relative to `/usr/lib/modules/<release>`.
    fn path(&self, name: &str) -> Option<&'a str> {
        let path = self.library.entries.get(name)?.path.as_str();
        let plain = self.forms.get(name)? == &Form::Plain;
        match path.split_once(".ko.") {
            Some((stem, _)) if plain => path.get(..stem.len() + ".ko".len()),
            _ => Some(path),
        }
    }

    /// All that `name` needs, itself not included, each after what needs it.
    fn needed(&self, name: &str) -> Vec<&'a str> {
        fn visit<'a>(
            library: &'a Library,
            name: &str,
            seen: &mut BTreeSet<String>,
            order: &mut Vec<&'a str>,
        ) {
            let Some((key, entry)) = library.entries.get_key_value(name) else {
                return;
            };
            if seen.insert(key.clone()) {
                for needed in &entry.info.depends {
                    visit(library, needed, seen, order);
                }
                order.push(key);
            }
        }
        let mut order = Vec::new();
        visit(self.library, name, &mut BTreeSet::new(), &mut order);
        order.pop();
        order.reverse();
        order
    }

    /// Those that are stored compressed, by name.
    fn pack(&self, cache: Option<&Path>) -> Result<BTreeMap<&str, Vec<u8>>, BuildError> {
        let packed = self.forms.iter().filter(|(_, form)| **form == Form::Packed);
        let entries = packed.filter_map(|(name, _)| {
            let entry = self.library.entries.get(name)?;
            Some((name.as_str(), self.library.file(entry)))
        });
        let (names, sources): (Vec<_>, Vec<_>) = entries.unzip();
        let files = pack::all(&sources, cache)?;
        Ok(names.into_iter().zip(files).collect())
    }

    /// Put the modules and their indexes into the trees. `cache`: a folder for what was compressed.
    pub(crate) fn write(
        &self,
        release: &str,
        trees: &mut Trees,
        cache: Option<&Path>,
    ) -> Result<(), BuildError> {
        let Trees {
            plain: tree,
            packed,
        } = trees;
        let folder = format!("usr/lib/modules/{release}");
        let (mut dep, mut alias, mut softdep) = (String::new(), String::new(), String::new());
        let mut digests = String::new();
        let mut packed_files = self.pack(cache)?;
        for (name, form) in &self.forms {
            let (Some(entry), Some(path)) = (self.library.entries.get(name), self.path(name))
            else {
                continue;
            };
            let source = self.library.file(entry);
            let bytes = match form {
                Form::Plain => modinfo::read(&source).map(slim),
                Form::Packed => Ok(packed_files.remove(name.as_str()).unwrap_or_default()),
            };
            let bytes = bytes.map_err(at(&source))?;
            let _ = writeln!(digests, "{} {path}", crate::digest::of(&bytes));
            let tree = match form {
                Form::Plain => &mut *tree,
                Form::Packed => &mut *packed,
            };
            tree.file(&format!("{folder}/{path}"), 0o644, bytes);
            let _ = write!(dep, "{path}:");
            for needed in self
                .needed(name)
                .into_iter()
                .filter_map(|needed| self.path(needed))
            {
                let _ = write!(dep, " {needed}");
            }
            dep.push('\n');
            for pattern in &entry.info.aliases {
                let _ = writeln!(alias, "alias {pattern} {name}");
            }
            for line in &entry.info.softdeps {
                let _ = writeln!(softdep, "softdep {name} {line}");
            }
        }
        // A module is looked up by binary search; those of one bus are together.
        let mut aliases: Vec<&str> = alias.lines().collect();
        aliases.sort_unstable();
        let alias = aliases
            .iter()
            .fold(String::new(), |text, line| text + line + "\n");
        let builtin = self.library.folder.join("modules.builtin");
        tree.copy(&format!("{folder}/modules.builtin"), 0o644, &builtin)?;
        for (file, text) in [
            ("modules.dep", dep),
            ("modules.alias", alias),
            ("modules.softdep", softdep),
            // Ours: SHA-256 and file, so that a copy that was kept elsewhere is known to be what this release has.
            ("modules.sha256", digests),
        ] {
            tree.file(&format!("{folder}/{file}"), 0o644, text);
        }
        let boot = self
            .boot
            .iter()
            .fold(String::new(), |text, name| text + name + "\n");
        tree.file("usr/lib/keelson/modules.boot", 0o644, boot);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::library::Entry;
    use super::super::modinfo::Modinfo;
    use super::*;
    use std::path::PathBuf;

    fn entry(path: &str, depends: &[&str], softdep: &str, alias: &str) -> (String, Entry) {
        let name = normal(
            path.rsplit('/')
                .next()
                .unwrap()
                .split(".ko")
                .next()
                .unwrap(),
        );
        let info = Modinfo {
            depends: depends.iter().map(|name| (*name).to_owned()).collect(),
            softdeps: vec![softdep.to_owned()],
            aliases: vec![alias.to_owned()],
        };
        (
            name,
            Entry {
                path: path.to_owned(),
                info,
            },
        )
    }

    fn library() -> Library {
        let entries = [
            entry(
                "kernel/fs/ext4/ext4.ko.xz",
                &["jbd2", "mbcache"],
                "pre: crypto-crc32c",
                "fs-ext4",
            ),
            entry("kernel/fs/jbd2/jbd2.ko.xz", &["mbcache"], "", ""),
            entry("kernel/fs/mbcache.ko.xz", &[], "", ""),
            entry("kernel/arch/crc32c-intel.ko.xz", &[], "", "crypto-crc32c"),
            entry("kernel/drivers/net/e1000.ko.xz", &[], "", "pci:*"),
            entry("kernel/other.ko.xz", &[], "", ""),
        ];
        Library::for_test(
            PathBuf::new(),
            entries.into(),
            ["overlay".to_owned()].into(),
        )
    }

    fn list(boot: &[&str], hardware: &[&str]) -> List {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        List {
            boot: owned(boot),
            hardware: owned(hardware),
            ..List::default()
        }
    }

    #[test]
    fn closure_has_what_is_needed_and_no_more() {
        let library = library();
        let closure = Closure::new(
            &library,
            &list(&["ext4", "overlay"], &["e1000"]),
            &[],
            "6",
            Unpacking::ByKernel,
        )
        .unwrap();
        let names: Vec<&String> = closure.forms.keys().collect();
        assert_eq!(names, ["crc32c_intel", "e1000", "ext4", "jbd2", "mbcache"]);
        assert_eq!(closure.boot, ["ext4"], "a built-in is not loaded");
    }

    #[test]
    fn module_comes_after_what_needs_it() {
        let library = library();
        let closure = Closure::new(
            &library,
            &list(&["ext4"], &[]),
            &[],
            "6",
            Unpacking::ByKernel,
        )
        .unwrap();
        assert_eq!(closure.needed("ext4"), ["jbd2", "mbcache"]);
    }

    #[test]
    fn boot_modules_and_their_needs_are_plain_others_compressed() {
        let library = library();
        let closure = Closure::new(
            &library,
            &list(&["ext4"], &["e1000"]),
            &[],
            "6",
            Unpacking::ByKernel,
        )
        .unwrap();
        assert_eq!(closure.path("mbcache"), Some("kernel/fs/mbcache.ko"));
        assert_eq!(
            closure.path("e1000"),
            Some("kernel/drivers/net/e1000.ko.xz")
        );
        let closure =
            Closure::new(&library, &list(&[], &["e1000"]), &[], "6", Unpacking::Never).unwrap();
        assert_eq!(closure.path("e1000"), Some("kernel/drivers/net/e1000.ko"));
    }

    #[test]
    fn missing_boot_module_is_an_error_other_missing_ones_are_noted() {
        let library = library();
        let error = Closure::new(
            &library,
            &list(&["nosuch"], &[]),
            &[],
            "6.9",
            Unpacking::ByKernel,
        )
        .unwrap_err();
        assert!(
            error.to_string().contains("kernel 6.9 has no nosuch"),
            "{error}"
        );
        let closure = Closure::new(
            &library,
            &list(&["ext4"], &["nosuch"]),
            &[],
            "6.9",
            Unpacking::ByKernel,
        )
        .unwrap();
        assert_eq!(closure.absent, ["nosuch"]);
    }

    #[test]
    fn a_part_comes_only_when_it_is_asked_for_and_an_unknown_one_is_refused() {
        let library = library();
        let list = List {
            parts: [("file-systems".to_owned(), vec!["ext4".to_owned()])].into(),
            ..list(&[], &["e1000"])
        };
        let names = |parts: &[&str]| {
            let parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
            let closure = Closure::new(&library, &list, &parts, "6", Unpacking::ByKernel)?;
            Ok::<_, BuildError>(closure.forms.into_keys().collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap(), ["e1000"]);
        let more = ["crc32c_intel", "e1000", "ext4", "jbd2", "mbcache"];
        assert_eq!(names(&["file-systems"]).unwrap(), more);
        let error = names(&["metal"]).unwrap_err().to_string();
        assert!(
            error.contains("metal") && error.contains("file-systems"),
            "{error}"
        );
    }
}
