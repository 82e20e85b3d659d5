//! A store in a temporary folder, and archives made by other implementations of the formats than ours.

#![allow(dead_code, reason = "each test program uses its own part of it")]

use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Whether this test can do what only root can; says so when not.
pub(crate) fn is_root(what: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("not root: skipping {what}");
    }
    root
}

/// An empty folder of this test, removed at its end.
pub(crate) struct TestFolder(PathBuf);

impl TestFolder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "store-test-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.0.join("images")
    }

    pub(crate) fn store(&self) -> store::Store {
        store::Store::at(&self.root())
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_store"));
        command.arg("--root").arg(self.root());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(
            self.command()
                .args(arguments)
                .stdin(Stdio::null())
                .output()
                .unwrap(),
        )
    }

    /// `store load`, from a file.
    pub(crate) fn load(&self, archive: &[u8]) -> Outcome {
        let path = self.write("archive", archive);
        self.run(&["load", path.to_str().unwrap()])
    }

    /// `store load -`, through a pipe.
    pub(crate) fn load_stream(&self, archive: &[u8]) -> Outcome {
        let mut child = self
            .command()
            .arg("load")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may stop reading when it has seen enough of a bad archive.
        let _ = child.stdin.take().unwrap().write_all(archive);
        Outcome::of(child.wait_with_output().unwrap())
    }

    /// The folder of the only layer of an image.
    pub(crate) fn only_layer(&self, reference: &str) -> PathBuf {
        let image = self.store().image(reference).unwrap();
        assert_eq!(image.layers.len(), 1);
        image.layers[0].clone()
    }

    /// Names below the store's root that are in `folder`.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.root().join(folder))
            .map(|entries| {
                entries
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .collect()
            })
            .unwrap_or_default();
        names.sort();
        names
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) ok: bool,
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) error: String,
}

impl Outcome {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            ok: output.status.success(),
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            error: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert!(self.ok, "{self:?}");
        self
    }

    /// It failed with exactly one line, which contains all of these.
    #[track_caller]
    pub(crate) fn failed(self, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert_eq!(self.error.lines().count(), 1, "{self:?}");
        for part in parts {
            assert!(self.error.contains(part), "no {part:?} in {self:?}");
        }
        self
    }
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// A tar of files `(name, content)`.
pub(crate) fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut layer = Layer::new();
    for (name, content) in files {
        layer = layer.file(name, content);
    }
    layer.done()
}

/// A layer's tar, entry by entry; names are written as given, however bad.
pub(crate) struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    pub(crate) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    pub(crate) fn header(kind: tar::EntryType, name: &str, link: &str, size: usize) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(if kind == tar::EntryType::Directory {
            0o755
        } else {
            0o644
        });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_600_000_000);
        // Past the checks of the library: an attacker has none.
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        header
    }

    pub(crate) fn raw(mut self, mut header: tar::Header, content: &[u8]) -> Self {
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    pub(crate) fn entry(self, kind: tar::EntryType, name: &str, link: &str) -> Self {
        let header = Self::header(kind, name, link, 0);
        self.raw(header, &[])
    }

    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        let header = Self::header(tar::EntryType::Regular, name, "", content.len());
        self.raw(header, content)
    }

    pub(crate) fn folder(self, name: &str) -> Self {
        self.entry(tar::EntryType::Directory, name, "")
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(tar::EntryType::Symlink, name, target)
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(tar::EntryType::Link, name, target)
    }

    /// Records of the pax header before the next entry.
    pub(crate) fn pax(mut self, records: &[(&str, &[u8])]) -> Self {
        self.0
            .append_pax_extensions(records.iter().copied())
            .unwrap();
        self
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// One image to be written in some format.
#[derive(Clone)]
pub(crate) struct TestImage {
    pub(crate) name: String,
    /// As they are stored.
    pub(crate) layers: Vec<Vec<u8>>,
    pub(crate) diff_ids: Vec<String>,
    pub(crate) config: serde_json::Value,
    pub(crate) layer_type: String,
    pub(crate) config_type: String,
}

impl TestImage {
    /// Uncompressed layers.
    pub(crate) fn new(name: &str, layers: &[Vec<u8>]) -> Self {
        let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
        let config = serde_json::json!({
            "created": "2026-01-02T03:04:05Z", "architecture": "amd64", "os": "linux",
            "config": {"Cmd": ["/bin/true"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids.clone()},
        });
        Self {
            name: name.to_owned(),
            layers: layers.to_vec(),
            diff_ids,
            config,
            layer_type: "application/vnd.oci.image.layer.v1.tar".to_owned(),
            config_type: "application/vnd.oci.image.config.v1+json".to_owned(),
        }
    }

    pub(crate) fn compressed(mut self, compress: fn(&[u8]) -> Vec<u8>, suffix: &str) -> Self {
        self.layers = self.layers.iter().map(|layer| compress(layer)).collect();
        self.layer_type += suffix;
        self
    }

    pub(crate) fn config_bytes(&self) -> Vec<u8> {
        self.config.to_string().into_bytes()
    }

    pub(crate) fn manifest(&self) -> Vec<u8> {
        let config = self.config_bytes();
        let layers: Vec<_> = self
            .layers
            .iter()
            .map(|layer| serde_json::json!({"mediaType": self.layer_type, "digest": digest(layer), "size": layer.len()}))
            .collect();
        serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": self.config_type, "digest": digest(&config), "size": config.len()},
            "layers": layers,
        })
        .to_string()
        .into_bytes()
    }

    /// The descriptor that an index has of it.
    pub(crate) fn descriptor(&self) -> serde_json::Value {
        let manifest = self.manifest();
        serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(&manifest),
            "size": manifest.len(), "annotations": {"org.opencontainers.image.ref.name": self.name},
        })
    }

    /// Blobs as names and bytes.
    pub(crate) fn blobs(&self) -> Vec<(String, Vec<u8>)> {
        let mut blobs = self.layers.clone();
        blobs.extend([self.config_bytes(), self.manifest()]);
        blobs
            .into_iter()
            .map(|bytes| (format!("blobs/sha256/{}", hex(&bytes)), bytes))
            .collect()
    }

    /// All files of an OCI layout with this one image.
    pub(crate) fn oci_files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = self.blobs();
        files.extend(oci_index(&[self.descriptor()]));
        files
    }

    pub(crate) fn oci(&self) -> Vec<u8> {
        archive(&self.oci_files())
    }

    /// What `docker save` before version 25 writes.
    pub(crate) fn docker_files(&self) -> Vec<(String, Vec<u8>)> {
        let config = self.config_bytes();
        let config_name = format!("{}.json", hex(&config));
        let names: Vec<String> = self
            .layers
            .iter()
            .map(|layer| format!("{}/layer.tar", hex(layer)))
            .collect();
        let manifest =
            serde_json::json!([{"Config": config_name, "RepoTags": [self.name], "Layers": names}]);
        let mut files: Vec<(String, Vec<u8>)> =
            names.into_iter().zip(self.layers.clone()).collect();
        files.push((config_name, config));
        files.push((
            "manifest.json".to_owned(),
            manifest.to_string().into_bytes(),
        ));
        files
    }

    pub(crate) fn docker(&self) -> Vec<u8> {
        archive(&self.docker_files())
    }
}

pub(crate) fn oci_index(manifests: &[serde_json::Value]) -> Vec<(String, Vec<u8>)> {
    let index = serde_json::json!({"schemaVersion": 2, "manifests": manifests});
    vec![
        (
            "oci-layout".to_owned(),
            br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
        ),
        ("index.json".to_owned(), index.to_string().into_bytes()),
    ]
}

pub(crate) fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    tar_of(&files)
}

/// A small image that any test can use.
pub(crate) fn small_image(name: &str, content: &[u8]) -> TestImage {
    TestImage::new(
        name,
        &[Layer::new().folder("etc/").file("etc/motd", content).done()],
    )
}

/// Runs a shell script as root in its own mount namespace; `$1` is the program, `$2` the folder.
pub(crate) fn in_mount_namespace(folder: &TestFolder, script: &str) -> Outcome {
    let output = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-ec",
            script,
            "sh",
            env!("CARGO_BIN_EXE_store"),
        ])
        .arg(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Outcome::of(output)
}

/// Numbers that look random, the same for the same seed (xorshift64*).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap()
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[7]).collect()
    }
}
