//! Starting: the last good policy is in force again before any door opens. What was adopted from an agent
//! before is kept until the kernel holds the policy that this agent knows.

use std::sync::Arc;

use enforcer_core::enforce::EnforceError;
use enforcer_core::policy::capability::check_capabilities;
use enforcer_core::policy::compile::compile;
use enforcer_core::policy::model::Policy;
use enforcer_core::policy::plan::plan_from_image;
use enforcer_core::policy::problem::Problem;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::engine::{Engine, Footing, Parts};
use super::history::History;
use super::keep;
use super::store::Loaded;
use crate::door::policy::InForce;
use crate::door::survey::{SurveyError, Surveyed};

/// Why the agent cannot start. The walls stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A change in the journal without what it changes.
    #[error(
        "the journal holds a change of revision {revision}'s predecessor, but not the predecessor; move it away and push the policy again"
    )]
    Unfounded {
        /// The record's revision.
        revision: u64,
    },
    /// A policy that was good once is not understood any more.
    #[error(
        "revision {revision} of the journal is refused by this version: {}; start the version that wrote it, or move the journal away and push the policy again",
        list(problems)
    )]
    Replay {
        /// The record's revision.
        revision: u64,
        /// What is wrong with it.
        problems: Vec<Problem>,
    },
    /// The kernel did not take the last good policy.
    #[error("the last good policy could not be put in force: {0}")]
    Kernel(#[from] EnforceError),
    /// Where the workloads are could not be found out.
    #[error(transparent)]
    Survey(#[from] SurveyError),
}

impl Engine {
    /// Replays the journal and puts its last policy in force.
    ///
    /// # Errors
    /// The journal cannot be understood, or the kernel refuses; what the kernel enforces is unchanged.
    pub fn start(parts: Parts, loaded: Loaded) -> Result<Self, StartError> {
        if loaded.torn_bytes > 0 {
            warn!(bytes = loaded.torn_bytes, "the journal ended in an unfinished record, which was cut off");
        }
        let Parts { kernel, mut surveyor, store, clock, tell } = parts;
        let (_, kernel_revision) = kernel.digest();
        let (history, footing) = match keep::replay(loaded.entries)? {
            Some(history) => (history, Footing::Unsure),
            None if kernel_revision > 0 => (History::empty(kernel_revision), Footing::Orphaned),
            None => (History::empty(0), Footing::Unsure),
        };
        let Surveyed { facts, warnings } = surveyor.survey(&history.current().policy)?;
        let facts = Arc::new(facts);
        let published = watch::Sender::new(Arc::new(InForce {
            current: Arc::clone(history.current()),
            facts: Arc::clone(&facts),
            history: history.kept(),
            ready: false,
        }));
        let mut engine = Self {
            kernel,
            surveyor,
            store,
            clock,
            tell,
            history,
            facts,
            node_warnings: warnings,
            footing,
            sweep_due: true,
            published,
        };
        engine.restore()?;
        engine.publish();
        Ok(engine)
    }

    fn restore(&mut self) -> Result<(), StartError> {
        let current = Arc::clone(self.history.current());
        if self.footing == Footing::Orphaned {
            warn!(
                revision = current.number,
                "the kernel holds a policy that the journal does not know; it stays until a whole policy comes"
            );
            return Ok(());
        }
        for problem in check_capabilities(&Policy::default(), &current.policy, &self.facts) {
            error!(%problem, "this node can no longer enforce all of the policy in force");
        }
        let held = self.kernel.read_back()?;
        let plan = plan_from_image(&held, &compile(&current.policy, &self.facts));
        let prepared = self.kernel.prepare(&plan)?;
        let committed = self.kernel.commit(prepared, &plan, current.number)?;
        self.history.set_digest(committed.digest);
        self.footing = Footing::Known;
        info!(
            revision = current.number,
            tenants = current.policy.tenants.len(),
            written = committed.written,
            deleted = committed.deleted,
            "last good policy in force"
        );
        Ok(())
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
