//! Device classes: which numbers they have on this node, and who may ever be granted one.

pub mod table;
