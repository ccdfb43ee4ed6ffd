//! Policy, from the words that were pushed to the bytes that the kernel should hold:
//! `parse → compile → diff`, and `explain` and `oracle` beside them.

pub mod capability;
pub mod carriage;
pub mod change;
pub mod compile;
pub mod explain;
pub mod image;
pub mod model;
pub mod number;
pub mod objects_diff;
pub mod oracle;
pub mod parse;
pub mod plan;
pub mod problem;
pub mod tables;
pub mod wire;
