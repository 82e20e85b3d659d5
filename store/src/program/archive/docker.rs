//! What `docker save` writes: `manifest.json` → configuration and layers, all named by path
//! (moby, image/spec/v1.2.md, "Combined Image JSON + Filesystem Changeset Format").

use super::blob::Blob;
use super::contents::{Contents, parse};
use super::name::Names;
use crate::document::{DocumentError, Field};
use crate::program::compression::Compression;
use crate::program::error::StoreError;
use crate::program::hashing::{HashingReader, digest_of};
use crate::program::limits::{BUFFER_BYTES, IMAGES_MAX, LAYER_BYTES_MAX};
use crate::program::media_type;
use crate::program::plan::{ImagePlan, LayerPlan, describe, layer_label};
use crate::{Digest, Reference};
use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::path::Path;

pub(super) const MANIFEST_NAME: &str = "manifest.json";
/// All that Docker before 1.10 wrote.
pub(super) const LEGACY_NAME: &str = "repositories";

struct Image {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

impl Image {
    fn read(object: &Field<'_>) -> Result<Self, DocumentError> {
        Ok(Self {
            config: object.get("Config")?.text()?,
            repo_tags: object.get("RepoTags")?.texts()?,
            layers: object.get("Layers")?.texts()?,
        })
    }
}

/// The images of a docker archive.
pub(super) fn plan(contents: &Contents) -> Result<Vec<ImagePlan>, StoreError> {
    let images = images(contents)?;
    if images.is_empty() {
        return Err(StoreError::NotAnArchive {
            reason: format!("its {MANIFEST_NAME} names no image"),
        });
    }
    images
        .iter()
        .map(|image| image_plan(contents, image))
        .collect()
}

/// The names of an archive that is an OCI layout, too, by configuration: its index knows only tags.
pub(super) fn tags_by_config(contents: &Contents) -> Result<BTreeMap<Digest, Names>, StoreError> {
    let mut tags = BTreeMap::new();
    if contents.has(MANIFEST_NAME) {
        for image in images(contents)? {
            if let Some(digest) = named_digest(&image.config) {
                tags.insert(digest, names(&image));
            }
        }
    }
    Ok(tags)
}

fn images(contents: &Contents) -> Result<Vec<Image>, StoreError> {
    let document = parse(
        &contents.document(MANIFEST_NAME, "its list of images")?,
        MANIFEST_NAME,
    )?;
    let images = document
        .root()
        .list()
        .map_err(|error| StoreError::malformed(MANIFEST_NAME, error))?;
    if images.len() > IMAGES_MAX {
        return Err(StoreError::Limit {
            what: "the archive".to_owned(),
            limit: format!("{IMAGES_MAX} images"),
        });
    }
    images
        .iter()
        .map(Image::read)
        .collect::<Result<_, _>>()
        .map_err(|error| StoreError::malformed(MANIFEST_NAME, error))
}

fn names(image: &Image) -> Names {
    let mut names = Names::default();
    for tag in &image.repo_tags {
        names.add(tag);
    }
    names
}

/// The digest in `<hex>.json` or `blobs/sha256/<hex>`.
fn named_digest(name: &str) -> Option<Digest> {
    let last = name.rsplit('/').next()?;
    format!("sha256:{}", last.strip_suffix(".json").unwrap_or(last))
        .parse()
        .ok()
}

fn image_plan(contents: &Contents, image: &Image) -> Result<ImagePlan, StoreError> {
    let names = names(image);
    let shown = names.references.first().map_or_else(
        || format!("image {}", image.config.escape_debug()),
        Reference::to_string,
    );
    let what = format!("the configuration of {shown}");
    let config = contents.document(&image.config, &what)?;
    let config_digest = digest_of(&config);
    if let Some(expected) =
        named_digest(&image.config).filter(|expected| *expected != config_digest)
    {
        return Err(StoreError::Mismatch {
            what,
            expected,
            found: config_digest,
        });
    }
    let blobs = image.layers.as_slice();
    let described = describe(&config, blobs.len(), &shown)?;
    let mut layers = Vec::new();
    for (index, (name, diff_id)) in blobs.iter().zip(described.diff_ids).enumerate() {
        layers.push(layer_plan(
            contents,
            name,
            diff_id,
            layer_label(index, blobs.len(), &shown),
        )?);
    }
    let manifest = made_manifest(&config_digest, config.len(), &layers);
    let digest = digest_of(&manifest);
    Ok(ImagePlan {
        names: names.references,
        unusable_names: names.unusable,
        digest,
        manifest,
        config_digest,
        config,
        created: described.created,
        layers,
    })
}

fn layer_plan(
    contents: &Contents,
    name: &str,
    diff_id: Digest,
    label: String,
) -> Result<LayerPlan, StoreError> {
    let missing = || StoreError::Missing {
        what: label.clone(),
        blob: name.to_owned(),
    };
    let blob = contents.find(name)?.ok_or_else(missing)?;
    let read_failed =
        |error| StoreError::io("cannot read from the archive", Path::new(name), error);
    let digest = match Compression::detect(&blob.start().map_err(read_failed)?) {
        Ok(Compression::None) => diff_id.clone(),
        Ok(Compression::Gzip | Compression::Zstd) | Err(_) => hash(&blob).map_err(read_failed)?,
    };
    Ok(LayerPlan {
        label,
        diff_id,
        digest,
        blob_size: blob.size(),
        blob: Some(blob),
    })
}

fn hash(blob: &Blob) -> io::Result<Digest> {
    if let Some(digest) = blob.digest() {
        return Ok(digest.clone());
    }
    let mut reader = BufReader::with_capacity(
        BUFFER_BYTES,
        HashingReader::new(blob.open(), LAYER_BYTES_MAX),
    );
    io::copy(&mut reader, &mut io::sink())?;
    Ok(reader.into_inner().finish().0)
}

/// The manifest that such an archive lacks, the same bytes for the same image.
fn made_manifest(config: &Digest, config_size: usize, layers: &[LayerPlan]) -> Vec<u8> {
    let descriptor = |media_type: &str, digest: &Digest, size: u64| serde_json::json!({"mediaType": media_type, "digest": digest, "size": size});
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| descriptor(media_type::LAYER, &layer.digest, layer.blob_size))
        .collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media_type::MANIFEST,
        "config": descriptor(media_type::CONFIG, config, config_size as u64),
        "layers": layers,
    });
    manifest.to_string().into_bytes()
}
