//! `cargo xtask demo`: two nodes, three tenants of which one is a platform service, and the walls between them.
//! Every line says what was expected and what was seen; both are words from the same list, compared as they are.

mod device;
mod flow;
mod handover;
mod identity;
mod investigate;
mod life;
mod packet;
mod policy;
mod script;
mod stage;
mod tls;
mod tunnel;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use enforcer_lab::{guard, lab};

use crate::{build, setup};
use script::Script;
use stage::Stage;

/// The lab of the demo.
const LAB: &str = "demo";

/// Show the walls at work: two nodes, three tenants. Takes less than a minute once built.
#[derive(Args)]
pub(crate) struct Demo {
    /// Print a list of `{step, expected, observed, ok}` instead of a table.
    #[arg(long)]
    json: bool,
}

impl Demo {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        if !guard::is_child() {
            build::programs()?;
            setup::clients()?;
        }
        guard::guarded(&[LAB.parse()?], || match self.play() {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        })
    }

    /// True when everything was as expected.
    fn play(&self) -> Result<bool> {
        let mut script = Script::new(self.json);
        let mut stage = Stage::set(LAB)?;
        policy::play(&stage, &mut script);
        flow::play(&stage, &mut script);
        packet::play(&stage, &mut script);
        device::play(&stage, &mut script);
        handover::play(&mut stage, &mut script);
        identity::play(&stage, &mut script);
        tunnel::play(&mut stage, &mut script);
        life::play(&mut stage, &mut script);
        investigate::play(&stage, &mut script);
        let topology = stage.lab().topology().clone();
        drop(stage);
        script.step("take the lab down: what is left behind", "nothing", || {
            let left = lab::left_behind(&topology)?;
            Ok(if left.is_empty() { "nothing".to_owned() } else { left.join(", ") })
        });
        script.conclude()
    }
}
