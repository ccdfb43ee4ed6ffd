//! One open and close of `/dev/null`, by a process some control groups below the gate.

use anyhow::Result;

use super::ground::Three;
use crate::figure::{Figure, Goal};
use crate::ground;
use crate::suite::Effort;

/// More than without the gate.
const GOAL: Goal = Goal::AtMost(0.3);

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    ground::apart(|| {
        let runs = Three::new("open")?.ask(&["open", "/dev/null"], effort)?;
        Ok(runs.figures("open", Some(GOAL), "looked up, granted, counted; told 2,000 times a second"))
    })
}
