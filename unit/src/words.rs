//! A command that is written as one text, as on a line of a shell: its words, if it takes no shell to read it.

use crate::keys;

/// Programs that read a text as a script, behind an option with a `c` in it.
const SHELLS: &[&str] = &[
    "sh", "ash", "bash", "dash", "zsh", "ksh", "busybox", "su", "runuser",
];
/// Others that do, and their options for it.
const INTERPRETERS: &[(&str, &[&str])] = &[
    ("perl", &["-e", "-E", "-ne", "-pe"]),
    ("ruby", &["-e"]),
    ("node", &["-e", "-p", "--eval", "--print"]),
    ("php", &["-r"]),
    ("lua", &["-e"]),
    ("python", &["-c"]),
    ("python3", &["-c"]),
];
/// They read `$` by themselves, in whatever argument.
const READ_DOLLARS: &[&str] = &[
    "awk", "gawk", "mawk", "sed", "envsubst", "gomplate", "jq", "expr",
];

/// What only a shell can do something with, unless it is quoted.
const OF_THE_SHELL: &str = "|&;<>()$`*\n";

/// `nginx -g 'daemon off;'` → `nginx`, `-g`, `daemon off;`. `None`: it takes a shell.
pub(crate) fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        inside => word.push(inside),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => word.push(chars.next()?),
                        '$' | '`' => return None,
                        inside => word.push(inside),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            _ if OF_THE_SHELL.contains(c) => return None,
            '~' | '#' if word.is_none() => return None,
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    let assignment = words.first().is_some_and(|first| first.contains('='));
    (!words.is_empty() && !assignment).then_some(words)
}

/// The array to write for a command that is one text; Docker's `CMD` and `CMD-SHELL` before it are left out.
pub(crate) fn array(text: &str) -> String {
    let text = text.trim();
    let shell = text.strip_prefix("CMD-SHELL ");
    let bare = shell.or_else(|| text.strip_prefix("CMD ")).unwrap_or(text);
    let bare = bare.strip_prefix("exec ").unwrap_or(bare).trim();
    let bare = percent_doubled(bare);
    let bare = bare.as_str();
    match split(bare) {
        Some(words) if shell.is_none() => keys::texts(&words),
        _ => in_shell(bare),
    }
}

/// `%` stands for itself only when it is doubled, and `%i` for the instance.
fn percent_doubled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('%') {
        out.push_str(before);
        rest = match behind.strip_prefix('%') {
            Some(after) => {
                out.push_str("%%");
                after
            }
            None => {
                out.push_str(if behind.starts_with('i') { "%" } else { "%%" });
                behind
            }
        };
    }
    out.push_str(rest);
    out
}

/// `["/bin/sh", "-c", "…"]`
pub(crate) fn in_shell(script: &str) -> String {
    keys::texts(&["/bin/sh", "-c", script].map(str::to_owned))
}

/// Whether somebody reads this word of a command as a script, and so knows what a `$` in it means.
pub(crate) fn is_script(words: &[&str], at: usize) -> bool {
    let name = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
    let before = words.get(..at).unwrap_or(words);
    if before
        .iter()
        .any(|word| READ_DOLLARS.contains(&name(word).as_str()))
    {
        return true;
    }
    let Some((option, programs)) = before.split_last() else {
        return false;
    };
    let short = option.starts_with('-') && !option.starts_with("--");
    programs.iter().map(|word| name(word)).any(|program| {
        let of_shell = SHELLS.contains(&program.as_str()) && short && option.contains('c');
        let of_other = INTERPRETERS
            .iter()
            .any(|(known, options)| *known == program && options.contains(option));
        of_shell || of_other
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotes_hold_words_together_and_what_a_shell_does_needs_one() {
        let words = |text: &str| split(text).map(|words| words.join("|"));
        for (text, expected) in [
            ("nginx -g 'daemon off;'", "nginx|-g|daemon off;"),
            ("a  \"b c\"'d' \\e", "a|b cd|e"),
            ("say ''", "say|"),
            ("curl -f http://x/?a=b", "curl|-f|http://x/?a=b"),
        ] {
            assert_eq!(words(text).as_deref(), Some(expected));
        }
        for text in [
            "",
            " ",
            "a | b",
            "a && b",
            "a > b",
            "echo $X",
            "echo \"$X\"",
            "A=1 b",
            "ls *",
            "a 'b",
            "cd ~",
            "a; b",
        ] {
            assert_eq!(words(text), None, "{text}");
        }
    }

    #[test]
    fn docker_words_before_a_command_are_left_out() {
        assert_eq!(array("CMD pg_isready -q"), "[\"pg_isready\", \"-q\"]");
        assert_eq!(array("exec /app"), "[\"/app\"]");
        assert_eq!(
            array("CMD-SHELL curl localhost || exit 1"),
            "[\"/bin/sh\", \"-c\", \"curl localhost || exit 1\"]"
        );
    }

    #[test]
    fn a_script_is_what_stands_behind_an_option_for_it() {
        let scripts = |words: &[&str]| -> Vec<usize> {
            (0..words.len())
                .filter(|at| is_script(words, *at))
                .collect()
        };
        assert_eq!(scripts(&["sh", "-c", "x", "y"]), [2]);
        assert_eq!(scripts(&["tini", "--", "/bin/bash", "-e", "-xc", "x"]), [5]);
        assert_eq!(scripts(&["perl", "-e", "x"]), [2]);
        assert_eq!(scripts(&["awk", "x", "y"]), [1, 2]);
        assert!(scripts(&["redis", "-c", "x"]).is_empty());
        assert!(scripts(&["sh", "x"]).is_empty());
    }

    proptest! {
        #[test]
        fn words_that_are_quoted_come_back(words in prop::collection::vec("[a-z ;|$]{1,8}", 1..5)) {
            prop_assume!(!words.first().unwrap().contains('='));
            let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
            prop_assert_eq!(split(&quoted.join(" ")), Some(words));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = array(&text);
        }
    }
}
