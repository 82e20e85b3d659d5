//! Image archives: what is in them, and which images they hold.
//!
//! ```text
//! folder, file, stdin ──contents──▶ names → blobs ──oci | docker──▶ plan::ImagePlan ──▶ load
//! ```
//!
//! To add a format: a file that turns [`Contents`] into plans, and an arm in [`plan`].

mod blob;
mod contents;
mod docker;
mod name;
mod oci;

pub(crate) use blob::Blob;
pub(crate) use contents::{Contents, Source};

use crate::program::error::StoreError;
use crate::program::plan::ImagePlan;

/// The images of an archive. An archive that is both (`docker save` since version 25) is read as OCI layout.
pub(crate) fn plan(contents: &Contents) -> Result<Vec<ImagePlan>, StoreError> {
    if contents.has(oci::INDEX_NAME) {
        oci::plan(contents)
    } else if contents.has(docker::MANIFEST_NAME) {
        docker::plan(contents)
    } else if contents.has(docker::LEGACY_NAME) {
        Err(StoreError::NotAnArchive {
            reason: "it was saved by a Docker older than 1.10".to_owned(),
        })
    } else {
        Err(StoreError::NotAnArchive {
            reason: format!(
                "it has neither {} nor {}, or it is truncated",
                oci::INDEX_NAME,
                docker::MANIFEST_NAME
            ),
        })
    }
}
