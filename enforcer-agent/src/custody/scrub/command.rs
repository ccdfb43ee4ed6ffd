//! Somebody else's program, for the vendor's tool: what it says is attested at best, until the agent has read back itself.

use std::path::PathBuf;
use std::time::Duration;

use enforcer_core::device::custody::receipt::Evidence;
use tokio::task::spawn_blocking;

use super::reader::{Reader, fill};
use super::{Job, Outcome, Report, ScrubError, Scrubber, checked, child};

/// When a device is reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reset {
    /// Never.
    #[default]
    Never,
    /// When the scrub failed; then it is tried once more.
    OnFailure,
    /// Before each scrub.
    Always,
}

/// A program that scrubs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// For receipts: `command`, `nvidia`.
    pub method: &'static str,
    /// Program and arguments; words in braces are replaced.
    pub argv: Vec<String>,
    /// A second program that reads samples back: what it says of samples is taken for the agent's own.
    pub verify: Option<Vec<String>>,
    /// The agent's own reading of samples.
    pub reader: Option<Reader>,
    /// The program is the agent itself: the samples that it reads are the agent's own.
    pub is_own: bool,
    /// Resets the device.
    pub reset: Option<(Reset, Vec<String>)>,
    /// The control group below which it runs, by its whole path.
    pub group: Option<PathBuf>,
    /// How much must be covered, in hundredths: a driver keeps memory for itself that no program of it reaches.
    pub min_covered: u8,
    /// How long each program may take.
    pub limit: Duration,
}

#[tonic::async_trait]
impl Scrubber for Command {
    fn method(&self) -> &'static str {
        self.method
    }

    async fn scrub(&self, job: &Job) -> Result<Outcome, ScrubError> {
        let when = self.reset.as_ref().map_or(Reset::Never, |(when, _)| *when);
        if when == Reset::Always {
            self.reset(job).await?;
            return self.once(job).await.map(|outcome| after_reset(outcome, "reset first"));
        }
        match self.once(job).await {
            Err(error) if when == Reset::OnFailure => {
                tracing::warn!(device = %job.key, %error, "the scrub failed; the device is reset, and scrubbed again");
                self.reset(job).await?;
                let outcome = self.once(job).await?;
                Ok(after_reset(outcome, &format!("reset, after a scrub that failed: {error}")))
            }
            ended => ended,
        }
    }
}

impl Command {
    async fn once(&self, job: &Job) -> Result<Outcome, ScrubError> {
        if let Some(reader) = self.reader.clone() {
            let job = job.clone();
            blocking(move || reader.plant(&job)).await?;
        }
        let report = Report::parse(&self.run(&self.argv, job).await?)?;
        let mut outcome = match report {
            None => declared(),
            Some(report) => {
                let evidence =
                    if self.is_own && report.samples > 0 { Evidence::Sampled } else { Evidence::Attested };
                attested(report, evidence)
            }
        };
        if let Some(verify) = &self.verify {
            let report = Report::parse(&self.run(verify, job).await?)?
                .ok_or_else(|| ScrubError::Report("the program that verifies says nothing".to_owned()))?;
            outcome = read_back(outcome, report.samples, report.mismatches);
        }
        if let Some(reader) = self.reader.clone() {
            let job = job.clone();
            let is_full = reader.samples.is_none();
            let seen = blocking(move || reader.read(&job)).await?;
            // A program that says nothing of how much it covered is not measured by it.
            if outcome.evidence > Evidence::Declared {
                outcome.bytes_total = outcome.bytes_total.max(seen.bytes);
            }
            outcome = read_back(outcome, seen.samples, seen.mismatches);
            if is_full {
                outcome.evidence = Evidence::Full;
                (outcome.bytes_covered, outcome.bytes_total) = (seen.bytes, seen.bytes);
            }
        }
        checked(outcome, self.min_covered)
    }

    async fn run(&self, argv: &[String], job: &Job) -> Result<String, ScrubError> {
        let argv: Vec<String> = argv.iter().map(|word| fill(word, job)).collect();
        let own = format!("{}-{}", job.key.class.replace([':', '/'], "-"), job.key.number);
        let group = self.group.as_ref().map(|group| group.join(own));
        child::run(&argv, group.as_deref(), self.limit).await
    }

    async fn reset(&self, job: &Job) -> Result<(), ScrubError> {
        match &self.reset {
            Some((_, argv)) => self.run(argv, job).await.map(drop),
            None => Ok(()),
        }
    }
}

fn declared() -> Outcome {
    Outcome {
        bytes_covered: 0,
        bytes_total: 0,
        samples: 0,
        mismatches: 0,
        detail: "the program ended well, and said nothing of what it did".to_owned(),
        uuid: String::new(),
        evidence: Evidence::Declared,
        not_covered: Vec::new(),
    }
}

fn attested(report: Report, evidence: Evidence) -> Outcome {
    let Report { bytes_covered, bytes_total, samples, mismatches, method, detail, uuid, .. } = report;
    let residue = match report.residue_of {
        0 => String::new(),
        of => format!("before, {} of {of} bytes that were looked at held something", report.residue),
    };
    let words = [method, detail, residue].into_iter().filter(|words| !words.is_empty());
    let detail = words.collect::<Vec<_>>().join("; ");
    let not_covered = report.not_covered;
    Outcome { bytes_covered, bytes_total, samples, mismatches, detail, uuid, evidence, not_covered }
}

/// A reset clears state and is no evidence of clean memory: it is told, and counts for nothing.
fn after_reset(outcome: Outcome, words: &str) -> Outcome {
    Outcome { detail: format!("{}; {words}", outcome.detail), ..outcome }
}

/// What was read by others than the scrubber counts; a scrubber's own mismatches stay.
fn read_back(outcome: Outcome, samples: u64, mismatches: u64) -> Outcome {
    Outcome {
        samples: outcome.samples.saturating_add(samples),
        mismatches: outcome.mismatches.saturating_add(mismatches),
        evidence: if samples > 0 { outcome.evidence.max(Evidence::Sampled) } else { outcome.evidence },
        ..outcome
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ScrubError> + Send + 'static,
) -> Result<T, ScrubError> {
    spawn_blocking(work).await.map_err(|error| ScrubError::io("the thread that reads back")(error.into()))?
}
