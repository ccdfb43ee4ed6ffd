//! The node's devices: which drivers are loaded, which control groups are host services. It must not know
//! what a grant is.

mod discover;
mod watch;

pub use discover::{CgroupLookup, DeviceConfig, DeviceError, Discover, Discovery, ServiceConfig};
pub use watch::run;
