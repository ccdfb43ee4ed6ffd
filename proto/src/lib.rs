//! Wire messages, generated from `enforcer/v1/*.proto`. Words only: what they mean is checked in
//! `enforcer-core`, where they are parsed into values that cannot be wrong.

/// `enforcer.v1`.
#[expect(clippy::all, missing_docs, reason = "generated")]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/enforcer.v1.rs"));
}

/// The file descriptor set, for gRPC reflection.
pub const DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));
