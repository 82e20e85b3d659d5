//! What an archive says has to be done, checked but not done yet.

use crate::program::archive::Blob;
use crate::program::error::StoreError;
use crate::program::limits::LAYERS_MAX;
use crate::{Digest, ImageConfig, Reference};
use serde::Deserialize;

/// One image.
#[derive(Debug)]
pub(crate) struct ImagePlan {
    /// None: only its digest.
    pub(crate) names: Vec<Reference>,
    pub(crate) digest: Digest,
    pub(crate) manifest: Vec<u8>,
    pub(crate) config_digest: Digest,
    pub(crate) config: Vec<u8>,
    pub(crate) created: String,
    /// Bottom first.
    pub(crate) layers: Vec<LayerPlan>,
}

/// One layer of an image.
#[derive(Clone, Debug)]
pub(crate) struct LayerPlan {
    /// In messages: `layer 2 of 3 of docker.io/library/redis:7`.
    pub(crate) label: String,
    pub(crate) diff_id: Digest,
    /// Of the blob.
    pub(crate) digest: Digest,
    pub(crate) blob_size: u64,
    /// Absent from archives that leave out what the receiver has.
    pub(crate) blob: Option<Blob>,
}

/// What an image's configuration says of the image itself.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) diff_ids: Vec<Digest>,
    pub(crate) created: String,
}

#[derive(Deserialize)]
struct Document {
    architecture: Option<String>,
    os: Option<String>,
    rootfs: Option<Rootfs>,
}

#[derive(Deserialize)]
struct Rootfs {
    diff_ids: Option<Vec<String>>,
}

/// Reads a configuration and checks that the image runs on this machine.
///
/// `layers` is how many layers the image has. `image` is its name in messages.
pub(crate) fn describe(config: &[u8], layers: usize, image: &str) -> Result<Described, StoreError> {
    let what = format!("the configuration of {image}");
    let document: Document =
        serde_json::from_slice(config).map_err(|error| StoreError::malformed(&what, error))?;
    let parsed = ImageConfig::parse(config).map_err(|error| StoreError::malformed(&what, error))?;
    let os = document
        .os
        .filter(|os| !os.is_empty())
        .unwrap_or_else(|| "linux".to_owned());
    let architecture = document
        .architecture
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "amd64".to_owned());
    if (os.as_str(), architecture.as_str()) != ("linux", "amd64") {
        return Err(StoreError::WrongPlatform {
            what: image.to_owned(),
            found: vec![format!("{os}/{architecture}")],
        });
    }
    let diff_ids = document
        .rootfs
        .and_then(|rootfs| rootfs.diff_ids)
        .unwrap_or_default();
    if diff_ids.len() != layers {
        let reason = format!("it names {} layers, the manifest {layers}", diff_ids.len());
        return Err(StoreError::malformed(&what, reason));
    }
    if layers > LAYERS_MAX {
        return Err(StoreError::Limit {
            what: format!("{image} with {layers} layers"),
            limit: format!("{LAYERS_MAX} layers"),
        });
    }
    let parse = |text: &String| {
        text.parse()
            .map_err(|error| StoreError::malformed(&what, error))
    };
    Ok(Described {
        diff_ids: diff_ids.iter().map(parse).collect::<Result<_, _>>()?,
        created: parsed.created,
    })
}

/// The layer's name in messages.
pub(crate) fn layer_label(index: usize, of: usize, image: &str) -> String {
    format!("layer {} of {of} of {image}", index + 1)
}
