//! Image references, normalised as Docker does it: `redis` is `docker.io/library/redis:latest`.
//!
//! The grammar is that of distribution/reference (`reference.go`): a domain, path components of lower-case
//! letters, digits and separators, a tag, a digest. Where a reference has both tag and digest, the digest decides.
//! `sha256:<hex>` alone names an image that has no name.

use crate::Digest;
use crate::image_id::PREFIX;
use std::fmt;
use std::str::FromStr;

/// The registry meant when none is written.
const DEFAULT_DOMAIN: &str = "docker.io";
/// Its other name, which old Docker versions wrote.
const LEGACY_DOMAIN: &str = "index.docker.io";
/// The folder of images without one on the default registry.
const OFFICIAL_FOLDER: &str = "library";
const DEFAULT_TAG: &str = "latest";
/// From distribution/reference.
const TAG_BYTES_MAX: usize = 128;
/// A reference is a file name in `refs/`, and those have at most 255 bytes (`NAME_MAX`).
const REFERENCE_BYTES_MAX: usize = 250;

/// A normalised reference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// `docker.io/library/redis`; empty for an image without a name.
    repository: String,
    /// Set unless there is a digest.
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceError {
    pub text: String,
    pub reason: &'static str,
}

impl Reference {
    /// The name of an image that has no other.
    #[must_use]
    pub fn of_digest(digest: Digest) -> Self {
        Self {
            repository: String::new(),
            tag: None,
            digest: Some(digest),
        }
    }

    /// The digest, for a reference that has one.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// `redis`, when no more than that was written.
    pub(crate) fn bare_word(&self) -> Option<&str> {
        let path = self.repository.strip_prefix(DEFAULT_DOMAIN)?;
        let word = path.strip_prefix('/')?.strip_prefix(OFFICIAL_FOLDER)?;
        let untagged = self.tag.as_deref() == Some(DEFAULT_TAG);
        word.strip_prefix('/').filter(|_| untagged)
    }

    /// The file name in `refs/`. `/` and `@` are no file name's or no name's parts, `+` and `=` are in no reference.
    #[must_use]
    pub fn file_name(&self) -> String {
        self.to_string().replace('/', "+").replace('@', "=")
    }
}

impl ReferenceError {
    pub(crate) fn new(text: &str, reason: &'static str) -> Self {
        Self {
            text: text.chars().take(300).collect(),
            reason,
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        parse(text).map_err(|reason| ReferenceError::new(text, reason))
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > REFERENCE_BYTES_MAX {
        return Err("it is longer than 250 bytes");
    }
    if let Ok(digest) = text.parse() {
        return Ok(Reference::of_digest(digest));
    }
    if text == "sha256" || text.starts_with(PREFIX) {
        return Err("`sha256` can't be a name, since ids begin so");
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (
            rest,
            Some(
                digest
                    .parse()
                    .map_err(|_| "its digest is not sha256: and 64 hexadecimal digits")?,
            ),
        ),
        None => (text, None),
    };
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        Some(_) | None => (rest, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("its tag is not letters, digits, `_`, `.` and `-`, 128 at most");
    }
    let repository = normalise_name(name)?;
    let tag = match digest {
        Some(_) => None,
        None => Some(tag.unwrap_or(DEFAULT_TAG).to_owned()),
    };
    let reference = Reference {
        repository,
        tag,
        digest,
    };
    if reference.to_string().len() > REFERENCE_BYTES_MAX {
        return Err("it is longer than 250 bytes in its full form");
    }
    Ok(reference)
}

fn normalise_name(name: &str) -> Result<String, &'static str> {
    let (domain, path) = match name.split_once('/') {
        Some((first, path)) if is_domain_like(first) => (first, path),
        Some(_) | None => (DEFAULT_DOMAIN, name),
    };
    if !is_domain(domain) {
        return Err("its registry is not a host name with an optional port");
    }
    if !path.split('/').all(is_path_component) {
        return Err(
            "its name is not lower-case letters and digits, separated by `.`, `_`, `-` or `/`",
        );
    }
    let domain = if domain == LEGACY_DOMAIN {
        DEFAULT_DOMAIN
    } else {
        domain
    };
    if domain == DEFAULT_DOMAIN && !path.contains('/') {
        return Ok(format!("{domain}/{OFFICIAL_FOLDER}/{path}"));
    }
    Ok(format!("{domain}/{path}"))
}

/// What Docker takes for a registry rather than for a folder (`splitDockerDomain`).
fn is_domain_like(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        Some(_) | None => (domain, None),
    };
    let port_ok =
        port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    let host_ok = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) => {
            !address.is_empty()
                && address
                    .bytes()
                    .all(|byte| byte.is_ascii_hexdigit() || byte == b':')
        }
        None => host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        }),
    };
    port_ok && host_ok
}

/// Lower-case letters and digits, in between one `.`, one or two `_`, or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    is_word(*first)
        && is_word(*last)
        && bytes.split(|byte| is_word(*byte)).all(|separator| {
            matches!(separator, b"" | b"." | b"_" | b"__")
                || separator.iter().all(|byte| *byte == b'-')
        })
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_BYTES_MAX
        && tag.bytes().next().is_some_and(is_word)
        && tag
            .bytes()
            .all(|byte| is_word(byte) || byte == b'.' || byte == b'-')
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) if self.repository.is_empty() => write!(f, "{digest}"),
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not an image reference: {} (examples: redis, redis:7, registry.example/team/app:1.2)",
            self.text.escape_debug(),
            self.reason
        )
    }
}

impl std::error::Error for ReferenceError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(text: &str) -> String {
        text.parse::<Reference>()
            .map(|reference| reference.to_string())
            .unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn references_are_normalised_as_docker_does() {
        let hex = "ab".repeat(32);
        for (text, expected) in [
            ("redis", "docker.io/library/redis:latest"),
            ("redis:7", "docker.io/library/redis:7"),
            ("team/app", "docker.io/team/app:latest"),
            ("index.docker.io/redis", "docker.io/library/redis:latest"),
            ("docker.io/library/redis:7", "docker.io/library/redis:7"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/app:1", "localhost:5000/app:1"),
            ("[::1]:5000/app:1", "[::1]:5000/app:1"),
            ("quay.io/a/b/c__d:v1.2-x", "quay.io/a/b/c__d:v1.2-x"),
        ] {
            assert_eq!(normalised(text), expected);
        }
        assert_eq!(
            normalised(&format!("redis:7@sha256:{hex}")),
            format!("docker.io/library/redis@sha256:{hex}")
        );
        assert_eq!(
            normalised(&format!("sha256:{hex}")),
            format!("sha256:{hex}")
        );
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "",
            "Redis",
            "a//b",
            "../etc",
            "a/../b",
            "redis:",
            "redis:-x",
            "a b",
            "a___b",
            "-a",
            "a@sha256:12",
            "a:b:c",
            "a\0b",
            "sha256",
            "sha256:7",
        ] {
            assert!(
                text.parse::<Reference>().is_err(),
                "{text:?} gave {}",
                normalised(text)
            );
        }
        assert!("a".repeat(300).parse::<Reference>().is_err());
        assert!(
            "a".repeat(245).parse::<Reference>().is_err(),
            "too long once the registry is added"
        );
    }

    #[test]
    fn a_file_name_has_no_slash_and_differs_for_different_references() {
        let one = "registry.example/a/b:1"
            .parse::<Reference>()
            .unwrap()
            .file_name();
        assert_eq!(one, "registry.example+a+b:1");
        assert_ne!(
            one,
            "registry.example/a-b:1"
                .parse::<Reference>()
                .unwrap()
                .file_name()
        );
    }
}
