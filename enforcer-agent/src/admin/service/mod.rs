//! The gRPC services: messages in, the policy room or the records asked, messages out. They decide nothing.

pub(super) mod authority;
pub(super) mod detect;
pub(super) mod device;
mod devices;
mod explain;
pub(super) mod identity;
mod names;
pub(super) mod node;
pub(super) mod policy;
mod push;
mod revision;
mod status;
mod submission;
mod time;
pub(super) mod trace;
pub(super) mod tunnel;
