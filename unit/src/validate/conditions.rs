//! `[unit] condition` and `profiles`: whether the unit is for this machine.

use super::container::absolute;
use crate::check::Check;
use crate::fault::Fault;
use crate::file::{ConditionTable, UnitTable};
use crate::reader::Texts;
use crate::{Conditions, bytes};
use std::collections::BTreeMap;

pub(crate) fn validate(check: &mut Check<'_>, table: &ConditionTable) -> Conditions {
    let mut label = BTreeMap::new();
    for (name, value) in &table.label {
        if let Err(fault) = word(name.get_ref()) {
            check.fault("unit.condition.label", &name.span(), fault);
        } else if let Some(value) =
            check.expand(&format!("unit.condition.label.{}", name.get_ref()), value)
        {
            label.insert(name.get_ref().clone(), value);
        }
    }
    let (paths, words) = (&table.path_exists, &table.kernel_cmdline);
    Conditions {
        path_exists: each(check, "unit.condition.path_exists", paths, absolute),
        kernel_cmdline: each(check, "unit.condition.kernel_cmdline", words, word),
        memory_min: check.value(
            "unit.condition.memory_min",
            table.memory_min.as_ref(),
            bytes::parse,
        ),
        label,
    }
}

/// A target or a timer starts nothing itself that could be skipped.
pub(crate) fn only_of_containers(check: &mut Check<'_>, table: &ConditionTable) {
    let lists = [&table.path_exists, &table.kernel_cmdline];
    let lists = lists.into_iter().flatten().map(toml::Spanned::span);
    let memory = table.memory_min.iter().map(toml::Spanned::span);
    let labels = table.label.iter().map(|(name, _)| name.span());
    if let Some(span) = lists
        .chain(memory)
        .chain(labels)
        .min_by_key(|span| span.start)
    {
        check.refuse(
            &span,
            "only containers have a condition",
            "put it into the containers that this unit starts",
        );
    }
}

pub(crate) fn profiles(check: &mut Check<'_>, table: &UnitTable) -> Vec<String> {
    each(check, "unit.profiles", &table.profiles, profile)
}

fn each(
    check: &mut Check<'_>,
    key: &str,
    texts: &Option<Texts>,
    parse: fn(&str) -> Result<String, Fault>,
) -> Vec<String> {
    let texts = texts.iter().flat_map(|texts| texts.get_ref());
    let values = texts.filter_map(|text| {
        if text.get_ref().is_empty() {
            let fault = Fault::new("has an empty member", "members with text");
            check.fault(key, &text.span(), fault);
        }
        check.value(key, Some(text), parse)
    });
    values.collect()
}

/// The kernel splits its command line at blanks: proc_cmdline(5).
fn word(text: &str) -> Result<String, Fault> {
    let good = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    good.then(|| text.to_owned())
        .ok_or_else(|| Fault::new("is not one word", "text without blanks"))
}

/// As Compose has them.
fn profile(text: &str) -> Result<String, Fault> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let ok = text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(good);
    let expected = "letters, digits, `_`, `.` and `-`, a letter or digit first";
    ok.then(|| text.to_owned())
        .ok_or_else(|| Fault::new("is not the name of a profile", expected))
}
