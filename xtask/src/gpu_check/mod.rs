//! `cargo xtask gpu-check`: the device gate, custody and the memory job on a machine with a real NVIDIA GPU. It says what it
//! tested and what it could not, each with the reason. No such machine was ever at hand: only the way without a GPU was run.

mod stage;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use enforcer_lab::guard;

use crate::build;
use stage::Stage;

/// The lab of this check.
const LAB: &str = "gpucheck";
/// There is no GPU: nothing was tested.
const NO_GPU: u8 = 3;
const WHY_NO_GPU: &str = "no NVIDIA GPU on this machine";

/// Try the gate, custody and the memory job on a real NVIDIA GPU. Exit status 0 when all that was tested is well, 1 when not, 3 when
/// there is no GPU.
#[derive(Args)]
pub(crate) struct GpuCheck {}

/// What came of a row.
enum Outcome {
    Passed(String),
    Failed(String),
    NotTested(String),
}

type Test = fn(&Stage) -> Result<Outcome>;

/// In this order: each row builds on the one before.
const ROWS: [(&str, Test); 8] = [
    ("the driver's settings can be read", stage::posture),
    ("the GPU comes to its first tenant, by a scrub, since nobody knows what is in it", stage::first),
    ("CUDA works for the tenant with the grant", stage::granted),
    ("CUDA fails for the tenant without", stage::refused),
    ("a memory job covers and verifies the GPU's memory", stage::scrubbed),
    ("after the grant has moved, the GPU is closed until it was scrubbed", stage::closed),
    ("then CUDA works for the other tenant and fails for the first", stage::moved),
    ("the receipt of that handover says what was covered, and verifies", stage::receipt),
];

impl GpuCheck {
    #[expect(clippy::unused_self, reason = "every verb is run the same way")]
    pub(crate) fn run(&self) -> Result<ExitCode> {
        if !Path::new("/proc/driver/nvidia/version").exists() || !Path::new("/dev/nvidia0").exists() {
            println!("{WHY_NO_GPU}");
            for (row, _) in ROWS {
                tell(row, &Outcome::NotTested(WHY_NO_GPU.to_owned()));
            }
            return Ok(ExitCode::from(NO_GPU));
        }
        if !guard::is_child() {
            build::programs()?;
        }
        guard::guarded(&[LAB.parse()?], || match play() {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        })
    }
}

/// True when nothing that was tested failed.
fn play() -> Result<bool> {
    let stage = Stage::set(LAB)?;
    let mut is_well = true;
    for (row, test) in ROWS {
        let outcome = test(&stage).unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        is_well &= !matches!(outcome, Outcome::Failed(_));
        tell(row, &outcome);
    }
    Ok(is_well)
}

fn tell(row: &str, outcome: &Outcome) {
    let (word, why) = match outcome {
        Outcome::Passed(why) => ("passed", why),
        Outcome::Failed(why) => ("FAILED", why),
        Outcome::NotTested(why) => ("not tested", why),
    };
    println!("{word:<10}  {row}: {why}");
}
