//! What a value parser says about a text that it cannot read.

use std::borrow::Cow;

/// `` `KEY` PROBLEM (found "…", expected EXPECTED); HINT ``
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// "is not a duration"
    pub problem: Cow<'static, str>,
    pub expected: Cow<'static, str>,
    pub hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(
        problem: impl Into<Cow<'static, str>>,
        expected: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            problem: problem.into(),
            expected: expected.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
