//! The other end of a drill: a child process in a canary's control group. It ends when its parent does.

mod attack;
mod job;
mod ways;

pub(super) use job::{Attack, Job, Side};

use std::io::BufRead as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::{fs, io};

use clap::Args;
use enforcer_proto::spiffe::X509svidRequest;
use nix::sys::prctl;
use nix::sys::signal::Signal;

use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::session::Session;
use crate::target::Target;

/// What a canary says when it may have no certificate.
pub(super) const DENIED: &str = "denied";
/// And when it got one.
pub(super) const SERVED: &str = "served";

/// Be a canary: a part of `drill`, which starts it.
#[derive(Args, Debug)]
#[command(hide = true, after_help = "Examples:\n  enforcerctl drill")]
pub(crate) struct Canary {
    /// Directory of the control group to enter.
    #[arg(value_name = "DIR")]
    cgroup: PathBuf,

    /// What to do there, as JSON.
    #[arg(value_name = "JSON", value_parser = parse)]
    job: Job,
}

fn parse(text: &str) -> Result<Job, serde_json::Error> {
    serde_json::from_str(text)
}

impl Canary {
    /// Enters the group, and does its job until the parent is gone.
    pub(crate) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        prctl::set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from)?;
        fs::write(self.cgroup.join("cgroup.procs"), "0")?;
        match &self.job {
            Job::Run { program, arguments } => Err(Command::new(program).args(arguments).exec().into()),
            Job::Fetch { socket } => console.print(&format!("{}\n", fetch(socket.clone(), global).await?)),
            Job::Attack(attack) => answer(attack, console),
        }
    }
}

/// Attacks, and says how far it is whenever a line comes in.
fn answer(attack: &Attack, console: &mut Console<'_>) -> Result<(), Failure> {
    let counters = attack::start(attack)?;
    for line in io::stdin().lock().lines() {
        line?;
        let text = serde_json::to_string(&counters.tally()).map_err(|error| Failure::Output(error.into()))?;
        console.print(&format!("{text}\n"))?;
    }
    Ok(())
}

/// Asks the Workload API once, as whoever runs in this group.
async fn fetch(socket: PathBuf, global: &Global) -> Result<String, Failure> {
    let session = Session::open(&Target::Workload(socket), global.request_timeout).await?;
    let mut client = session.workload();
    let mut stream = match session.in_time(client.fetch_x509svid(X509svidRequest {})).await? {
        Ok(stream) => stream.into_inner(),
        Err(status) if status.code() == tonic::Code::PermissionDenied => return Ok(DENIED.to_owned()),
        Err(status) => return Err(session.failed(&status)),
    };
    match session.in_time(stream.message()).await? {
        Ok(Some(message)) if !message.svids.is_empty() => Ok(SERVED.to_owned()),
        Ok(_) => Ok(DENIED.to_owned()),
        Err(status) if status.code() == tonic::Code::PermissionDenied => Ok(DENIED.to_owned()),
        Err(status) => Err(session.failed(&status)),
    }
}
