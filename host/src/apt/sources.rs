//! The apt sources that the machine has configured: both formats of sources.list(5).

use std::path::Path;

/// One configured source of binary packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where: `http://mirror.example/debian`.
    pub uri: String,
    /// `bookworm`, `bookworm-security`, …
    pub suite: String,
    /// `main`, …
    pub components: Vec<String>,
    /// Key ring file that the source names.
    pub signed_by: Option<String>,
}

/// Every enabled source in /etc/apt.
#[must_use]
pub fn configured() -> Vec<Source> {
    let mut files = vec![Path::new("/etc/apt/sources.list").to_path_buf()];
    if let Ok(entries) = std::fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.filter_map(|entry| entry.ok().map(|entry| entry.path())));
    }
    files.sort();
    let mut sources = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("list") => sources.extend(text.lines().filter_map(one_line)),
            Some("sources") => sources.extend(stanzas(&text)),
            _ => {}
        }
    }
    sources
}

/// `deb [signed-by=/x arch=amd64] URI SUITE COMPONENT…`
fn one_line(line: &str) -> Option<Source> {
    let mut rest = line.trim().strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    rest = rest.trim_start();
    let mut signed_by = None;
    if let Some(options) = rest.strip_prefix('[') {
        let (options, after) = options.split_once(']')?;
        signed_by = options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="))
            .map(str::to_owned);
        rest = after;
    }
    let mut words = rest
        .split('#')
        .next()?
        .split_whitespace()
        .map(str::to_owned);
    Some(Source {
        uri: words.next()?,
        suite: words.next()?,
        components: words.collect(),
        signed_by,
    })
}

/// The deb822 format: fields in stanzas.
fn stanzas(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let text = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect::<Vec<_>>()
        .join("\n");
    for stanza in text.split("\n\n") {
        let field = |name: &str| -> Vec<String> {
            let mut words = Vec::new();
            let mut inside = false;
            for line in stanza.lines() {
                if line.starts_with([' ', '\t']) {
                    if inside {
                        words.extend(line.split_whitespace().map(str::to_owned));
                    }
                } else if let Some((key, value)) = line.split_once(':') {
                    inside = key.trim().eq_ignore_ascii_case(name);
                    if inside {
                        words.extend(value.split_whitespace().map(str::to_owned));
                    }
                }
            }
            words
        };
        let off = field("Enabled").first().is_some_and(|word| word == "no");
        if off || !field("Types").iter().any(|kind| kind == "deb") {
            continue;
        }
        // An inline key block is more than one word; only a file can be named again.
        let signed_by = field("Signed-By")
            .into_iter()
            .next()
            .filter(|file| file.starts_with('/'));
        for uri in field("URIs") {
            for suite in field("Suites") {
                let components = field("Components");
                sources.push(Source {
                    uri: uri.clone(),
                    suite,
                    components,
                    signed_by: signed_by.clone(),
                });
            }
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_format_with_options() {
        let source =
            one_line("deb [arch=amd64 signed-by=/k.gpg] http://m/debian trixie main contrib # x")
                .unwrap();
        assert_eq!(
            (source.uri.as_str(), source.suite.as_str()),
            ("http://m/debian", "trixie")
        );
        assert_eq!(source.components, ["main", "contrib"]);
        assert_eq!(source.signed_by.as_deref(), Some("/k.gpg"));
        assert_eq!(one_line("deb-src http://m/debian trixie main"), None);
        assert_eq!(one_line("# deb http://m/debian trixie main"), None);
    }

    #[test]
    fn stanza_format_with_comments_and_several_suites() {
        let text = "Types: deb deb-src\n# c\nURIs: http://m/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\nTypes: deb\nEnabled: no\nURIs: http://x\nSuites: s\nComponents: c\n";
        let sources = stanzas(text);
        assert_eq!(
            sources
                .iter()
                .map(|source| source.suite.as_str())
                .collect::<Vec<_>>(),
            ["bookworm", "bookworm-updates"]
        );
    }
}
