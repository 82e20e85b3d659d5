//! Which system the build host is, and whether we may install on it.

use crate::run;
use std::process::Command;

/// What os-release(5) and PATH say of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// `debian`, `ubuntu`, `fedora`, …; empty when unknown.
    pub id: String,
    /// `bookworm`, `noble`, …; empty when it has none.
    pub codename: String,
    /// For people: `Debian GNU/Linux 12 (bookworm)`.
    pub name: String,
    /// apt-get, apt-cache and dpkg-deb are there.
    pub apt: bool,
}

impl System {
    /// The machine we run on.
    #[must_use]
    pub fn here() -> Self {
        let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let apt = ["apt-get", "apt-cache", "dpkg-deb"]
            .iter()
            .all(|program| run::find(program).is_some());
        Self::from_release(&text, apt)
    }

    fn from_release(text: &str, apt: bool) -> Self {
        let value = |key: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default()
                .trim_matches(['"', '\''])
                .to_owned()
        };
        Self {
            id: value("ID"),
            codename: value("VERSION_CODENAME"),
            name: value("PRETTY_NAME"),
            apt,
        }
    }

    /// Debian itself, whose backports and other releases can be read beside the machine's own.
    #[must_use]
    pub fn is_debian(&self) -> bool {
        self.apt && self.id == "debian" && !self.codename.is_empty()
    }
}

/// How a command gets the rights to install packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// We are root.
    Root,
    /// sudo(8) works without asking for a password.
    Sudo,
    /// Neither.
    None,
}

/// What we may do here.
#[must_use]
pub fn rights() -> Rights {
    let id = run::output(Command::new("id").arg("-u")).unwrap_or_default();
    if id.trim() == "0" {
        Rights::Root
    } else if run::output(Command::new("sudo").args(["-n", "true"])).is_ok() {
        Rights::Sudo
    } else {
        Rights::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_file_is_read_with_and_without_quotes() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nID=debian\n";
        let system = System::from_release(text, true);
        assert_eq!(
            (system.id.as_str(), system.codename.as_str()),
            ("debian", "bookworm")
        );
        assert!(system.is_debian());
        assert!(!System::from_release("ID=fedora\n", false).is_debian());
    }
}
