//! A small request beside four streams that take all they can get.

use anyhow::Result;

use super::carrier::Carrier;
use super::field::Field;
use super::rounds::Rounds;
use crate::figure::{Figure, Goal};
use crate::peer::{Asked, ask};
use crate::suite::Effort;

/// Milliseconds.
const P99: Goal = Goal::AtMost(5.0);

pub(super) fn measure(field: &Field, effort: Effort) -> Result<Vec<Figure>> {
    let millis = match effort {
        Effort::Full => "2000",
        Effort::Quick => "400",
    };
    let rounds = Rounds::of(field, effort, |carrier| {
        let to = field.service(carrier)?.to_string();
        let seen: Asked = ask(&field.client(carrier)?, &["ask-beside", &to, "4", millis])?;
        Ok([seen.p50_micros / 1e3, seen.p99_micros / 1e3])
    })?;
    let mut figures = rounds.figures(0, "beside/p50", "ms", |_| None);
    figures
        .extend(rounds.figures(1, "beside/p99", "ms", |carrier| (carrier == Carrier::Native).then_some(P99)));
    Ok(figures)
}
