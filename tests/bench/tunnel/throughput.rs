//! One stream and sixteen, and the processor time of those who move them.

use anyhow::Result;

use super::field::Field;
use super::mover::Mover;
use super::rounds::{Rounds, at_least, below};
use crate::figure::Figure;
use crate::peer::{Poured, ask};
use crate::suite::Effort;

const MILLIS: &[(Effort, &str)] = &[(Effort::Full, "2000"), (Effort::Quick, "300")];

pub(super) fn measure(field: &Field, effort: Effort) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for streams in ["1", "16"] {
        figures.extend(streamed(field, effort, streams)?);
    }
    Ok(figures)
}

fn streamed(field: &Field, effort: Effort, streams: &str) -> Result<Vec<Figure>> {
    let millis = MILLIS.iter().find(|(of, _)| *of == effort).map_or("1000", |(_, millis)| millis);
    let rounds = Rounds::of(field, effort, |carrier| {
        let movers = field.movers(carrier)?;
        let before = cpu_seconds(&movers)?;
        let to = field.service(carrier)?.to_string();
        let seen: Poured = ask(&field.client(carrier)?, &["pour", &to, streams, millis])?;
        let used = cpu_seconds(&movers)? - before;
        // Nobody moves raw TCP but the kernel.
        let used = if movers.is_empty() { f64::NAN } else { used / (seen.bytes / 1e9) };
        Ok([seen.bytes * 8.0 / seen.seconds / 1e9, used])
    })?;
    let name = |what: &str| format!("throughput/{streams}/{what}");
    let mut figures = rounds.figures(0, &name("rate"), "Gbit/s", at_least(1.5, 1.0));
    figures.extend(rounds.figures(1, &name("cpu"), "s/GB", below(0.6, 1.0)));
    Ok(figures)
}

fn cpu_seconds(movers: &[Mover]) -> Result<f64> {
    movers.iter().map(|mover| mover.cpu_seconds()).sum()
}
