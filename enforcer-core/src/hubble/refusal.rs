//! A request that cannot be answered as it stands.

use std::fmt;

/// What is wrong, and where in the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Refusal {
    /// Path of the field: `whitelist[0].http_method`.
    pub field: String,
    /// A sentence.
    pub problem: String,
}

impl Refusal {
    /// Of a field.
    #[must_use]
    pub fn new(field: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self { field: field.into(), problem: problem.to_string() }
    }

    /// Of a field that nothing here can be compared with. Ignoring it would show more than was asked for.
    #[must_use]
    pub fn unsupported(field: impl Into<String>) -> Self {
        Self::new(field, "this server cannot filter by it, and does not ignore it")
    }
}
