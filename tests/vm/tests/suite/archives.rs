//! OCI archives that have been tampered with.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::Read;
use tar::{Archive, Builder, Header};

/// Name and content of every file.
type Files = Vec<(String, Vec<u8>)>;

fn files(archive: &[u8]) -> Files {
    let mut tar = Archive::new(archive);
    let entries = tar.entries().unwrap().map(|entry| entry.unwrap());
    entries
        .filter(|entry| entry.header().entry_type().is_file())
        .map(|mut entry| {
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (name, bytes)
        })
        .collect()
}

fn archive(files: &Files) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes.as_slice())
            .unwrap();
    }
    tar.into_inner().unwrap()
}

fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn json(files: &Files, name: &str) -> Value {
    let (_, bytes) = files.iter().find(|(known, _)| known == name).unwrap();
    serde_json::from_slice(bytes).unwrap()
}

fn manifest(files: &Files) -> Value {
    let index = json(files, "index.json");
    json(
        files,
        &blob(index["manifests"][0]["digest"].as_str().unwrap()),
    )
}

/// One bit of a new layer is another; answers the layer's digest.
pub(crate) fn with_flipped_bit(whole: &[u8]) -> (Vec<u8>, String) {
    let mut files = files(&with_path(whole, "etc/flipped"));
    let (name, layer) = layer_of(&mut files);
    // The content of its file: the tar around it is sound.
    layer[512] ^= 1;
    (archive(&files), name)
}

/// A new layer is another one of the same size, sound by itself; answers the digest under which it is there.
pub(crate) fn with_replaced_layer(whole: &[u8]) -> (Vec<u8>, String) {
    let mut files = files(&with_path(whole, "etc/replaced"));
    let (name, layer) = layer_of(&mut files);
    *layer = layer_with("etc/smuggled");
    (archive(&files), name)
}

/// The one layer: its digest and content.
fn layer_of(files: &mut Files) -> (String, &mut Vec<u8>) {
    let digest = manifest(files)["layers"][0]["digest"].clone();
    let digest = digest.as_str().unwrap().to_owned();
    let name = blob(&digest);
    let found = files.iter_mut().find(|(known, _)| *known == name);
    (digest, &mut found.unwrap().1)
}

/// A layer with one file, not compressed.
fn layer_with(path: &str) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    let mut header = Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(6);
    // `set_path` refuses what we want to write.
    header.as_ustar_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_cksum();
    tar.append(&header, &b"forged"[..]).unwrap();
    tar.into_inner().unwrap()
}

/// An archive whose every digest is right, of one layer with a file of this path.
pub(crate) fn with_path(whole: &[u8], path: &str) -> Vec<u8> {
    let old = files(whole);
    let layer = layer_with(path);
    let digest = sha256(&layer);
    let mut config = json(
        &old,
        &blob(manifest(&old)["config"]["digest"].as_str().unwrap()),
    );
    config["rootfs"]["diff_ids"] = serde_json::json!([digest]);
    let config = config.to_string().into_bytes();
    let mut manifest = manifest(&old);
    manifest["config"]["digest"] = sha256(&config).into();
    manifest["config"]["size"] = config.len().into();
    manifest["layers"] = serde_json::json!([{
        "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": layer.len()
    }]);
    let manifest = manifest.to_string().into_bytes();
    let mut index = json(&old, "index.json");
    let mut named = index["manifests"][0].clone();
    named["digest"] = sha256(&manifest).into();
    named["size"] = manifest.len().into();
    named["annotations"]["org.opencontainers.image.ref.name"] = "example.com/planted:1".into();
    index["manifests"] = serde_json::json!([named]);
    let all = vec![
        (
            "oci-layout".to_owned(),
            br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
        ),
        ("index.json".to_owned(), index.to_string().into_bytes()),
        (blob(&sha256(&layer)), layer),
        (blob(&sha256(&config)), config),
        (blob(&sha256(&manifest)), manifest),
    ];
    archive(&all)
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// The same image under another name.
pub(crate) fn renamed(whole: &[u8], reference: &str) -> Vec<u8> {
    let mut files = files(whole);
    let mut index = json(&files, "index.json");
    let mut named = index["manifests"][0].clone();
    named["annotations"]["org.opencontainers.image.ref.name"] = reference.into();
    index["manifests"] = serde_json::json!([named]);
    let (_, bytes) = files
        .iter_mut()
        .find(|(name, _)| name == "index.json")
        .unwrap();
    *bytes = index.to_string().into_bytes();
    archive(&files)
}

/// The same layers under another name, with changes to the `config` object of the image's configuration.
pub(crate) fn with_config(whole: &[u8], reference: &str, change: impl Fn(&mut Value)) -> Vec<u8> {
    let mut files = files(whole);
    let mut manifest = manifest(&files);
    let mut config = json(
        &files,
        &blob(manifest["config"]["digest"].as_str().unwrap()),
    );
    change(&mut config["config"]);
    let config = config.to_string().into_bytes();
    manifest["config"]["digest"] = sha256(&config).into();
    manifest["config"]["size"] = config.len().into();
    let manifest = manifest.to_string().into_bytes();
    let mut index = json(&files, "index.json");
    let mut named = index["manifests"][0].clone();
    named["digest"] = sha256(&manifest).into();
    named["size"] = manifest.len().into();
    named["annotations"]["org.opencontainers.image.ref.name"] = reference.into();
    index["manifests"] = serde_json::json!([named]);
    files.retain(|(name, _)| name != "index.json");
    files.push(("index.json".to_owned(), index.to_string().into_bytes()));
    files.push((blob(&sha256(&config)), config));
    files.push((blob(&sha256(&manifest)), manifest));
    archive(&files)
}
