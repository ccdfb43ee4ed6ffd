//! The write-ahead log: what was acknowledged and is not sealed yet. One log for all tenants, each tenant's records
//! under a key of its own. It knows frames and keys; who may read what is not known here.

mod batch;
mod frame;
mod open;
mod read;
mod records;
mod segments;
mod write;

pub(crate) use batch::Batch;
pub use frame::{
    BODY_MAX_BYTES, Chain, FrameError, HEADER_BYTES, Header, KeyNote, Kind, MAGIC, PLAIN_MAX_BYTES,
    SegmentNote, TRAILER_BYTES, extend, start,
};
pub use open::{OpenError, Opener};
pub use read::{Found, Frame, Reader};
pub use records::{ReadError, Records, records};
pub use segments::{list, path, previous, set_aside};
pub(crate) use write::{Log, Unsealed};

/// What the name of a damaged segment ends with, once what could be read of it is sealed.
pub(crate) const ASIDE: &str = "damaged";
/// The log's directory, in the store's.
pub const DIRECTORY: &str = "wal";
