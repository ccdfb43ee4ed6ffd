//! How others reach the records without knowing who keeps them. Whoever asks says on whose behalf: what is not that
//! tenant's is left out before it is handed over.

use std::pin::Pin;
use std::sync::Arc;

use enforcer_core::policy::model::Name;
use enforcer_proto::v1;
use tokio_stream::Stream;

/// Whose records somebody may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// An operator's view.
    Everything,
    /// A tenant's own: records of others do not exist, and other tenants are "another tenant".
    Tenant(Name),
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record that is held in memory.
    Oldest,
    /// With the next one.
    Newest,
    /// Behind this sequence number, as far as memory holds it; what it no longer holds is told by a loss record.
    After(u64),
}

/// Records, as they come.
pub type Records = Pin<Box<dyn Stream<Item = v1::Record> + Send>>;

/// Records within a scope from a start, without an end if the last word is true.
pub type Subscribe = Arc<dyn Fn(Scope, Start, bool) -> Records + Send + Sync>;

/// Answers an `Observe` call; a problem with the request is a sentence.
pub type Observe = Arc<dyn Fn(v1::ObserveRequest, Scope) -> Result<Records, String> + Send + Sync>;

/// Hands a record over that is not the kernel's. Never waits; what finds no room is counted as lost.
pub type Tell = Arc<dyn Fn(v1::Record) + Send + Sync>;

/// What memory holds of flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Records that fit.
    pub capacity: u64,
    /// Flows since the agent started.
    pub flows_ever: u64,
    /// Some of them were pushed out by later records.
    pub has_pushed_out: bool,
}

/// Asks for that.
pub type Holding = Arc<dyn Fn() -> Held + Send + Sync>;
