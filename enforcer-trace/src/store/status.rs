//! What the store holds, for a person.

use super::Store;
use crate::keys::PublicKey;
use crate::store::append::Loss;

/// The state of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Every record up to this one is on disk, or was lost and counted.
    pub sequence: u64,
    /// Segments of the log that are not sealed, with the current one.
    pub segments: u64,
    /// By tenant, in order; `_node` for what belongs to none.
    pub tenants: Vec<TenantStatus>,
    /// Records that were not kept since the store was opened.
    pub losses: Vec<Loss>,
    /// Sentences: what went wrong last, and is tried again.
    pub problems: Vec<String>,
    /// Name of the key that signs checkpoints: SHA-256 of its public half, hexadecimal.
    pub signer: String,
    /// The latest checkpoint, as it is on disk.
    pub checkpoint: Vec<u8>,
}

/// What is sealed of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantStatus {
    /// Its name.
    pub tenant: String,
    /// Sealed files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their records.
    pub records: u64,
    /// Time of the oldest record, nanoseconds since 1970; 0 when there is none.
    pub oldest_ns: u64,
    /// Time of the newest record.
    pub newest_ns: u64,
    /// Records of files that were removed.
    pub removed: u64,
}

impl Store {
    /// What it holds.
    #[must_use]
    pub fn status(&self) -> Status {
        let losses = self.losses.iter().map(|((tenant, cause), records)| Loss {
            tenant: tenant.clone(),
            cause,
            records: *records,
        });
        let closed = u64::try_from(self.log.closed().count()).unwrap_or(u64::MAX);
        Status {
            sequence: self.sequence,
            segments: closed + u64::from(self.log.current().is_some()),
            tenants: self.chains.keys().map(|tenant| self.tenant(tenant)).collect(),
            losses: losses.collect(),
            problems: self.problems.iter().map(|(what, error)| format!("{what}: {error}")).collect(),
            signer: PublicKey(self.keys.public()).fingerprint(),
            checkpoint: self.checkpoints.bytes.clone(),
        }
    }

    fn tenant(&self, tenant: &str) -> TenantStatus {
        let Some(chain) = self.chains.get(tenant) else { return TenantStatus::default() };
        let mut status = TenantStatus {
            tenant: tenant.to_owned(),
            removed: chain.removed_records(),
            ..TenantStatus::default()
        };
        for facts in chain.files() {
            status.oldest_ns = if status.files == 0 {
                facts.first_time_ns
            } else {
                status.oldest_ns.min(facts.first_time_ns)
            };
            status.newest_ns = status.newest_ns.max(facts.last_time_ns);
            status.files += 1;
            status.bytes = status.bytes.saturating_add(facts.bytes);
            status.records = status.records.saturating_add(facts.records);
        }
        status
    }
}
