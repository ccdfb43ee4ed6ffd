//! The node agent: every socket, file, clock and kernel call of Enforcer. Rooms do not import each other;
//! they meet in [`compose`], through the channels of [`door`] and types of `enforcer-core`.

pub mod config;
pub mod policy;
