//! The policy from model to verdict: what is compiled, asked through the kernel's own code, against the
//! reference evaluator and against sentences of the documentation.

#![expect(clippy::unwrap_used, reason = "a test that cannot build its case should fail there")]

mod devices;
mod equivalence;
mod explain;
mod plan;
mod precedence;
mod properties;
mod scale;
mod support;
mod tiers;
mod tunnel;
mod wall;
