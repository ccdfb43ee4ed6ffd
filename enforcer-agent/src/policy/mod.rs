//! The policy of this node: takes changes, puts them in force, keeps them, says so.

pub mod store;
