//! The kernel command line (`/proc/cmdline`, Documentation/admin-guide/kernel-parameters.rst).

use std::fs;

/// Words of the kernel command line, in order; a later one wins.
#[derive(Clone, Debug, Default)]
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
}
