//! Images on the machine: which layers and which configuration an image has.
//!
//! What stands here is the read side, which the launcher uses. The program `store`, in `program`, is the only writer. What
//! they share is the tree:
//!
//! ```text
//! /var/images/
//!   blobs/sha256/<hex>      manifests and configurations, named by the SHA-256 of their bytes
//!   layers/<hex>/           one layer unpacked, named by its diff_id (SHA-256 of its uncompressed tar), or by its chain
//!                           id if it depends on the layers below it (docs/decisions/011), in overlay's form: a
//!                           whiteout is a character device 0:0, an opaque folder has trusted.overlay.opaque=y; what
//!                           else is known of it is in trusted.keelson.layer (`mark`)
//!   refs/<escaped name>     JSON (`ImageRecord`): reference → manifest, configuration, layers, sizes
//!   preloaded.2/<sha256>    an archive of the release that has been loaded once; its references. `preloaded`: before
//!                           layers were as they are now
//!   tmp/                    what is being written, or was when the power went
//!   lock                    flock(2): shared by who uses images, exclusive for who removes some
//!   load.lock               flock(2): exclusive, held by who writes
//! ```
//!
//! Invariants:
//!
//! - A name in `refs/` is the commit point. It is written last, so whatever it leads to is complete, was
//!   verified while it was written, and has reached the disk (syncfs(2) comes before the first rename).
//! - Blobs and layers appear in their place by rename only, and are never changed after that. So an interrupted
//!   write leaves nothing but files in `tmp/` and things that no reference uses: the next writer empties the
//!   first, `store gc` finds the second.
//! - The compressed form of a layer is not kept: configuration and manifest still name it by digest, and
//!   `ImageRecord` keeps its size.
//! - An [`Image`] holds the shared lock as long as it lives, so its layers stay while they are being mounted. `gc`
//!   also leaves alone every layer that is part of a mounted overlay (mountinfo of all processes).
//!
//! To add `pull`: a source of blobs beside those in `program/archive/`, which yields `plan::ImagePlan`s; everything
//! from there on (`transaction`, `unpack`) is the same.

mod config;
mod digest;
mod document;
mod error;
mod image;
mod image_id;
mod json;
mod lock;
mod mark;
mod program;
mod record;
mod reference;
mod tree;

pub use config::{Healthcheck, ImageConfig};
pub use digest::{Digest, DigestError};
pub use document::DocumentError;
pub use error::ImageError;
pub use image::{Image, Store};
pub use lock::Lock;
pub use program::run;
pub use record::{ImageRecord, LayerRecord};
pub use reference::{Reference, ReferenceError};
pub use tree::Tree;
