//! The policy door: from YAML and wire messages to values that cannot be wrong. All or nothing, and every
//! mistake is reported at once.

pub mod limits;
pub mod path;
pub mod wire;
pub mod words;
pub mod yaml;
