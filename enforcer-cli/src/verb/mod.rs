//! What can be asked: a file a verb.

pub(crate) mod apply;
pub(crate) mod completion;
pub(crate) mod counters;
pub(crate) mod detect;
pub(crate) mod diff;
pub(crate) mod drill;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod handover;
pub(crate) mod identity;
mod input;
pub(crate) mod observe;
mod offline;
pub(crate) mod receipt;
pub(crate) mod revoke;
pub(crate) mod rollback;
pub(crate) mod status;
pub(crate) mod svid;
pub(crate) mod trace;
pub(crate) mod tunnel;
pub(crate) mod validate;
pub(crate) mod version;
pub(crate) mod wait;
pub(crate) mod which;

use crate::cli::Global;
use crate::failure::Failure;
use crate::session::Session;
use crate::target::Target;

/// A connection to the agent that the options name.
async fn open(global: &Global) -> Result<Session, Failure> {
    Session::open(&Target::resolve(global)?, global.request_timeout).await
}
