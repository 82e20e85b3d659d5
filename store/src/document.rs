//! JSON as Go's encoding/json reads it, since all other programs that read images are written in Go: `null` is as good as
//! absent for a text, a number, a list or a map, names of fields match whatever their case, unknown fields are no
//! error, and invalid UTF-8 is replaced. Messages name the field.

use crate::json::{self, SyntaxError, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A whole document.
#[derive(Debug)]
pub(crate) struct Document {
    value: Value,
}

/// Why a document can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentError {
    reason: String,
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for DocumentError {}

/// A value in a document, or its absence, and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Field<'a> {
    value: &'a Value,
    /// `config.Env[2]`; empty: the whole document.
    path: String,
}

static ABSENT: Value = Value::Null;

impl Document {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        match json::parse(bytes) {
            Ok(value) => Ok(Self { value }),
            Err(SyntaxError {
                reason,
                line,
                column,
            }) => Err(DocumentError {
                reason: format!("it is not JSON: {reason}, at line {line} column {column}"),
            }),
        }
    }

    pub(crate) fn root(&self) -> Field<'_> {
        Field {
            value: &self.value,
            path: String::new(),
        }
    }
}

impl<'a> Field<'a> {
    /// `config.Env[2]`; empty: the whole document.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn is_null(&self) -> bool {
        *self.value == Value::Null
    }

    /// A field of this object, whatever the case of its name; the last one, if there are several.
    pub(crate) fn get(&self, name: &str) -> Result<Field<'a>, DocumentError> {
        let path = match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        let value = match self.value {
            Value::Null => &ABSENT,
            Value::Object(fields) => {
                let mut named = fields.iter();
                let last = named.rfind(|(key, _)| key.eq_ignore_ascii_case(name));
                last.map_or(&ABSENT, |(_, value)| value)
            }
            _ => return Err(self.wrong("an object")),
        };
        Ok(Field { value, path })
    }

    /// Empty when it is null.
    pub(crate) fn text(&self) -> Result<String, DocumentError> {
        match self.value {
            Value::Null => Ok(String::new()),
            Value::Text(text) => Ok(text.clone()),
            _ => Err(self.wrong("a text")),
        }
    }

    /// `None` when it is null.
    pub(crate) fn number(&self) -> Result<Option<i64>, DocumentError> {
        match self.value {
            Value::Null => Ok(None),
            Value::Number(number) => match number.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(self.wrong("a whole number")),
            },
            _ => Err(self.wrong("a whole number")),
        }
    }

    pub(crate) fn list(&self) -> Result<Vec<Field<'a>>, DocumentError> {
        match self.value {
            Value::Null => Ok(Vec::new()),
            Value::List(values) => Ok(values
                .iter()
                .enumerate()
                .map(|(index, value)| Field {
                    value,
                    path: format!("{}[{index}]", self.path),
                })
                .collect()),
            _ => Err(self.wrong("a list")),
        }
    }

    pub(crate) fn texts(&self) -> Result<Vec<String>, DocumentError> {
        self.list()?.iter().map(Field::text).collect()
    }

    /// One text stands for a list of it (moby's `StrSlice`).
    pub(crate) fn one_or_many(&self) -> Result<Vec<String>, DocumentError> {
        match self.value {
            Value::Text(text) => Ok(vec![text.clone()]),
            Value::Null | Value::List(_) => self.texts(),
            _ => Err(self.wrong("a list of texts")),
        }
    }

    /// In the order of the alphabet.
    pub(crate) fn keys(&self) -> Result<Vec<String>, DocumentError> {
        let names: BTreeSet<&String> = self.fields()?.iter().map(|(name, _)| name).collect();
        Ok(names.into_iter().cloned().collect())
    }

    pub(crate) fn map(&self) -> Result<BTreeMap<String, String>, DocumentError> {
        let entries = self.fields()?.iter().map(|(name, value)| {
            let field = Field {
                value,
                path: format!("{}[{name:?}]", self.path),
            };
            Ok((name.clone(), field.text()?))
        });
        entries.collect()
    }

    fn fields(&self) -> Result<&'a [(String, Value)], DocumentError> {
        match self.value {
            Value::Null => Ok(&[]),
            Value::Object(fields) => Ok(fields),
            _ => Err(self.wrong("an object")),
        }
    }

    /// The text in another form.
    pub(crate) fn parsed<T>(&self) -> Result<T, DocumentError>
    where
        T: std::str::FromStr,
        T::Err: fmt::Display,
    {
        self.text()?.parse().map_err(|error| DocumentError {
            reason: format!("{}: {error}", self.path),
        })
    }

    fn wrong(&self, wanted: &str) -> DocumentError {
        let found = match self.value {
            Value::Null => "null",
            Value::Bool => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
            Value::Deep => "nested too deep",
        };
        let path = match self.path.as_str() {
            "" => "the document",
            path => path,
        };
        DocumentError {
            reason: format!("{path} is {found}, where {wanted} is expected"),
        }
    }
}
