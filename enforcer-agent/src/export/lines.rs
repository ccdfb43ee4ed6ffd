//! Records as lines of JSON in a file that is kept short: when it is full it becomes the first of the older ones, and the
//! oldest of those goes. For shippers of log files.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use enforcer_core::event::json;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_stream::StreamExt as _;
use tracing::{info, warn};

use crate::config::settings::LinesSettings;
use crate::door::records::{Scope, Start, Subscribe};
use crate::door::stop::Stop;

const FILE_MODE: u32 = 0o600;
/// How long lines wait for others.
const DELAY: Duration = Duration::from_millis(200);
/// Lines that are written at once.
const CHUNK_MAX_BYTES: usize = 256 * 1024;
/// How long to wait for a disk that takes nothing.
const REST: Duration = Duration::from_secs(5);
/// Where the last line of a file is looked for: no record is longer.
const TAIL_BYTES: u64 = 1 << 20;

/// Writes until there are no more records or the word to stop comes. With `continues`, it goes on behind the last line.
pub async fn run(settings: LinesSettings, subscribe: Subscribe, continues: bool, mut stop: Stop) {
    let mut lines = Lines { settings, file: None, bytes: 0 };
    let start = match lines.last_sequence().filter(|_| continues) {
        Some(last) => Start::After(last),
        None => Start::Oldest,
    };
    let mut records = subscribe(Scope::Everything, start, true);
    let mut chunk = String::new();
    let mut is_over = false;
    while !is_over {
        tokio::select! {
            biased;
            () = stop.wait() => is_over = true,
            record = records.next() => match record {
                Some(record) => {
                    chunk.push_str(&json::line(&record));
                    chunk.push('\n');
                }
                None => is_over = true,
            },
            () = sleep(DELAY), if !chunk.is_empty() => {
                lines = write(lines, &mut chunk, &mut stop).await;
            }
        }
        if chunk.len() >= CHUNK_MAX_BYTES || (is_over && !chunk.is_empty()) {
            lines = write(lines, &mut chunk, &mut stop).await;
        }
    }
}

/// Writes a chunk, however long that takes: meanwhile no more records are read, and their keeper counts what it can no
/// longer hold.
async fn write(mut lines: Lines, chunk: &mut String, stop: &mut Stop) -> Lines {
    let mut is_told = false;
    loop {
        let bytes = std::mem::take(chunk);
        let written = spawn_blocking(move || {
            let done = lines.write(bytes.as_bytes());
            (lines, bytes, done)
        });
        let Ok((back, bytes, done)) = written.await else {
            // The runtime ends.
            return Lines { settings: LinesSettings::default(), file: None, bytes: 0 };
        };
        lines = back;
        let path = lines.settings.path.display();
        match done {
            Ok(()) => {
                if is_told {
                    info!(%path, "records are written again");
                }
                return lines;
            }
            Err(error) if !is_told => warn!(%path, %error, "records cannot be written; they wait"),
            Err(_) => {}
        }
        is_told = true;
        *chunk = bytes;
        tokio::select! {
            () = stop.wait() => return lines,
            () = sleep(REST) => {}
        }
    }
}

/// The file and its older ones.
#[derive(Debug)]
struct Lines {
    settings: LinesSettings,
    file: Option<File>,
    bytes: u64,
}

impl Lines {
    /// Appends whole lines: all of them or none.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.bytes > 0 && self.bytes.saturating_add(length) > self.settings.max_bytes {
            self.file = None;
            self.rotate()?;
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => self.open()?,
        };
        if let Err(error) = (&file).write_all(bytes) {
            file.set_len(self.bytes)?;
            return Err(error);
        }
        self.bytes += length;
        self.file = Some(file);
        Ok(())
    }

    /// Opens the file, and ends a line that was cut off.
    fn open(&mut self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(FILE_MODE).open(&self.settings.path)?;
        self.bytes = file.metadata()?.len();
        let whole = whole_lines(&file, self.bytes)?;
        if whole < self.bytes {
            file.set_len(whole)?;
            self.bytes = whole;
        }
        Ok(file)
    }

    fn rotate(&mut self) -> io::Result<()> {
        let path = &self.settings.path;
        for number in (0..self.settings.keep).rev() {
            let (from, to) = (older(path, number), older(path, number + 1));
            match fs::rename(&from, &to) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if self.settings.keep == 0 {
            fs::remove_file(path)?;
        }
        self.bytes = 0;
        Ok(())
    }

    /// The number of the last record in the file, or in the newest of the older ones.
    fn last_sequence(&self) -> Option<u64> {
        let last = |path: PathBuf| {
            let text = tail(&path).ok()?;
            let whole = text.get(..text.rfind('\n')?)?;
            let line: serde_json::Value = serde_json::from_str(whole.rsplit('\n').next()?).ok()?;
            let sequence = line.get("sequence")?;
            sequence.as_u64().or_else(|| sequence.as_str()?.parse().ok())
        };
        last(self.settings.path.clone()).or_else(|| last(older(&self.settings.path, 1)))
    }
}

/// Number 0 is the file itself.
fn older(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Where the last whole line ends.
fn whole_lines(mut file: &File, length: u64) -> io::Result<u64> {
    let start = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    Ok(start + u64::try_from(end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use enforcer_proto::v1;

    use super::*;
    use crate::door::stop::Stopper;

    /// Records from a start up to a number, and then no end.
    fn source(last: u64) -> Subscribe {
        Arc::new(move |_, start, _| {
            let first = if let Start::After(number) = start { number + 1 } else { 1 };
            let record = |sequence| v1::Record { sequence, node: "n1".to_owned(), ..v1::Record::default() };
            let records: Vec<_> = (first..=last).map(record).collect();
            Box::pin(tokio_stream::iter(records).chain(tokio_stream::pending()))
        })
    }

    async fn wrote(settings: &LinesSettings, last: u64, continues: bool) {
        let stopper = Stopper::default();
        let writing = tokio::spawn(run(settings.clone(), source(last), continues, stopper.listener()));
        sleep(3 * DELAY).await;
        stopper.stop();
        writing.await.unwrap();
    }

    fn sequences(path: &Path) -> Vec<u64> {
        let text = fs::read_to_string(path).unwrap();
        let sequence = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["sequence"].as_u64().unwrap()
        };
        text.lines().map(sequence).collect()
    }

    #[tokio::test]
    async fn lines_go_on_behind_the_last_whole_one() {
        let place = tempfile::tempdir().unwrap();
        let settings =
            LinesSettings { path: place.path().join("records.jsonl"), max_bytes: 1 << 20, keep: 2 };
        wrote(&settings, 3, true).await;
        assert_eq!(sequences(&settings.path), [1, 2, 3]);
        // The agent was killed while it wrote.
        let mut file = OpenOptions::new().append(true).open(&settings.path).unwrap();
        file.write_all(b"{\"sequence\":4,\"no").unwrap();
        wrote(&settings, 5, true).await;
        assert_eq!(sequences(&settings.path), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_full_file_becomes_an_older_one_and_the_oldest_goes() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("records.jsonl");
        let settings = LinesSettings { path: path.clone(), max_bytes: 40, keep: 2 };
        let mut lines = Lines { settings, file: None, bytes: 0 };
        for sequence in 1..=8 {
            lines.write(format!("{{\"sequence\":{sequence}}}\n").as_bytes()).unwrap();
        }
        assert_eq!(sequences(&path), [7, 8]);
        assert_eq!(sequences(&older(&path, 1)), [5, 6]);
        assert_eq!(sequences(&older(&path, 2)), [3, 4]);
        assert!(!older(&path, 3).exists());
        assert_eq!(lines.last_sequence(), Some(8));
        fs::remove_file(&path).unwrap();
        assert_eq!(lines.last_sequence(), Some(6));
    }

    #[test]
    fn a_disk_that_takes_nothing_is_an_error_and_leaves_whole_lines() {
        let settings = LinesSettings { path: "/dev/full".into(), max_bytes: 1 << 20, keep: 1 };
        let mut lines =
            Lines { settings, file: Some(File::options().write(true).open("/dev/full").unwrap()), bytes: 0 };
        assert!(lines.write(b"{}\n").is_err());
        assert!(lines.file.is_none());
    }
}
