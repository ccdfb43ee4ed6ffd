//! Hubble's messages and services, with Cilium's names and numbers.

#[cfg(feature = "grpc")]
pub mod codec;

/// Package `flow`.
#[expect(clippy::all, missing_docs, reason = "generated")]
pub mod flow {
    include!(concat!(env!("OUT_DIR"), "/flow.rs"));
}

/// Package `observer`.
#[expect(clippy::all, missing_docs, reason = "generated")]
pub mod observer {
    include!(concat!(env!("OUT_DIR"), "/observer.rs"));
}

/// Package `peer`.
#[expect(clippy::all, missing_docs, reason = "generated")]
pub mod peer {
    include!(concat!(env!("OUT_DIR"), "/peer.rs"));
}

/// The file descriptor set of the three packages and what they import.
pub const DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hubble.bin"));

/// The same, to be looked things up in.
pub static SCHEMA: std::sync::LazyLock<crate::schema::Schema> =
    std::sync::LazyLock::new(|| crate::schema::Schema::read(DESCRIPTOR));

/// Full name of the request that may hold nothing unknown.
pub const GET_FLOWS_REQUEST: &str = "observer.GetFlowsRequest";
/// Full name of a flow.
pub const FLOW: &str = "flow.Flow";
