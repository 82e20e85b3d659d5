//! An image's configuration (OCI image-spec, config.md), read as tolerantly as Docker reads it.
//!
//! `null` is as good as absent, and `Entrypoint` and `Cmd` may be one text (images from before 2014).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// What a container starts with, unless its unit says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    /// `NAME=VALUE`
    pub env: Vec<String>,
    /// Empty: `/`.
    pub working_dir: String,
    /// `user[:group]`, names or numbers; empty: root.
    pub user: String,
    /// `SIGTERM` or a number, as written.
    pub stop_signal: Option<String>,
    /// Absolute paths in the container.
    pub volumes: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// RFC 3339; empty: unknown.
    pub created: String,
    /// The shell of commands that are one text; empty: `/bin/sh -c`.
    pub shell: Vec<String>,
    pub healthcheck: Option<Healthcheck>,
}

/// `HEALTHCHECK` as Docker writes it into the configuration (moby's `HealthcheckConfig`; image-spec reserves the field).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", argument…]` or `["CMD-SHELL", command]`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub test: Vec<String>,
    /// Nanoseconds, this and the others; 0: not given.
    #[serde(default, deserialize_with = "null_as_default")]
    pub interval: i64,
    #[serde(default, deserialize_with = "null_as_default")]
    pub timeout: i64,
    #[serde(default, deserialize_with = "null_as_default")]
    pub start_period: i64,
    #[serde(default, deserialize_with = "null_as_default")]
    pub start_interval: i64,
    /// Failures in a row; 0: not given.
    #[serde(default, deserialize_with = "null_as_default")]
    pub retries: i64,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default, deserialize_with = "null_as_default")]
    created: String,
    #[serde(default, deserialize_with = "null_as_default")]
    config: Execution,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Execution {
    #[serde(default, deserialize_with = "one_or_many")]
    entrypoint: Vec<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    cmd: Vec<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    env: Vec<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    working_dir: String,
    #[serde(default, deserialize_with = "null_as_default")]
    user: String,
    #[serde(default)]
    stop_signal: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    volumes: BTreeMap<String, serde::de::IgnoredAny>,
    #[serde(default, deserialize_with = "null_as_default")]
    labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "one_or_many")]
    shell: Vec<String>,
    #[serde(default)]
    healthcheck: Option<Healthcheck>,
}

impl ImageConfig {
    /// Reads a configuration blob.
    ///
    /// # Errors
    /// When it is not JSON, or a known key has a type that no version of the format gives it.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let document: Document = serde_json::from_slice(bytes)?;
        let execution = document.config;
        Ok(Self {
            entrypoint: execution.entrypoint,
            cmd: execution.cmd,
            env: execution.env,
            working_dir: execution.working_dir,
            user: execution.user,
            stop_signal: execution.stop_signal.filter(|signal| !signal.is_empty()),
            volumes: execution.volumes.into_keys().collect(),
            labels: execution.labels,
            created: document.created,
            shell: execution.shell,
            healthcheck: execution.healthcheck,
        })
    }
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Option::<OneOrMany>::deserialize(deserializer)? {
        None => Vec::new(),
        Some(OneOrMany::One(text)) => vec![text],
        Some(OneOrMany::Many(texts)) => texts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_absent_are_the_same() {
        let nulls = br#"{"created":null,"architecture":"amd64","config":{"Entrypoint":null,"Cmd":["a","b"],"Env":null,
            "Volumes":null,"Labels":null,"WorkingDir":null,"User":null,"StopSignal":null,"OnBuild":[]},"rootfs":null}"#;
        let config = ImageConfig::parse(nulls).unwrap();
        assert_eq!(
            config,
            ImageConfig {
                cmd: vec!["a".into(), "b".into()],
                ..ImageConfig::default()
            }
        );
        assert_eq!(ImageConfig::parse(b"{}").unwrap(), ImageConfig::default());
        assert!(ImageConfig::parse(b"[1").is_err());
    }

    #[test]
    fn all_that_a_container_starts_with_is_read() {
        let text = br#"{"created":"2026-01-02T03:04:05Z","os":"linux","architecture":"amd64","config":{"Entrypoint":"/entry",
            "Env":["A=1"],"WorkingDir":"/data","User":"redis:redis","StopSignal":"SIGINT","Volumes":{"/data":{}},
            "Labels":{"k":"v"},"Shell":["/bin/bash","-c"],
            "Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":30000000000,"Retries":3,"Timeout":null}},"rootfs":{"type":"layers","diff_ids":["sha256:00"]}}"#;
        let config = ImageConfig::parse(text).unwrap();
        assert_eq!(config.entrypoint, ["/entry"]);
        assert_eq!(config.volumes, ["/data"]);
        assert_eq!(config.stop_signal.as_deref(), Some("SIGINT"));
        assert_eq!(config.labels["k"], "v");
        assert_eq!(config.created, "2026-01-02T03:04:05Z");
        assert_eq!(config.shell, ["/bin/bash", "-c"]);
        let check = config.healthcheck.unwrap();
        assert_eq!(check.test, ["CMD-SHELL", "true"]);
        assert_eq!((check.interval, check.retries), (30_000_000_000, 3));
        assert_eq!((check.timeout, check.start_period), (0, 0));
    }
}
