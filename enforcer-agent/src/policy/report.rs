//! The state of the walls, read from the kernel for each answer.

use enforcer_core::policy::capability::check_capabilities;
use enforcer_core::policy::compile::{self, compile};
use enforcer_core::policy::image::{Digest, Image, NodeSum};
use enforcer_core::policy::model::Policy;
use enforcer_core::policy::plan::difference;

use super::engine::{Engine, Footing};
use super::prospect::WARNINGS_MAX;
use crate::door::policy::Report;

/// Differences that are told at most.
const DRIFT_MAX: usize = 20;

impl Engine {
    /// Reads everything back and compares it with what it should be.
    pub(super) fn report(&self) -> Result<Report, String> {
        let current = self.history.current();
        let held = self.kernel.read_back().map_err(|error| error.to_string())?;
        let mut drift = difference(&held, &compile(&current.policy, &self.facts), DRIFT_MAX);
        let (_, kernel_revision) = self.kernel.digest();
        match self.footing {
            Footing::Orphaned => drift.insert(
                0,
                format!("the kernel holds revision {kernel_revision}, which this agent has no record of"),
            ),
            Footing::Known | Footing::Unsure if kernel_revision != current.number => drift.insert(
                0,
                format!("the kernel holds revision {kernel_revision}, and {} is in force", current.number),
            ),
            Footing::Known | Footing::Unsure => {}
        }
        Ok(Report {
            revision: current.number,
            digest: digest(&held),
            drift,
            hooks: self.kernel.hooks(),
            capacities: self.kernel.capacities().map_err(|error| error.to_string())?,
            losses: self.kernel.losses().map_err(|error| error.to_string())?,
            warnings: self.warnings(),
        })
    }

    fn warnings(&self) -> Vec<String> {
        let policy = &self.history.current().policy;
        let weaker = check_capabilities(&Policy::default(), policy, &self.facts)
            .into_iter()
            .map(|problem| format!("in force without what it needs: {problem}"));
        let compiled = compile::warnings(policy, &self.facts, (self.clock)(), WARNINGS_MAX);
        let mut all: Vec<String> = weaker.chain(self.node_warnings.iter().cloned()).collect();
        all.extend(compiled.into_iter().filter(|warning| !self.node_warnings.contains(warning)));
        all.truncate(WARNINGS_MAX);
        all
    }
}

/// The digest of what the tables hold, in the form that every node computes it.
pub(super) fn digest(image: &Image) -> Digest {
    NodeSum::of(image).digest()
}
