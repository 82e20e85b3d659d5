//! Images, written in the store's own form.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use store::{Digest, ImageRecord, LayerRecord, Reference, Tree};

/// Where the probe is in every image.
pub(crate) const PROBE: &str = "/bin/probe";

/// One image; its first layer has the probe, what it needs, and the usual folders.
#[derive(Debug)]
pub(crate) struct Image {
    tree: Tree,
    reference: String,
    number: usize,
    layers: Vec<PathBuf>,
    /// The `config` of the configuration, as JSON.
    pub(crate) config: serde_json::Value,
}

impl Image {
    /// `number` makes it different from the other images of the machine.
    pub(crate) fn new(images: &Path, reference: &str, number: usize) -> Self {
        let mut image = Self::empty(images, reference, number);
        let base = image.add_layer();
        for folder in ["bin", "etc", "tmp", "root", "var/lib", "home/app"] {
            fs::create_dir_all(base.join(folder)).unwrap();
        }
        fs::set_permissions(base.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        let probe = base.join(PROBE.trim_start_matches('/'));
        fs::copy(std::env::current_exe().unwrap(), &probe).unwrap();
        for library in libraries() {
            let place = base.join(library.strip_prefix("/").unwrap());
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::copy(&library, &place).unwrap();
        }
        image.file(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n",
        );
        image.file(
            "etc/group",
            "root:x:0:\napp:x:1001:\nextra:x:2000:app\nother:x:3000:\n",
        );
        image
    }

    pub(crate) fn empty(images: &Path, reference: &str, number: usize) -> Self {
        Self {
            tree: Tree::at(images),
            reference: reference.to_owned(),
            number,
            layers: Vec::new(),
            config: serde_json::json!({ "Entrypoint": [PROBE, "probe"] }),
        }
    }

    /// One more layer on top; what is written from now on lies in it.
    pub(crate) fn add_layer(&mut self) -> PathBuf {
        let digest = digest(&format!("{}{}", self.number, self.layers.len()));
        let folder = self.tree.layer(&digest);
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        self.layers.push(folder.clone());
        folder
    }

    pub(crate) fn top(&self) -> PathBuf {
        self.layers.last().unwrap().clone()
    }

    pub(crate) fn file(&self, path: &str, text: &str) -> PathBuf {
        let path = self.top().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn folder(&self, path: &str) -> PathBuf {
        let path = self.top().join(path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        let path = self.top().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// Writes configuration and reference. The digest is made up from the number.
    pub(crate) fn commit(&self) {
        let config = digest(&format!("c{}", self.number));
        fs::create_dir_all(self.tree.blobs()).unwrap();
        let text =
            serde_json::json!({ "architecture": "amd64", "os": "linux", "config": self.config });
        fs::write(self.tree.blob(&config), text.to_string()).unwrap();
        let layer = |folder: &PathBuf| LayerRecord {
            content: None,
            folder: format!("sha256:{}", folder.file_name().unwrap().to_string_lossy())
                .parse()
                .unwrap(),
            digest: digest("blob"),
            blob_size: 1,
            size: 1,
        };
        let reference: Reference = self.reference.parse().unwrap();
        let record = ImageRecord {
            reference: reference.to_string(),
            digest: digest(&format!("d{}", self.number)),
            config,
            layers: self.layers.iter().map(layer).collect(),
            created: String::new(),
        };
        fs::create_dir_all(self.tree.references()).unwrap();
        let path = self.tree.reference(&reference);
        fs::write(path, serde_json::to_vec(&record).unwrap()).unwrap();
    }
}

/// Not a real digest: nothing here verifies one.
fn digest(seed: &str) -> Digest {
    let hex: String = seed.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex:0>64}").parse().unwrap()
}

/// The loader and the shared libraries of this very program, as the kernel has mapped them; none if it is static.
fn libraries() -> Vec<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut found: Vec<PathBuf> = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .filter(|path| path.starts_with('/') && path.contains(".so"))
        .map(PathBuf::from)
        .collect();
    // The name that the program's header has for the loader (x86-64 psABI).
    let loader = Path::new("/lib64/ld-linux-x86-64.so.2");
    if !found.is_empty() && loader.exists() {
        found.push(loader.to_owned());
    }
    found.sort();
    found.dedup();
    found
}
