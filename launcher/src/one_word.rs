//! A command that was given as one word, program and arguments in it: what it is as an array. Pure.

/// Characters by which a shell does more than to take words apart.
const OF_A_SHELL: &[char] = &[
    '|', '&', ';', '<', '>', '$', '`', '*', '?', '~', '(', ')', '\n',
];

/// For a program's name that is nowhere: what was probably meant by the spaces in it.
pub(crate) fn hint(name: &str) -> Option<String> {
    let words = words(name);
    if words.len() < 2 {
        return None;
    }
    let array = if name.contains(OF_A_SHELL) {
        format!("[\"sh\", \"-c\", {name:?}]")
    } else {
        format!("{words:?}")
    };
    Some(format!(
        "{name:?} is one word, and no program has that name; program and arguments are words of their own: {array}"
    ))
}

/// Taken apart at spaces, what is in quotes left together.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for character in text.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            (Some(_) | None, _) => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_word_with_spaces_is_shown_as_an_array() {
        let hint = |name| super::hint(name).unwrap();
        assert!(hint("sleep 1d").ends_with("[\"sleep\", \"1d\"]"));
        assert!(
            hint("nginx -g 'daemon off;' ")
                .ends_with("[\"sh\", \"-c\", \"nginx -g 'daemon off;' \"]")
        );
        assert!(hint("app --name \"a b\" ''").ends_with("[\"app\", \"--name\", \"a b\", \"\"]"));
        assert!(hint("a | b").ends_with("[\"sh\", \"-c\", \"a | b\"]"));
        assert_eq!(super::hint("sleep"), None);
        assert_eq!(super::hint(" sleep "), None);
    }
}
