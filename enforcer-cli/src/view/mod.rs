//! What is printed: the agent's answers with stable field names, and the same for people.

pub(crate) mod ack;
pub(crate) mod counter;
pub(crate) mod custody;
pub(crate) mod detect;
pub(crate) mod device;
pub(crate) mod diff;
pub(crate) mod explanation;
pub(crate) mod handle;
pub(crate) mod identity;
pub(crate) mod policy;
pub(crate) mod posture;
pub(crate) mod raw;
pub(crate) mod record;
pub(crate) mod revision;
pub(crate) mod revoke;
pub(crate) mod status;
pub(crate) mod svid;
pub(crate) mod trace;
pub(crate) mod tunnel;
