//! Image references, normalised as Docker does: `redis` is `docker.io/library/redis:latest`.
//!
//! Grammar: <https://pkg.go.dev/github.com/distribution/reference>.
//! ```text
//! reference := [domain "/"] path {"/" path} [":" tag] ["@" algorithm ":" hex]
//!            | "sha256:" hex                            an image's id
//! domain    := has a "." or ":", or is "localhost"; otherwise the first part belongs to the path
//! path      := lower-case letters and digits, separated by ".", "_", "__" or dashes
//! tag       := letter, digit or "_", then up to 127 letters, digits, "_", ".", "-"
//! ```

use crate::fault::Fault;

const DEFAULT_DOMAIN: &str = "docker.io";
/// Of the name without tag and digest, as the grammar has it.
const NAME_BYTES_MAX: usize = 255;
const TAG_BYTES_MAX: usize = 128;
/// Digits of a SHA-256 digest, and of a whole image id.
const SHA256_HEX: usize = 64;
/// Docker shows so many digits of an id.
const ID_HEX_MIN: usize = 12;
const ID_PREFIX: &str = "sha256:";

/// The reference with domain and with tag or digest; an id as it is.
///
/// An id needs its `sha256:`: digits alone are also the name of a repository. `sha256` itself is none, as in Docker.
pub fn normalise(text: &str) -> Result<String, Fault> {
    let fault = |hint: &str| {
        let expected = "an image reference: \"docker.io/library/redis:7\", \"redis@sha256:…\"";
        Err(Fault::new("is not an image reference", expected).hint(hint))
    };
    if text.chars().any(char::is_whitespace) {
        return fault("take the white space out");
    }
    if text.contains("://") {
        return fault("leave the scheme out: it is always https");
    }
    if let Some(hex) = text.strip_prefix(ID_PREFIX) {
        return image_id(hex);
    }
    let (rest, digest) = text
        .split_once('@')
        .map_or((text, None), |(rest, digest)| (rest, Some(digest)));
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return fault("after `@` comes `sha256:` and 64 digits 0-9, a-f");
    }
    if rest == "sha256" {
        return fault("`sha256` is no name, since an image's id begins so");
    }
    let colon = rest
        .rfind(':')
        .filter(|colon| rest.rfind('/').is_none_or(|slash| slash < *colon));
    let (name, tag) = match colon {
        Some(colon) => (rest.get(..colon).unwrap_or(""), rest.get(colon + 1..)),
        None => (rest, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return fault("a tag has letters, digits, `_`, `.` and `-`, at most 128");
    }
    if is_hex(name, SHA256_HEX) {
        let fault = Fault::new("is an image's id without its `sha256:`", ID_EXPECTED);
        return Err(fault.hint("put `sha256:` before it"));
    }
    let (domain, path) = match name.split_once('/') {
        Some((first, path))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.contains(|c: char| c.is_ascii_uppercase()) =>
        {
            (first, path.to_owned())
        }
        Some(_) => (DEFAULT_DOMAIN, name.to_owned()),
        None => (DEFAULT_DOMAIN, format!("library/{name}")),
    };
    let domain = if domain == "index.docker.io" {
        DEFAULT_DOMAIN
    } else {
        domain
    };
    let path = if domain == DEFAULT_DOMAIN && !path.contains('/') {
        format!("library/{path}")
    } else {
        path
    };
    if path.chars().any(|c| c.is_ascii_uppercase()) {
        return fault(&format!(
            "names are in lower case: `{}`",
            path.to_lowercase()
        ));
    }
    if !is_domain(domain) {
        return fault("a registry is a host name, perhaps with `:PORT`");
    }
    if !path.split('/').all(is_path_part) {
        return fault(
            "a name has lower-case letters and digits, with single `.`, `_`, `__` or dashes between them",
        );
    }
    if domain.len() + 1 + path.len() > NAME_BYTES_MAX {
        return fault("the name is too long: at most 255 characters");
    }
    let tag = tag.or(if digest.is_none() {
        Some("latest")
    } else {
        None
    });
    let mut out = format!("{domain}/{path}");
    if let Some(tag) = tag {
        out.push_str(&format!(":{tag}"));
    }
    if let Some(digest) = digest {
        out.push_str(&format!("@{digest}"));
    }
    Ok(out)
}

const ID_EXPECTED: &str = "an image's id: `sha256:` and 12 to 64 digits 0-9, a-f";

fn image_id(hex: &str) -> Result<String, Fault> {
    let fault = Fault::new("is not an image's id", ID_EXPECTED);
    let lower = hex.to_ascii_lowercase();
    let is_id =
        |hex: &str| (ID_HEX_MIN..=SHA256_HEX).contains(&hex.len()) && is_hex(hex, hex.len());
    if is_id(hex) {
        Ok(format!("{ID_PREFIX}{hex}"))
    } else if is_id(&lower) {
        Err(fault.hint(format!("digits are in lower case: `{ID_PREFIX}{lower}`")))
    } else {
        Err(fault.hint("`keelctl image ls` shows the first 12 digits of each image's digest"))
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| is_hex(hex, SHA256_HEX))
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= TAG_BYTES_MAX
        && text.starts_with(word)
        && text.chars().all(|c| word(c) || c == '.' || c == '-')
}

fn is_domain(text: &str) -> bool {
    let (host, port) = text
        .split_once(':')
        .map_or((text, None), |(host, port)| (host, Some(port)));
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty()
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(label)
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn is_path_part(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = text
        .split(alphanumeric)
        .filter(|separator| !separator.is_empty());
    text.starts_with(alphanumeric)
        && text.ends_with(alphanumeric)
        && separators.into_iter().all(|separator| {
            matches!(separator, "." | "_" | "__") || separator.chars().all(|c| c == '-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn short_names_are_completed_as_docker_does() {
        for (written, full) in [
            ("redis", "docker.io/library/redis:latest"),
            ("redis:7", "docker.io/library/redis:7"),
            ("grafana/loki", "docker.io/grafana/loki:latest"),
            ("docker.io/redis", "docker.io/library/redis:latest"),
            (
                "index.docker.io/library/redis",
                "docker.io/library/redis:latest",
            ),
            ("localhost/demo", "localhost/demo:latest"),
            ("localhost:5000/demo:v1", "localhost:5000/demo:v1"),
            (
                "registry.example.com/a/b_c/d--e:1.2-rc",
                "registry.example.com/a/b_c/d--e:1.2-rc",
            ),
        ] {
            assert_eq!(normalise(written).as_deref(), Ok(full), "{written}");
        }
        assert_eq!(
            normalise(&format!("redis@sha256:{HEX}")),
            Ok(format!("docker.io/library/redis@sha256:{HEX}"))
        );
        assert_eq!(
            normalise(&format!("a/b:1@sha256:{HEX}")),
            Ok(format!("docker.io/a/b:1@sha256:{HEX}"))
        );
    }

    #[test]
    fn an_id_is_whole_or_has_twelve_digits_at_least() {
        for id in [&format!("sha256:{HEX}"), "sha256:e3b0c44298fc"] {
            assert_eq!(normalise(id).as_deref(), Ok(id));
        }
        assert_eq!(
            normalise("e3b0c44298fc").as_deref(),
            Ok("docker.io/library/e3b0c44298fc:latest"),
            "a name, as far as anybody can tell"
        );
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for bad in [
            "",
            ":",
            "/",
            "@",
            "redis:",
            "redis@",
            "redis@sha256:12",
            "Redis",
            "a//b",
            "a/",
            "/a",
            "redis:7:8",
            "re dis",
            "https://a/b",
            "a___b",
            "a..b",
            "-a",
            "a-",
            "redis:.7",
            "a.b:99999/c",
            "é",
            HEX,
            "sha256",
            "sha256:7",
            "sha256:e3b0c44298f",
            "sha256:E3B0C44298FC",
            "sha256:e3b0c44298fc:1",
            &format!("sha256:{HEX}0"),
        ] {
            assert!(normalise(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_normalised_reference_stays_as_it_is(text in "([a-z0-9]{1,5}(\\.[a-z]{1,3})?(:[1-9][0-9]{0,3})?/)?[a-z0-9]{1,8}(/[a-z0-9]{1,8})?(:[a-z0-9]{1,5})?") {
            if let Ok(full) = normalise(&text) {
                prop_assert_eq!(normalise(&full), Ok(full.clone()));
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = normalise(&text);
        }
    }
}
