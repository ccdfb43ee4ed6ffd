//! Clients from the other side: starting one inside a workload, and waiting for what it is told.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};
use enforcer_lab::enter::Place;
use enforcer_lab::wait;

use crate::client::{ENDPOINT, Said, WORD};
use crate::site::LIMIT;

/// A client for one place.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    place: Place,
    endpoint: String,
}

/// A program that goes on until it is dropped, and what it has said.
#[derive(Debug)]
pub(crate) struct Heard {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Arc<Mutex<Lines>>,
    what: String,
}

#[derive(Debug, Default)]
struct Lines {
    said: Vec<String>,
    ended: bool,
}

impl Client {
    pub(crate) fn new(place: Place, socket: &Path) -> Self {
        Self { place, endpoint: format!("unix://{}", socket.display()) }
    }

    /// The same client below the control group of its place.
    pub(crate) fn below(mut self, group: &str) -> Self {
        self.place.cgroup = self.place.cgroup.map(|cgroup| format!("{cgroup}/{group}"));
        self
    }

    /// A program that finds the Workload API as every client does.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
        let mut command = self.place.command(program)?;
        command.env(ENDPOINT, &self.endpoint);
        Ok(command)
    }

    /// Runs a verb of our own client to its end, and hands back the last thing it said.
    pub(crate) fn ask(&self, verb: &[&str]) -> Result<Said> {
        let mut command = self.own(verb)?;
        let output = command.stdin(Stdio::null()).output().context("the client")?;
        let out = String::from_utf8_lossy(&output.stdout);
        let said = || format!("client {}: {out}{}", verb.join(" "), String::from_utf8_lossy(&output.stderr));
        let last = out.lines().next_back().with_context(said)?;
        serde_json::from_str(last).with_context(said)
    }

    /// Starts a verb of our own client.
    pub(crate) fn start(&self, verb: &[&str]) -> Result<Heard> {
        Heard::start(self.own(verb)?, &format!("client {}", verb.join(" ")))
    }

    /// Fetches, and must be given an identity.
    pub(crate) fn identity(&self) -> Result<(String, String)> {
        match self.ask(&["fetch"])? {
            Said::Svid { id, serial, .. } => Ok((id, serial)),
            other => bail!("no identity: {other:?}"),
        }
    }

    /// Fetches, and must be refused in the word that the standard has for it (E-5).
    pub(crate) fn is_denied(&self) -> Result<()> {
        let said = self.ask(&["fetch"])?;
        ensure!(is_denial(&said), "expected PermissionDenied: {said:?}");
        Ok(())
    }

    fn own(&self, verb: &[&str]) -> Result<Command> {
        let mut command = self.command(std::env::current_exe()?)?;
        command.arg(WORD).args(verb);
        Ok(command)
    }
}

/// Nobody, in the word that the standard has for it (E-5).
pub(crate) fn is_denial(said: &Said) -> bool {
    matches!(said, Said::Refused { code, .. } if code == "PermissionDenied")
}

impl Heard {
    /// Starts a program whose standard output is listened to.
    pub(crate) fn start(mut command: Command, what: &str) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| what.to_owned())?;
        let lines = Arc::new(Mutex::new(Lines::default()));
        if let Some(out) = child.stdout.take() {
            let lines = Arc::clone(&lines);
            std::thread::spawn(move || listen(BufReader::new(out), &lines));
        }
        Ok(Self { stdin: child.stdin.take(), child, lines, what: what.to_owned() })
    }

    /// Lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).said.clone()
    }

    /// What our own client has said so far.
    pub(crate) fn said(&self) -> Result<Vec<Said>> {
        let parse =
            |line: &String| serde_json::from_str(line).with_context(|| format!("{}: {line}", self.what));
        self.lines().iter().map(parse).collect()
    }

    /// Waits for a line.
    pub(crate) fn line(&self, what: &str, fits: impl Fn(&str) -> bool) -> Result<String> {
        let waited = wait::until(&format!("{}: {what}", self.what), LIMIT, || {
            if let Some(found) = self.lines().into_iter().find(|line| fits(line)) {
                return Ok(Some(found));
            }
            ensure!(!self.has_ended(), "it ended");
            Ok(None)
        });
        waited.with_context(|| format!("{} said: {:?}", self.what, self.lines()))
    }

    /// Waits for something that our own client says.
    pub(crate) fn hears(&self, what: &str, fits: impl Fn(&Said) -> bool) -> Result<Said> {
        let line = self.line(what, |line| serde_json::from_str(line).is_ok_and(|said| fits(&said)))?;
        serde_json::from_str(&line).with_context(|| line.clone())
    }

    /// Waits for an SVID with another serial number than these.
    pub(crate) fn svid_other_than(&self, known: &[&str]) -> Result<Said> {
        self.hears(
            &format!("an SVID other than {known:?}"),
            |said| matches!(said, Said::Svid { serial, .. } if !known.contains(&serial.as_str())),
        )
    }

    /// Waits until the stream ends because the caller is nobody any more.
    pub(crate) fn is_denied(&self) -> Result<()> {
        self.hears("the stream ends with PermissionDenied", is_denial).map(drop)
    }

    /// Writes a line to it.
    pub(crate) fn tell(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("its input is closed")?;
        writeln!(stdin, "{line}").with_context(|| self.what.clone())
    }

    /// Ends it without warning, and waits until it is gone.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill().with_context(|| self.what.clone())?;
        self.child.wait().map(drop).with_context(|| self.what.clone())
    }

    /// True once its output has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).ended
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn listen(out: impl BufRead, lines: &Mutex<Lines>) {
    for line in out.lines().map_while(Result::ok) {
        lines.lock().unwrap_or_else(PoisonError::into_inner).said.push(line);
    }
    lines.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
}
