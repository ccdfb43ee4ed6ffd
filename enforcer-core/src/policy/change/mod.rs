//! `apply`: the policy in force and a change make the next policy, or a list of everything that is wrong.
//! What is given is never touched; the maps share what stays, so a change costs what it changes.

mod check;
mod devices;
mod draft;
mod edit;
mod index;
mod occupancy;
mod rollback;
mod tiers;

use enforcer_proto::v1;

use crate::policy::model::{Policy, UnixNanos};
use crate::policy::parse::wire::{Understood, read_delta, read_snapshot};
use crate::policy::parse::yaml::ParsedDocuments;
use crate::policy::problem::{Problem, Problems};
pub(crate) use devices::rival;
use draft::Draft;
use edit::Edit;
pub(crate) use index::places as places_of;
pub(crate) use occupancy::occupants_of;

/// What a sender asks for.
#[derive(Clone, Debug)]
pub enum Change {
    /// A whole policy: what it does not name goes.
    Snapshot(v1::Snapshot),
    /// Objects to put and to delete: everything else stays.
    Delta(v1::Delta),
    /// YAML documents.
    Documents {
        /// As read by [`crate::policy::parse::yaml`].
        documents: ParsedDocuments,
        /// True: what they do not name goes.
        prune: bool,
    },
    /// An older revision once more. Bindings follow the world and not the revision: see [`apply`].
    Rollback(Box<Policy>),
}

/// The next policy, and what is right but perhaps not what was meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// The next policy.
    pub policy: Policy,
    /// A sentence each.
    pub warnings: Vec<String>,
}

/// The policy that `change` makes of `current`; leases count from `now`.
///
/// A rollback brings tenants, workloads and rules back as they were. A binding that was raised to a newer
/// generation since, or is new, stays as it is, unless its tenant is gone with the rollback.
///
/// # Errors
/// Every problem of the change, of any kind, at once. `current` stays in force.
pub fn apply(current: &Policy, change: &Change, now: UnixNanos) -> Result<Changed, Vec<Problem>> {
    match change {
        Change::Snapshot(message) => settle(current, read_snapshot(message, now), true).finish(),
        Change::Delta(message) => settle(current, read_delta(message, now), false).finish(),
        Change::Documents { documents, prune } => {
            let mut understood = read_snapshot(documents.snapshot(), now);
            documents.add_problems_to(&mut understood);
            let mut outcome = settle(current, understood, *prune);
            outcome.problems.locate(|path| documents.locate(path));
            outcome.problems.sort_by_line();
            outcome.finish()
        }
        Change::Rollback(older) => {
            let (understood, dropped) = rollback::objects(current, older);
            let mut outcome = settle(current, understood, true);
            outcome.warnings.splice(0..0, dropped);
            outcome.finish()
        }
    }
}

/// The outcome before it is known whether anything was wrong.
struct Outcome {
    policy: Policy,
    warnings: Vec<String>,
    problems: Problems,
}

impl Outcome {
    fn finish(self) -> Result<Changed, Vec<Problem>> {
        let Self { policy, warnings, problems } = self;
        problems.into_result(Changed { policy, warnings })
    }
}

fn settle(current: &Policy, understood: Understood, whole: bool) -> Outcome {
    let Understood { objects, deletions, broken_tenants, mut problems } = understood;
    let mut warnings = Vec::new();
    let edit = if whole {
        Edit::replacing(current, objects, &broken_tenants, &mut problems)
    } else {
        Edit::adding(current, objects, deletions, &mut problems, &mut warnings)
    };
    let mut draft = Draft::new(current, broken_tenants, problems, warnings);
    draft.put(&edit);
    check::all(&mut draft, &edit);
    let Draft { policy, warnings, problems, .. } = draft;
    Outcome { policy, warnings, problems }
}

#[cfg(test)]
mod tests;
