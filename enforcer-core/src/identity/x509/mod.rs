//! The certificate doors: DER → whom a leaf names, or for whom an authority may sign; and whether a chain leads
//! from the one to the other. Each rule of X509-SVID that is broken has its own error.

pub mod authority;
pub mod certificate;
pub mod chain;
mod constraints;
mod der;
pub mod leaf;
mod public_key;
#[cfg(test)]
mod tests;

pub use constraints::{ConstraintError, UriConstraints};
pub(in crate::identity) use public_key::SubjectKey;
