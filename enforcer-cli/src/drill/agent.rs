//! The scratch wall's own agent: started, asked, killed.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use enforcer_proto::v1;
use tokio::time::{Instant, sleep};

use super::canary::Job;
use super::place::Place;
use super::policy;
use super::trouble::{Trouble, must};
use crate::failure::Failure;
use crate::session::Session;
use crate::target::Target;

/// How long the agent may take to start: it has the kernel verify every program, which takes minutes where the
/// processor is emulated.
const READY_LIMIT: Duration = Duration::from_secs(180);
/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// Lines of its log that go into a reason.
const TAIL_LINES: usize = 3;

/// A running agent. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Agent(Child);

impl Agent {
    /// Makes its key-encryption key, once, as an operator would.
    pub(super) fn init(program: &Path, place: &Place) -> Result<(), Trouble> {
        let mut command = Command::new(program);
        command.env_clear().arg("init").arg("--config").arg(config(place)).stdin(Stdio::null());
        let output = command.output().map_err(Trouble::at(program))?;
        must(output.status.success(), || {
            format!("{} init: {}", program.display(), String::from_utf8_lossy(&output.stderr).trim())
        })
    }

    /// Starts it within its group, and waits until it answers.
    pub(super) async fn start(program: &Path, place: &Place) -> Result<Self, Trouble> {
        let log = place.base.join("agent.log");
        let log = File::options().create(true).append(true).open(&log).map_err(Trouble::at(&log))?;
        let arguments = ["run", "--config", &config(place).display().to_string()].map(ToOwned::to_owned);
        let job = Job::Run { program: program.to_owned(), arguments: arguments.to_vec() };
        let mut command = canary(&place.cgroup.join("agent"), &job)?;
        command.stdin(Stdio::null()).stdout(log.try_clone().map_err(Trouble::on("the log"))?).stderr(log);
        let mut agent = Self(command.spawn().map_err(Trouble::on("start the scratch agent"))?);
        agent.wait(place).await?;
        Ok(agent)
    }

    async fn wait(&mut self, place: &Place) -> Result<(), Trouble> {
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            if let Some(status) = self.0.try_wait().map_err(Trouble::on("the scratch agent"))? {
                return Err(Trouble::Wrong(format!("the scratch agent ended, {status}: {}", tail(place))));
            }
            let why_not = match status(place).await {
                Ok(status) if status.in_sync => return Ok(()),
                Ok(status) => status.drift.join("; "),
                Err(failure) => failure.to_string(),
            };
            if Instant::now() > deadline {
                return Err(Trouble::Wrong(format!(
                    "the scratch agent is not ready: {why_not}: {}",
                    tail(place)
                )));
            }
            sleep(POLL).await;
        }
    }

    /// Ends it without warning.
    pub(super) fn kill(mut self) -> Result<(), Trouble> {
        self.0.kill().map_err(Trouble::on("kill the scratch agent"))?;
        self.0.wait().map_err(Trouble::on("wait for the scratch agent"))?;
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// A command that enters a group first. It is this program once more, and dies with this process.
pub(super) fn canary(group: &Path, job: &Job) -> Result<Command, Trouble> {
    let own = std::env::current_exe().map_err(Trouble::on("the path of this program"))?;
    let job = serde_json::to_string(job).map_err(|error| Trouble::Wrong(error.to_string()))?;
    let mut command = Command::new(own);
    // What the environment says of the live agent must not reach the scratch one. Ctrl-C is for this process alone.
    command.env_clear().args(["drill", "canary"]).arg(group).arg(job).process_group(0);
    Ok(command)
}

/// Where its configuration is.
pub(super) fn config(place: &Place) -> PathBuf {
    place.base.join("agent.yaml")
}

/// A connection to it.
pub(super) async fn session(place: &Place) -> Result<Session, Failure> {
    Session::open(&Target::Socket(policy::socket(&place.base)), ANSWER_LIMIT).await
}

/// What its kernel holds.
pub(super) async fn status(place: &Place) -> Result<v1::StatusResponse, Failure> {
    let session = session(place).await?;
    session.answer(session.node().status(v1::StatusRequest {})).await
}

fn tail(place: &Place) -> String {
    let log = fs::read_to_string(place.base.join("agent.log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default().join(" | ")
}
