//! Configuration: raw words from flags, environment and file, resolved into settings that cannot be wrong.
//! It must not know what the rooms do with them.

pub mod flags;
pub mod host;
pub mod load;
pub mod problem;
pub mod raw;
pub mod resolve;
pub mod settings;

pub use load::load;
pub use problem::ConfigProblem;
pub use settings::Settings;
