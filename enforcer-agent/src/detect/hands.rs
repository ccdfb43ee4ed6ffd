//! Who does what a response asks for, one thing after the other, beside the records: a policy that is being put in force
//! does not hold up what is looked at meanwhile.

use std::sync::Arc;
use std::time::Duration;

use enforcer_core::detect::respond::{Act, Hold, Mode};
use enforcer_core::policy::model::{Name, UnixNanos};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Acts that wait.
pub(super) const ACTS_MAX: usize = 256;
/// How long one may take.
const ACT_MAX: Duration = Duration::from_secs(60);

/// A restriction of new flows, and how long it lasts from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lasting {
    /// What may be opened.
    pub mode: Mode,
    /// How long.
    pub lasts: Duration,
}

/// What the node can do to a tenant or a workload. An answer comes when it is done, or with a sentence why not.
#[tonic::async_trait]
pub trait Hands: Send + Sync {
    /// Restricts a tenant's new flows to this and nothing else; `None` frees them.
    async fn hold(&self, tenant: &Name, hold: Option<Lasting>) -> Result<(), String>;

    /// Withdraws a workload's certificates. `resumed`: an earlier run of the agent may have done so already; else one who
    /// was revoked by somebody else is left to them.
    async fn revoke(&self, workload: &Name, resumed: bool, reason: &str) -> Result<(), String>;

    /// Gives them back.
    async fn restore(&self, workload: &Name) -> Result<(), String>;
}

/// An act with the number of its response, and why.
pub(super) struct Job {
    pub(super) id: String,
    pub(super) act: Act,
    pub(super) reason: String,
}

/// Does what comes, until nobody is left to ask or to be told.
pub(super) async fn work(
    hands: Arc<dyn Hands>,
    clock: fn() -> UnixNanos,
    mut jobs: mpsc::Receiver<Job>,
    done: mpsc::Sender<(String, Result<(), String>)>,
) {
    while let Some(Job { id, act, reason }) = jobs.recv().await {
        let outcome = match timeout(ACT_MAX, perform(&*hands, &act, &reason, clock)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("it was not done within {} s", ACT_MAX.as_secs())),
        };
        if done.send((id, outcome)).await.is_err() {
            return;
        }
    }
}

async fn perform(hands: &dyn Hands, act: &Act, reason: &str, clock: fn() -> UnixNanos) -> Result<(), String> {
    match act {
        Act::Hold(tenant, hold) => {
            let lasting = |hold: &Hold| Lasting {
                mode: hold.mode,
                lasts: Duration::from_nanos(hold.until.saturating_sub(clock())),
            };
            hands.hold(tenant, hold.as_ref().map(lasting)).await
        }
        Act::Revoke(workload, resumed) => hands.revoke(workload, *resumed, reason).await,
        Act::Restore(workload) => hands.restore(workload).await,
    }
}
