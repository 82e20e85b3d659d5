//! What an archive says has to be done, checked but not done yet.

use crate::document::{Document, Field};
use crate::program::archive::Blob;
use crate::program::error::StoreError;
use crate::program::limits::LAYERS_MAX;
use crate::program::platform::Platform;
use crate::{Digest, ImageConfig, Reference, ReferenceError};

/// One image.
#[derive(Debug)]
pub(crate) struct ImagePlan {
    /// None: only its digest.
    pub(crate) names: Vec<Reference>,
    /// What the archive calls it and what is no name.
    pub(crate) unusable_names: Vec<ReferenceError>,
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

/// Reads a configuration and checks that the image runs on this machine.
///
/// `layers` is how many layers the image has. `image` is its name in messages.
pub(crate) fn describe(config: &[u8], layers: usize, image: &str) -> Result<Described, StoreError> {
    let what = format!("the configuration of {image}");
    let malformed = |error| StoreError::malformed(&what, error);
    let parsed = ImageConfig::parse(config).map_err(malformed)?;
    let document = Document::parse(config).map_err(malformed)?;
    let root = document.root();
    let platform = Platform::read(&root).map_err(malformed)?;
    if !platform.is_ours() {
        return Err(StoreError::WrongPlatform {
            what: image.to_owned(),
            found: vec![platform.to_string()],
        });
    }
    let diff_ids = root
        .get("rootfs")
        .and_then(|rootfs| rootfs.get("diff_ids")?.list())
        .map_err(malformed)?;
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
    let diff_ids: Result<_, _> = diff_ids.iter().map(Field::parsed).collect();
    Ok(Described {
        diff_ids: diff_ids.map_err(malformed)?,
        created: parsed.created,
    })
}

/// The layer's name in messages.
pub(crate) fn layer_label(index: usize, of: usize, image: &str) -> String {
    format!("layer {} of {of} of {image}", index + 1)
}
