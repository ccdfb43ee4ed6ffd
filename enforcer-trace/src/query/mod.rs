//! Stored records in the order of their numbers: sealed files and the log side by side, a tenant's alone or everybody's
//! with halves joined. What cannot be read is told as a loss, in its place. Who may ask is not known here.

mod answer;
mod gap;
mod log;
mod merge;
mod request;
mod sealed;

pub use answer::{Answer, query};
pub use request::{Query, QueryError};

/// Whose records somebody may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// An operator's view: every tenant's and the node's own, halves joined to the records they were.
    Everything,
    /// What that tenant's files hold, and nothing else.
    Tenant(String),
}
