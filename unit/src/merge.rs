//! A drop-in over a unit: tables merge, everything else replaces, and `"KEY+"` adds to an array.
//!
//! ```text
//! unit       after = ["db"]        [env] A = "1"      [[ports]] …
//! drop-in    "after+" = ["cache"]  [env] B = "2"      [[ports]] …
//! together   after = [db, cache]   A = 1, B = 2       the drop-in's
//! ```
//!
//! What was read keeps its span, so what is wrong with it is said where it is written.

use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeTable, DeValue};

type Value<'t> = Spanned<DeValue<'t>>;

/// The member of an array that the unit has when it does not give the array: adding to it keeps that.
fn default(path: &str) -> Option<DeValue<'static>> {
    match path {
        "unit.wanted_by" => Some(DeValue::String("default.target".into())),
        "service.success_exit_codes" => Some(DeValue::Integer(DeInteger::default())),
        _ => None,
    }
}

/// The same table with every span moved by `by` bytes.
pub(crate) fn shifted(table: DeTable<'_>, by: usize) -> DeTable<'_> {
    let entries = table.into_iter().map(|(key, value)| {
        let span = moved(key.span(), by);
        (
            Spanned::new(span, key.into_inner()),
            shifted_value(value, by),
        )
    });
    entries.collect()
}

fn moved(span: std::ops::Range<usize>, by: usize) -> std::ops::Range<usize> {
    span.start.saturating_add(by)..span.end.saturating_add(by)
}

fn shifted_value(value: Value<'_>, by: usize) -> Value<'_> {
    let span = moved(value.span(), by);
    let value = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(shifted(table, by)),
        DeValue::Array(mut array) => {
            for member in array.iter_mut() {
                let taken = std::mem::replace(member, Spanned::new(0..0, DeValue::Boolean(false)));
                *member = shifted_value(taken, by);
            }
            DeValue::Array(array)
        }
        value @ (DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)) => value,
    };
    Spanned::new(span, value)
}

/// Puts `over` over `base`, whose path in the file is `path` (`""`, `service`, `unit.condition`).
pub(crate) fn merge<'t>(base: &mut DeTable<'t>, over: DeTable<'t>, path: &str) {
    for (key, value) in over {
        let name = key.get_ref().to_string();
        let inner = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let added = name
            .strip_suffix('+')
            .filter(|_| value.get_ref().is_array());
        if let Some(plain) = added {
            let path = inner.strip_suffix('+').unwrap_or(&inner);
            add(
                base,
                Spanned::new(key.span(), plain.to_owned()),
                value,
                path,
            );
            continue;
        }
        let (span, value) = (value.span(), value.into_inner());
        let DeValue::Table(new) = value else {
            base.remove(name.as_str());
            base.insert(key, Spanned::new(span, value));
            continue;
        };
        // A table that both have stays where the unit has it; any other value gives way to the table.
        let old = base.remove_entry(name.as_str());
        let old = old.map(|(key, value)| (key, value.span(), value.into_inner()));
        let (key, span, mut table) = match old {
            Some((key, span, DeValue::Table(table))) => (key, span, table),
            Some(_) | None => (key, span, DeTable::new()),
        };
        merge(&mut table, new, &inner);
        base.insert(key, Spanned::new(span, DeValue::Table(table)));
    }
}

fn add<'t>(base: &mut DeTable<'t>, key: Spanned<String>, value: Value<'t>, path: &str) {
    let span = value.span();
    let DeValue::Array(more) = value.into_inner() else {
        return;
    };
    let mut array = match base.remove(key.get_ref().as_str()).map(Spanned::into_inner) {
        Some(DeValue::Array(array)) => array,
        // What is wrong with it is said as if nothing had been added.
        Some(
            wrong @ (DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_)),
        ) => {
            base.insert(owned(key), Spanned::new(span, wrong));
            return;
        }
        None => {
            let mut array = DeArray::new();
            if let Some(member) = default(path) {
                array.push(Spanned::new(span.clone(), member));
            }
            array
        }
    };
    for member in more {
        array.push(member);
    }
    base.insert(owned(key), Spanned::new(span, DeValue::Array(array)));
}

fn owned<'t>(key: Spanned<String>) -> Spanned<toml::de::DeString<'t>> {
    Spanned::new(key.span(), key.into_inner().into())
}
