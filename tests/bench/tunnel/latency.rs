//! Small requests on one connection, and on 32 at once.

use anyhow::Result;

use super::field::Field;
use super::rounds::{Rounds, at_least, below};
use crate::figure::Figure;
use crate::peer::{Asked, ask};
use crate::suite::Effort;

pub(super) fn measure(field: &Field, effort: Effort) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (connections, native) in [("1", 1.2), ("32", 1.5)] {
        figures.extend(asked(field, effort, connections, native)?);
    }
    Ok(figures)
}

fn asked(field: &Field, effort: Effort, connections: &str, native: f64) -> Result<Vec<Figure>> {
    let millis = match effort {
        Effort::Full => "1500",
        Effort::Quick => "300",
    };
    let rounds = Rounds::of(field, effort, |carrier| {
        let to = field.service(carrier)?.to_string();
        let seen: Asked = ask(&field.client(carrier)?, &["ask", &to, connections, millis])?;
        Ok([seen.count / seen.seconds, seen.p50_micros, seen.p99_micros])
    })?;
    let name = |what: &str| format!("latency/{connections}/{what}");
    let mut figures = rounds.figures(0, &name("requests"), "1/s", at_least(native, 1.0));
    figures.extend(rounds.figures(1, &name("p50"), "us", |_| None));
    figures.extend(rounds.figures(2, &name("p99"), "us", below(1.0, 1.0)));
    Ok(figures)
}
