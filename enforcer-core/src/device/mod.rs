//! Device classes: which numbers they have on this node, and who may ever be granted one.

pub mod attack;
pub mod class;
pub mod custody;
pub mod drivers;
mod extra;
pub mod holding;
pub mod ledger;
pub mod name;
pub mod number;
pub mod posture;
pub mod resolve;
pub mod table;
