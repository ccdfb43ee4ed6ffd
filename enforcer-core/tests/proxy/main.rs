//! Who may go through the tunnel: the court, which hears the kernel's own code, against a reference evaluator that was
//! written from the documentation alone.

#![expect(clippy::unwrap_used, reason = "a test that cannot build its case should fail there")]

mod authorize;
mod equivalence;
mod reference;
#[path = "../policy/support/mod.rs"]
#[expect(dead_code, reason = "these tests need less of it than those of the policy")]
mod support;
mod unencrypted;
