//! What Enforcer decides, without doing anything: parse, compile, diff, explain, decode, enrich.
//!
//! It must not know a clock, a file, a socket, the kernel, tokio or TLS. The time and whatever was read from
//! the node are arguments; what should be done comes back as a value.

pub mod bucket;
pub mod detect;
pub mod device;
#[doc(hidden)]
pub mod doors;
pub mod duration;
pub mod enforce;
pub mod event;
pub mod hubble;
pub mod identity;
pub mod node;
pub mod policy;
pub mod process;
pub mod proxy;
