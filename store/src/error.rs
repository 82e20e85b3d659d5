//! Why an image can't be used. The text is for the operator; `status` shows it as the reason of a failed start.

use crate::{Digest, ReferenceError};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// How many known names a message lists.
const NEAREST_MAX: usize = 3;
/// How many images that an id may mean a message lists.
const CANDIDATES_MAX: usize = 8;

#[derive(Debug)]
pub enum ImageError {
    Reference(ReferenceError),
    /// With the known references, nearest first.
    NotFound {
        reference: String,
        nearest: Vec<String>,
    },
    /// An id of which too few digits are given.
    Ambiguous {
        id: String,
        /// Name and whole digest of each, in the order of the names.
        candidates: Vec<(String, Digest)>,
    },
    /// The store has the name, but something that it leads to is gone or unreadable.
    Damaged {
        reference: String,
        path: PathBuf,
        reason: String,
    },
    Io {
        path: PathBuf,
        source: io::Error,
    },
}

impl ImageError {
    pub(crate) fn not_found(reference: &str, mut known: Vec<String>) -> Self {
        known.sort_by_cached_key(|name| distance(reference, name));
        known.dedup();
        known.truncate(NEAREST_MAX);
        Self::NotFound {
            reference: reference.to_owned(),
            nearest: known,
        }
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(error) => write!(f, "{error}"),
            Self::NotFound { reference, nearest } => {
                write!(
                    f,
                    "image {reference} is not on this machine: load it with \"keelctl image load\""
                )?;
                if nearest.is_empty() {
                    write!(f, " (there are no images yet)")
                } else {
                    write!(f, " (nearest known: {})", nearest.join(", "))
                }
            }
            Self::Ambiguous { id, candidates } => {
                write!(f, "{id} is the id of {} images: ", candidates.len())?;
                for (index, (name, digest)) in candidates.iter().take(CANDIDATES_MAX).enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    match *name == digest.to_string() {
                        true => write!(f, "{comma}{digest}")?,
                        false => write!(f, "{comma}{name} ({digest})")?,
                    }
                }
                match candidates.len().saturating_sub(CANDIDATES_MAX) {
                    0 => {}
                    more => write!(f, " and {more} more")?,
                }
                f.write_str("; write more of its digits")
            }
            Self::Damaged {
                reference,
                path,
                reason,
            } => write!(
                f,
                "image {reference} is damaged: {}: {reason}; load it again with \"keelctl image load\"",
                path.display()
            ),
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for ImageError {}

/// Levenshtein distance, of names that are at most 250 bytes long.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        row[0] = before;
        for (j, b) in right.bytes().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            before = substituted.min(diagonal + 1).min(before + 1);
            row[j + 1] = before;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_come_first() {
        let known = vec![
            "docker.io/library/postgres:16".into(),
            "docker.io/library/redis:7".into(),
        ];
        let text = ImageError::not_found("docker.io/library/rediss:7", known).to_string();
        assert_eq!(
            text,
            "image docker.io/library/rediss:7 is not on this machine: load it with \"keelctl image load\" \
             (nearest known: docker.io/library/redis:7, docker.io/library/postgres:16)"
        );
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
