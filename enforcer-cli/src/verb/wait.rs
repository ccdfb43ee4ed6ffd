//! `wait`: until a revision, or a later one, is in force.

use std::time::Duration;

use clap::Args;
use enforcer_proto::v1;
use tokio::time::{Instant, sleep, timeout_at};

use super::open;
use crate::cli::Global;
use crate::console::Console;
use crate::duration;
use crate::failure::Failure;
use crate::view::revision::RevisionView;

const RETRY: Duration = Duration::from_millis(200);

/// Wait until a revision, or a later one, is in force.
#[derive(Args, Debug)]
#[command(
    long_about = "Waits until the revision, or a later one, is in force on the node, and prints the one that is. \
                  An agent that restarts meanwhile is waited for. Exit code 5 when it did not happen in time.",
    after_help = "Examples:\n  enforcerctl wait --revision 8\n  enforcerctl wait --revision 8 --timeout 5m"
)]
pub(crate) struct Wait {
    /// The revision.
    #[arg(long, value_name = "N")]
    revision: u64,

    /// How long to wait.
    #[arg(long, value_parser = duration::parse, default_value = "60s", value_name = "DURATION")]
    timeout: Duration,
}

impl Wait {
    /// Watches, and prints the revision that ended the wait.
    pub(crate) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let deadline = Instant::now() + self.timeout;
        let mut last = "the agent has not said which revision is in force".to_owned();
        loop {
            match timeout_at(deadline, self.watch(global, &mut last)).await {
                Ok(Ok(revision)) => return console.show(&RevisionView::from(revision)),
                Ok(Err(failure)) if failure.is_passing() => last = failure.to_string(),
                Ok(Err(failure)) => return Err(failure),
                Err(_) => return Err(self.late(last)),
            }
            if timeout_at(deadline, sleep(RETRY)).await.is_err() {
                return Err(self.late(last));
            }
        }
    }

    /// The first revision that is late enough. `seen` says how far it was when the wait is cut off.
    async fn watch(&self, global: &Global, seen: &mut String) -> Result<v1::Revision, Failure> {
        let session = open(global).await?;
        let mut changes = session.answer(session.policy().watch(v1::WatchRequest {})).await?;
        loop {
            let change = changes.message().await.map_err(|status| session.failed(&status))?;
            let Some(change) = change else {
                return Err(Failure::StreamEnded { target: session.target().to_owned() });
            };
            let revision = change.revision.unwrap_or_default();
            if revision.in_force && revision.revision >= self.revision {
                return Ok(revision);
            }
            *seen = format!("revision {} is in force", revision.revision);
        }
    }

    fn late(&self, last: String) -> Failure {
        let what = format!("revision {} is not in force: {last}", self.revision);
        Failure::Timeout { what, after: self.timeout }
    }
}
