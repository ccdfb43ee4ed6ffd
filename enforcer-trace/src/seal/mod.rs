//! From a segment of the log to encrypted files, one tenant after the other. It writes files under temporary names and
//! touches neither chains nor the log, so it can run beside them and be done again.

mod file;
mod index;
mod job;

pub(crate) use index::Index;
pub(crate) use job::{Job, Part};
