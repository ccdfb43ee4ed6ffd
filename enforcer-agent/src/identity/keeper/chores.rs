//! Small writes to the vault that nobody waits for: one batch after the other, so that the last word stays the last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::policy::model::Name;
use tokio::time::timeout;
use tracing::warn;

use super::domain::RevokedSerials;
use super::run::Keeper;
use super::task::Outcome;

/// How long the agent's end waits for the vault.
const FINISH_MAX: Duration = Duration::from_secs(3);

/// What is to be written next.
#[derive(Debug, Default)]
pub(super) struct Chores {
    removals: Vec<(TrustDomain, Name)>,
    lists: BTreeMap<TrustDomain, RevokedSerials>,
    are_under_way: bool,
}

impl Chores {
    /// A certificate is no longer served, and need not survive a restart.
    pub(super) fn remove_svid(&mut self, domain: &TrustDomain, workload: &Name) {
        self.removals.push((domain.clone(), Arc::clone(workload)));
    }

    /// More serial numbers were revoked.
    pub(super) fn put_revoked(&mut self, domain: &TrustDomain, revoked: &RevokedSerials) {
        self.lists.insert(domain.clone(), revoked.clone());
    }

    fn are_done(&self) -> bool {
        !self.are_under_way && self.removals.is_empty() && self.lists.is_empty()
    }

    /// The batch that was started is done.
    pub(super) const fn done(&mut self) {
        self.are_under_way = false;
    }
}

impl Keeper {
    /// Does what is left before the agent ends.
    pub(super) async fn finish_chores(&mut self) {
        let finished = timeout(FINISH_MAX, async {
            while !self.chores.are_done() {
                self.start_chores();
                match self.answers.recv().await {
                    Some(Outcome::Tidied) => self.chores.done(),
                    Some(_) => {}
                    None => return,
                }
            }
        });
        if finished.await.is_err() {
            warn!("the vault takes too long: what was withdrawn last may be looked at again after a restart");
        }
    }

    /// Starts the next batch, unless one is under way.
    pub(super) fn start_chores(&mut self) {
        let chores = &mut self.chores;
        if chores.are_under_way || (chores.removals.is_empty() && chores.lists.is_empty()) {
            return;
        }
        chores.are_under_way = true;
        let removals = std::mem::take(&mut chores.removals);
        let lists = std::mem::take(&mut chores.lists);
        let shelf = self.shelf.clone();
        self.away(Outcome::Tidied, move || {
            removals.iter().for_each(|(domain, workload)| shelf.remove_svid(domain, workload));
            lists.iter().for_each(|(domain, revoked)| shelf.put_revoked(domain, revoked));
            Outcome::Tidied
        });
    }
}
