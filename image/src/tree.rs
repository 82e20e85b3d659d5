//! The file tree of the read-only root, in memory, before it becomes a cpio archive.
//!
//! Everything belongs to root. Paths have no leading slash. The map keeps them sorted, so that the same tree gives
//! the same archive, and a folder comes before what is in it.

use crate::error::{BuildError, at};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// One entry of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Folder { mode: u32 },
    File { mode: u32, bytes: Vec<u8> },
    Link { to: String },
    CharDevice { mode: u32, major: u32, minor: u32 },
}

/// Path → entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&String, &Node)> {
        self.nodes.iter()
    }

    /// Add an entry and the folders above it that are not there yet.
    pub(crate) fn add(&mut self, path: &str, node: Node) {
        for (place, _) in path.match_indices('/') {
            self.nodes
                .entry(path[..place].to_owned())
                .or_insert(Node::Folder { mode: 0o755 });
        }
        self.nodes.insert(path.to_owned(), node);
    }

    pub(crate) fn folder(&mut self, path: &str, mode: u32) {
        self.add(path, Node::Folder { mode });
    }

    pub(crate) fn file(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) {
        self.add(
            path,
            Node::File {
                mode,
                bytes: bytes.into(),
            },
        );
    }

    pub(crate) fn link(&mut self, path: &str, to: &str) {
        self.add(path, Node::Link { to: to.to_owned() });
    }

    /// Add a file of the build host.
    pub(crate) fn copy(&mut self, path: &str, mode: u32, from: &Path) -> Result<(), BuildError> {
        let bytes = std::fs::read(from).map_err(at(from))?;
        self.file(path, mode, bytes);
        Ok(())
    }

    /// Add all files below a folder of the build host; a file is executable if it is so there. `edit` may change the
    /// bytes.
    pub(crate) fn copy_folder(
        &mut self,
        from: &Path,
        edit: &dyn Fn(Vec<u8>) -> Vec<u8>,
    ) -> Result<(), BuildError> {
        let mut queue = vec![(from.to_path_buf(), String::new())];
        while let Some((folder, prefix)) = queue.pop() {
            for entry in std::fs::read_dir(&folder).map_err(at(&folder))? {
                let entry = entry.map_err(at(&folder))?;
                let path = entry.path();
                let about = path.symlink_metadata().map_err(at(&path))?;
                let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
                if about.is_dir() {
                    queue.push((path, format!("{name}/")));
                } else if about.is_symlink() {
                    let to = std::fs::read_link(&path).map_err(at(&path))?;
                    self.link(&name, &to.to_string_lossy());
                } else {
                    let mode = if about.permissions().mode() & 0o111 == 0 {
                        0o644
                    } else {
                        0o755
                    };
                    let bytes = std::fs::read(&path).map_err(at(&path))?;
                    self.file(&name, mode, edit(bytes));
                }
            }
        }
        Ok(())
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        let sizes = self.nodes.values().map(|node| match node {
            Node::File { bytes, .. } => bytes.len() as u64,
            Node::Folder { .. } | Node::Link { .. } | Node::CharDevice { .. } => 0,
        });
        sizes.sum()
    }
}
