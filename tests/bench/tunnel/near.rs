//! Flows on one node, which the same rule lets pass without a tunnel because the kernel knows both ends.

use anyhow::Result;

use super::carrier::Carrier;
use super::field::Field;
use super::rounds::Rounds;
use crate::figure::{Figure, Goal};
use crate::peer::{Poured, ask};
use crate::suite::Effort;

/// Of what a node without an agent carries.
const GOAL: Goal = Goal::RatioAtLeast(0.98);

pub(super) fn measure(field: &Field, effort: Effort) -> Result<Vec<Figure>> {
    let millis = match effort {
        Effort::Full => "1500",
        Effort::Quick => "300",
    };
    let rounds = Rounds::of(field, effort, |carrier| {
        let to = match carrier {
            Carrier::Raw | Carrier::Native => field.near(carrier)?.to_string(),
            Carrier::Hbone | Carrier::Haproxy | Carrier::Envoy => return Ok([f64::NAN]),
        };
        let seen: Poured = ask(&field.client(carrier)?, &["pour", &to, "1", millis])?;
        Ok([seen.bytes * 8.0 / seen.seconds / 1e9])
    })?;
    Ok(rounds.against_raw("near/rate", "Gbit/s", GOAL))
}
