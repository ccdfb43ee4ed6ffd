//! Runs a program's body in a child process, and takes labs down when it ends: by returning, by a panic, by a
//! signal to either of the two, or killed.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::binaries::Binaries;
use crate::lab;
use crate::spec::LabName;

/// Set in the environment where the whole machine is there for the tests, so that its clock may be set.
pub const DISPOSABLE: &str = "ENFORCER_TEST_DISPOSABLE";
const CHILD: &str = "ENFORCER_LAB_CHILD";

/// True in the child, where the body runs.
#[must_use]
pub fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs `body` in a child of this very program, then takes the named labs down.
///
/// # Errors
/// The child could not run, or something was left behind.
pub fn guarded(labs: &[LabName], body: impl FnOnce() -> ExitCode) -> Result<ExitCode> {
    let signals = ending_signals();
    if is_child() {
        signals.thread_unblock().context("unblock signals")?;
        return Ok(body());
    }
    signals.thread_block().context("block signals")?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(CHILD, "1")
        .spawn()
        .context("start the guarded child")?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    std::thread::spawn(move || {
        // The child dies; the parent, whose signals are blocked, cleans up after it.
        while signals.wait().is_ok() {
            let _gone = kill(pid, Signal::SIGKILL);
        }
    });
    let status = child.wait().context("wait for the guarded child")?;
    let agent = Binaries::find().map(|binaries| binaries.agent);
    for name in labs {
        if let Ok(agent) = &agent {
            lab::down_by_name(name, agent).with_context(|| format!("take lab {name} down"))?;
        }
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(130);
    Ok(ExitCode::from(code))
}

fn ending_signals() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect()
}
