//! Where every workload of the node stands, by name. The keeper writes, who serves follows: one word for each
//! workload, so that a rotation wakes nobody else.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use enforcer_core::policy::model::Name;
use tokio::sync::watch;

use super::svid::Standing;

type Pockets = BTreeMap<Name, watch::Sender<Standing>>;

/// A handle; clones are the same wallet.
#[derive(Clone, Debug, Default)]
pub struct Wallet(Arc<RwLock<Pockets>>);

impl Wallet {
    /// Follows a workload; `None` when this node knows no such workload. The sender goes when the workload does.
    #[must_use]
    pub fn follow(&self, workload: &Name) -> Option<watch::Receiver<Standing>> {
        let pockets = self.0.read().unwrap_or_else(PoisonError::into_inner);
        pockets.get(workload).map(watch::Sender::subscribe)
    }

    /// How many follow a workload now.
    #[must_use]
    pub fn followers(&self, workload: &Name) -> usize {
        let pockets = self.0.read().unwrap_or_else(PoisonError::into_inner);
        pockets.get(workload).map_or(0, watch::Sender::receiver_count)
    }

    /// Says where a workload stands now.
    pub(in crate::identity) fn set(&self, workload: &Name, standing: Standing) {
        let mut pockets = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match pockets.get(workload) {
            Some(pocket) => drop(pocket.send_replace(standing)),
            None => drop(pockets.insert(Arc::clone(workload), watch::Sender::new(standing))),
        }
    }

    /// Forgets a workload: whoever follows it learns that it is gone.
    pub(in crate::identity) fn remove(&self, workload: &Name) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(workload);
    }
}
