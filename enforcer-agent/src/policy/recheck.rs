//! The node may have changed under the policy: a workload appeared, a driver came or went. Everything is
//! looked at again, and what differs is put in force under the same revision.

use std::sync::Arc;

use enforcer_core::node::NodeFacts;
use enforcer_core::policy::problem::Problem;
use tracing::{error, info, warn};

use super::engine::{Engine, Footing};
use super::refuse;
use crate::door::survey::Surveyed;

impl Engine {
    /// Looks again.
    pub(super) fn recheck(&mut self) {
        // What nobody here can explain is nobody's here to change.
        if self.footing == Footing::Orphaned {
            return;
        }
        let policy = Arc::clone(&self.history.current().policy);
        let Surveyed { facts, warnings } = match self.surveyor.survey(&policy) {
            Ok(surveyed) => surveyed,
            Err(error) => {
                warn!(%error, "what was known of the node still holds");
                return;
            }
        };
        self.node_warnings = warnings;
        if facts == *self.facts && self.footing == Footing::Known {
            return;
        }
        match self.follow(Arc::new(facts)) {
            Ok(()) => self.publish(),
            Err(problem) => {
                self.footing = Footing::Unsure;
                error!(%problem, "the kernel could not follow a change of the node; tried again");
                self.publish();
            }
        }
    }

    /// Puts the policy in force for the node as it is now.
    fn follow(&mut self, facts: Arc<NodeFacts>) -> Result<(), Problem> {
        let current = Arc::clone(self.history.current());
        let plan = self.plan_to(&current.policy, &facts)?;
        let prepared = self.kernel.prepare(&plan).map_err(|error| refuse::kernel(&error))?;
        let committed =
            self.kernel.commit(prepared, &plan, current.number).map_err(|error| refuse::kernel(&error))?;
        if current.digest != Some(committed.digest) {
            self.history.set_digest(committed.digest);
        }
        info!(
            revision = current.number,
            written = committed.written,
            deleted = committed.deleted,
            attachments = facts.attachments.len(),
            "node changed, policy in force again"
        );
        self.facts = facts;
        self.footing = Footing::Known;
        self.sweep_due = true;
        Ok(())
    }
}
