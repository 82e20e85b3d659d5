//! Files of Compose, Kubernetes and image builders.

use super::{Stray, Verdict};

/// By their names: a Compose file and one that builds an image are known, other YAML may be anything.
pub(super) fn of_builders(name: &str, small: &str) -> Option<Verdict> {
    let compose = |stem: &str| {
        let first = stem.split(['.', '-', '_']).next().unwrap_or(stem);
        first == "compose"
            || first == "stack"
            || stem.contains("-compose")
            || stem.contains("_compose")
    };
    if let Some(stem) = without_yaml(small) {
        let stray = |what: &str| Stray {
            is: format!("`{name}` is {what}"),
            hint: "here each service is a file of its own, in TOML: `SERVICE.container.toml`"
                .to_owned(),
        };
        return Some(match compose(stem) {
            true => Verdict::Stray(stray("a Compose file")),
            false => Verdict::Unknown(stray("YAML")),
        });
    }
    let builder = ["dockerfile", "containerfile"];
    let first = small.split('.').next().unwrap_or(small);
    let last = small.rsplit('.').next().unwrap_or(small);
    (builder.contains(&first) || builder.contains(&last)).then(|| {
        Verdict::Stray(Stray {
            is: format!("`{name}` is for building an image"),
            hint: "images are built elsewhere; name the image in a `NAME.container.toml`"
                .to_owned(),
        })
    })
}

pub(super) fn without_yaml(small: &str) -> Option<&str> {
    small
        .strip_suffix(".yaml")
        .or_else(|| small.strip_suffix(".yml"))
}

/// Whether a text in YAML declares services of Compose or an object of Kubernetes, whatever its name says.
pub(crate) fn is_manifest(text: &str) -> bool {
    let has = |key: &str| {
        text.lines().any(|line| {
            let rest = line
                .strip_prefix(key)
                .and_then(|rest| rest.strip_prefix(':'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
        })
    };
    has("services") || (has("apiVersion") && has("kind"))
}
