//! Detection: rules, what is usual, and what is being done.

pub(crate) mod baseline;
pub(crate) mod checked;
pub(crate) mod response;
pub(crate) mod rule;
