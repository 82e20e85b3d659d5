//! What a folder tree is made of, file by file.

use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use sys::mount::{FileSystem, Tree, attribute};

/// One file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    kind: char,
    mode: u32,
    owner: (u32, u32),
    device: u64,
    /// Of a link; or the digest of a file's content.
    content: String,
    attributes: Vec<(String, Vec<u8>)>,
    /// The first path, in their order, of the same file.
    first_name: String,
    pub(crate) modified: (i64, i64),
}

/// Path → node; without the root.
pub(crate) type View = BTreeMap<String, Node>;

pub(crate) fn view(top: &Path) -> View {
    let mut paths = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(top.join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            let metadata = fs::symlink_metadata(top.join(&path));
            let metadata = metadata.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            paths.push(path);
        }
    }
    paths.sort();
    let mut inodes = BTreeMap::new();
    let mut nodes = View::new();
    for path in paths {
        let name = path.to_str().unwrap().to_owned();
        let place = top.join(&path);
        let inode = fs::symlink_metadata(&place).unwrap().ino();
        let first = inodes.entry(inode).or_insert_with(|| name.clone()).clone();
        nodes.insert(name, node(&place, first));
    }
    nodes
}

pub(crate) fn node(place: &Path, first_name: String) -> Node {
    let metadata = fs::symlink_metadata(place).unwrap();
    let kind = metadata.file_type();
    let (kind, content) = if kind.is_dir() {
        ('d', String::new())
    } else if kind.is_symlink() {
        ('l', fs::read_link(place).unwrap().display().to_string())
    } else if kind.is_file() {
        (
            'f',
            format!("{:x?}", Sha256::digest(fs::read(place).unwrap())),
        )
    } else if kind.is_fifo() {
        ('p', String::new())
    } else if kind.is_char_device() {
        ('c', String::new())
    } else {
        ('b', String::new())
    };
    Node {
        kind,
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        device: metadata.rdev(),
        content,
        attributes: match kind {
            'd' | 'f' => attributes(place),
            _ => Vec::new(),
        },
        first_name,
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    }
}

/// All but those that tell of layers.
fn attributes(place: &Path) -> Vec<(String, Vec<u8>)> {
    let file = File::open(place).unwrap();
    let mut found = Vec::new();
    for name in sys::xattr::names(file.as_fd()).unwrap() {
        let text = name.to_str().unwrap().to_owned();
        if !["trusted.overlay.", "trusted.keelson."]
            .iter()
            .any(|mark| text.starts_with(mark))
        {
            let value = sys::xattr::get(file.as_fd(), &name, 65536).unwrap();
            found.push((text, value.unwrap_or_default()));
        }
    }
    found.sort();
    found
}

/// The layers (bottom first) as overlayfs shows them, in a mount that is attached nowhere.
pub(crate) struct Mounted {
    tree: Tree,
}

impl Mounted {
    pub(crate) fn of(layers: &[PathBuf], empty: &Path) -> Self {
        fs::create_dir_all(empty).unwrap();
        let overlay = FileSystem::open(c"overlay").unwrap();
        // Short names: the kernel takes 255 bytes. Overlayfs wants two layers at least, and none twice: as for a
        // container, one counts where it lies topmost.
        let topmost = |(index, layer): &(usize, &PathBuf)| !layers[index + 1..].contains(layer);
        let open: Vec<File> = layers
            .iter()
            .enumerate()
            .filter(topmost)
            .rev()
            .map(|(_, layer)| layer.as_path())
            .chain([empty])
            .map(|path| File::open(path).unwrap())
            .collect();
        let names: Vec<String> = open
            .iter()
            .map(|file| format!("/proc/self/fd/{}", file.as_raw_fd()))
            .collect();
        let names = std::ffi::CString::new(names.join(":")).unwrap();
        overlay.set(c"lowerdir", &names).unwrap();
        let tree = overlay.mount(attribute::NOSUID).unwrap();
        Self { tree }
    }

    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}/.", self.tree.as_fd().as_raw_fd()).into()
    }
}
