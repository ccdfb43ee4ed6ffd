//! Putting a change in force: write beside, keep on disk, switch, publish. Whatever fails, what was in force
//! still is, and the sender is told everything.

use enforcer_core::device::custody::hands::to_close;
use enforcer_core::device::holding::GateCustody;
use enforcer_core::enforce::{Committed, EnforceError, Prepared};
use enforcer_core::policy::change::Change;
use enforcer_core::policy::model::Policy;
use enforcer_core::policy::problem::Problem;
use tracing::{error, info, warn};

use super::engine::{Engine, Footing};
use super::keep;
use super::prospect::Prospect;
use super::refuse;
use crate::door::policy::{Accepted, Refusal, Revision, Rollback, Submission};

impl Engine {
    /// Puts a change in force.
    pub(super) fn apply(&mut self, submission: Submission) -> Result<Accepted, Refusal> {
        self.try_apply(&submission).map_err(|problems| {
            warn!(
                author = submission.author,
                source = submission.source,
                problems = problems.len(),
                first = problems.first().map(ToString::to_string),
                "change refused"
            );
            self.refusal(problems)
        })
    }

    /// Puts an older revision in force again, as a new one.
    pub(super) fn roll_back(&mut self, rollback: Rollback) -> Result<Accepted, Refusal> {
        let Some(older) = self.history.find(rollback.revision) else {
            return Err(self.refusal(vec![Problem::new(
                refuse::UNKNOWN_REVISION,
                "revision",
                format!("revision {} is not kept; `ListRevisions` tells which are", rollback.revision),
            )]));
        };
        self.apply(Submission {
            change: Change::Rollback(Box::new(Policy::clone(&older.policy))),
            base_revision: None,
            author: rollback.author,
            source: format!("rollback to {}", rollback.revision),
            received: rollback.received,
        })
    }

    pub(super) fn refusal(&self, problems: Vec<Problem>) -> Refusal {
        Refusal { problems, revision_in_force: self.history.current().number }
    }

    fn try_apply(&mut self, submission: &Submission) -> Result<Accepted, Vec<Problem>> {
        let now = (self.clock)();
        let prospect = self.prospect(submission, now)?;
        if prospect.difference.objects == 0 && self.footing == Footing::Known {
            return Ok(self.unchanged(submission, prospect));
        }
        let revision = Revision {
            number: self.history.current().number + 1,
            time: now,
            author: submission.author.clone(),
            source: submission.source.clone(),
            digest: None,
            policy: prospect.policy.clone(),
        };
        let thought = submission.received.elapsed();
        self.close_what_changes_hands(&prospect).map_err(|error| vec![refuse::kernel(&error)])?;
        let prepared = self.kernel.prepare(&prospect.plan).map_err(|error| vec![refuse::kernel(&error)])?;
        let written = submission.received.elapsed();
        let prepared = self.keep(prepared, &revision, &prospect)?;
        let kept = submission.received.elapsed();
        let committed = self.switch(prepared, &revision, &prospect)?;
        let elapsed = submission.received.elapsed();
        let number = revision.number;
        let warnings = self.adopt(revision, prospect, committed);
        info!(
            revision = number,
            author = submission.author,
            source = submission.source,
            written = committed.written,
            deleted = committed.deleted,
            elapsed_us = elapsed.as_micros(),
            thought_us = thought.as_micros(),
            written_us = written.as_micros(),
            kept_us = kept.as_micros(),
            warnings = warnings.len(),
            "policy in force"
        );
        Ok(Accepted { revision: number, digest: committed.digest, elapsed, warnings })
    }

    /// A device that the new policy would open to somebody to whom it was not handed is closed first; the room of custody
    /// opens it when it is clean.
    fn close_what_changes_hands(&mut self, prospect: &Prospect) -> Result<(), EnforceError> {
        let held = self.kernel.custody()?;
        let before = &self.history.current().policy;
        for device in to_close(&held, &prospect.facts.devices, before, &prospect.policy) {
            self.kernel.set_custody(device, Some(GateCustody::Closed))?;
        }
        Ok(())
    }

    /// Already so: no new revision.
    fn unchanged(&self, submission: &Submission, prospect: Prospect) -> Accepted {
        let (digest, _) = self.kernel.digest();
        Accepted {
            revision: self.history.current().number,
            digest,
            elapsed: submission.received.elapsed(),
            warnings: prospect.warnings,
        }
    }

    fn keep(
        &mut self,
        prepared: Prepared,
        revision: &Revision,
        prospect: &Prospect,
    ) -> Result<Prepared, Vec<Problem>> {
        match self.store.append(&keep::entry(revision, &prospect.difference)) {
            Ok(()) => Ok(prepared),
            Err(error) => {
                self.kernel.abort(prepared);
                Err(vec![refuse::store(&error)])
            }
        }
    }

    fn switch(
        &mut self,
        prepared: Prepared,
        revision: &Revision,
        prospect: &Prospect,
    ) -> Result<Committed, Vec<Problem>> {
        match self.kernel.commit(prepared, &prospect.plan, revision.number) {
            Ok(committed) => Ok(committed),
            Err(failure) => {
                if self.footing == Footing::Known {
                    self.footing = Footing::Unsure;
                }
                let mut problems = vec![refuse::kernel(&failure)];
                if let Err(error) = self.store.retract() {
                    error!(%error, revision = revision.number, "a refused revision stays in the journal");
                    problems.push(refuse::store(&error));
                }
                self.publish();
                Err(problems)
            }
        }
    }

    /// The kernel holds it: now it is the truth for everyone.
    fn adopt(&mut self, revision: Revision, prospect: Prospect, committed: Committed) -> Vec<String> {
        if let Err(error) = self.store.confirm(revision.number, &committed.digest) {
            error!(%error, revision = revision.number, "the journal lacks the note that the kernel took it");
        }
        let Prospect { facts, node_warnings, warnings, difference, policy: _, plan: _ } = prospect;
        self.history.push(Revision { digest: Some(committed.digest), ..revision }, difference.objects);
        self.facts = facts;
        self.node_warnings = node_warnings;
        self.footing = Footing::Known;
        self.sweep_due = true;
        self.publish();
        warnings
    }
}
