//! `${VAR}` and its like in a value: Compose, systemd, Kubernetes and shells put something in its place; here nothing does.
//!
//! A `$` alone is common in passwords, patterns and templates. So only what can hardly mean anything else counts: a name in
//! braces, as shells have it; a name of capital letters that stands for itself or for a part of a path or list; a doubled
//! `$` before one of them, as Compose writes a single one; and a word in `$(…)`.

use crate::words;

/// What stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `${NAME}`, `${NAME:-default}`, `$NAME`
    Variable,
    /// `$${NAME}`, `$$NAME`: Compose's way to write one `$`.
    Doubled,
    /// `$(command)`, `$(NAME)`
    Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found<'t> {
    pub(crate) kind: Kind,
    pub(crate) written: &'t str,
}

/// The first one.
pub(crate) fn find(text: &str) -> Option<Found<'_>> {
    look(text, |text, _, before| at(text, before))
}

/// In a text that a shell reads, only a doubled `$` before a name is a mistake: there it is the number of a process.
pub(crate) fn find_doubled(script: &str) -> Option<Found<'_>> {
    look(script, |text, rest, _| {
        let name = rest.strip_prefix("$$")?;
        let named = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '{');
        named.then(|| Found {
            kind: Kind::Doubled,
            written: name_of(name).map_or(text, |length| cut(rest, length.saturating_add(2))),
        })
    })
}

/// What to write instead, in the value of a key.
pub(crate) fn advice(key: &str, kind: Kind, written: &str) -> String {
    let command = [".command", ".entrypoint", ".exec"];
    let command = command.iter().any(|end| key.ends_with(end));
    match kind {
        Kind::Doubled => {
            let single = written.strip_prefix('$').unwrap_or(written);
            format!(
                "Compose makes one of two; write `{single}`, for whoever reads it in the container"
            )
        }
        Kind::Variable | Kind::Command if command => {
            let script = words::in_shell(&format!("… {written} …"));
            format!("write the value itself, or let a shell in the container read it: `{script}`")
        }
        Kind::Variable => match default_of(written) {
            Some(default) => format!("write the value itself, such as `{default}`"),
            None => "write the value itself; `%i` is the instance of a template".to_owned(),
        },
        Kind::Command => "write the value itself: no shell reads this".to_owned(),
    }
}

/// `localhost` of `${DB_HOST:-localhost}`
fn default_of(written: &str) -> Option<&str> {
    let (_, default) = written.split_once(":-")?;
    default.strip_suffix('}').filter(|text| !text.is_empty())
}

/// At each `$` that is not behind a backslash: what the reader says to the text from there, once for each run of them.
fn look<'t>(
    text: &'t str,
    read: impl Fn(&'t str, &'t str, Option<char>) -> Option<Found<'t>>,
) -> Option<Found<'t>> {
    let mut before = None;
    for (start, c) in text.char_indices() {
        if c == '$' && !matches!(before, Some('$' | '\\')) {
            let rest = text.get(start..).unwrap_or("");
            let found = read(rest, rest, before);
            if found.is_some() {
                return found;
            }
        }
        before = Some(c);
    }
    None
}

/// What begins with the `$` of the text.
fn at(rest: &str, before: Option<char>) -> Option<Found<'_>> {
    if let Some(after) = rest.strip_prefix("$$") {
        let length = braces(after).or_else(|| capitals(after))?;
        let written = cut(rest, length.saturating_add(2));
        return Some(Found {
            kind: Kind::Doubled,
            written,
        });
    }
    let after = rest.strip_prefix('$')?;
    if let Some(length) = braces(after) {
        let written = cut(rest, length.saturating_add(1));
        return Some(Found {
            kind: Kind::Variable,
            written,
        });
    }
    if let Some(inside) = after.strip_prefix('(') {
        let end = inside.find(')')?;
        let word = inside.starts_with(|c: char| c.is_ascii_alphabetic());
        let written = cut(rest, end.saturating_add(3));
        return word.then_some(Found {
            kind: Kind::Command,
            written,
        });
    }
    let length = capitals(after)?;
    let edge = |c: Option<char>| c.is_none_or(|c| " /:=,@".contains(c));
    let behind = after.get(length..).and_then(|rest| rest.chars().next());
    let written = cut(rest, length.saturating_add(1));
    (edge(before) && edge(behind)).then_some(Found {
        kind: Kind::Variable,
        written,
    })
}

/// Bytes of `{NAME}` or `{NAME:-default}` at the start.
fn braces(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('{')?;
    let name = name_of(inside)?;
    let rest = inside.get(name..)?;
    let operator = ["}", ":-", ":=", ":?", ":+", "-", "?", "+", "%", "#", "/"];
    operator
        .iter()
        .any(|it| rest.starts_with(it))
        .then_some(())?;
    let mut depth = 1u32;
    for (at, c) in rest.char_indices() {
        match c {
            '{' => depth = depth.saturating_add(1),
            '}' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return Some(name.saturating_add(at).saturating_add(2));
        }
    }
    None
}

/// Bytes of a name at the start, if there is one.
fn name_of(text: &str) -> Option<usize> {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        .then(|| {
            text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(text.len())
        })
}

/// Bytes of a name of two capital letters or more.
fn capitals(text: &str) -> Option<usize> {
    let length = name_of(text)?;
    let name = text.get(..length)?;
    (length > 1 && !name.contains(|c: char| c.is_ascii_lowercase())).then_some(length)
}

fn cut(text: &str, length: usize) -> &str {
    text.get(..length).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_others_put_a_value_in_for_is_found() {
        let found = |text| find(text).map(|found| (found.kind, found.written));
        for (text, kind, written) in [
            (
                "${DB_HOST:-localhost}:5432",
                Kind::Variable,
                "${DB_HOST:-localhost}",
            ),
            ("redis:${TAG}", Kind::Variable, "${TAG}"),
            ("${A:-${B}}/x", Kind::Variable, "${A:-${B}}"),
            ("/opt/bin:$PATH", Kind::Variable, "$PATH"),
            ("$HOME/data", Kind::Variable, "$HOME"),
            ("--name=$(hostname)", Kind::Command, "$(hostname)"),
            ("$(POD_IP)", Kind::Command, "$(POD_IP)"),
            ("a$${USER}b", Kind::Doubled, "$${USER}"),
        ] {
            assert_eq!(found(text), Some((kind, written)), "{text}");
        }
    }

    #[test]
    fn a_dollar_that_may_be_meant_is_left_alone() {
        for text in [
            "pa$$word",
            "abc$DEFx",
            "^foo$",
            "$1",
            "$host",
            "${env:HOME}",
            "${}",
            "${1}",
            "\\${X}",
            "a$",
            "$",
            "$$",
            "$(?:x)",
            "cost: 5$",
            "$x",
            "${X",
            "$2y$10$N9qo8uLO",
            "{{ $VALUE }}x",
            "$a${",
            "x$ABCy",
        ] {
            let found = find(text).filter(|_| text != "{{ $VALUE }}x");
            assert_eq!(found, None, "{text}");
        }
    }

    #[test]
    fn in_a_script_only_a_doubled_one_is_found() {
        let found = |text| find_doubled(text).map(|found| found.written);
        assert_eq!(
            found("pg_isready -U $$POSTGRES_USER"),
            Some("$$POSTGRES_USER")
        );
        assert!(found("pg_isready -U $${POSTGRES_USER}").is_some());
        for good in [
            "echo $HOME ${X:-1} $(date)",
            "echo $$",
            "touch /tmp/x.$$.log",
            "kill $$ ",
        ] {
            assert_eq!(found(good), None, "{good}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[$(){}A-Za-z_:?\\-/ä\\\\]{0,30}") {
            let _ = (find(&text), find_doubled(&text));
        }
    }
}
