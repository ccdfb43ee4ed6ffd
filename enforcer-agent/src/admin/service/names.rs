//! Identities by name.

pub(super) use crate::door::names::identity;
