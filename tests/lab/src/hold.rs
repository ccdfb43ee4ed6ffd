//! A process of a workload that holds a device and uses it when told.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::enter::Place;
use crate::process::ProcessId;
use crate::verdict::Verdict;

/// The process; it ends when this is dropped.
#[derive(Debug)]
pub struct Holder {
    child: Child,
    say: ChildStdin,
    heard: BufReader<ChildStdout>,
}

impl Holder {
    /// Has a process in a place open a device and keep it.
    ///
    /// # Errors
    /// It could not.
    pub fn new(probe: &Path, place: &Place, node: &Path) -> Result<Self> {
        let mut command = place.command(probe)?;
        command.arg("hold").arg(node).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the probe")?;
        let (say, heard) = (child.stdin.take().context("stdin")?, child.stdout.take().context("stdout")?);
        let mut holder = Self { child, say, heard: BufReader::new(heard) };
        let line = holder.line()?;
        ensure!(line == "ready", "{} could not be opened: {line}", node.display());
        Ok(holder)
    }

    /// Tells it to use the device: open, read, write, ioctl, map, look (at what was mapped), register (with io_uring), fetch
    /// (what was registered), close (the descriptor).
    ///
    /// # Errors
    /// It is gone.
    pub fn tell(&mut self, word: &str) -> Result<Verdict> {
        writeln!(self.say, "{word}").context("the holder")?;
        let line = self.line()?;
        serde_json::from_str(&line).with_context(|| format!("the holder said {line:?}"))
    }

    /// The process.
    ///
    /// # Errors
    /// It is gone.
    pub fn process(&self) -> Result<ProcessId> {
        ProcessId::of(i32::try_from(self.child.id())?)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.heard.read_line(&mut line).context("the holder")?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
