//! Reading the release's initramfs, so that a floor gets the very modules that the release has.
//!
//! It is a row of cpio archives in "newc" form (Documentation/driver-api/early-userspace/
//! buffer-format.rst): headers of 110 characters, names and contents each filled up to a multiple of four.

use crate::Failure;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const HEADER: usize = 110;
const MAGIC: &[u8] = b"070701";
/// Of the fields of eight hexadecimal digits behind the magic.
const FILE_SIZE: usize = 6;
const NAME_SIZE: usize = 11;

/// Path → content, of everything that has content.
#[derive(Debug)]
pub(crate) struct Initramfs {
    files: BTreeMap<String, Vec<u8>>,
}

impl Initramfs {
    /// Read the file.
    ///
    /// # Errors
    /// When it can't be read or is not what the image builder writes.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let archives = image::archives(&std::fs::read(path)?)?;
        let files =
            parse(&archives).ok_or_else(|| format!("{}: not a cpio archive", path.display()))?;
        Ok(Self { files })
    }

    /// The files of these modules, what others need first; path and content. What is built into the kernel has none.
    ///
    /// # Errors
    /// When the release lacks one.
    pub(crate) fn modules(&self, names: &[&str]) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let index = self
            .files
            .keys()
            .find(|path| path.ends_with("/modules.dep"))
            .ok_or("the release has no modules.dep")?;
        let folder = index.trim_end_matches("modules.dep");
        let text = |name: &str| {
            let bytes = self.files.get(&format!("{folder}{name}"));
            String::from_utf8_lossy(bytes.map_or(&[], Vec::as_slice)).into_owned()
        };
        let (dependencies, builtin) = (text("modules.dep"), text("modules.builtin"));
        let mut seen = BTreeSet::new();
        let mut ordered = Vec::new();
        for name in names {
            let named = |line: &&str| module_name(line) == *name;
            let Some(line) = dependencies.lines().find(named) else {
                match builtin.lines().find(named) {
                    Some(_) => continue,
                    None => return Err(format!("the release has no module {name}").into()),
                }
            };
            let (file, needs) = line.split_once(':').unwrap_or((line, ""));
            let needs: Vec<&str> = needs.split_whitespace().rev().collect();
            for file in needs.into_iter().chain([file]) {
                if seen.insert(file.to_owned()) {
                    let path = format!("{folder}{file}");
                    let content = self
                        .files
                        .get(&path)
                        .ok_or_else(|| format!("{path}: missing"))?;
                    ordered.push((path, content.clone()));
                }
            }
        }
        Ok(ordered)
    }
}

/// `kernel/fs/ext4/ext4.ko: …` → `ext4`
fn module_name(line: &str) -> String {
    let file = line.split(':').next().unwrap_or(line);
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split('.').next().unwrap_or(name).replace('-', "_")
}

fn parse(mut bytes: &[u8]) -> Option<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    while let Some(start) = bytes.iter().position(|byte| *byte != 0) {
        // Zeros fill up the end of an archive.
        bytes = &bytes[start..];
        if !bytes.starts_with(MAGIC) {
            return None;
        }
        let field = |number: usize| -> Option<usize> {
            let at = MAGIC.len() + 8 * number;
            let digits = std::str::from_utf8(bytes.get(at..at + 8)?).ok()?;
            usize::from_str_radix(digits, 16).ok()
        };
        let (size, name_size) = (field(FILE_SIZE)?, field(NAME_SIZE)?);
        let name = bytes.get(HEADER..HEADER + name_size.checked_sub(1)?)?;
        let content = (HEADER + name_size).next_multiple_of(4);
        let end = (content + size).next_multiple_of(4);
        if size > 0 {
            let name = String::from_utf8_lossy(name).into_owned();
            files.insert(name, bytes.get(content..content + size)?.to_vec());
        }
        bytes = bytes.get(end..).unwrap_or_default();
    }
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: Vec<(String, u32, Vec<u8>)>) -> Initramfs {
        let compressed = image::initramfs(files).unwrap();
        Initramfs {
            files: parse(&image::archives(&compressed).unwrap()).unwrap(),
        }
    }

    #[test]
    fn modules_come_after_what_they_need_and_only_once() {
        let file = |path: &str, text: &str| (format!("m/{path}"), 0o644, text.as_bytes().to_vec());
        let initramfs = read(vec![
            file(
                "modules.dep",
                "k/a-b.ko: k/c.ko k/d.ko\nk/c.ko: k/d.ko\nk/d.ko:\n",
            ),
            file("k/a-b.ko", "A"),
            file("k/c.ko", "C"),
            file("k/d.ko", "D"),
            file("modules.builtin", "k/f.ko\n"),
        ]);
        let modules = initramfs.modules(&["f", "c", "a_b"]).unwrap();
        let paths: Vec<&str> = modules.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["m/k/d.ko", "m/k/c.ko", "m/k/a-b.ko"]);
        assert_eq!(modules[2].1, b"A");
        assert!(initramfs.modules(&["e"]).is_err());
    }
}
