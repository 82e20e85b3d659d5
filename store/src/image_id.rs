//! Image ids as people write them: `sha256:` and the first digits of a digest, 12 at least.
//!
//! Which digest is the id of an image depends on whom one asks: containerd and Docker since 29 say that of the
//! manifest, Docker before that and podman that of the configuration. Both are known here. The `sha256:` must be
//! written, since digits alone may be the name of a repository; none can be called `sha256`, as with Docker.

use crate::{Digest, ImageRecord, ReferenceError};
use std::fmt;

pub(crate) const PREFIX: &str = "sha256:";
/// What `docker images` and `keelctl image ls` show.
const DIGITS_MIN: usize = 12;
const DIGITS_MAX: usize = 64;

/// Lower-case hexadecimal digits, 12 to 64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageId {
    hex: String,
}

impl ImageId {
    /// `None`: the text is a name, not an id.
    pub(crate) fn parse(text: &str) -> Option<Result<Self, ReferenceError>> {
        let hex = text.strip_prefix(PREFIX)?;
        let digits = hex
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let parsed = match digits && (DIGITS_MIN..=DIGITS_MAX).contains(&hex.len()) {
            true => Ok(Self {
                hex: hex.to_owned(),
            }),
            false => Err(ReferenceError::new(
                text,
                "an image's id is sha256: and 12 to 64 digits 0-9, a-f",
            )),
        };
        Some(parsed)
    }

    /// Whether an image has this id, or one that begins so.
    pub(crate) fn is_of(&self, record: &ImageRecord) -> bool {
        self.begins(&record.digest) || self.begins(&record.config)
    }

    /// Of all images of a machine those that this id may mean. Records with the same configuration are one image:
    /// it names the content of all layers.
    pub(crate) fn choose(&self, known: Vec<ImageRecord>) -> Vec<ImageRecord> {
        let mut found: Vec<ImageRecord> = Vec::new();
        for record in known {
            if self.is_of(&record) && found.iter().all(|other| other.config != record.config) {
                found.push(record);
            }
        }
        found
    }

    fn begins(&self, digest: &Digest) -> bool {
        digest.hex().starts_with(&self.hex)
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.hex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_its_prefix_and_twelve_to_sixty_four_digits() {
        let hex = "ab".repeat(32);
        for id in [format!("sha256:{hex}"), "sha256:0123456789ab".to_owned()] {
            assert_eq!(ImageId::parse(&id).unwrap().unwrap().to_string(), id);
        }
        for bad in [
            "sha256:",
            "sha256:7",
            "sha256:0123456789a",
            "sha256:0123456789AB",
            "sha256:latest-and-more",
            &format!("sha256:{hex}0"),
        ] {
            assert!(ImageId::parse(bad).unwrap().is_err(), "{bad}");
        }
        assert_eq!(ImageId::parse(&hex), None);
        assert_eq!(ImageId::parse("redis"), None);
    }
}
