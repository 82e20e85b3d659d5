//! Which module drives what: kmod's text indexes (modules.dep(5), modules.alias, modules.softdep), loaded in order of
//! need.
//!
//! The release carries only the closure of what it can use, so the whole index is some hundred kilobytes of text.
//! Aliases are kept by their bus (`pci`, `virtio`, `usb`): a device is matched against its own bus only.

use crate::shelf::Shelf;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// The indexes of one kernel release.
#[derive(Debug, Default)]
pub(crate) struct ModuleIndex {
    folder: PathBuf,
    /// Name (with `_`) → file relative to `folder`, and what must be loaded before it.
    modules: HashMap<String, Module>,
    /// Bus → lines of pattern and module name.
    aliases: HashMap<String, String>,
    loaded: HashSet<String>,
    /// Files that have been loaded since [`ModuleIndex::take_loaded`].
    used: Vec<PathBuf>,
}

#[derive(Debug, Default)]
struct Module {
    file: String,
    needs: Vec<String>,
}

/// A module that could not be loaded.
#[derive(Debug)]
pub(crate) struct ModuleError {
    pub module: String,
    pub source: std::io::Error,
}

impl fmt::Display for ModuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "module {}: {}", self.module, self.source)
    }
}

impl std::error::Error for ModuleError {}

/// kmod's rule: `-` and `_` are the same in names.
fn normalise(name: &str) -> String {
    name.replace('-', "_")
}

fn name_of(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    normalise(base.split(".ko").next().unwrap_or(base))
}

impl ModuleIndex {
    /// From the texts of `modules.dep`, `modules.alias` and `modules.softdep`.
    pub(crate) fn parse(folder: &Path, dep: &str, alias: &str, softdep: &str) -> Self {
        let mut index = Self {
            folder: folder.to_owned(),
            ..Self::default()
        };
        for line in dep.lines() {
            let Some((file, needs)) = line.split_once(':') else {
                continue;
            };
            let needs = needs.split_whitespace().map(name_of).collect();
            index.modules.insert(
                name_of(file),
                Module {
                    file: file.trim().to_owned(),
                    needs,
                },
            );
        }
        for line in softdep.lines() {
            // softdep NAME pre: A B post: C
            let mut words = line.split_whitespace();
            if words.next() != Some("softdep") {
                continue;
            }
            let Some(name) = words.next().map(normalise) else {
                continue;
            };
            let before = words
                .skip_while(|word| *word != "pre:")
                .skip(1)
                .take_while(|word| *word != "post:");
            let before: Vec<String> = before.map(normalise).collect();
            if let Some(module) = index.modules.get_mut(&name) {
                module.needs.extend(before);
            }
        }
        for line in alias.lines() {
            let Some(entry) = line.strip_prefix("alias ") else {
                continue;
            };
            // One text per bus: thousands of small strings would be most of the time that this takes.
            if !index.aliases.contains_key(bus(entry)) {
                index.aliases.insert(bus(entry).to_owned(), String::new());
            }
            if let Some(text) = index.aliases.get_mut(bus(entry)) {
                text.push_str(entry);
                text.push('\n');
            }
        }
        index
    }

    /// The modules that drive a device, or answer to a name.
    pub(crate) fn resolve(&self, alias: &str) -> Vec<String> {
        let name = normalise(alias);
        if self.modules.contains_key(&name) {
            return vec![name];
        }
        let mut found = Vec::new();
        let entries = self.aliases.get(bus(alias)).into_iter();
        for (pattern, module) in entries
            .flat_map(|text| text.lines())
            .filter_map(|entry| entry.split_once(' '))
        {
            if matches_glob(pattern, alias) {
                let module = normalise(module);
                if !found.contains(&module) {
                    found.push(module);
                }
            }
        }
        found
    }

    /// Load a module after what it needs. Unknown names are built into the kernel, or not part of the release.
    ///
    /// # Errors
    /// The first module that the kernel refuses.
    pub(crate) fn load(&mut self, name: &str) -> Result<(), ModuleError> {
        // Depth first with an explicit stack: (name, what it needs has been pushed).
        let mut stack = vec![(normalise(name), false)];
        // A cycle of soft dependencies ends where it comes back to a module that is being seen to.
        let mut begun = HashSet::new();
        while let Some((name, ready)) = stack.pop() {
            if self.loaded.contains(&name) {
                continue;
            }
            let Some(module) = self.modules.get(&name) else {
                self.loaded.insert(name);
                continue;
            };
            if !ready {
                if begun.insert(name.clone()) {
                    let needs: Vec<String> = module.needs.iter().rev().cloned().collect();
                    stack.push((name, true));
                    stack.extend(needs.into_iter().map(|need| (need, false)));
                }
                continue;
            }
            let path = self.folder.join(&module.file);
            // Marked first: a module that was refused once is not tried again for each of its aliases.
            self.loaded.insert(name.clone());
            // Another process may load it at the same time, and free its file.
            if is_live(&name) {
                continue;
            }
            match sys::module::load(&path, c"") {
                Ok(()) => self.used.push(path),
                Err(_) if is_live(&name) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    let loaded = Shelf::of(&self.folder).and_then(|shelf| shelf.load(&module.file));
                    loaded.map_err(|source| ModuleError {
                        module: name,
                        source,
                    })?;
                }
                Err(source) => {
                    return Err(ModuleError {
                        module: name,
                        source,
                    });
                }
            }
        }
        Ok(())
    }

    /// Files of the modules loaded so far, whose memory can be given back.
    pub(crate) fn take_loaded(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.used)
    }
}

/// Loaded, by whomever (Documentation/ABI/stable/sysfs-module).
pub(crate) fn is_live(module: &str) -> bool {
    Path::new("/sys/module")
        .join(module)
        .join("initstate")
        .exists()
}

/// What stands before the first colon. (ACPI's patterns have a star there, and no bus has one in its name: `acpi*:PNP0C0C:*`.)
fn bus(alias: &str) -> &str {
    let bus = alias.split_once(':').map_or("", |(bus, _)| bus);
    bus.trim_end_matches('*')
}

/// fnmatch(3) as kmod uses it: `*`, `?` and `[…]`.
fn matches_glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&c) = text.get(t) {
        if let Some(next) = match_one(pattern, p, c) {
            p = next;
            t += 1;
        } else if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if let Some((at, from)) = star {
            // Let the last star take one more byte.
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern
        .get(p..)
        .unwrap_or_default()
        .iter()
        .all(|c| *c == b'*')
}

/// Does the element at `at` match this byte? Then the place behind it.
fn match_one(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    match pattern.get(at)? {
        b'*' => None,
        b'?' => Some(at + 1),
        b'[' => {
            let set = pattern.get(at + 1..)?;
            let end = set.iter().position(|c| *c == b']')?;
            let mut rest = set.get(..end)?;
            let mut hit = false;
            while let Some((&first, tail)) = rest.split_first() {
                if let [b'-', last, after @ ..] = tail {
                    hit |= (first..=*last).contains(&byte);
                    rest = after;
                } else {
                    hit |= first == byte;
                    rest = tail;
                }
            }
            hit.then_some(at + 1 + end + 1)
        }
        literal => (*literal == byte).then_some(at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_kmod_matches_them() {
        assert!(matches_glob(
            "virtio:d00000002v*",
            "virtio:d00000002v00001AF4"
        ));
        assert!(matches_glob(
            "pci:v00001AF4d*sv*sd*bc01sc*i*",
            "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00"
        ));
        assert!(!matches_glob(
            "pci:v00001AF4d*sv*sd*bc02sc*i*",
            "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00"
        ));
        assert!(matches_glob("a[0-3]c", "a2c"));
        assert!(!matches_glob("a[0-3]c", "a4c"));
        assert!(matches_glob("fs-ext4", "fs-ext4"));
        assert!(!matches_glob("fs-ext4", "fs-ext3"));
    }

    #[test]
    fn an_acpi_device_finds_its_module_by_a_pattern_with_a_star_before_the_colon() {
        let alias = "alias acpi*:QEMU0002:* qemu_fw_cfg\n";
        let index = ModuleIndex::parse(Path::new("/m"), "", alias, "");
        assert_eq!(index.resolve("acpi:QEMU0002:"), ["qemu_fw_cfg"]);
    }

    #[test]
    fn a_device_finds_its_module_and_a_name_finds_itself() {
        let index = ModuleIndex::parse(
            Path::new("/m"),
            "kernel/drivers/virtio_blk.ko.xz: kernel/a/virtio-ring.ko\nkernel/a/virtio-ring.ko:\n",
            "alias virtio:d00000002v* virtio_blk\n# comment\n",
            "softdep virtio_blk pre: crc32c post: x\n",
        );
        assert_eq!(index.resolve("virtio:d00000002v00001AF4"), ["virtio_blk"]);
        assert_eq!(index.resolve("virtio-ring"), ["virtio_ring"]);
        assert!(index.resolve("pci:nothing").is_empty());
        assert_eq!(index.modules["virtio_blk"].needs, ["virtio_ring", "crc32c"]);
    }
}
