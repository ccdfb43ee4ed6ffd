//! Where the policy's workloads are on this node: their control groups, their host-side interfaces, and the
//! node's own addresses. Level-triggered: everything is looked up anew, nothing is added or removed by event.
//! It must not know what a verdict is.

mod address;
mod cgroup;
mod namespace;
mod resolve;
mod watch;

pub use crate::netlink::NetlinkError;
pub use cgroup::{CgroupError, CgroupTree};
pub use resolve::{Resolution, ResolveError, Resolver, Warning};
pub use watch::{WatchConfig, run};
