//! Where copies go: a folder, or a bucket of S3 and what speaks its API.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::future::Future;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, RetryConfig};
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt as _;

use super::{Pace, ShipError};

/// Retries within one request are few: a pass has its own.
const REQUEST_RETRIES: usize = 2;
const REQUEST_RETRY_SECONDS: u64 = 30;

/// Why there is no such place.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Of another kind.
    #[error("\"{0}\" is neither file:///DIRECTORY nor s3://BUCKET or s3://BUCKET/PREFIX")]
    Url(String),
    /// Not an option of S3 clients.
    #[error("\"{0}\" is no option of an S3 client (region, endpoint, access_key_id, allow_http, ...)")]
    Option(String),
    /// Options that go together, a prefix, or a directory.
    #[error("cannot use \"{url}\": {problem}")]
    Unusable {
        /// Which.
        url: String,
        /// What is wrong.
        problem: String,
    },
}

/// A place for copies.
#[derive(Debug)]
pub struct Target {
    pub(super) store: Arc<dyn ObjectStore>,
    prefix: String,
}

impl Target {
    /// `file:///directory`, or `s3://bucket/prefix` with options as S3 clients have them; what is not given comes from
    /// the environment (`AWS_ACCESS_KEY_ID`, ...) or the machine's role.
    ///
    /// # Errors
    /// Another kind of place, unknown options, a directory that cannot be made.
    pub fn parse(url: &str, options: &BTreeMap<String, String>) -> Result<Self, TargetError> {
        let unusable = |problem: String| TargetError::Unusable { url: url.to_owned(), problem };
        if let Some(directory) = url.strip_prefix("file://").filter(|path| path.starts_with('/')) {
            if let Some(option) = options.keys().next() {
                return Err(TargetError::Option(option.clone()));
            }
            let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(|error| unusable(error.to_string()))?;
            let store =
                LocalFileSystem::new_with_prefix(directory).map_err(|error| unusable(error.to_string()))?;
            return Ok(Self { store: Arc::new(store), prefix: String::new() });
        }
        let rest = url.strip_prefix("s3://").ok_or_else(|| TargetError::Url(url.to_owned()))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(TargetError::Url(url.to_owned()));
        }
        let prefix =
            Path::parse(prefix.trim_end_matches('/')).map_err(|error| unusable(error.to_string()))?;
        let store = bucket_of(bucket, options)?.build().map_err(|error| unusable(error.to_string()))?;
        Ok(Self { store: Arc::new(store), prefix: prefix.to_string() })
    }

    /// The object of a name in the copy.
    pub(super) fn at(&self, place: &str) -> Path {
        match self.prefix.as_str() {
            "" => Path::from(place),
            prefix => Path::from(format!("{prefix}/{place}")),
        }
    }

    /// Names below a place, and their sizes.
    pub(super) async fn list(&self, place: &str, pace: Pace) -> Result<BTreeMap<String, u64>, ShipError> {
        self.patiently(place, pace, || async {
            let at = self.at(place);
            let mut names = BTreeMap::new();
            let mut listed = self.store.list(Some(&at));
            while let Some(found) = listed.next().await {
                let found = found.map_err(|error| ShipError::Target { path: place.to_owned(), error })?;
                if let Some(below) = found.location.as_ref().strip_prefix(at.as_ref()) {
                    names.insert(format!("{place}{below}"), found.size);
                }
            }
            Ok(names)
        })
        .await
    }

    /// Removes an object; that it is gone already is as well.
    pub(super) async fn remove(&self, place: &str, pace: Pace) -> Result<(), ShipError> {
        self.patiently(place, pace, || async {
            match self.store.delete(&self.at(place)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(ShipError::Target { path: place.to_owned(), error }),
            }
        })
        .await
    }

    /// Tries something as often as the pace allows, with a longer break each time.
    pub(super) async fn patiently<T, F: Future<Output = Result<T, ShipError>>>(
        &self,
        place: &str,
        pace: Pace,
        attempt: impl Fn() -> F,
    ) -> Result<T, ShipError> {
        let mut delay = pace.delay;
        let mut tried = 1;
        loop {
            let late = ShipError::Timeout { path: place.to_owned(), seconds: pace.patience.as_secs() };
            match timeout(pace.patience, attempt()).await.unwrap_or(Err(late)) {
                Err(error) if may_pass(&error) && tried < pace.tries => {
                    tracing::debug!(%error, tried, "shipping is tried again");
                    sleep(delay).await;
                    delay = delay.saturating_mul(2);
                    tried += 1;
                }
                ended => return ended,
            }
        }
    }
}

fn bucket_of(bucket: &str, options: &BTreeMap<String, String>) -> Result<AmazonS3Builder, TargetError> {
    let retries = RetryConfig {
        max_retries: REQUEST_RETRIES,
        retry_timeout: Duration::from_secs(REQUEST_RETRY_SECONDS),
        ..RetryConfig::default()
    };
    // The other side compares what it got with a checksum, and refuses what differs.
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_checksum_algorithm(Checksum::SHA256)
        .with_retry(retries);
    for (name, value) in options {
        let key: AmazonS3ConfigKey = name.parse().map_err(|_| TargetError::Option(name.clone()))?;
        builder = builder.with_config(key, value);
    }
    Ok(builder)
}

/// Whether trying again could help.
fn may_pass(error: &ShipError) -> bool {
    use object_store::Error::{InvalidPath, NotImplemented, NotSupported, PermissionDenied, Unauthenticated};
    match error {
        ShipError::Target { error, .. } => !matches!(
            error,
            InvalidPath { .. }
                | NotImplemented
                | NotSupported { .. }
                | PermissionDenied { .. }
                | Unauthenticated { .. }
        ),
        ShipError::Timeout { .. } | ShipError::Altered { .. } => true,
        ShipError::Store { .. }
        | ShipError::Checkpoint(_)
        | ShipError::Changed(_)
        | ShipError::Gone(_)
        | ShipError::Panicked => false,
    }
}
