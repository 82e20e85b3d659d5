//! Which module drives what: kmod's text indexes (modules.dep(5), modules.alias, modules.softdep), loaded in order of
//! need.
//!
//! The release carries only the closure of what it can use, so the whole index is some hundred kilobytes of text, read for a
//! few lookups: it stays as the image builder has sorted it, and a lookup is a binary search.

use crate::module_words::{ModuleWords, normalise};
use crate::shelf::Shelf;
use crate::sorted_lines::SortedLines;
use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// The indexes of one kernel release.
#[derive(Debug, Default)]
pub(crate) struct ModuleIndex {
    folder: PathBuf,
    /// `FILE: FILE FILE…`, the file relative to `folder`, and what must be loaded before it; by name.
    modules: String,
    /// `alias PATTERN NAME`, by byte.
    aliases: String,
    /// `softdep NAME pre: NAME… post: NAME…`, by name.
    softdeps: String,
    /// What the kernel command line says of modules.
    words: ModuleWords,
    loaded: HashSet<String>,
    /// Files that have been loaded since [`ModuleIndex::take_loaded`].
    used: Vec<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
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

/// Of a file, or of a line that begins with one; not normalised.
fn stem(file: &str) -> &str {
    let file = file.split(':').next().unwrap_or(file);
    let base = file.rsplit('/').next().unwrap_or(file);
    base.split(".ko").next().unwrap_or(base)
}

fn name_of(file: &str) -> String {
    normalise(stem(file))
}

/// In the order of normalised names.
fn by_name(one: &str, other: &str) -> std::cmp::Ordering {
    let normal = |byte: u8| if byte == b'-' { b'_' } else { byte };
    one.bytes().map(normal).cmp(other.bytes().map(normal))
}

/// Before each entry of `modules.alias`.
const ALIAS: &str = "alias ";

impl ModuleIndex {
    /// From the texts of `modules.dep`, `modules.alias` and `modules.softdep`, in the order that the fields have.
    pub(crate) fn parse(folder: &Path, dep: String, alias: String, softdep: String) -> Self {
        Self {
            folder: folder.to_owned(),
            modules: dep,
            aliases: alias,
            softdeps: softdep,
            ..Self::default()
        }
    }

    #[must_use]
    pub(crate) fn with_words(self, words: ModuleWords) -> Self {
        Self { words, ..self }
    }

    /// Nothing has been read, or it was given back.
    pub(crate) fn is_empty(&self) -> bool {
        self.folder.as_os_str().is_empty()
    }

    /// The line of a module in `modules.dep`.
    fn line(&self, name: &str) -> Option<&str> {
        let lines = SortedLines::new(&self.modules).equal(|line| by_name(stem(line), name));
        lines.iter().next()
    }

    fn module(&self, name: &str) -> Option<Module> {
        let (file, needs) = self.line(name)?.split_once(':')?;
        let mut needs: Vec<String> = needs.split_whitespace().map(name_of).collect();
        let of_line = |line: &str| {
            line.split(' ')
                .nth(1)
                .map(str::to_owned)
                .unwrap_or_default()
        };
        let softdeps = SortedLines::new(&self.softdeps);
        for line in softdeps.equal(|line| by_name(&of_line(line), name)).iter() {
            let before = line
                .split_whitespace()
                .skip_while(|word| *word != "pre:")
                .skip(1)
                .take_while(|word| *word != "post:");
            needs.extend(before.map(normalise));
        }
        Some(Module {
            file: file.trim().to_owned(),
            needs,
        })
    }

    /// The modules that drive a device, or answer to a name.
    pub(crate) fn resolve(&self, alias: &str) -> Vec<String> {
        if self.line(alias).is_some() {
            return vec![normalise(alias)];
        }
        // A pattern is literal up to its first wildcard, so it is among the lines that begin as the alias does: those that go
        // on with a wildcard are tried, then the others are narrowed down by the alias's next byte.
        let mut found = Vec::new();
        let mut lines = SortedLines::new(&self.aliases);
        for (at, byte) in ALIAS.bytes().enumerate() {
            lines = with_byte(lines, at, byte);
        }
        let ends = alias.bytes().chain([b' ']);
        for (at, byte) in (ALIAS.len()..).zip(ends) {
            if lines.is_empty() {
                break;
            }
            for wildcard in *b"*?[" {
                take_matching(with_byte(lines, at, wildcard), alias, &mut found);
            }
            lines = with_byte(lines, at, byte);
        }
        take_matching(lines, alias, &mut found);
        found.retain(|module| !self.words.is_blacklisted(module));
        found
    }

    /// Load a module after what it needs. Unknown names are built into the kernel, or not part of the release.
    ///
    /// # Errors
    /// The first module that the kernel refuses.
    pub(crate) fn load(&mut self, name: &str) -> Result<(), ModuleError> {
        // Depth first with an explicit stack: (name, what it needs has been pushed).
        let wanted = normalise(name);
        let mut stack = vec![(wanted.clone(), false)];
        // A cycle of soft dependencies ends where it comes back to a module that is being seen to.
        let mut begun = HashSet::new();
        while let Some((name, ready)) = stack.pop() {
            if self.loaded.contains(&name) {
                continue;
            }
            let Some(module) = self.module(&name) else {
                // What a soft dependency names may be an alias, such as "crc32c" for whoever computes it (modprobe.d(5)).
                if begun.insert(name.clone()) {
                    stack.extend(self.resolve(&name).into_iter().map(|other| (other, false)));
                }
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
            let parameters = self.words.parameters(&name);
            match sys::module::load(&path, &parameters) {
                Ok(()) => self.used.push(path),
                Err(_) if is_live(&name) => {}
                // A soft dependency that this processor has no use for; a hard one will be missed by name.
                Err(error) if name != wanted && error.raw_os_error() == Some(nix::libc::ENODEV) => {
                }
                // Not on "unknown symbol", which is the same number.
                Err(_) if !path.exists() => {
                    let loaded = Shelf::of(&self.folder)
                        .and_then(|shelf| shelf.load(&module.file, &parameters));
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

/// Loaded, by whomever, and past its own start (Documentation/ABI/stable/sysfs-module): one that is `coming` has not
/// registered what it offers.
pub(crate) fn is_live(module: &str) -> bool {
    let state = Path::new("/sys/module").join(module).join("initstate");
    std::fs::read_to_string(state).is_ok_and(|state| state.trim() == "live")
}

/// Of lines that are the same up to there, those that go on with this byte.
fn with_byte(lines: SortedLines<'_>, at: usize, byte: u8) -> SortedLines<'_> {
    lines.equal(|line| line.as_bytes().get(at).cmp(&Some(&byte)))
}

/// The modules of those lines of `modules.alias` whose pattern fits.
fn take_matching(lines: SortedLines<'_>, alias: &str, found: &mut Vec<String>) {
    let entries = lines.iter().filter_map(|line| line.strip_prefix(ALIAS));
    for (pattern, module) in entries.filter_map(|entry| entry.split_once(' ')) {
        if matches_glob(pattern, alias) {
            let module = normalise(module);
            if !found.contains(&module) {
                found.push(module);
            }
        }
    }
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
    use crate::cmdline::Cmdline;

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
        let index = ModuleIndex::parse(Path::new("/m"), String::new(), alias.into(), String::new());
        assert_eq!(index.resolve("acpi:QEMU0002:"), ["qemu_fw_cfg"]);
    }

    #[test]
    fn patterns_are_found_wherever_their_first_wildcard_is() {
        let mut aliases = [
            "alias * all",
            "alias pci:v*d*sv*sd*bc01sc06i01* by-class",
            "alias pci:v00001AF4d*sv*sd*bc*sc*i* by-vendor",
            "alias pci:v00001AF4d00001041sv*sd*bc*sc*i* by-device",
            "alias pci:v0000[01]AF4d*sv*sd*bc*sc*i* by-set",
            "alias pci:v00008086d*sv*sd*bc*sc*i* other",
            "alias pci:v00001AF? by-query",
            "alias pci:v00001AF4 exact",
            "alias pci:v00001AF4d longer",
        ];
        aliases.sort_unstable();
        let text = aliases.join("\n") + "\n";
        let index = ModuleIndex::parse(Path::new("/m"), String::new(), text, String::new());
        let found = |alias: &str| {
            let mut found = index.resolve(alias);
            found.sort();
            found
        };
        let disk = "pci:v00001AF4d00001041sv00001AF4sd00001100bc01sc06i01";
        assert_eq!(
            found(disk),
            ["all", "by_class", "by_device", "by_set", "by_vendor"]
        );
        assert_eq!(found("pci:v00001AF4"), ["all", "by_query", "exact"]);
        assert_eq!(found("usb:x"), ["all"]);
        let words = ModuleWords::of(&Cmdline::parse("modprobe.blacklist=by-query,exact"));
        assert_eq!(index.with_words(words).resolve("pci:v00001AF4"), ["all"]);
    }

    #[test]
    fn a_device_finds_its_module_and_a_name_finds_itself() {
        let index = ModuleIndex::parse(
            Path::new("/m"),
            "kernel/drivers/virtio_blk.ko.xz: kernel/a/virtio-ring.ko\nkernel/a/virtio-ring.ko:\n".into(),
            "alias net-pf-16-proto-16-family-ovs openvswitch\nalias virtio:d00000002v* virtio_blk\n".into(),
            "softdep virtio_blk pre: crc32c post: x\n".into(),
        );
        assert_eq!(index.resolve("virtio:d00000002v00001AF4"), ["virtio_blk"]);
        assert_eq!(index.resolve("virtio-ring"), ["virtio_ring"]);
        assert!(index.resolve("pci:nothing").is_empty());
        let ovs = index.resolve("net-pf-16-proto-16-family-ovs");
        assert_eq!(ovs, ["openvswitch"]);
        let blk = index.module("virtio_blk").unwrap();
        assert_eq!(blk.needs, ["virtio_ring", "crc32c"]);
        assert_eq!(blk.file, "kernel/drivers/virtio_blk.ko.xz");
    }
}
