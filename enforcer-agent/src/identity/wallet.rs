//! Where every workload of the node stands, by name. The keeper writes, who serves follows: one word for each
//! workload, so that a rotation wakes nobody else.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use enforcer_core::policy::model::Name;
use tokio::sync::watch;

use super::svid::{Material, Standing};

type Pockets = BTreeMap<Name, watch::Sender<Standing>>;

/// A handle; clones are the same wallet.
#[derive(Clone, Debug, Default)]
pub struct Wallet(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    pockets: RwLock<Pockets>,
    /// Told of every change, whosever it is.
    changed: watch::Sender<()>,
}

impl Wallet {
    /// Follows a workload; `None` when this node knows no such workload. The sender goes when the workload does.
    #[must_use]
    pub fn follow(&self, workload: &Name) -> Option<watch::Receiver<Standing>> {
        self.read().get(workload).map(watch::Sender::subscribe)
    }

    /// One who is told when anybody stands elsewhere.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// What everybody who has something has.
    #[must_use]
    pub fn granted(&self) -> BTreeMap<Name, Arc<Material>> {
        let granted = |(name, pocket): (&Name, &watch::Sender<Standing>)| match &*pocket.borrow() {
            Standing::Granted(material) => Some((Arc::clone(name), Arc::clone(material))),
            Standing::Waiting | Standing::Closed(_) => None,
        };
        self.read().iter().filter_map(granted).collect()
    }

    /// How many follow a workload now.
    #[must_use]
    pub fn followers(&self, workload: &Name) -> usize {
        self.read().get(workload).map_or(0, watch::Sender::receiver_count)
    }

    /// Says where a workload stands now.
    pub(in crate::identity) fn set(&self, workload: &Name, standing: Standing) {
        let mut pockets = self.write();
        match pockets.get(workload) {
            Some(pocket) => drop(pocket.send_replace(standing)),
            None => drop(pockets.insert(Arc::clone(workload), watch::Sender::new(standing))),
        }
        drop(pockets);
        self.0.changed.send_replace(());
    }

    /// Forgets a workload: whoever follows it learns that it is gone.
    pub(in crate::identity) fn remove(&self, workload: &Name) {
        self.write().remove(workload);
        self.0.changed.send_replace(());
    }

    fn read(&self) -> RwLockReadGuard<'_, Pockets> {
        self.0.pockets.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Pockets> {
        self.0.pockets.write().unwrap_or_else(PoisonError::into_inner)
    }
}
