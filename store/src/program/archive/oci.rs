//! OCI image layout (OCI image-spec, image-layout.md): `index.json` → manifests → configuration and layers.

use super::blob::Blob;
use super::contents::{Contents, parse};
use super::docker;
use super::name::{Names, blob_name};
use crate::Digest;
use crate::document::{DocumentError, Field};
use crate::program::error::StoreError;
use crate::program::limits::{IMAGES_MAX, INDEX_DEPTH_MAX};
use crate::program::media_type::{self, Document};
use crate::program::plan::{ImagePlan, LayerPlan, describe, layer_label};
use crate::program::platform::Platform;
use std::collections::BTreeMap;

pub(super) const INDEX_NAME: &str = "index.json";

/// The whole reference, as containerd and Docker write it.
const NAME_FULL: &str = "io.containerd.image.name";
/// The whole reference or only a tag, depending on who wrote it.
const NAME: &str = "org.opencontainers.image.ref.name";
/// On entries that are about an image, not images.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

#[derive(Clone)]
struct Descriptor {
    /// Empty: not said.
    media_type: String,
    /// The field that says it: `layers[0].mediaType`.
    media_type_field: String,
    digest: Digest,
    /// Of what it describes; absent: not said.
    size: Option<u64>,
    platform: Option<Platform>,
    annotations: BTreeMap<String, String>,
}

struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

impl Manifest {
    fn read(root: &Field<'_>) -> Result<Self, DocumentError> {
        Ok(Self {
            config: Descriptor::read(&root.get("config")?)?,
            layers: descriptors(&root.get("layers")?)?,
        })
    }
}

fn descriptors(list: &Field<'_>) -> Result<Vec<Descriptor>, DocumentError> {
    list.list()?.iter().map(Descriptor::read).collect()
}

/// The entries of an index.
fn read_index(bytes: &[u8], what: &str) -> Result<Vec<Descriptor>, StoreError> {
    parse(bytes, what)?
        .root()
        .get("manifests")
        .and_then(|list| descriptors(&list))
        .map_err(|error| StoreError::malformed(what, error))
}

impl Descriptor {
    fn read(object: &Field<'_>) -> Result<Self, DocumentError> {
        let platform = object.get("platform")?;
        let media_type = object.get("mediaType")?;
        Ok(Self {
            media_type: media_type.text()?,
            media_type_field: media_type.path().to_owned(),
            digest: object.get("digest")?.parsed()?,
            size: object
                .get("size")?
                .number()?
                .and_then(|size| u64::try_from(size).ok()),
            platform: match platform.is_null() {
                true => None,
                false => Some(Platform::read(&platform)?),
            },
            annotations: object.get("annotations")?.map()?,
        })
    }

    /// `None`: absent, null or empty.
    fn annotation(&self, key: &str) -> Option<&str> {
        let text = self.annotations.get(key).map(String::as_str);
        text.filter(|text| !text.is_empty())
    }

    /// What to tell when the media type does not do.
    fn no_image(&self) -> String {
        let field = &self.media_type_field;
        match self.media_type.escape_debug().to_string().as_str() {
            "" => format!("{field} is missing, so this may be no container image"),
            media_type => format!("{field}: `{media_type}` is not a container image"),
        }
    }

    /// Lower is better; `None`: not for this machine. Unknown platforms are settled by the configuration.
    fn rank(&self) -> Option<u8> {
        if self.annotation(REFERENCE_TYPE).is_some() {
            return None;
        }
        let Some(platform) = &self.platform else {
            return Some(1);
        };
        if !platform.is_ours() {
            return None;
        }
        match platform.variant.as_str() {
            "" if platform.architecture.is_empty() => Some(1),
            "" => Some(0),
            // x86-64-v2 and above need a CPU that this machine may not be.
            _ => Some(2),
        }
    }

    fn shown_platform(&self) -> String {
        match &self.platform {
            Some(platform) => platform.to_string(),
            None => "unknown".to_owned(),
        }
    }
}

/// The images of an OCI layout.
pub(super) fn plan(contents: &Contents) -> Result<Vec<ImagePlan>, StoreError> {
    let index = read_index(&contents.document(INDEX_NAME, "the index")?, INDEX_NAME)?;
    if index.len() > IMAGES_MAX {
        return Err(StoreError::Limit {
            what: "the index".to_owned(),
            limit: format!("{IMAGES_MAX} images"),
        });
    }
    let tags = docker::tags_by_config(contents)?;
    let mut plans: Vec<ImagePlan> = Vec::new();
    let candidates: Vec<&Descriptor> = index
        .iter()
        .filter(|entry| entry.rank().is_some())
        .collect();
    if candidates.is_empty() {
        let found = index.iter().map(Descriptor::shown_platform).collect();
        return Err(if index.is_empty() {
            StoreError::NotAnArchive {
                reason: "its index names no image".to_owned(),
            }
        } else {
            StoreError::WrongPlatform {
                what: "the archive".to_owned(),
                found,
            }
        });
    }
    for entry in candidates {
        let mut names = names_of(entry);
        let image = match names.references.first() {
            Some(name) => name.to_string(),
            None => format!("image {}", entry.digest.short()),
        };
        let manifest = select(contents, entry, &image, 0)?;
        let plan = match plans.iter_mut().find(|plan| plan.digest == manifest.digest) {
            Some(known) => known,
            None => {
                plans.push(image_plan(contents, &manifest, &image)?);
                let Some(added) = plans.last_mut() else {
                    continue;
                };
                added
            }
        };
        let tags = tags.get(&plan.config_digest);
        if let Some(tags) = tags.filter(|_| names.references.is_empty()) {
            // What the index says is no more than a tag then.
            names = tags.clone();
        }
        names.append_to(&mut plan.names, &mut plan.unusable_names);
    }
    Ok(plans)
}

/// Follows indexes down to the manifest for this machine.
fn select(
    contents: &Contents,
    entry: &Descriptor,
    image: &str,
    depth: usize,
) -> Result<Descriptor, StoreError> {
    let unsupported = |detail: String| StoreError::Unsupported {
        what: image.to_owned(),
        detail,
    };
    let document = match entry.media_type.as_str() {
        "" => Some(told_by_content(contents, entry, image)?),
        media_type => media_type::document(media_type),
    };
    match document {
        Some(Document::Manifest) => return Ok(entry.clone()),
        Some(Document::Index) => {}
        None => return Err(unsupported(entry.no_image())),
    }
    if depth >= INDEX_DEPTH_MAX {
        return Err(unsupported(format!(
            "its indexes nest deeper than {INDEX_DEPTH_MAX}"
        )));
    }
    let what = format!("the index of {image}");
    let index = read_index(&contents.verified_document(&entry.digest, &what)?, &what)?;
    let mut ranked: Vec<(u8, &Descriptor)> = index
        .iter()
        .filter_map(|entry| Some((entry.rank()?, entry)))
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    // An archive may hold only one of the platforms that its index lists.
    let mut best = ranked.first().map(|(_, entry)| *entry);
    for (_, entry) in &ranked {
        if contents.find(&blob_name(&entry.digest))?.is_some() {
            best = Some(entry);
            break;
        }
    }
    match best {
        Some(entry) => select(contents, entry, image, depth + 1),
        None => Err(StoreError::WrongPlatform {
            what: image.to_owned(),
            found: index.iter().map(Descriptor::shown_platform).collect(),
        }),
    }
}

/// What an entry without a media type leads to, as containers/image guesses it (`manifest.GuessMIMEType`).
fn told_by_content(
    contents: &Contents,
    entry: &Descriptor,
    image: &str,
) -> Result<Document, StoreError> {
    let what = format!("the manifest of {image}");
    let document = parse(&contents.verified_document(&entry.digest, &what)?, &what)?;
    let root = document.root();
    let own = root.get("mediaType").and_then(|own| own.text());
    let own = own.map_err(|error| StoreError::malformed(&what, error))?;
    if let Some(document) = media_type::document(&own) {
        return Ok(document);
    }
    match root.get("manifests") {
        Ok(manifests) if !manifests.is_null() => Ok(Document::Index),
        Ok(_) | Err(_) => Ok(Document::Manifest),
    }
}

fn image_plan(
    contents: &Contents,
    entry: &Descriptor,
    image: &str,
) -> Result<ImagePlan, StoreError> {
    let what = format!("the manifest of {image}");
    let bytes = contents.verified_document(&entry.digest, &what)?;
    let manifest = Manifest::read(&parse(&bytes, &what)?.root())
        .map_err(|error| StoreError::malformed(&what, error))?;
    if !media_type::is_config(&manifest.config.media_type) {
        return Err(StoreError::Unsupported {
            what: image.to_owned(),
            detail: manifest.config.no_image(),
        });
    }
    let config = contents.verified_document(
        &manifest.config.digest,
        &format!("the configuration of {image}"),
    )?;
    let described = describe(&config, manifest.layers.len(), image)?;
    let count = manifest.layers.len();
    let pairs = manifest.layers.iter().zip(described.diff_ids).enumerate();
    let layers = pairs.map(|(index, (layer, diff_id))| {
        layer_plan(contents, layer, diff_id, layer_label(index, count, image))
    });
    Ok(ImagePlan {
        names: Vec::new(),
        unusable_names: Vec::new(),
        digest: entry.digest.clone(),
        manifest: bytes,
        config_digest: manifest.config.digest,
        config,
        created: described.created,
        layers: layers.collect::<Result<_, _>>()?,
    })
}

fn layer_plan(
    contents: &Contents,
    layer: &Descriptor,
    diff_id: Digest,
    label: String,
) -> Result<LayerPlan, StoreError> {
    // Of one without a type, the digest of its content says whether it is what the configuration names.
    if !layer.media_type.is_empty() && !media_type::is_layer(&layer.media_type) {
        let detail = format!(
            "{}: layers of type `{}` are not supported",
            layer.media_type_field,
            layer.media_type.escape_debug()
        );
        return Err(StoreError::Unsupported {
            what: label,
            detail,
        });
    }
    let blob = contents.find(&blob_name(&layer.digest))?;
    if let Some(blob) = blob
        .as_ref()
        .filter(|blob| layer.size.is_some_and(|size| blob.size() != size))
    {
        let what = format!(
            "{label} has {} bytes, its manifest says {}",
            blob.size(),
            layer.size.unwrap_or_default()
        );
        return Err(StoreError::Truncated { what });
    }
    Ok(LayerPlan {
        label,
        diff_id,
        digest: layer.digest.clone(),
        blob_size: layer
            .size
            .or_else(|| blob.as_ref().map(Blob::size))
            .unwrap_or_default(),
        blob,
    })
}

/// The name that an index gives an image, if it gives one.
///
/// The annotation of the specification often holds no more than a tag. `latest`, or what begins with a digit, is
/// taken for that, since no image is called so; any other word is a name, if it can be one.
fn names_of(entry: &Descriptor) -> Names {
    let mut names = Names::default();
    if let Some(name) = entry.annotation(NAME_FULL) {
        names.add(name);
        return names;
    }
    let is_tag = |name: &str| {
        let digit = name.starts_with(|first: char| first.is_ascii_digit());
        name == "latest" || digit && !name.contains(['/', ':'])
    };
    if let Some(name) = entry.annotation(NAME).filter(|name| !is_tag(name)) {
        names.add(name);
    }
    names
}
