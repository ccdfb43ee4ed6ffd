//! `enforcer-probe` from the other side: starting it somewhere and reading what it says.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::enter::Place;
use crate::outcome::Outcome;
use crate::process::ProcessId;
use crate::wait;

const READY_LIMIT: Duration = Duration::from_secs(10);

/// How far one side of a long-lived connection has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Ticks sent.
    pub sent: u64,
    /// Ticks received, each one in order.
    pub received: u64,
    /// Segments that had to be sent again.
    pub retransmits: u32,
    /// Why the connection ended, if it did.
    pub broken: Option<String>,
}

/// The probe, for one place.
#[derive(Clone, Debug)]
pub struct Probe {
    program: PathBuf,
    place: Place,
}

/// A probe that goes on until it is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    heard: Arc<Mutex<Heard>>,
    what: String,
}

#[derive(Debug, Default)]
struct Heard {
    ready: bool,
    progress: Progress,
    ended: bool,
}

impl Probe {
    /// The probe in a place.
    #[must_use]
    pub const fn new(program: PathBuf, place: Place) -> Self {
        Self { program, place }
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// It could not run, or said something else than an outcome.
    pub fn run(&self, arguments: &[&str]) -> Result<Outcome> {
        self.said(arguments)
    }

    /// Runs it to its end, where what it says is another word than an outcome.
    ///
    /// # Errors
    /// It could not run, or said something else.
    pub fn ask<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        self.said(arguments)
    }

    /// Floods a socket address, and says how many datagrams left.
    ///
    /// # Errors
    /// It could not run.
    pub fn flood(&self, to: &str, limits: &[&str]) -> Result<u64> {
        self.said::<Progress>(&[&["flood", to], limits].concat()).map(|progress| progress.sent)
    }

    /// The last line of what it says.
    fn said<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        let mut command = self.place.command(&self.program)?;
        let output = command.args(arguments).stdin(Stdio::null()).output()?;
        let out = String::from_utf8_lossy(&output.stdout);
        let said =
            || format!("probe {}: {out}{}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        let Some(line) = out.lines().next_back() else { bail!(said()) };
        serde_json::from_str(line).with_context(said)
    }

    /// Starts it, and waits until it says that it is ready.
    ///
    /// # Errors
    /// It is not, in time.
    pub fn start(&self, arguments: &[&str]) -> Result<Running> {
        let running = self.spawn(arguments)?;
        running.ready().map(|()| running)
    }

    /// Starts it.
    ///
    /// # Errors
    /// It could not be started.
    pub fn spawn(&self, arguments: &[&str]) -> Result<Running> {
        let what = arguments.join(" ");
        let mut command = self.place.command(&self.program)?;
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("probe {what}"))?;
        let heard = Arc::new(Mutex::new(Heard::default()));
        if let Some(out) = child.stdout.take() {
            let heard = Arc::clone(&heard);
            std::thread::spawn(move || listen(BufReader::new(out), &heard));
        }
        Ok(Running { child, heard, what })
    }
}

impl Running {
    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// It does not, in time.
    pub fn ready(&self) -> Result<()> {
        wait::until_true(&format!("probe {}", self.what), READY_LIMIT, || {
            self.with(|heard| if heard.ended { bail!("it ended") } else { Ok(heard.ready) })
        })
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.with(|heard| heard.progress.clone())
    }

    /// The process.
    ///
    /// # Errors
    /// It is gone.
    pub fn process(&self) -> Result<ProcessId> {
        ProcessId::of(i32::try_from(self.child.id())?)
    }

    /// Waits until as many ticks more were received.
    ///
    /// # Errors
    /// They were not, or the connection broke.
    pub fn flows(&self, ticks: u64, limit: Duration) -> Result<()> {
        let start = self.progress().received;
        wait::until_true(&format!("{} ticks more at probe {}", ticks, self.what), limit, || {
            let now = self.progress();
            match now.broken {
                Some(why) => bail!("probe {}: {why}", self.what),
                None => Ok(now.received >= start + ticks),
            }
        })
    }

    /// Waits until nothing was received for `quiet`.
    ///
    /// # Errors
    /// Ticks kept coming.
    pub fn stops(&self, quiet: Duration, limit: Duration) -> Result<()> {
        let mut last = (self.progress().received, std::time::Instant::now());
        wait::until_true(&format!("probe {} receives nothing more", self.what), limit, || {
            let received = self.progress().received;
            if received != last.0 {
                last = (received, std::time::Instant::now());
            }
            Ok(last.1.elapsed() >= quiet)
        })
    }

    fn with<T>(&self, read: impl FnOnce(&Heard) -> T) -> T {
        read(&self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn listen(out: impl BufRead, heard: &Mutex<Heard>) {
    for line in out.lines().map_while(Result::ok) {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        if line == "ready" {
            heard.ready = true;
        } else if let Ok(progress) = serde_json::from_str(&line) {
            heard.progress = progress;
        }
    }
    heard.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
}
