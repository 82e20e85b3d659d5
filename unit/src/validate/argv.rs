//! Commands: the words of a program and its arguments, as execve(2) gets them.

use super::container::absolute;
use crate::check::Check;
use crate::fault::Fault;
use crate::reader::{Text, Texts};
use crate::variable::{self, Kind};
use crate::words;

/// What stands before the words in the command that is executed.
#[derive(Clone, Copy)]
pub(super) enum Before<'t> {
    /// Nothing: the first word is the program.
    Nothing,
    /// The words of an entrypoint.
    Words(&'t [Text]),
    /// The image's ENTRYPOINT, if it has one.
    Image,
}

/// The words, and warnings of what cannot be meant: a program with its arguments in one word, `$` that nobody reads.
pub(super) fn validate(
    check: &mut Check<'_>,
    key: &str,
    texts: Option<&Texts>,
    before: Before<'_>,
) -> Option<Vec<String>> {
    let argv = check.texts(key, texts)?;
    let written = texts.map_or(&[] as &[Text], |texts| texts.get_ref().as_slice());
    let earlier: &[Text] = match before {
        Before::Words(words) => words,
        Before::Nothing | Before::Image => &[],
    };
    if let (Some(first), true) = (written.first(), earlier.is_empty()) {
        program(check, key, first, written.len(), before);
    }
    let words: Vec<&str> = earlier
        .iter()
        .chain(written)
        .map(|word| word.get_ref().as_str())
        .collect();
    for (text, at) in written.iter().zip(earlier.len()..) {
        if words::is_script(&words, at) {
            doubled(check, key, text);
        } else {
            check.warn_of_variable(key, text);
        }
    }
    Some(argv)
}

fn program(check: &mut Check<'_>, key: &str, text: &Text, count: usize, before: Before<'_>) {
    let word = text.get_ref().as_str();
    if word.is_empty() {
        if !matches!(before, Before::Image) {
            let fault = Fault::new("has no program: its first word is empty", "a program");
            check.fault(key, &text.span(), fault);
        }
        return;
    }
    // An option may have a space in it; and so may a path, but not one that begins with a program's name alone.
    let spaced = word.contains(char::is_whitespace);
    if !spaced || word.starts_with('-') || !count_is_odd_path(word, count) {
        return;
    }
    let name = key.rsplit('.').next().unwrap_or(key);
    let array = words::array(word);
    let (message, hint) = match before {
        // An image such as `ENTRYPOINT ["sh", "-c"]` wants one word.
        Before::Image => (
            format!(
                "`{key}` may be meant as several words: it is one, which is the program's name unless the image has an ENTRYPOINT"
            ),
            format!(
                "one string for each word: `{name} = {array}`; for a script that the image's ENTRYPOINT reads, say so: `entrypoint = [\"/bin/sh\", \"-c\"]`"
            ),
        ),
        Before::Nothing | Before::Words(_) => (
            format!("`{key}`: the program's name has a space in it"),
            format!("one string for each word: `{name} = {array}`"),
        ),
    };
    let warning = check.document.warning(&text.span(), message);
    check.report(warning.hint(hint));
}

/// `/opt/My App/run` with its own arguments is a path that somebody has taken care to write.
fn count_is_odd_path(word: &str, count: usize) -> bool {
    count == 1 || absolute(word).is_err()
}

fn doubled(check: &mut Check<'_>, key: &str, text: &Text) {
    if let Some(found) = variable::find_doubled(text.get_ref()) {
        debug_assert_eq!(found.kind, Kind::Doubled);
        check.say_variable(key, text, found.kind, found.written);
    }
}
