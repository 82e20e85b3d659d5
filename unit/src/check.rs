//! What every validation step works with: the file, the instance, and the list of what is wrong.

use crate::document::{Document, Spot};
use crate::fault::Fault;
use crate::habits;
use crate::nearest::nearest;
use crate::reader::{Text, Texts};
use crate::{Diagnostic, duration, variable};
use std::collections::BTreeMap;
use std::ops::Range;

/// Keys whose text is for people, or a language of its own.
const TEXTS_WITH_DOLLARS: &[&str] = &["unit.description", "readiness.log"];

/// Keys whose texts are names of units, and times.
const NAMES: &[&str] = &[
    "unit.after",
    "unit.before",
    "unit.requires",
    "unit.requisite",
    "unit.wants",
    "unit.binds_to",
    "unit.part_of",
    "unit.conflicts",
    "unit.on_failure",
    "unit.on_success",
    "unit.wanted_by",
    "timer.on_calendar",
];

pub(crate) struct Check<'s> {
    pub(crate) document: &'s Document<'s>,
    /// `1` of `redis@1`.
    pub(crate) instance: Option<&'s str>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// See [`crate::draft::Draft`].
    pub(crate) places: BTreeMap<String, Spot>,
}

impl<'s> Check<'s> {
    pub(crate) fn new(document: &'s Document<'s>, instance: Option<&'s str>) -> Self {
        Self {
            document,
            instance,
            diagnostics: Vec::new(),
            places: BTreeMap::new(),
        }
    }

    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// `` `key` is out of range ``
    pub(crate) fn fault(&mut self, key: &str, span: &Range<usize>, fault: Fault) {
        let error = self
            .document
            .error(span, format!("`{key}` {}", fault.problem));
        let error = error
            .found(self.document.excerpt(span))
            .expected(fault.expected);
        self.report(error.hint_if(fault.hint));
    }

    pub(crate) fn remember(&mut self, key: String, span: &Range<usize>) {
        self.places.insert(key, self.document.spot(span));
    }

    /// Two values that exclude each other: the first is where the mistake is shown, the second is shown too.
    pub(crate) fn conflict(
        &mut self,
        at: &Range<usize>,
        message: impl Into<String>,
        other: &Range<usize>,
        label: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let error = self.document.error(at, message).hint(hint);
        let error = error.related(self.document.spot(other), label);
        self.report(error);
    }

    pub(crate) fn refuse(
        &mut self,
        at: &Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let error = self.document.error(at, message).hint(hint);
        self.report(error);
    }

    /// The text with `%i` and `%%` put in.
    pub(crate) fn expand(&mut self, key: &str, text: &Text) -> Option<String> {
        match expand(text.get_ref(), self.instance) {
            Ok(expanded) => Some(expanded),
            Err(mut fault) => {
                // Nothing there has a percent sign in it, doubled or not.
                if NAMES.contains(&key) {
                    fault.hint = fault.hint.filter(|hint| !hint.starts_with("write"));
                }
                self.fault(key, &text.span(), fault);
                None
            }
        }
    }

    /// `None` when the key is not there, empty, or wrong.
    pub(crate) fn value<T>(
        &mut self,
        key: &str,
        text: Option<&Text>,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        let text = text?;
        let (expanded, unknown) = match read(text.get_ref(), self.instance) {
            Ok(read) => read,
            Err(fault) => {
                self.fault(key, &text.span(), fault);
                return None;
            }
        };
        if expanded.is_empty() {
            return None;
        }
        match (parse(&expanded), unknown) {
            // Doubled it would be right; else what follows is told: `size=50%%` is no better than `size=50%`.
            (Ok(_), Some(fault)) => {
                self.fault(key, &text.span(), fault);
                None
            }
            (Ok(value), None) => {
                if !TEXTS_WITH_DOLLARS.contains(&key) {
                    self.warn_of_variable(key, text);
                }
                Some(value)
            }
            (Err(mut fault), _) => {
                if let Some(found) = variable::find(&expanded) {
                    fault.hint = Some(variable::advice(key, found.kind, found.written));
                }
                self.fault(key, &text.span(), fault);
                None
            }
        }
    }

    /// Of a value that nobody reads as a shell does.
    pub(crate) fn warn_of_variable(&mut self, key: &str, text: &Text) {
        if let Some(found) = variable::find(text.get_ref()) {
            self.say_variable(key, text, found.kind, found.written);
        }
    }

    pub(crate) fn say_variable(
        &mut self,
        key: &str,
        text: &Text,
        kind: variable::Kind,
        written: &str,
    ) {
        let message = match kind {
            variable::Kind::Variable | variable::Kind::Command => {
                format!("`{key}` has `{written}`, and nothing puts a value in its place")
            }
            variable::Kind::Doubled => {
                format!("`{key}` has `{written}`: a doubled `$` is two of them here")
            }
        };
        let warning = self.document.warning(&text.span(), message);
        self.report(warning.hint(variable::advice(key, kind, written)));
    }

    /// Each member expanded; `None` when the key is not there.
    pub(crate) fn texts(&mut self, key: &str, texts: Option<&Texts>) -> Option<Vec<String>> {
        let texts = texts?;
        Some(
            texts
                .get_ref()
                .iter()
                .filter_map(|text| self.expand(key, text))
                .collect(),
        )
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        key: &str,
        text: Option<&Text>,
        choices: &[(&str, T)],
    ) -> Option<T> {
        self.value(key, text, |word| {
            let known = choices.iter().find(|(known, _)| *known == word);
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            let expected = match words.split_last() {
                Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
                Some((last, _)) => (*last).to_owned(),
                None => String::new(),
            };
            match known {
                Some((_, value)) => Ok(*value),
                None => {
                    let mut fault = Fault::new("is unknown", expected);
                    fault.hint = match habits::word(key, word) {
                        Some(meant) => Some(format!("write \"{meant}\"")),
                        None => nearest(word, words).map(|near| format!("perhaps \"{near}\"")),
                    };
                    Err(fault)
                }
            }
        })
    }

    /// Milliseconds, at least `least_ms`.
    pub(crate) fn duration(
        &mut self,
        key: &str,
        text: Option<&Text>,
        least_ms: u64,
    ) -> Option<u64> {
        self.value(key, text, |text| {
            let milliseconds = duration::parse(text)?;
            let too_short = || {
                Fault::new(
                    "is too short",
                    format!("at least {}", duration::display(least_ms)),
                )
            };
            (milliseconds >= least_ms)
                .then_some(milliseconds)
                .ok_or_else(too_short)
        })
    }

    /// An integer within `range`.
    pub(crate) fn integer<T: TryFrom<i64> + PartialOrd + Copy + std::fmt::Display>(
        &mut self,
        key: &str,
        value: Option<&toml::Spanned<i64>>,
        range: std::ops::RangeInclusive<T>,
    ) -> Option<T> {
        let value = value?;
        let number = T::try_from(*value.get_ref())
            .ok()
            .filter(|number| range.contains(number));
        if number.is_none() {
            let expected = format!("{} to {}", range.start(), range.end());
            let mut fault = Fault::new("is out of range", expected);
            fault.hint = (*value.get_ref() <= 0)
                .then(|| habits::unlimited(key))
                .flatten();
            self.fault(key, &value.span(), fault);
        }
        number
    }
}

fn expand(text: &str, instance: Option<&str>) -> Result<String, Fault> {
    match read(text, instance)? {
        (expanded, None) => Ok(expanded),
        (_, Some(fault)) => Err(fault),
    }
}

/// `%i` is the instance, `%%` a percent sign; nothing else may follow a percent sign, so that a later release can give
/// it a meaning: the text with those left as they are, and the first of them. NUL is refused: the kernel ends strings there.
fn read(text: &str, instance: Option<&str>) -> Result<(String, Option<Fault>), Fault> {
    let mut out = String::with_capacity(text.len());
    let mut unknown = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\0' => return Err(Fault::new("contains NUL", "text without \\u0000")),
            '%' => match (chars.clone().next(), instance) {
                (Some('%'), _) => {
                    chars.next();
                    out.push('%');
                }
                (Some('i'), Some(instance)) => {
                    chars.next();
                    out.push_str(instance);
                }
                (Some('i'), None) => {
                    let fault = Fault::new(
                        "has `%i`, which only an instance of a template has",
                        "no `%i`",
                    );
                    return Err(fault.hint("name the file `NAME@.container.toml`, or write `%%i` for the two characters"));
                }
                (other, _) => {
                    out.push('%');
                    let written = other.map_or_else(|| "%".to_owned(), |other| format!("%{other}"));
                    let fault = Fault::new(
                        format!("has `{written}`, which means nothing"),
                        "`%i` for the instance, `%%` for a percent sign",
                    );
                    unknown.get_or_insert(fault.hint(format!("write `%{written}`")));
                }
            },
            _ => out.push(c),
        }
    }
    Ok((out, unknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_i_is_the_instance_and_a_doubled_percent_is_one() {
        assert_eq!(expand("a-%i-%%i", Some("7")).as_deref(), Ok("a-7-%i"));
        assert_eq!(expand("100%%", None).as_deref(), Ok("100%"));
        assert!(expand("%i", None).is_err());
        assert!(expand("%Y", Some("7")).is_err());
        assert!(expand("%", None).is_err());
        assert!(expand("\0", None).is_err());
    }
}
