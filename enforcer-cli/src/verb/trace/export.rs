//! `trace export`: records into a file that other programs read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use enforcer_proto::v1;
use enforcer_trace::export::{self as formats, Exported};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::span::Span;
use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::session::Session;
use crate::verb::open;
use crate::verb::which::Which;

/// Records between the agent and the file.
const AHEAD_MAX: usize = 1_024;
/// How often a person is told how far it is.
const PROGRESS: Duration = Duration::from_secs(2);

/// Write records that are kept into a file, for other programs.
#[derive(Args, Debug)]
#[command(
    long_about = "Writes records that are kept into a file: JSON lines, Parquet without encryption, or a capture of the first \
                  bytes of refused packets with the verdict as comment, which Wireshark and tshark open. The file is for \
                  its owner alone. One that is there is left alone unless --force is given, and then it is replaced only \
                  by a whole one.",
    after_help = "Examples:\n  enforcerctl trace export --format pcapng --file refused.pcapng --from '1h ago'\n  \
                  enforcerctl trace export --format parquet --file team-a.parquet --tenant team-a\n  \
                  enforcerctl trace export --format json --file all.jsonl --force"
)]
pub(super) struct Export {
    /// Which form.
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Format,

    /// Where to.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,

    /// Replace a file that is there.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    span: Span,

    #[command(flatten)]
    which: Which,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A JSON object a line.
    Json,
    /// A capture of refused packets.
    Pcapng,
    /// Parquet, not encrypted.
    Parquet,
}

impl Export {
    /// Asks, writes, and says how much it was.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let request = self.span.query(&self.which)?;
        if self.file.exists() && !self.force {
            return Err(Failure::Exists(self.file.display().to_string()));
        }
        let session = open(global).await?;
        let records = session.answer(session.trace().query(request)).await?;
        let place = Place::make(&self.file)?;
        let exported = write(&session, records, self.format, &place, console).await?;
        place.finish(self.force)?;
        let Exported { records, left_out, lost } = exported;
        console.note(&format!("{records} records are in {}", self.file.display()));
        if left_out > 0 {
            console.note(&format!("{left_out} records have no packet, and are left out"));
        }
        if lost > 0 {
            console.warn(&format!("{lost} records are missing from what was exported"));
        }
        Ok(())
    }
}

/// Hands what comes to a thread that writes it.
async fn write(
    session: &Session,
    mut records: tonic::Streaming<v1::Record>,
    format: Format,
    place: &Place,
    console: &mut Console<'_>,
) -> Result<Exported, Failure> {
    let format = match format {
        Format::Json => formats::Format::JsonLines,
        Format::Pcapng => formats::Format::PcapNg,
        Format::Parquet => formats::Format::Parquet,
    };
    let (out, mut taken) = mpsc::channel(AHEAD_MAX);
    let file = place.file.try_clone().map_err(|error| place.failed(error))?;
    let writer = tokio::task::spawn_blocking(move || {
        formats::export(std::iter::from_fn(|| taken.blocking_recv()), format, file)
    });
    let is_watched = io::stderr().is_terminal();
    let mut progress = interval_at(Instant::now() + PROGRESS, PROGRESS);
    progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0_u64;
    loop {
        tokio::select! {
            record = records.message() => match record.map_err(|status| session.failed(&status))? {
                // A writer that gave up says why below.
                Some(record) => {
                    if out.send(record).await.is_err() {
                        break;
                    }
                    count += 1;
                }
                None => break,
            },
            _ = progress.tick(), if is_watched => console.note(&format!("{count} records so far")),
        }
    }
    drop(out);
    let written = writer.await.map_err(|error| place.failed(io::Error::other(error)))?;
    written.map_err(|error| place.failed(io::Error::other(error)))
}

/// A file that has its name once it is whole.
struct Place {
    path: PathBuf,
    partial: PathBuf,
    file: File,
}

impl Place {
    fn make(path: &Path) -> Result<Self, Failure> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(format!(".{}.partial", std::process::id()));
        let partial = PathBuf::from(partial);
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
        let file = made.map_err(|error| Failure::Write { path: partial.display().to_string(), error })?;
        Ok(Self { path: path.to_owned(), partial, file })
    }

    /// Gives it its name; one that is there keeps it unless it may be replaced.
    fn finish(self, replaces: bool) -> Result<(), Failure> {
        self.file.sync_all().map_err(|error| self.failed(error))?;
        if replaces {
            return fs::rename(&self.partial, &self.path).map_err(|error| self.failed(error));
        }
        match fs::hard_link(&self.partial, &self.path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Failure::Exists(self.path.display().to_string()))
            }
            linked => linked.map_err(|error| self.failed(error)),
        }
    }

    fn failed(&self, error: io::Error) -> Failure {
        Failure::Write { path: self.path.display().to_string(), error }
    }
}

impl Drop for Place {
    /// What is not whole is not left behind.
    fn drop(&mut self) {
        let _has_its_name = fs::remove_file(&self.partial);
    }
}
