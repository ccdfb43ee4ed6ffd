//! The write-ahead log: what was acknowledged and is not sealed yet. One log for all tenants, each tenant's records
//! under a key of its own. It knows frames and keys; who may read what is not known here.

mod batch;
mod frame;
mod open;
mod read;
mod segments;
mod write;

pub(crate) use batch::Batch;
pub use frame::{
    BODY_MAX_BYTES, Chain, FrameError, HEADER_BYTES, Header, KeyNote, Kind, MAGIC, PLAIN_MAX_BYTES,
    SegmentNote, TRAILER_BYTES, extend, start,
};
pub use open::{OpenError, Opener};
pub use read::{Found, Frame, Reader};
pub use segments::{list, path};
pub(crate) use write::{Log, Unsealed};

/// The log's directory, in the store's.
pub const DIRECTORY: &str = "wal";
