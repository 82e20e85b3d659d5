//! Writes an OCI image archive (OCI Image Format Specification 1.1: layout, index, manifest, configuration, layers).
//!
//! Reproducible: files in the order of their paths, one date, owners as given, one compressor.

use crate::digest;
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use tar::{EntryType, Header};

/// One entry of a layer.
#[derive(Debug, Clone)]
pub enum Entry {
    Folder { mode: u32, owner: u64 },
    File { mode: u32, bytes: Vec<u8> },
    Link { to: String },
}

/// Path (no leading slash) → entry.
pub type Layer = BTreeMap<String, Entry>;

const TAG: &str = "org.opencontainers.image.ref.name";

/// The archive: `layers` bottom first, `config` the `config` object of the image, `references` its names.
///
/// # Errors
/// When something does not fit into a tar header.
pub fn archive(layers: &[Layer], config: &Value, references: &[String]) -> io::Result<Vec<u8>> {
    let tars: io::Result<Vec<Vec<u8>>> = layers.iter().map(layer_tar).collect();
    archive_of(&tars?, config, references)
}

/// As [`archive`], of layers that are tar files already (not compressed).
///
/// # Errors
/// When something does not fit into a tar header.
pub fn archive_of(
    layers: &[Vec<u8>],
    config: &Value,
    references: &[String],
) -> io::Result<Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut blob = |bytes: Vec<u8>, media_type: &str| -> Value {
        let hash = digest::of(&bytes);
        let descriptor = json!({"mediaType": media_type, "digest": format!("sha256:{hash}"), "size": bytes.len()});
        files.insert(format!("blobs/sha256/{hash}"), bytes);
        descriptor
    };
    let (mut descriptors, mut diff_ids) = (Vec::new(), Vec::new());
    for plain in layers {
        diff_ids.push(format!("sha256:{}", digest::of(plain)));
        descriptors.push(blob(
            compress(plain)?,
            "application/vnd.oci.image.layer.v1.tar+gzip",
        ));
    }
    let configuration = json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let configuration = blob(
        configuration.to_string().into_bytes(),
        "application/vnd.oci.image.config.v1+json",
    );
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": manifest_type, "config": configuration, "layers": descriptors});
    let descriptor = blob(manifest.to_string().into_bytes(), manifest_type);
    let named = |reference: &String| {
        let mut named = descriptor.clone();
        named["annotations"] = json!({ TAG: reference });
        named
    };
    let manifests: Vec<Value> = references.iter().map(named).collect();
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests});
    files.insert("index.json".to_owned(), index.to_string().into_bytes());
    files.insert(
        "oci-layout".to_owned(),
        json!({"imageLayoutVersion": "1.0.0"})
            .to_string()
            .into_bytes(),
    );

    let mut tar = tar::Builder::new(Vec::new());
    for folder in ["blobs/", "blobs/sha256/"] {
        append(&mut tar, folder, EntryType::Directory, 0o755, 0, &[])?;
    }
    for (path, bytes) in &files {
        append(&mut tar, path, EntryType::Regular, 0o644, 0, bytes)?;
    }
    tar.into_inner()
}

/// One layer as a tar file.
///
/// # Errors
/// When something does not fit into a tar header.
pub fn layer_tar(layer: &Layer) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, entry) in layer {
        match entry {
            Entry::Folder { mode, owner } => append(
                &mut tar,
                &format!("{path}/"),
                EntryType::Directory,
                *mode,
                *owner,
                &[],
            )?,
            Entry::File { mode, bytes } => {
                append(&mut tar, path, EntryType::Regular, *mode, 0, bytes)?
            }
            Entry::Link { to } => {
                let mut header = header(EntryType::Symlink, 0o777, 0, 0);
                tar.append_link(&mut header, path, to)?;
            }
        }
    }
    tar.into_inner()
}

fn header(kind: EntryType, mode: u32, owner: u64, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(owner);
    header.set_gid(owner);
    header.set_mtime(0);
    header.set_size(size as u64);
    header
}

fn append(
    tar: &mut tar::Builder<Vec<u8>>,
    path: &str,
    kind: EntryType,
    mode: u32,
    owner: u64,
    bytes: &[u8],
) -> io::Result<()> {
    tar.append_data(&mut header(kind, mode, owner, bytes.len()), path, bytes)
}

fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut gzip = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    gzip.finish()
}
