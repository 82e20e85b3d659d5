//! Which of the two languages an expression is in.

use crate::error::{ParseError, Word};
use crate::schedule::Schedule;
use crate::{EXPRESSION_BYTES_MAX, cron, near_zone, words};

impl Schedule {
    /// Read an expression of either language (see the head of this crate).
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.len() > EXPRESSION_BYTES_MAX {
            let message = format!("a calendar expression of {} bytes", text.len());
            let hint = format!("at most {EXPRESSION_BYTES_MAX}; `on_calendar` takes several");
            return Err(Word::new(text).error(message, hint));
        }
        let words = Word::new(text).words();
        if let [first, rest @ ..] = words.as_slice()
            && let Some(error) = zone_variable(*first, rest)
        {
            return Err(error);
        }
        let cron_only = |word: &Word<'_>| word.text.chars().all(|c| !":~".contains(c));
        let numeric = |word: &Word<'_>| {
            let bare = !word.text.contains("..") && word.text.matches('-').count() < 2;
            bare && word.text.chars().all(|c| "0123456789*/,-?".contains(c))
        };
        match words.as_slice() {
            [] => Err(Word::new(text).error(
                "an empty calendar expression".to_owned(),
                "write as \"daily\", \"Mon..Fri 09:00\" or \"0 9 * * 1-5\"",
            )),
            [word] if word.text.starts_with('@') => cron::named(*word),
            [word, extra, ..] if word.text.starts_with('@') => {
                cron::named(*word)?;
                let message = format!("\"{}\" after {}", extra.text, word.text);
                Err(extra.error(
                    message,
                    "a word with @ stands alone; the time zone has its own key",
                ))
            }
            [_, _, _, _, _, ..] if words.iter().all(cron_only) => cron::parse(&words),
            [_, _, ..] if words.iter().all(numeric) => Err(cron::count(&words)),
            _ => words::parse(&words),
        }
    }
}

/// cron's `CRON_TZ=`, and the `TZ=` that some write before an expression for it.
fn zone_variable(first: Word<'_>, rest: &[Word<'_>]) -> Option<ParseError> {
    let (name, value) = first.text.split_once('=')?;
    if !matches!(name.to_ascii_uppercase().as_str(), "CRON_TZ" | "TZ") {
        return None;
    }
    let zone = value.trim_matches(['"', '\'']).trim_start_matches(':');
    let meant = near_zone(zone);
    let rest: Vec<&str> = rest.iter().map(|word| word.text).collect();
    let expression = match rest.is_empty() {
        true => "0 9 * * 1-5".to_owned(),
        false => rest.join(" "),
    };
    let message =
        format!("{name}= stands before an expression, and the time zone has a key of its own");
    let hint = match meant {
        Some(zone) => {
            format!("write `timezone = \"{zone}\"` and `on_calendar = [\"{expression}\"]`")
        }
        None => format!(
            "write `on_calendar = [\"{expression}\"]` and the zone's name in the key `timezone`; \"{zone}\" is not one"
        ),
    };
    Some(first.error(message, hint))
}
