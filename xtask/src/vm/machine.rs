//! One machine: booted in qemu without any help of the processor, listened to until it is off.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use enforcer_vm::{End, Word};

use super::Lsm;
use crate::shell;

pub(super) const QEMU: &str = "qemu-system-x86_64";
/// What booting and powering off may take, beside the jobs.
const OVERHEAD: Duration = Duration::from_secs(120);
const MEMORY: &str = "3G";
/// Lines of the kernel's log that are shown when it ended without a word.
const TAIL_LINES: usize = 25;

/// How to boot.
pub(super) struct Boot<'a> {
    /// The kernel's image.
    pub(super) kernel: &'a Path,
    /// Our file system.
    pub(super) image: &'a Path,
    /// Whether the kernel runs programs of security hooks.
    pub(super) lsm: Lsm,
    /// More words for the kernel's command line.
    pub(super) arguments: &'a str,
    /// Where the logs go.
    pub(super) logs: &'a Path,
    /// How long the jobs may take together.
    pub(super) limit: Duration,
}

/// What was heard of a machine.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The release of its kernel, and the security modules it runs.
    pub(super) up: Option<(String, String)>,
    /// Modules that did not load, and what the kernel said.
    pub(super) modules: Vec<(String, String)>,
    /// Jobs that began.
    pub(super) jobs: Vec<HeardJob>,
    /// Why its orders could not be carried out.
    pub(super) broken: Option<String>,
    /// It did everything.
    pub(super) done: bool,
}

/// What was heard of a job.
#[derive(Debug, Default)]
pub(super) struct HeardJob {
    pub(super) name: String,
    pub(super) lines: Vec<String>,
    pub(super) ended: Option<(End, f64)>,
}

impl Boot<'_> {
    /// Runs a machine until it is off; `listen` is told of everything as it comes.
    ///
    /// # Errors
    /// It could not be started, or its logs not be written.
    pub(super) fn run(&self, mut listen: impl FnMut(&Heard, Option<&Word>)) -> Result<Heard> {
        fs::create_dir_all(self.logs).with_context(|| format!("{}", self.logs.display()))?;
        let mut console = File::create(self.console()).context("console.log")?;
        let mut command = self.command("stdio");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut machine = command.spawn().with_context(|| shell::line(&command))?;
        let mut lines = BufReader::new(machine.stdout.take().context("the machine's line")?);
        let (mut heard, mut bytes) = (Heard::default(), Vec::new());
        while lines.read_until(b'\n', &mut bytes)? > 0 {
            console.write_all(&bytes)?;
            let line = String::from_utf8_lossy(&bytes);
            let word = heard.take(line.trim_end_matches(['\r', '\n']));
            listen(&heard, word.as_ref());
            bytes.clear();
        }
        machine.wait().context("the machine")?;
        Ok(heard)
    }

    /// Hands a machine over to the person at this terminal.
    ///
    /// # Errors
    /// It could not be started.
    pub(super) fn interact(&self) -> Result<()> {
        fs::create_dir_all(self.logs).with_context(|| format!("{}", self.logs.display()))?;
        eprintln!("Leave with `exit`, or with Ctrl-a x. The kernel's log is {}", self.kernel_log().display());
        let mut command = self.command("mon:stdio");
        let status = command.status().with_context(|| shell::line(&command))?;
        if !status.success() {
            bail!("the machine ended with {status}");
        }
        Ok(())
    }

    fn command(&self, line: &str) -> Command {
        let limit = (self.limit + OVERHEAD).as_secs().to_string();
        let mut command = Command::new("timeout");
        command.args(["--foreground", "--kill-after=5", &limit, QEMU]);
        // Emulated, because that works everywhere; a processor's own support for machines is refused in many places.
        command.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", MEMORY]);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        command.arg("-serial").arg(format!("file:{}", self.kernel_log().display()));
        command.args(["-serial", line]);
        command.arg("-kernel").arg(self.kernel).arg("-initrd").arg(self.image);
        command.arg("-append").arg(self.command_line());
        command
    }

    /// The kernel's command line. A panic ends the machine at once: it would reboot, which qemu is told not to do.
    pub(super) fn command_line(&self) -> String {
        let lsm = self.lsm.modules();
        let line = format!("console=ttyS0 loglevel=5 panic=-1 lsm={lsm} {}", self.arguments);
        line.trim_end().to_owned()
    }

    /// What the jobs printed, and the machine's words between.
    pub(super) fn console(&self) -> PathBuf {
        self.logs.join("console.log")
    }

    /// What the kernel printed.
    pub(super) fn kernel_log(&self) -> PathBuf {
        self.logs.join("kernel.log")
    }

    /// The end of the kernel's log.
    pub(super) fn kernels_last_words(&self) -> String {
        let log = fs::read(self.kernel_log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

impl Heard {
    /// Takes a line into account, and hands back the word in it.
    fn take(&mut self, line: &str) -> Option<Word> {
        let (printed, word) = match Word::find(line) {
            Some((printed, word)) => (printed, Some(word)),
            None => (line, None),
        };
        if !printed.is_empty()
            && let Some(job) = self.jobs.last_mut().filter(|job| job.ended.is_none())
        {
            job.lines.push(printed.to_owned());
        }
        match word.clone()? {
            Word::Up { release, lsm } => self.up = Some((release, lsm)),
            Word::Module { path, error } => self.modules.push((path, error)),
            Word::Begin { job } => self.jobs.push(HeardJob { name: job, ..HeardJob::default() }),
            Word::End { job, end, seconds } => {
                if let Some(known) = self.jobs.last_mut().filter(|known| known.name == job) {
                    known.ended = Some((end, seconds));
                }
            }
            Word::Broken { error } => self.broken = Some(error),
            Word::Done => self.done = true,
        }
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_belongs_to_the_job_that_runs() {
        let mut heard = Heard::default();
        let end = Word::End { job: "a".to_owned(), end: End::Code(0), seconds: 1.0 };
        for line in
            ["noise", &Word::Begin { job: "a".to_owned() }.to_string(), "one", &format!("two{end}"), "noise"]
        {
            heard.take(line);
        }
        assert_eq!(heard.jobs.len(), 1);
        assert_eq!(heard.jobs[0].lines, ["one", "two"]);
        assert_eq!(heard.jobs[0].ended, Some((End::Code(0), 1.0)));
        assert!(!heard.done);
    }
}
