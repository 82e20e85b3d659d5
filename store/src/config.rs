//! An image's configuration (OCI image-spec, config.md), read as tolerantly as Docker reads it (`document`).
//!
//! `Entrypoint` and `Cmd` may be one text (images from before 2014).

use crate::document::{Document, DocumentError, Field};
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", argument…]` or `["CMD-SHELL", command]`.
    pub test: Vec<String>,
    /// Nanoseconds, this and the others; 0: not given.
    pub interval: i64,
    pub timeout: i64,
    pub start_period: i64,
    pub start_interval: i64,
    /// Failures in a row; 0: not given.
    pub retries: i64,
}

impl ImageConfig {
    /// Reads a configuration blob.
    ///
    /// # Errors
    /// When it is not JSON, or a known field has a type that no version of the format gives it.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let document = Document::parse(bytes)?;
        let execution = document.root().get("config")?;
        let stop_signal = execution.get("StopSignal")?.text()?;
        let healthcheck = execution.get("Healthcheck")?;
        Ok(Self {
            entrypoint: execution.get("Entrypoint")?.one_or_many()?,
            cmd: execution.get("Cmd")?.one_or_many()?,
            env: execution.get("Env")?.texts()?,
            working_dir: execution.get("WorkingDir")?.text()?,
            user: execution.get("User")?.text()?,
            stop_signal: Some(stop_signal).filter(|signal| !signal.is_empty()),
            volumes: execution.get("Volumes")?.keys()?,
            labels: execution.get("Labels")?.map()?,
            created: document.root().get("created")?.text()?,
            shell: execution.get("Shell")?.one_or_many()?,
            healthcheck: match healthcheck.is_null() {
                true => None,
                false => Some(Healthcheck::read(&healthcheck)?),
            },
        })
    }
}

impl Healthcheck {
    fn read(object: &Field<'_>) -> Result<Self, DocumentError> {
        let number = |name| Ok(object.get(name)?.number()?.unwrap_or_default());
        Ok(Self {
            test: object.get("Test")?.texts()?,
            interval: number("Interval")?,
            timeout: number("Timeout")?,
            start_period: number("StartPeriod")?,
            start_interval: number("StartInterval")?,
            retries: number("Retries")?,
        })
    }
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

    #[test]
    fn it_is_read_as_go_reads_it_and_an_error_names_the_field() {
        let odd = br#"{"Config":{"entrypoint":["a",null],"CMD":null,"Env":[null,"A=1"],"Labels":{"k":null},"Unknown":[{}],
            "Healthcheck":{"Test":null,"Interval":null,"new":1}},"unknown":7}"#;
        let config = ImageConfig::parse(odd).unwrap();
        assert_eq!(config.entrypoint, ["a", ""]);
        assert_eq!(config.env, ["", "A=1"]);
        assert_eq!(config.labels["k"], "");
        assert_eq!(config.healthcheck, Some(Healthcheck::default()));
        let invalid = ImageConfig::parse(b"{\"config\":{\"User\":\"\xff\"}}").unwrap();
        assert_eq!(invalid.user, "\u{fffd}");
        for (text, message) in [
            (
                r#"{"config":{"Env":["A=1","B=2",3]}}"#,
                "config.Env[2] is a number, where a text is expected",
            ),
            (
                r#"{"config":{"Labels":{"a b":[]}}}"#,
                "config.Labels[\"a b\"] is a list, where a text is expected",
            ),
            (
                r#"{"config":[]}"#,
                "config is a list, where an object is expected",
            ),
            (
                r#"{"config":{"Healthcheck":{"Interval":1.5}}}"#,
                "config.Healthcheck.Interval is a number, where a whole number is expected",
            ),
            ("[]", "the document is a list, where an object is expected"),
        ] {
            let error = ImageConfig::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
