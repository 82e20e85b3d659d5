//! Platforms in all their spellings (containerd, platforms/database.go: `normalizeOS`, `normalizeArch`).

use crate::document::{DocumentError, Field};
use std::fmt;

/// As Go calls it. Empty: not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Platform {
    pub(crate) os: String,
    pub(crate) architecture: String,
    pub(crate) variant: String,
}

impl Platform {
    /// The fields `os`, `architecture` and `variant` of an object.
    pub(crate) fn read(object: &Field<'_>) -> Result<Self, DocumentError> {
        let text = |name| object.get(name)?.text();
        Ok(Self::new(
            &text("os")?,
            &text("architecture")?,
            &text("variant")?,
        ))
    }

    pub(crate) fn new(os: &str, architecture: &str, variant: &str) -> Self {
        let os = match os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            os => os.to_owned(),
        };
        let (architecture, variant) = (
            architecture.to_ascii_lowercase(),
            variant.to_ascii_lowercase(),
        );
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("i386", _) => ("386", ""),
            ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
            ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant),
            ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
            ("aarch64" | "arm64", variant) => ("arm64", variant),
            ("armhf", _) => ("arm", "v7"),
            ("armel", _) => ("arm", "v6"),
            ("arm", "" | "7") => ("arm", "v7"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "6") => ("arm", "v6"),
            ("arm", "8") => ("arm", "v8"),
            (architecture, variant) => (architecture, variant),
        };
        Self {
            os,
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
        }
    }

    /// What is not said fits.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.os.as_str(), "" | "linux")
            && matches!(self.architecture.as_str(), "" | "amd64")
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |text: &'_ str, default: &str| match text {
            "" => default.to_owned(),
            text => text.to_owned(),
        };
        let (os, architecture) = (or(&self.os, "linux"), or(&self.architecture, "amd64"));
        write!(f, "{os}/{architecture}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_normalised_as_containerd_does() {
        for (os, architecture, variant, expected) in [
            ("Linux", "x86_64", "", ("linux", "amd64", "")),
            ("linux", "x86-64", "v1", ("linux", "amd64", "")),
            ("LINUX", "AMD64", "v3", ("linux", "amd64", "v3")),
            ("macOS", "aarch64", "8", ("darwin", "arm64", "")),
            ("linux", "armhf", "", ("linux", "arm", "v7")),
            ("linux", "armel", "", ("linux", "arm", "v6")),
            ("linux", "arm", "", ("linux", "arm", "v7")),
            ("linux", "arm", "5", ("linux", "arm", "v5")),
            ("linux", "i386", "x", ("linux", "386", "")),
            ("", "riscv64", "", ("", "riscv64", "")),
        ] {
            let found = Platform::new(os, architecture, variant);
            let found = (
                found.os.as_str(),
                found.architecture.as_str(),
                found.variant.as_str(),
            );
            assert_eq!(found, expected);
        }
        assert!(Platform::new("Linux", "x86_64", "").is_ours());
        assert!(Platform::default().is_ours());
        assert!(!Platform::new("linux", "arm64", "").is_ours());
    }
}
