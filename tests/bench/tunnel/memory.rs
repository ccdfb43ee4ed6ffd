//! What those who carry hold in memory: idle, and for connections that do nothing.

use std::time::Duration;

use anyhow::Result;

use super::carrier::Carrier;
use super::field::Field;
use super::mover::Mover;
use crate::figure::{Figure, Goal};
use crate::peer::Serving;
use crate::sample::Sample;
use crate::suite::Effort;

/// KiB a connection.
const HELD: Goal = Goal::AtMost(10.0);
/// Until buffers that are no longer used are given back.
const SETTLED: Duration = Duration::from_secs(3);

pub(super) fn measure(field: &Field, effort: Effort) -> Result<Vec<Figure>> {
    let counts: &[u32] = match effort {
        Effort::Full => &[1_000, 5_000],
        Effort::Quick => &[200],
    };
    let mut figures = Vec::new();
    for carrier in field.carriers().iter().filter(|carrier| **carrier != Carrier::Raw) {
        let movers = field.movers(*carrier)?;
        let idle = resident_kib(&movers)?;
        let mebibytes: Vec<f64> = idle.iter().map(|kib| kib / 1024.0).collect();
        figures.push(
            Figure::of(format!("memory/idle/{carrier}"), "MiB", &Sample::from(mebibytes))
                .note("resident, a process; the agent's is all that it does, not the tunnel alone"),
        );
        for count in counts {
            figures.push(held(field, *carrier, &movers, &idle, *count)?);
        }
    }
    Ok(figures)
}

fn held(field: &Field, carrier: Carrier, movers: &[Mover], idle: &[f64], count: u32) -> Result<Figure> {
    let to = field.service(carrier)?.to_string();
    let holding = Serving::start(&field.client(carrier)?, &["hold-idle", &to, &count.to_string()])?;
    std::thread::sleep(SETTLED);
    let each: Vec<f64> = resident_kib(movers)?
        .iter()
        .zip(idle)
        .map(|(held, idle)| (held - idle).max(0.0) / f64::from(count))
        .collect();
    drop(holding);
    std::thread::sleep(SETTLED);
    let figure = Figure::of(format!("memory/held-{count}/{carrier}"), "KiB", &Sample::from(each))
        .note("resident, a connection, a process: the client's and the server's");
    Ok(if carrier == Carrier::Native { figure.goal(HELD) } else { figure })
}

fn resident_kib(movers: &[Mover]) -> Result<Vec<f64>> {
    movers.iter().map(|mover| mover.resident_kib()).collect()
}
