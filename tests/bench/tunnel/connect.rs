//! Connections that are made for one request each.

use anyhow::Result;

use super::field::Field;
use super::rounds::{Rounds, at_least};
use crate::figure::Figure;
use crate::peer::{Asked, ask};
use crate::suite::Effort;

/// At once.
const DIALLERS: &str = "8";

pub(super) fn measure(field: &Field, effort: Effort) -> Result<Vec<Figure>> {
    let millis = match effort {
        Effort::Full => "1500",
        Effort::Quick => "300",
    };
    let rounds = Rounds::of(field, effort, |carrier| {
        let to = field.service(carrier)?.to_string();
        let seen: Asked = ask(&field.client(carrier)?, &["ask-once", &to, DIALLERS, millis])?;
        Ok([seen.count / seen.seconds, seen.p99_micros / 1e3])
    })?;
    let mut figures = rounds.figures(0, "connect/rate", "1/s", at_least(5.0, 1.0));
    figures.extend(rounds.figures(1, "connect/p99", "ms", |_| None));
    Ok(figures)
}
