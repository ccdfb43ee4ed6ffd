//! The policy of this node: takes changes, puts them in force, keeps them, says so. It knows the kernel only
//! as [`enforcer_core::enforce`], and the node only as facts.

mod apply;
mod delta;
mod engine;
mod history;
mod keep;
mod prospect;
mod recheck;
mod refuse;
mod report;
mod respond;
pub mod source;
mod start;
pub mod store;
mod told;
mod validate;

pub use engine::{Clock, Engine, Kernel, Parts};
pub use start::StartError;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
