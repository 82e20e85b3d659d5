//! JSON as Go's encoding/json reads it, since all other programs that read images are written in Go: `null` is as good as
//! absent for a text, a number, a list or a map, names of fields match whatever their case, unknown fields are no
//! error, and invalid UTF-8 is replaced. Messages name the field.

use serde_json::Value;
use std::collections::BTreeMap;
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
        let text = String::from_utf8_lossy(bytes);
        match serde_json::from_str(&text) {
            Ok(value) => Ok(Self { value }),
            Err(error) => Err(DocumentError {
                reason: format!("it is not JSON: {error}"),
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
        self.value.is_null()
    }

    /// A field of this object: the one of exactly this name, or else of this name in another case.
    pub(crate) fn get(&self, name: &str) -> Result<Field<'a>, DocumentError> {
        let path = match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        let value = match self.value {
            Value::Null => &ABSENT,
            Value::Object(fields) => fields
                .get(name)
                .or_else(|| {
                    let mut other = fields.iter();
                    let found = other.find(|(key, _)| key.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| value)
                })
                .unwrap_or(&ABSENT),
            _ => return Err(self.wrong("an object")),
        };
        Ok(Field { value, path })
    }

    /// Empty when it is null.
    pub(crate) fn text(&self) -> Result<String, DocumentError> {
        match self.value {
            Value::Null => Ok(String::new()),
            Value::String(text) => Ok(text.clone()),
            _ => Err(self.wrong("a text")),
        }
    }

    /// `None` when it is null.
    pub(crate) fn number(&self) -> Result<Option<i64>, DocumentError> {
        match self.value {
            Value::Null => Ok(None),
            value => match value.as_i64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.wrong("a whole number")),
            },
        }
    }

    pub(crate) fn list(&self) -> Result<Vec<Field<'a>>, DocumentError> {
        match self.value {
            Value::Null => Ok(Vec::new()),
            Value::Array(values) => Ok(values
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
            Value::String(text) => Ok(vec![text.clone()]),
            Value::Null | Value::Array(_) => self.texts(),
            _ => Err(self.wrong("a list of texts")),
        }
    }

    pub(crate) fn keys(&self) -> Result<Vec<String>, DocumentError> {
        match self.value {
            Value::Null => Ok(Vec::new()),
            Value::Object(fields) => Ok(fields.keys().cloned().collect()),
            _ => Err(self.wrong("an object")),
        }
    }

    pub(crate) fn map(&self) -> Result<BTreeMap<String, String>, DocumentError> {
        self.keys()?
            .into_iter()
            .map(|key| {
                let text = match self.value.get(&key) {
                    Some(value) => Field {
                        value,
                        path: format!("{}[{key:?}]", self.path),
                    }
                    .text()?,
                    None => String::new(),
                };
                Ok((key, text))
            })
            .collect()
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
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
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
