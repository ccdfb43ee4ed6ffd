//! `bench tunnel`: what it costs to carry a flow over mutual TLS, beside what others make of the same. One lab, one
//! run; every figure's rounds are interleaved between those who carry.

mod beside;
mod carrier;
mod connect;
mod envoy;
mod field;
mod haproxy;
mod latency;
mod limit;
mod memory;
mod mover;
mod near;
mod papers;
mod rounds;
mod throughput;

use std::cell::OnceCell;

use anyhow::Result;
use clap::Args;
use enforcer_lab::spec::LabName;

use crate::figure::Figure;
use crate::suite::{Effort, Options};
use carrier::Carrier;
use field::Field;

/// Options of the suite: limit, throughput, latency, beside, connect, memory and near.
#[derive(Args, Default)]
pub(crate) struct Tunnel {
    #[command(flatten)]
    options: Options,
    /// Only these: raw, native, hbone, haproxy, envoy. All of them when none is named.
    #[arg(long, value_enum, value_delimiter = ',')]
    carriers: Vec<Carrier>,
}

type Measured<'a> = Box<dyn Fn(Effort) -> Result<Vec<Figure>> + 'a>;

impl Tunnel {
    pub(crate) fn run(&self) -> Result<()> {
        let carriers = if self.carriers.is_empty() { Carrier::ALL.to_vec() } else { self.carriers.clone() };
        let field = OnceCell::new();
        // Built for the first bench that needs it, and kept for the others.
        let on = |measure: fn(&Field, Effort) -> Result<Vec<Figure>>| -> Measured<'_> {
            let (field, carriers) = (&field, &carriers);
            Box::new(move |effort| {
                if field.get().is_none() {
                    let _first = field.set(Field::up(carriers)?);
                }
                field.get().map_or_else(|| Ok(Vec::new()), |field| measure(field, effort))
            })
        };
        self.options.run(&[
            ("limit", Box::new(limit::measure) as Measured<'_>),
            ("throughput", on(throughput::measure)),
            ("latency", on(latency::measure)),
            ("beside", on(beside::measure)),
            ("connect", on(connect::measure)),
            ("memory", on(memory::measure)),
            ("near", on(near::measure)),
        ])
    }
}

/// The labs that these benches build.
pub(crate) fn labs() -> Result<Vec<LabName>> {
    Ok(vec![field::LAB.parse()?])
}
