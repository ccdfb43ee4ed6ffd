//! One node's agent: started, asked, killed, upgraded, uninstalled.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::binaries::Binaries;
use crate::config::{Config, key_file};
use crate::enter::Place;
use crate::process::ProcessId;
use crate::topology::Node;
use crate::wait;

/// Verifiers may take long before they refuse a program.
const READY_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(15);
const LOG_TAIL_LINES: usize = 20;

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    process: ProcessId,
    child: Child,
}

impl Agent {
    /// Starts the agent of a node, and waits until it is ready.
    ///
    /// # Errors
    /// It ended, or was not ready in time; the end of its log is in the error.
    pub fn start(node: &Node, binaries: &Binaries, config: &Config) -> Result<Self> {
        let file = config_of(node);
        config.write(node, &file)?;
        if config.has_key_file() {
            init(node, &binaries.agent, &file)?;
        }
        let log = File::options().create(true).append(true).open(log_of(node)).context("agent.log")?;
        let mut command = place_of(node).command(&binaries.agent)?;
        command.envs(config.environment().iter().map(|(name, value)| (name, value)));
        command.arg("run").arg("--config").arg(&file).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log).process_group(0);
        let child = command.spawn().with_context(|| format!("{}", binaries.agent.display()))?;
        let process = ProcessId::of(i32::try_from(child.id())?)?;
        let mut agent = Self { process, child };
        agent.wait_ready(node, binaries)?;
        Ok(agent)
    }

    /// Its process.
    #[must_use]
    pub const fn process(&self) -> ProcessId {
        self.process
    }

    /// Ends it without warning.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill().context("kill the agent")?;
        self.child.wait().context("wait for the agent")?;
        Ok(())
    }

    /// Asks it to end, as a service manager does.
    ///
    /// # Errors
    /// It did not in time.
    pub fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        wait::until_true("the agent stops", STOP_LIMIT, || Ok(self.child.try_wait()?.is_some()))
    }

    fn wait_ready(&mut self, node: &Node, binaries: &Binaries) -> Result<()> {
        let waited = wait::until_true(&format!("the agent of {} is ready", node.name), READY_LIMIT, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("the agent of {} ended: {status}", node.name);
            }
            Ok(node.socket.exists() && is_ready(node, binaries)?)
        });
        waited.with_context(|| tail(node))
    }
}

/// Makes a node's key-encryption key, once, as its operator would.
fn init(node: &Node, agent: &Path, config: &Path) -> Result<()> {
    if key_file(node).exists() {
        return Ok(());
    }
    let output = Command::new(agent).arg("init").arg("--config").arg(config).output();
    let output = output.with_context(|| format!("{}", agent.display()))?;
    if !output.status.success() {
        bail!("init on {}: {}", node.name, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Serving means that the policy kept on disk, if any, is in force.
fn is_ready(node: &Node, binaries: &Binaries) -> Result<bool> {
    let mut command = Command::new(&binaries.ctl);
    command.arg("--socket").arg(&node.socket).args(["--request-timeout", "2s", "status"]);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    Ok(status.with_context(|| format!("{}", binaries.ctl.display()))?.success())
}

/// Takes a node's walls down; fine when none are up.
///
/// # Errors
/// The agent refused.
pub fn uninstall(node: &Node, agent: &Path) -> Result<()> {
    if !node.pins.exists() {
        return Ok(());
    }
    let mut command = Command::new(agent);
    let output = command.arg("uninstall").arg("--pin-dir").arg(&node.pins).output();
    let output = output.with_context(|| format!("{}", agent.display()))?;
    if !output.status.success() {
        bail!("uninstall on {}: {}", node.name, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Where a node's agent runs.
#[must_use]
pub fn place_of(node: &Node) -> Place {
    Place { netns: node.netns.clone(), cgroup: Some(format!("{}/agent", node.cgroup)) }
}

/// The configuration with which a node's agent was started last.
#[must_use]
pub fn config_of(node: &Node) -> PathBuf {
    node.dir.join("agent.yaml")
}

/// Where a node's agent logs.
#[must_use]
pub fn log_of(node: &Node) -> PathBuf {
    node.dir.join("agent.log")
}

fn tail(node: &Node) -> String {
    let log = fs::read_to_string(log_of(node)).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let from = lines.len().saturating_sub(LOG_TAIL_LINES);
    format!("end of {}:\n{}", log_of(node).display(), lines.get(from..).unwrap_or_default().join("\n"))
}
