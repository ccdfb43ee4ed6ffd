//! Wire messages, generated from `enforcer/v1/*.proto`, `hubble` and `third-party`. Words only: what they mean is
//! checked in `enforcer-core`, where they are parsed into values that cannot be wrong.

pub mod hubble;
pub mod schema;

/// `enforcer.v1`.
#[expect(clippy::all, missing_docs, reason = "generated")]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/enforcer.v1.rs"));
}

/// The SPIFFE Workload API, which has no package.
#[expect(missing_docs, reason = "generated")]
pub mod spiffe {
    include!(concat!(env!("OUT_DIR"), "/_.rs"));
}

/// The kubelet's PodResources API, package `v1`.
#[expect(missing_docs, reason = "generated")]
pub mod podresources {
    include!(concat!(env!("OUT_DIR"), "/v1.rs"));
}

/// The file descriptor set of our own messages, for gRPC reflection.
pub const DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));

/// The file descriptor set of the SPIFFE Workload API.
pub const SPIFFE_DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/spiffe.bin"));
