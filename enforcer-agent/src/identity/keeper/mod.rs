//! Keeps every workload of the node supplied: asks for certificates in time, withdraws them at once. The states
//! and their steps are `enforcer_core::identity::lifecycle`; this does what they say.

mod answer;
mod chores;
mod dispatch;
mod domain;
mod follow;
mod health;
mod issue;
mod learn;
mod material;
mod member;
mod metrics;
mod own;
mod run;
mod shelf;
mod step;
mod task;
mod trust;

pub use run::{Keeper, Parts, Scene};

/// Answers of tasks that wait for the keeper.
const OUTCOMES_WAITING_MAX: usize = 16;
/// Certificates that one task issues or reads.
const BATCH_MAX: usize = 256;
/// Tasks that issue or read at once.
const TASKS_MAX: usize = 2;

#[cfg(test)]
mod tests;
