//! A change thought through to the end: the next policy, what the kernel would have to do, what is wrong.
//! Nothing has changed yet.

use std::sync::Arc;

use enforcer_core::node::NodeFacts;
use enforcer_core::policy::capability::check_capabilities;
use enforcer_core::policy::change::{self, Change, Changed};
use enforcer_core::policy::compile::{self, compile};
use enforcer_core::policy::image::Plan;
use enforcer_core::policy::model::{Policy, UnixNanos};
use enforcer_core::policy::plan::{needed, plan, plan_from_image};
use enforcer_core::policy::problem::Problem;

use super::delta::{self, Difference};
use super::engine::{Engine, Footing};
use super::refuse;
use crate::door::policy::Submission;
use crate::door::survey::Surveyed;

/// Warnings that an acknowledgement carries at most.
pub(super) const WARNINGS_MAX: usize = 100;

/// What would be.
pub(super) struct Prospect {
    pub(super) policy: Arc<Policy>,
    pub(super) facts: Arc<NodeFacts>,
    pub(super) node_warnings: Vec<String>,
    /// Everything the sender should know.
    pub(super) warnings: Vec<String>,
    pub(super) difference: Difference,
    pub(super) plan: Plan,
}

impl Engine {
    /// Thinks a change through.
    pub(super) fn prospect(
        &mut self,
        submission: &Submission,
        now: UnixNanos,
    ) -> Result<Prospect, Vec<Problem>> {
        self.check_base(submission)?;
        let current = Arc::clone(&self.history.current().policy);
        let Changed { policy, warnings } = change::apply(&current, &submission.change, now)?;
        let difference = delta::between(&current, &policy);
        let (facts, node_warnings) = self.node_for(&policy, &difference)?;
        let problems = check_capabilities(&current, &policy, &facts);
        if !problems.is_empty() {
            return Err(problems);
        }
        let plan = self.plan_to(&policy, &facts).map_err(|problem| vec![problem])?;
        let overflow = refuse::overflow(&needed(&plan), &self.kernel.capacity());
        if !overflow.is_empty() {
            return Err(overflow);
        }
        let warnings = told(warnings, &node_warnings, &touched(&policy, &difference), &facts, now);
        Ok(Prospect { policy: Arc::new(policy), facts, node_warnings, warnings, difference, plan })
    }

    /// What the kernel would have to do.
    pub(super) fn plan_to(&self, policy: &Policy, facts: &NodeFacts) -> Result<Plan, Problem> {
        match self.footing {
            Footing::Known => Ok(plan((&self.history.current().policy, &self.facts), (policy, facts))),
            Footing::Unsure | Footing::Orphaned => {
                let held = self.kernel.read_back().map_err(|error| refuse::kernel(&error))?;
                Ok(plan_from_image(&held, &compile(policy, facts)))
            }
        }
    }

    /// A sender with an old picture, or with half a picture of a policy that nobody knows, is refused.
    fn check_base(&self, submission: &Submission) -> Result<(), Vec<Problem>> {
        let in_force = self.history.current().number;
        if let Some(base) = submission.base_revision
            && base != in_force
        {
            return Err(vec![Problem::new(
                refuse::STALE_BASE_REVISION,
                "base_revision",
                format!(
                    "the change builds on revision {base}, and {in_force} is in force; read it and try again"
                ),
            )]);
        }
        let whole = matches!(submission.change, Change::Snapshot(_) | Change::Documents { prune: true, .. });
        if self.footing == Footing::Orphaned && !whole {
            return Err(vec![Problem::new(
                refuse::BASE_UNKNOWN,
                "change",
                "the kernel holds a policy that this agent has no record of; push a whole policy first",
            )]);
        }
        Ok(())
    }

    /// The node as the next policy sees it: looked at again only when workloads change.
    fn node_for(
        &mut self,
        policy: &Policy,
        difference: &Difference,
    ) -> Result<(Arc<NodeFacts>, Vec<String>), Vec<Problem>> {
        if !difference.workloads {
            return Ok((Arc::clone(&self.facts), self.node_warnings.clone()));
        }
        let Surveyed { facts, warnings } =
            self.surveyor.survey(policy).map_err(|error| vec![refuse::survey(&error)])?;
        Ok((Arc::new(facts), warnings))
    }
}

/// The policy with only those workloads, rules and bindings that the change is about: a sender hears of those,
/// and pays for those. Status tells about all of them.
fn touched(policy: &Policy, difference: &Difference) -> Policy {
    let Policy { tenants: _, workloads, rules, bindings, index: _ } = difference.changed.clone();
    Policy { workloads, rules, bindings, ..policy.clone() }
}

/// Warnings of the change, of the node and of what it compiles to, without repeating any.
fn told(
    change: Vec<String>,
    node: &[String],
    policy: &Policy,
    facts: &NodeFacts,
    now: UnixNanos,
) -> Vec<String> {
    let mut all = change;
    for warning in compile::warnings(policy, facts, now, WARNINGS_MAX).iter().chain(node) {
        if all.len() >= WARNINGS_MAX {
            break;
        }
        if !all.contains(warning) {
            all.push(warning.clone());
        }
    }
    all.truncate(WARNINGS_MAX);
    all
}
