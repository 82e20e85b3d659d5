//! The kernel command line (`/proc/cmdline`, Documentation/admin-guide/kernel-parameters.rst).

use serde::{Deserialize, Serialize};
use std::fs;

/// Words of the kernel command line, in order; a later one wins.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cmdline {
    words: Vec<String>,
}

impl Cmdline {
    /// An unreadable command line is an empty one.
    pub(crate) fn read() -> Self {
        Self::parse(&fs::read_to_string("/proc/cmdline").unwrap_or_default())
    }

    /// Words are separated by white space; double quotes hold one together.
    pub(crate) fn parse(text: &str) -> Self {
        let mut words = Vec::new();
        let mut word = String::new();
        let mut quoted = false;
        for c in text.chars() {
            match c {
                '"' => quoted = !quoted,
                c if c.is_whitespace() && !quoted => {
                    if !word.is_empty() {
                        words.push(std::mem::take(&mut word));
                    }
                }
                c => word.push(c),
            }
        }
        if !word.is_empty() {
            words.push(word);
        }
        Self { words }
    }

    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    /// Is this word there? One without `=` is there with any value too.
    pub(crate) fn has(&self, wanted: &str) -> bool {
        self.words().any(|word| {
            let rest = word.strip_prefix(wanted);
            rest.is_some_and(|rest| {
                rest.is_empty() || (rest.starts_with('=') && !wanted.contains('='))
            })
        })
    }

    /// `value` of the last `key=value`.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.words
            .iter()
            .rev()
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }
}

#[cfg(test)]
mod tests {
    use super::Cmdline;

    #[test]
    fn the_last_value_wins_and_quotes_hold_words_together() {
        let line = Cmdline::parse("console=tty0 console=ttyS0 keelson.hostname=\"a b\" ro\n");
        assert_eq!(line.get("console"), Some("ttyS0"));
        assert_eq!(line.get("keelson.hostname"), Some("a b"));
        assert_eq!(line.get("ro"), None);
    }

    #[test]
    fn a_word_without_value_is_there_with_any() {
        let line = Cmdline::parse("debug=1 role=web ro");
        for (word, there) in [
            ("debug", true),
            ("debug=1", true),
            ("debug=", false),
            ("deb", false),
            ("role=web", true),
            ("role=we", false),
            ("ro", true),
        ] {
            assert_eq!(line.has(word), there, "{word}");
        }
    }
}
