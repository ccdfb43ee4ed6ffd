//! What one record of the journal says.

use enforcer_proto::v1;

/// A record.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    /// Revision that the record is about.
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    /// When it was received, nanoseconds since the Unix epoch.
    #[prost(uint64, tag = "2")]
    pub time_unix_ns: u64,
    /// Who sent it.
    #[prost(string, tag = "3")]
    pub author: String,
    /// How it came: `push`, `apply`, `file`, `rollback to N`.
    #[prost(string, tag = "4")]
    pub source: String,
    /// Digest of the kernel's read-back, once known.
    #[prost(bytes = "vec", tag = "5")]
    pub digest: Vec<u8>,
    /// What it holds.
    #[prost(oneof = "Content", tags = "6, 7, 8")]
    pub content: Option<Content>,
}

/// What a record holds.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Content {
    /// A whole policy; nothing before it is needed.
    #[prost(message, tag = "6")]
    Base(v1::Snapshot),
    /// A change of the policy before it.
    #[prost(message, tag = "7")]
    Delta(v1::Delta),
    /// The kernel took the revision. Written without waiting for the disk: it only tells a torn tail from
    /// a damaged record, and keeps the digest.
    #[prost(message, tag = "8")]
    Confirmed(Confirmed),
}

/// Nothing more to say.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Confirmed {}
