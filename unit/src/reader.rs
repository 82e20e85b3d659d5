//! Takes typed values out of a parsed TOML table and reports everything that does not fit.
//!
//! Serde's derive stops at the first mistake; an operator wants all of them. So the table is taken apart key by key:
//! what is read is removed, and what is left at the end is unknown or not supported yet.

use crate::Diagnostic;
use crate::document::Document;
use crate::habits;
use crate::nearest::nearest;
use crate::schema;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A string and the bytes it was read from.
pub(crate) type Text = Spanned<String>;
/// An array of strings and its members.
pub(crate) type Texts = Spanned<Vec<Text>>;

type Value<'t> = Spanned<DeValue<'t>>;

pub(crate) struct Reader<'s> {
    pub(crate) document: &'s Document<'s>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// A table that is being taken apart.
pub(crate) struct Table<'t> {
    /// As [`schema::TABLES`] calls it.
    name: &'static str,
    /// Where the key or header stands that opened it.
    pub(crate) span: Range<usize>,
    entries: BTreeMap<&'t str, (Range<usize>, &'t Value<'t>)>,
}

impl<'t> Table<'t> {
    fn take(&mut self, key: &str) -> Option<&'t Value<'t>> {
        self.entries.remove(key).map(|(_, value)| value)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Where the key stands, if it is there; it counts as read.
    pub(crate) fn discard(&mut self, key: &str) -> Option<Range<usize>> {
        self.entries.remove(key).map(|(span, _)| span)
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }
}

impl<'s> Reader<'s> {
    pub(crate) fn new(document: &'s Document<'s>) -> Self {
        Self {
            document,
            diagnostics: Vec::new(),
        }
    }

    /// Starts to take a table apart. Keys that the machine does not perform yet are refused here.
    pub(crate) fn open<'t>(
        &mut self,
        name: &'static str,
        span: Range<usize>,
        table: &'t DeTable<'t>,
    ) -> Table<'t> {
        let entries = table
            .iter()
            .map(|(key, value)| (key.get_ref().as_ref(), (key.span(), value)))
            .collect();
        Table {
            name,
            span,
            entries,
        }
    }

    /// Reports that a key is not there.
    pub(crate) fn require(&mut self, table: &Table<'_>, key: &str, hint: &str) {
        if !table.has(key) {
            let message = format!("key `{key}` is missing in {}", schema::title(table.name));
            self.diagnostics
                .push(self.document.error(&table.span, message).hint(hint));
        }
    }

    pub(crate) fn string(&mut self, table: &mut Table<'_>, key: &str) -> Option<Text> {
        let value = table.take(key)?;
        self.as_text(&table.path(key), value)
    }

    pub(crate) fn strings(&mut self, table: &mut Table<'_>, key: &str) -> Option<Texts> {
        let value = table.take(key)?;
        let path = table.path(key);
        let Some(array) = value.get_ref().as_array() else {
            let text = value.get_ref().as_str();
            let literal = self.document.excerpt(&value.span());
            let hint = text.map(|text| habits::array(key, text, &literal));
            self.wrong_type(&path, value, "an array of strings", hint);
            return None;
        };
        let texts: Vec<Text> = array
            .iter()
            .filter_map(|member| self.as_text(&path, member))
            .collect();
        rest(value.span(), texts, array.len())
    }

    pub(crate) fn boolean(&mut self, table: &mut Table<'_>, key: &str) -> Option<Spanned<bool>> {
        let value = table.take(key)?;
        let Some(boolean) = value.get_ref().as_bool() else {
            let path = table.path(key);
            let written = match value.get_ref().as_integer() {
                Some(number) => Some(number.as_str()),
                None => value.get_ref().as_str(),
            };
            let hint = written.and_then(|text| habits::boolean(&path, text));
            self.wrong_type(&path, value, "true or false", hint);
            return None;
        };
        Some(Spanned::new(value.span(), boolean))
    }

    pub(crate) fn integer(&mut self, table: &mut Table<'_>, key: &str) -> Option<Spanned<i64>> {
        let value = table.take(key)?;
        self.as_integer(&table.path(key), value)
    }

    pub(crate) fn integers(
        &mut self,
        table: &mut Table<'_>,
        key: &str,
    ) -> Option<Spanned<Vec<Spanned<i64>>>> {
        let value = table.take(key)?;
        let path = table.path(key);
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(&path, value, "an array of integers", None);
            return None;
        };
        let members: Vec<Spanned<i64>> = array
            .iter()
            .filter_map(|member| self.as_integer(&path, member))
            .collect();
        rest(value.span(), members, array.len())
    }

    /// An integer or a float.
    pub(crate) fn number(&mut self, table: &mut Table<'_>, key: &str) -> Option<Spanned<f64>> {
        let value = table.take(key)?;
        let float = value
            .get_ref()
            .as_float()
            .and_then(|float| float.as_str().parse::<f64>().ok());
        let integer = || {
            let integer = value.get_ref().as_integer()?;
            i32::from_str_radix(integer.as_str(), integer.radix())
                .ok()
                .map(f64::from)
        };
        let Some(number) = float.or_else(integer) else {
            let path = table.path(key);
            let text = value.get_ref().as_str();
            let hint = text.and_then(|text| habits::number(&path, text));
            self.wrong_type(&path, value, "a number", hint);
            return None;
        };
        Some(Spanned::new(value.span(), number))
    }

    /// A table whose keys are the operator's own.
    pub(crate) fn pairs(&mut self, table: &mut Table<'_>, key: &str) -> Option<Vec<(Text, Text)>> {
        let value = table.take(key)?;
        let path = table.path(key);
        let Some(inner) = value.get_ref().as_table() else {
            self.wrong_type(
                &path,
                value,
                &format!("a table such as `{key} = {{ name = \"value\" }}`"),
                None,
            );
            return None;
        };
        let pairs = inner.iter().filter_map(|(name, value)| {
            let text = self.as_text(&format!("{path}.{}", name.get_ref()), value)?;
            Some((Spanned::new(name.span(), name.get_ref().to_string()), text))
        });
        Some(pairs.collect())
    }

    pub(crate) fn table<'t>(
        &mut self,
        parent: &mut Table<'t>,
        key: &str,
        name: &'static str,
    ) -> Option<Table<'t>> {
        let (span, value) = parent.entries.remove(key)?;
        let Some(inner) = value.get_ref().as_table() else {
            let hint = if value.get_ref().is_array() {
                Some(format!(
                    "write {} once, with single brackets",
                    schema::title(name)
                ))
            } else {
                let number = value.get_ref().as_integer();
                let number = number.filter(|number| number.radix() == 10);
                let number = number.map(toml::de::DeInteger::as_str);
                habits::table(name, value.get_ref().as_str(), number)
            };
            self.wrong_type(name, value, "a table", hint);
            return None;
        };
        Some(self.open(name, span, inner))
    }

    /// An array of tables: `[[ports]]`.
    pub(crate) fn tables<'t>(
        &mut self,
        parent: &mut Table<'t>,
        key: &str,
        name: &'static str,
    ) -> Vec<Table<'t>> {
        let Some(value) = parent.take(key) else {
            return Vec::new();
        };
        let example = match name {
            "ports" => "publish = \"8080:80\"",
            "mounts" => "target = \"/data\"",
            "unit.depends_on" => "unit = \"db\"",
            _ => "command = [\"program\", \"argument\"]",
        };
        let hint = |value: &Value<'_>| {
            let step = habits::step(name, value.get_ref().as_str());
            let example = step.as_deref().unwrap_or(example);
            Some(format!(
                "write `[[{name}]]` and below it `{example}`, once for each"
            ))
        };
        let expected = format!("an array of tables: `[[{name}]]`");
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(name, value, &expected, hint(value));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for member in array.iter() {
            match member.get_ref().as_table() {
                Some(inner) => tables.push(self.open(name, member.span(), inner)),
                None => self.wrong_type(name, member, &expected, hint(member)),
            }
        }
        tables
    }

    /// Reports what nobody has taken.
    pub(crate) fn finish(&mut self, table: &Table<'_>) {
        for (key, (span, _)) in &table.entries {
            if schema::keys(table.name).any(|known| known == *key) {
                self.not_supported_yet(table, key, span);
            } else {
                let unknown = self.unknown(table, key, span);
                self.diagnostics.push(unknown);
            }
        }
    }

    fn not_supported_yet(&mut self, table: &Table<'_>, key: &str, span: &Range<usize>) {
        let what = if table.name.is_empty() {
            format!("table `{key}`")
        } else {
            format!("key `{}`", table.path(key))
        };
        let error = self
            .document
            .error(span, format!("{what} is not supported yet"));
        self.diagnostics
            .push(error.hint("take it out, or use a later release"));
    }

    fn unknown(&self, table: &Table<'_>, key: &str, span: &Range<usize>) -> Diagnostic {
        let what = if table.name.is_empty() {
            "key or table"
        } else {
            "key"
        };
        let error = self.document.error(
            span,
            format!("unknown {what} `{key}` in {}", schema::title(table.name)),
        );
        if let Some(plain) = key.strip_suffix('+')
            && schema::keys(table.name).any(|known| known == plain)
        {
            let hint = format!(
                "`\"{key}\"` is for arrays in drop-ins, to add to them; here write `{plain}`"
            );
            return error.hint(hint);
        }
        let near = nearest(key, schema::keys(table.name));
        let folded = snake_case(key);
        let elsewhere = schema::ELSEWHERE.iter().find(|(name, _)| *name == folded);
        match (near, elsewhere, schema::home(key, table.name)) {
            (_, Some((_, place)), _) => error.hint(format!("here it is {place}")),
            (_, _, Some(home)) => error.hint(format!("`{key}` belongs to {}", schema::title(home))),
            (Some(near), _, _) => error.hint(format!("a key with a similar name exists: `{near}`")),
            (None, None, None) => {
                let now = schema::table(table.name).map_or(&[] as &[&str], |table| table.now);
                error.expected(format!("one of {}", now.join(", ")))
            }
        }
    }

    fn as_text(&mut self, path: &str, value: &Value<'_>) -> Option<Text> {
        let Some(text) = value.get_ref().as_str() else {
            let scalar = value.get_ref().is_integer()
                || value.get_ref().is_float()
                || value.get_ref().is_bool();
            let written = self.document.excerpt(&value.span());
            let hint = scalar.then(|| habits::text(path, &written)).flatten();
            self.wrong_type(path, value, "a string", hint);
            return None;
        };
        Some(Spanned::new(value.span(), text.to_owned()))
    }

    fn as_integer(&mut self, path: &str, value: &Value<'_>) -> Option<Spanned<i64>> {
        let integer = value
            .get_ref()
            .as_integer()
            .and_then(|integer| i64::from_str_radix(integer.as_str(), integer.radix()).ok());
        let Some(integer) = integer else {
            let text = value.get_ref().as_str();
            let hint = text.and_then(|text| habits::integer(path, text));
            self.wrong_type(path, value, "an integer", hint);
            return None;
        };
        Some(Spanned::new(value.span(), integer))
    }

    fn wrong_type(&mut self, path: &str, value: &Value<'_>, expected: &str, hint: Option<String>) {
        let span = value.span();
        let found = format!(
            "{} `{}`",
            value.get_ref().type_str(),
            self.document.excerpt(&span)
        );
        let error = self
            .document
            .error(&span, format!("`{path}` has the wrong type"))
            .found(found)
            .expected(expected);
        self.diagnostics.push(error.hint_if(hint));
    }
}

/// The members that have the right type, so that what else is wrong with them is found too; nothing, when none has.
fn rest<T>(span: Range<usize>, members: Vec<T>, written: usize) -> Option<Spanned<Vec<T>>> {
    (!members.is_empty() || written == 0).then(|| Spanned::new(span, members))
}

/// `PublishPort`, `publish-port` → `publish_port`
fn snake_case(key: &str) -> String {
    let mut out = String::new();
    for c in key.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(if c == '-' {
            '_'
        } else {
            c.to_ascii_lowercase()
        });
    }
    out
}
