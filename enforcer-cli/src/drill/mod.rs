//! A drill: the hooks of the live wall proven again, and everything that breaks things done to a scratch wall
//! beside it, while canaries of two tenants attack each other without pause. It must not touch the live wall's
//! state.

mod agent;
pub(crate) mod canary;
mod disturb;
mod live;
mod names;
mod place;
mod policy;
mod report;
mod scratch;
mod tally;
mod trouble;

pub(crate) use live::prove as prove_live;
pub(crate) use names::{LIVE, SCRATCH, known};
pub(crate) use policy::Tag;
pub(crate) use report::{Report, Row, State};
pub(crate) use scratch::{Plan, Weak, run as run_scratch};
