//! Copies the store to where the configuration says, a pass after another. A bucket that is away is told, and tried again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use enforcer_trace::ship::{Pace, Shipper, Target, TargetError};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::shared::Shared;
use crate::door::stop::Stop;

/// How often a pass is begun.
const EVERY: Duration = Duration::from_secs(60);
/// Larger than any file of options.
const OPTIONS_MAX_BYTES: u64 = 64 << 10;

/// Why nothing can be copied there.
#[derive(Debug, thiserror::Error)]
pub enum ShippingError {
    /// The place, or an option, means nothing.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The file with options cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Others could read the secrets in it.
    #[error("{path} has mode {mode:04o}: options of the object store are for their owner alone (0600)")]
    Permissions {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is no list of options.
    #[error("{path}, line {line}: write name=value, or begin with #")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
}

/// Who copies.
pub struct Shipping {
    shipper: Shipper,
    url: String,
}

impl Shipping {
    /// For a store, a place, and options of which a file has more.
    ///
    /// # Errors
    /// The place or an option means nothing, or the file cannot be used.
    pub fn open(
        directory: PathBuf,
        url: &str,
        options: &BTreeMap<String, String>,
        file: Option<&Path>,
    ) -> Result<Self, ShippingError> {
        let mut all = options.clone();
        if let Some(file) = file {
            all.extend(read(file)?);
        }
        let target = Target::parse(url, &all)?;
        Ok(Self { shipper: Shipper::new(directory, target, Pace::default()), url: url.to_owned() })
    }

    /// Copies until the agent stops.
    pub(super) async fn run(self, shared: Arc<Shared>, mut stop: Stop) {
        let mut poll = interval(EVERY);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let pass = async {
                poll.tick().await;
                self.shipper.pass().await
            };
            let passed = tokio::select! {
                () = stop.wait() => return,
                passed = pass => passed,
            };
            let problem = passed.err().map(|error| format!("the copy at {} is behind: {error}", self.url));
            let known = std::mem::replace(&mut shared.view().shipping, problem.clone());
            match problem {
                Some(problem) if known.is_none() => {
                    warn!(problem, "traces are not copied; it is tried again")
                }
                None if known.is_some() => info!(url = self.url, "traces are copied again"),
                Some(_) | None => {}
            }
        }
    }
}

fn read(path: &Path) -> Result<BTreeMap<String, String>, ShippingError> {
    let unreadable = |error| ShippingError::Unreadable { path: path.to_owned(), error };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(ShippingError::Permissions { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.take(OPTIONS_MAX_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    let mut options = BTreeMap::new();
    for (line, words) in (1..).zip(text.lines()) {
        let words = words.trim();
        if words.is_empty() || words.starts_with('#') {
            continue;
        }
        let syntax = || ShippingError::Syntax { path: path.to_owned(), line };
        let (name, value) = words.split_once('=').ok_or_else(syntax)?;
        options.insert(name.trim().to_owned(), value.trim().to_owned());
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn options_come_from_a_file_of_its_owner_alone() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("options");
        std::fs::write(&path, "# s3\n\nregion = x\nsecret_access_key=a=b\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read(&path), Err(ShippingError::Permissions { mode: 0o640, .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let options = read(&path).unwrap();
        assert_eq!((options["region"].as_str(), options["secret_access_key"].as_str()), ("x", "a=b"));
        std::fs::write(&path, "a=b\nnonsense\n").unwrap();
        assert!(matches!(read(&path), Err(ShippingError::Syntax { line: 2, .. })));
        assert!(matches!(read(&directory.path().join("none")), Err(ShippingError::Unreadable { .. })));
    }

    #[test]
    fn a_place_that_means_nothing_is_refused() {
        let open = |url: &str| Shipping::open("/store".into(), url, &BTreeMap::new(), None);
        assert!(open("nowhere").is_err());
    }
}
