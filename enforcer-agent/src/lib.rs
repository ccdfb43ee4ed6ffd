//! The node agent: every socket, file, clock and kernel call of Enforcer. Rooms do not import each other;
//! they meet in [`compose`], through the channels of [`door`] and types of `enforcer-core`.

pub mod admin;
pub mod compose;
pub mod config;
pub mod custody;
pub mod detect;
pub mod device;
pub mod door;
#[doc(hidden)]
pub mod doors;
pub mod export;
pub mod forensics;
pub mod group;
pub mod handle;
mod hex;
pub mod hubble;
pub mod identity;
pub mod kernel;
mod netlink;
pub mod nvidia;
pub mod policy;
pub mod posture;
mod private;
pub mod proxy;
pub mod trace;
pub mod workload;
