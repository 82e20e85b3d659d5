//! What a package needs, as `apt-cache show` has it.

use std::collections::BTreeMap;

/// One dependency: the alternatives, first choice first, without version conditions.
pub type Dependency = Vec<String>;

/// Name, version, SHA-256 and dependencies of the first record of an `apt-cache show` answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) sha256: String,
    pub(crate) depends: Vec<Dependency>,
}

impl Record {
    /// `None` when the answer holds no record (a virtual or unknown package).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let stanza = text
            .split("\n\n")
            .find(|stanza| stanza.contains("Package:"))?;
        let mut fields: BTreeMap<&str, &str> = BTreeMap::new();
        for line in stanza.lines() {
            if let (false, Some((key, value))) = (line.starts_with(' '), line.split_once(':')) {
                fields.insert(key, value.trim());
            }
        }
        let field = |name: &str| fields.get(name).copied().unwrap_or_default();
        let depends = ["Pre-Depends", "Depends"]
            .iter()
            .flat_map(|name| dependencies(field(name)))
            .collect();
        Some(Self {
            name: field("Package").to_owned(),
            version: field("Version").to_owned(),
            sha256: field("SHA256").to_owned(),
            depends,
        })
    }
}

fn dependencies(field: &str) -> Vec<Dependency> {
    let name = |word: &str| {
        word.trim()
            .split([' ', '(', ':'])
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let alternatives = |entry: &str| {
        entry
            .split('|')
            .map(name)
            .filter(|name| !name.is_empty())
            .collect::<Vec<_>>()
    };
    field
        .split(',')
        .map(alternatives)
        .filter(|entry| !entry.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_has_dependencies_with_alternatives() {
        let text = "Package: redis-server\nVersion: 5:7.0\nDepends: lsb-base (>= 3.2-14), redis-tools (= 5:7.0), a:any | b\nSHA256: ab\nDescription: x\n y: z\n";
        let record = Record::parse(text).unwrap();
        assert_eq!(
            record.depends,
            [vec!["lsb-base"], vec!["redis-tools"], vec!["a", "b"]]
        );
        assert_eq!(Record::parse("N: Can't select versions\n"), None);
    }
}
