//! A copy of the store in a bucket or a folder, that can be verified as the store can. Nothing in it is readable without
//! keys, since nothing in the store is. It only adds: what retention removes here stays there, and how long is for the
//! bucket's own rules to say.
//!
//! A pass takes one checkpoint and makes the copy hold exactly what it signs for: sealed files first, then the log,
//! then the chains that name the files, the checkpoint last. A pass that breaks off leaves the copy as the checkpoint
//! before says, and the next one goes on where it stopped, since what is there is listed and not sent again.

mod plan;
mod send;
mod target;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plan::{Item, Plan};
pub use target::{Target, TargetError};

/// How often a pass is begun anew because the store went on meanwhile.
const BEGUN_MOST: u32 = 3;

/// Why a pass did not end.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// The store cannot be read.
    #[error("cannot read {path}: {error}")]
    Store {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is a checkpoint, and it is none.
    #[error("cannot ship by the checkpoint: {0}")]
    Checkpoint(#[from] crate::checkpoint::CheckpointError),
    /// The other side refuses, or is away.
    #[error("cannot ship {path}: {error}")]
    Target {
        /// Which object.
        path: String,
        /// What it says.
        error: object_store::Error,
    },
    /// The other side did not answer.
    #[error("cannot ship {path}: no answer in {seconds} s")]
    Timeout {
        /// Which object.
        path: String,
        /// How long was waited.
        seconds: u64,
    },
    /// What is there is not what was sent.
    #[error("{path} was sent with {sent} bytes, and {found} are there")]
    Altered {
        /// Which object.
        path: String,
        /// Bytes that were sent.
        sent: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// A sealed file is not what its chain says: it is not sent in the place of the one that was sealed.
    #[error("{0} is not what its chain says: verify the store")]
    Changed(PathBuf),
    /// Files went while they were sent, each time.
    #[error("the store goes on faster than it can be shipped: {0} is gone")]
    Gone(PathBuf),
    /// A thread of the runtime ended.
    #[error("a read of the store ended in a panic")]
    Panicked,
}

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Times that one object is tried.
    pub tries: u32,
    /// Before the second try; doubled before each further one.
    pub delay: Duration,
    /// After which a try counts as failed.
    pub patience: Duration,
}

impl Default for Pace {
    /// Four times, after a half, one and two seconds; two minutes for each.
    fn default() -> Self {
        Self { tries: 4, delay: Duration::from_millis(500), patience: Duration::from_secs(120) }
    }
}

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shipped {
    /// The number of the checkpoint that the copy now stands at; 0 when there was nothing to ship.
    pub checkpoint: u64,
    /// Every record up to this one is in the copy.
    pub sequence: u64,
    /// Objects that were sent.
    pub sent: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that were there.
    pub present: u64,
}

/// Ships one store to one place. Who calls decides when; a pass never waits but for the other side, and touches nothing
/// that an agent writes.
#[derive(Debug)]
pub struct Shipper {
    directory: PathBuf,
    target: Target,
    pace: Pace,
}

impl Shipper {
    /// For the store in a directory.
    #[must_use]
    pub const fn new(directory: PathBuf, target: Target, pace: Pace) -> Self {
        Self { directory, target, pace }
    }

    /// Brings the copy to the store's latest checkpoint. Dropped in between, it leaves nothing half done that the next
    /// pass does not mend.
    ///
    /// # Errors
    /// What could not be sent; everything before it was.
    pub async fn pass(&self) -> Result<Shipped, ShipError> {
        let mut begun = 0;
        loop {
            begun += 1;
            match self.begin().await {
                // Sealed, or removed by retention, since the checkpoint: the next one says so.
                Err(ShipError::Gone(_)) if begun < BEGUN_MOST => {}
                ended => return ended,
            }
        }
    }

    async fn begin(&self) -> Result<Shipped, ShipError> {
        let directory = self.directory.clone();
        let Some(plan) = blocking(move || Plan::read(&directory)).await? else {
            return Ok(Shipped::default());
        };
        let mut shipped = Shipped { checkpoint: plan.number, sequence: plan.sequence, ..Shipped::default() };
        for tenant in &plan.tenants {
            let present = self.list(&tenant.place).await?;
            self.send_missing(&tenant.files, &present, &mut shipped).await?;
        }
        let present = self.list(crate::wal::DIRECTORY).await?;
        self.send_missing(&plan.log, &present, &mut shipped).await?;
        let receipts = self.list(crate::receipt::DIRECTORY).await?;
        self.send_missing(&plan.receipts, &receipts, &mut shipped).await?;
        for tenant in &plan.tenants {
            self.send(&tenant.chain, &mut shipped).await?;
        }
        for item in [&plan.signer, &plan.checkpoint] {
            self.send(item, &mut shipped).await?;
        }
        for sealed in present.keys().filter(|path| plan.is_sealed(path)) {
            self.target.remove(sealed, self.pace).await?;
        }
        Ok(shipped)
    }

    async fn list(&self, place: &str) -> Result<BTreeMap<String, u64>, ShipError> {
        self.target.list(place, self.pace).await
    }

    async fn send_missing(
        &self,
        items: &[Item],
        present: &BTreeMap<String, u64>,
        shipped: &mut Shipped,
    ) -> Result<(), ShipError> {
        for item in items {
            if present.get(&item.place) == Some(&item.bytes) {
                shipped.present += 1;
            } else {
                self.send(item, shipped).await?;
            }
        }
        Ok(())
    }

    async fn send(&self, item: &Item, shipped: &mut Shipped) -> Result<(), ShipError> {
        send::send(&self.target, item, self.pace).await?;
        shipped.sent += 1;
        shipped.bytes += item.bytes;
        Ok(())
    }
}

/// Runs what waits for the disk where it holds nobody up.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ShipError> + Send + 'static,
) -> Result<T, ShipError> {
    tokio::task::spawn_blocking(read).await.map_err(|_| ShipError::Panicked)?
}

/// What a failed read of the store is.
fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> ShipError + use<> {
    let path = path.to_owned();
    |error| match error.kind() {
        io::ErrorKind::NotFound => ShipError::Gone(path),
        _ => ShipError::Store { path, error },
    }
}

#[cfg(test)]
mod tests;
