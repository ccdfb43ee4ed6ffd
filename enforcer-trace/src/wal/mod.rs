//! The write-ahead log: what was acknowledged and is not sealed yet. One log for all tenants, each tenant's records
//! under a key of its own. It knows frames and keys; who may read what is not known here.

mod frame;

pub use frame::{
    BODY_MAX_BYTES, Chain, FrameError, HEADER_BYTES, Header, KeyNote, Kind, MAGIC, PLAIN_MAX_BYTES,
    SegmentNote, TRAILER_BYTES, extend, start,
};

/// The log's directory, in the store's.
pub const DIRECTORY: &str = "wal";
