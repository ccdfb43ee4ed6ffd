//! `status`: what the kernel enforces on the node.

use std::time::Duration;

use clap::Args;
use enforcer_proto::v1;
use tokio::time::{Instant, sleep};

use super::open;
use crate::cli::Global;
use crate::console::Console;
use crate::duration;
use crate::failure::Failure;
use crate::view::status::StatusView;

const POLL: Duration = Duration::from_millis(200);

/// Show what the kernel enforces on the node.
#[derive(Args, Debug)]
#[command(
    long_about = "Shows what the node enforces, read back from its kernel for this answer: revision and digest, \
                  each hook (verified by a canary, declared, or absent with the reason), what a policy may ask \
                  for here, how full the tables are, and what was lost.",
    after_help = "Examples:\n  enforcerctl status\n  enforcerctl status --wait-ready --timeout 2m\n  \
                  enforcerctl status -o json"
)]
pub(crate) struct Status {
    /// Wait until the agent answers, the kernel holds exactly the policy in force, and no certificate is late.
    #[arg(long)]
    wait_ready: bool,

    /// How long to wait with --wait-ready.
    #[arg(long, value_parser = duration::parse, default_value = "60s", value_name = "DURATION")]
    timeout: Duration,
}

impl Status {
    /// Asks, once or until it is ready, and prints.
    pub(crate) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let view = if self.wait_ready { self.wait(global).await? } else { ask(global).await? };
        console.show(&view)
    }

    async fn wait(&self, global: &Global) -> Result<StatusView, Failure> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let why_not = match ask(global).await {
                Ok(view) => match view.not_ready() {
                    None => return Ok(view),
                    Some(why) => why.to_owned(),
                },
                Err(failure) if failure.is_passing() => failure.to_string(),
                Err(failure) => return Err(failure),
            };
            if Instant::now() >= deadline {
                return Err(Failure::Timeout { what: format!("not ready: {why_not}"), after: self.timeout });
            }
            sleep(POLL).await;
        }
    }
}

async fn ask(global: &Global) -> Result<StatusView, Failure> {
    let session = open(global).await?;
    session.answer(session.node().status(v1::StatusRequest {})).await.map(StatusView::from)
}
