//! How the policy room learns about the node: it asks, and the composition root has the rooms answer.

use enforcer_core::node::NodeFacts;
use enforcer_core::policy::model::Policy;

/// The node as it is now.
#[derive(Clone, Debug, Default)]
pub struct Surveyed {
    /// What compiling needs.
    pub facts: NodeFacts,
    /// What a person should know, a sentence each.
    pub warnings: Vec<String>,
}

/// Why the node could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node cannot be looked at: {0}")]
pub struct SurveyError(pub String);

/// Finds the policy's workloads and the node's devices. Level-triggered: each answer is the whole truth.
pub trait Surveyor: Send {
    /// Looks again.
    ///
    /// # Errors
    /// The node cannot be looked at; what was known before still holds.
    fn survey(&mut self, policy: &Policy) -> Result<Surveyed, SurveyError>;
}
