//! Which files and folders beside the units some unit speaks of, by a path of the machine.
//!
//! ```text
//! volumes = ["/var/config/site:/srv:ro"]     site        the last part of a path that is mounted
//!           ["/var/units/conf/a.conf:/a"]    conf        the folder of units is known by its name
//! command = ["httpd", "/srv/httpd.conf"]     httpd.conf  a path in what is mounted there
//! ```
//!
//! A word alone is no path: a file `sleep` has nothing to do with `command = ["sleep", "5"]`, `redis` nothing with an image of
//! that name, `data` nothing with a volume.

use crate::Source;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What folders of units are called on a machine.
const HOME: &str = "units";
/// Keys whose texts are paths of files beside the unit: no text in them is anything else that could be one.
const PATHS: &[&str] = &["env_file", "configs", "secrets"];

/// Where a file or folder lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// What the folder of units is called.
    home: String,
    /// Below that; the first part is what lies beside the units.
    parts: Vec<String>,
}

impl Place {
    pub(crate) fn new(home: &Path, path: &Path) -> Self {
        let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
        let below = path.strip_prefix(home).unwrap_or(path);
        Self {
            home: home.file_name().map(text).unwrap_or_default(),
            parts: below.iter().map(text).collect(),
        }
    }
}

/// All that the units speak of.
#[derive(Default)]
pub(crate) struct SpokenOf {
    /// Paths of the machine, in parts. `%i` stands for any text.
    paths: Vec<Vec<String>>,
    /// Targets of binds.
    targets: Vec<String>,
    /// Words that may be paths of the container.
    words: Vec<String>,
}

impl SpokenOf {
    /// A text that is no TOML is looked at as far as it can be read.
    pub(crate) fn by<'s>(sources: impl Iterator<Item = &'s Source>) -> Self {
        let mut spoken = Self::default();
        for source in sources {
            let (table, _) = DeTable::parse_recoverable(&source.text);
            spoken.table("", table.get_ref());
        }
        let words = std::mem::take(&mut spoken.words);
        let below = |word: &String| {
            let mut targets = spoken.targets.iter();
            targets.any(|target| is_below(word, target))
        };
        let inside: Vec<Vec<String>> = words.iter().filter(|it| below(it)).map(parts).collect();
        spoken.paths.extend(inside);
        spoken
    }

    pub(crate) fn has(&self, place: &Place) -> bool {
        let Some(first) = place.parts.first() else {
            return false;
        };
        self.paths.iter().any(|path| {
            let last = path.last();
            let named = last.is_some_and(|last| place.parts.iter().any(|part| fits(last, part)));
            let homes = path.iter().zip(path.iter().skip(1));
            let mut below = homes.filter(|(home, _)| *home == HOME || **home == place.home);
            named || below.any(|(_, part)| fits(part, first))
        })
    }

    fn table(&mut self, above: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let key: &str = key.get_ref();
            let key = key.trim_end_matches('+');
            let path = match above {
                "" => key.to_owned(),
                _ => format!("{above}.{key}"),
            };
            if path == "mounts" {
                self.mounts(value);
            } else {
                self.value(&path, value);
            }
        }
    }

    fn value(&mut self, path: &str, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.table(path, table),
            DeValue::Array(array) => array.iter().for_each(|member| self.value(path, member)),
            DeValue::String(text) => self.text(path, text),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }

    fn text(&mut self, path: &str, text: &str) {
        let first = path.split('.').next().unwrap_or(path);
        if path == "container.volumes" {
            let mut halves = text.split(':');
            let source = halves.next().unwrap_or("");
            return self.bind(source, halves.next().unwrap_or(""));
        }
        if PATHS.contains(&first) || matches!(path, "unit.condition.path_exists") {
            return self.paths.push(parts(text));
        }
        let between = |c: char| c.is_whitespace() || matches!(c, '=' | ',' | ';' | '"' | '\'');
        let words = text.split(between).filter(|word| word.starts_with('/'));
        self.words.extend(words.map(str::to_owned));
    }

    fn mounts(&mut self, value: &Spanned<DeValue<'_>>) {
        let DeValue::Array(tables) = value.get_ref() else {
            return;
        };
        for table in tables.iter() {
            let DeValue::Table(table) = table.get_ref() else {
                continue;
            };
            let text = |key: &str| match table.get(key).map(|value| value.get_ref()) {
                Some(DeValue::String(text)) => text.as_ref(),
                _ => "",
            };
            self.bind(text("source"), text("target"));
        }
    }

    /// A source that is no path is the name of a volume.
    fn bind(&mut self, source: &str, target: &str) {
        if source.starts_with(['/', '.']) {
            self.paths.push(parts(source));
            self.targets.push(target.trim_end_matches('/').to_owned());
        }
    }
}

fn parts(path: impl AsRef<str>) -> Vec<String> {
    let parts = path.as_ref().split('/');
    let parts = parts.filter(|part| !part.is_empty() && *part != ".");
    parts.map(str::to_owned).collect()
}

/// `/srv/a` below `/srv`; nothing is below no target.
fn is_below(word: &str, target: &str) -> bool {
    let rest = word.strip_prefix(target);
    !target.is_empty() && rest.is_some_and(|rest| rest.starts_with('/'))
}

/// `conf-%i` fits `conf-1`.
fn fits(written: &str, name: &str) -> bool {
    match written.split_once("%i") {
        None => written == name,
        Some((start, end)) => {
            let rest = name.strip_prefix(start);
            rest.is_some_and(|rest| rest.len() > end.len() && rest.ends_with(end))
        }
    }
}
