//! Policy from files: looked at once a second, read when something about them changed, and put through the
//! same pipeline as a push. The files are the whole policy: what they do not name goes.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use enforcer_core::policy::change::Change;
use enforcer_core::policy::parse::limits::{MAX_DOCUMENT_BYTES, MAX_FILES};
use enforcer_core::policy::parse::yaml;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use crate::door::policy::{Closed, PolicyDoor, Submission};
use crate::door::stop::Stop;

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(1);
/// How often files are tried again that were refused: the node may have what they need by now.
const RETRY: Duration = Duration::from_secs(30);

/// A file, or the `*.yaml` and `*.yml` files of a directory.
#[derive(Debug)]
pub struct FileSource {
    path: PathBuf,
    seen: Option<Vec<Stamp>>,
    applied: Option<[u8; 32]>,
    refused: Option<Instant>,
}

/// What changes when a file does.
type Stamp = (PathBuf, u64, u64, i64, i64);
/// Name and text.
type File = (String, String);

impl FileSource {
    /// A source that was not read yet.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self { path, seen: None, applied: None, refused: None }
    }

    /// Follows the files until the agent stops; `reread` has them read at once, changed or not.
    pub async fn follow(mut self, door: PolicyDoor, reread: Arc<Notify>, mut stop: Stop) {
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.wait() => return,
                () = reread.notified() => (self.seen, self.applied) = (None, None),
                _ = poll.tick() => {}
            }
            if let Err(Closed) = self.look(&door).await {
                return;
            }
        }
    }

    async fn look(&mut self, door: &PolicyDoor) -> Result<(), Closed> {
        let received = Instant::now();
        let path = self.path.clone();
        let (seen, retry) = (self.seen.clone(), self.refused.is_some_and(|at| at.elapsed() >= RETRY));
        let read = tokio::task::spawn_blocking(move || read_if_changed(&path, seen.as_deref(), retry)).await;
        let (stamps, files) = match read {
            Ok(Ok(Some(read))) => read,
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => {
                self.complain(&error);
                return Ok(());
            }
            Err(_) => return Err(Closed),
        };
        self.seen = Some(stamps);
        let digest = digest(&files);
        if self.applied == Some(digest) {
            return Ok(());
        }
        let Ok(documents) = tokio::task::spawn_blocking(move || yaml::read(&files)).await else {
            return Err(Closed);
        };
        let submission = Submission {
            change: Change::Documents { documents, prune: true },
            base_revision: None,
            author: "file".to_owned(),
            source: "file".to_owned(),
            received,
        };
        match door.apply(submission).await? {
            Ok(accepted) => {
                info!(path = %self.path.display(), revision = accepted.revision, "policy files in force");
                (self.applied, self.refused) = (Some(digest), None);
            }
            Err(refusal) => {
                for problem in &refusal.problems {
                    error!(path = %self.path.display(), %problem, "policy files refused");
                }
                self.refused = Some(Instant::now());
            }
        }
        Ok(())
    }

    /// Once, and again when it was mended and broke again.
    fn complain(&mut self, error: &io::Error) {
        if self.refused.is_none() {
            warn!(path = %self.path.display(), %error, "policy files cannot be read; what is in force stays");
        }
        (self.seen, self.refused) = (None, Some(Instant::now()));
    }
}

/// Stamps and texts, or `None` when the stamps are those that were seen.
fn read_if_changed(
    path: &Path,
    seen: Option<&[Stamp]>,
    retry: bool,
) -> io::Result<Option<(Vec<Stamp>, Vec<File>)>> {
    let stamps = stamps(path)?;
    if seen == Some(stamps.as_slice()) && !retry {
        return Ok(None);
    }
    let files = stamps.iter().map(|(path, ..)| read(path)).collect::<io::Result<_>>()?;
    Ok(Some((stamps, files)))
}

fn stamps(path: &Path) -> io::Result<Vec<Stamp>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        return Ok(vec![stamp(path, &metadata)]);
    }
    let mut stamps = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if !is_yaml(&path) {
            continue;
        }
        let metadata = fs::metadata(&path)?;
        if metadata.is_file() {
            stamps.push(stamp(&path, &metadata));
        }
        if stamps.len() > MAX_FILES {
            return Err(io::Error::other(format!("it holds more than {MAX_FILES} files")));
        }
    }
    stamps.sort();
    Ok(stamps)
}

fn stamp(path: &Path, metadata: &Metadata) -> Stamp {
    (path.to_owned(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

/// Hidden files are editors' and those of Kubernetes' atomic writer.
fn is_yaml(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    !hidden && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn read(path: &Path) -> io::Result<File> {
    let bytes = fs::metadata(path)?.len();
    if usize::try_from(bytes).map_or(true, |bytes| bytes > MAX_DOCUMENT_BYTES) {
        let text = format!("{} has {bytes} bytes, and at most {MAX_DOCUMENT_BYTES} are read", path.display());
        return Err(io::Error::other(text));
    }
    let text = fs::read_to_string(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    Ok((path.display().to_string(), text))
}

fn digest(files: &[File]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (name, text) in files {
        for part in [name, text] {
            hash.update(part.len().to_le_bytes());
            hash.update(part.as_bytes());
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_directory_is_its_yaml_files_in_order_and_nothing_hidden() {
        let directory = TempDir::new().unwrap();
        for name in ["b.yaml", "a.yml", ".c.yaml", "d.txt"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        let (stamps, files) = read_if_changed(directory.path(), None, false).unwrap().unwrap();
        let texts: Vec<&str> = files.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["a.yml", "b.yaml"]);
        assert!(read_if_changed(directory.path(), Some(&stamps), false).unwrap().is_none());
        assert!(read_if_changed(directory.path(), Some(&stamps), true).unwrap().is_some());
        fs::write(directory.path().join("b.yaml"), "longer than before").unwrap();
        assert!(read_if_changed(directory.path(), Some(&stamps), false).unwrap().is_some());
    }

    #[test]
    fn a_missing_path_is_an_error_and_no_empty_policy() {
        let directory = TempDir::new().unwrap();
        assert!(read_if_changed(&directory.path().join("gone.yaml"), None, false).is_err());
    }
}
