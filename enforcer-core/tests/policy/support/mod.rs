//! What the tests share: a builder of policies, a generator of them, and one way to ask for a verdict.

pub(crate) mod ask;
pub(crate) mod build;
pub(crate) mod generate;
