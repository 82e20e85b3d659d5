//! What the user bakes in: units and image archives.

use crate::digest;
use crate::error::{BuildError, at, content};
use crate::tree::Tree;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const UNITS: &str = "usr/lib/keelson/units";
const PRELOAD: &str = "usr/lib/keelson/preload";

/// One line of `preload/index.json`.
#[derive(Debug, Serialize)]
struct Preloaded<'a> {
    file: &'a str,
    sha256: String,
}

/// Put the unit files of `folders` into the tree, after checking all of them together. Warnings are printed.
pub(crate) fn units(tree: &mut Tree, folders: &[PathBuf]) -> Result<(), BuildError> {
    tree.folder(UNITS, 0o755);
    for folder in folders {
        if !folder.is_dir() {
            return Err(content(folder, "not a folder of unit files"));
        }
    }
    let loaded = unit::load(folders);
    let texts: Vec<String> = loaded
        .diagnostics
        .iter()
        .map(|diagnostic| unit::render(diagnostic, unit::Colour::Never))
        .collect();
    if loaded.has_errors() {
        return Err(BuildError::Units {
            diagnostics: texts.join("\n\n"),
        });
    }
    texts.iter().for_each(|text| eprintln!("{text}"));
    for folder in folders {
        let mut files = Tree::default();
        files.copy_folder(folder, &|bytes| bytes)?;
        for (path, node) in files.nodes().filter(|(path, _)| path.ends_with(".toml")) {
            tree.add(&format!("{UNITS}/{path}"), node.clone());
        }
    }
    Ok(())
}

/// Put image archives and their index into the tree.
pub(crate) fn preload(tree: &mut Tree, archives: &[PathBuf]) -> Result<(), BuildError> {
    tree.folder(PRELOAD, 0o755);
    let mut seen = BTreeSet::new();
    let mut index = Vec::new();
    for archive in archives {
        let name = archive
            .file_name()
            .unwrap_or_default()
            .to_str()
            .unwrap_or_default();
        if !seen.insert(name) {
            return Err(content(
                archive,
                "two archives to preload have this name; rename one",
            ));
        }
        let bytes = std::fs::read(archive).map_err(at(archive))?;
        index.push(Preloaded {
            file: name,
            sha256: digest::of(&bytes),
        });
        tree.file(&format!("{PRELOAD}/{name}"), 0o644, bytes);
    }
    let text = serde_json::to_vec_pretty(&index)
        .map_err(|error| content(Path::new("index.json"), error.to_string()))?;
    tree.file(&format!("{PRELOAD}/index.json"), 0o644, text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_unit_keeps_the_image_from_being_built() {
        let folder = std::env::temp_dir().join(format!("keelson-units-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(
            folder.join("web.container.toml"),
            "schema = 1\n[container]\nimagee = \"x\"\n",
        )
        .unwrap();
        let error = units(&mut Tree::default(), std::slice::from_ref(&folder)).unwrap_err();
        assert!(error.to_string().contains("web.container.toml"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn demo_units_are_good() {
        let mut tree = Tree::default();
        units(
            &mut tree,
            &[Path::new(env!("CARGO_MANIFEST_DIR")).join("../rootfs/demo")],
        )
        .unwrap();
        assert!(
            tree.nodes()
                .any(|(path, _)| path == "usr/lib/keelson/units/redis@.container.toml")
        );
    }
}
