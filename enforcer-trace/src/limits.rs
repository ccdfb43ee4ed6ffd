//! How much the store keeps, and how it portions it.

use std::collections::BTreeMap;

/// Bounds of a store.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A segment of the log that has grown to this is sealed, even within its hour.
    pub segment_bytes: u64,
    /// Nanoseconds after which it is sealed, even within its hour.
    pub segment_ns: u64,
    /// Records of a sealed file, at most.
    pub file_records: u64,
    /// Segments that cannot be sealed, because the disk is full, may grow to this together; then the oldest goes.
    pub log_bytes: u64,
    /// What is kept of a tenant that has no entry of its own.
    pub keep: Keep,
    /// What is kept of these tenants; `_node` stands for what belongs to none.
    pub tenants: BTreeMap<String, Keep>,
    /// Bytes of all sealed files together.
    pub total_bytes: u64,
    /// Bytes of the disk that are left free.
    pub free_bytes: u64,
    /// Nanoseconds from one checkpoint to the next, at least, while there is news.
    pub checkpoint_ns: u64,
}

/// How long, and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Nanoseconds from a file's last record on.
    pub age_ns: u64,
    /// Bytes of sealed files.
    pub bytes: u64,
}

impl Default for Keep {
    /// Thirty days, 16 GiB.
    fn default() -> Self {
        Self { age_ns: 30 * 24 * crate::name::HOUR_NS, bytes: 16 << 30 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            segment_ns: crate::name::HOUR_NS,
            file_records: 4_000_000,
            log_bytes: 1 << 30,
            keep: Keep::default(),
            tenants: BTreeMap::new(),
            total_bytes: 64 << 30,
            free_bytes: 256 << 20,
            checkpoint_ns: 1_000_000_000,
        }
    }
}

impl Limits {
    /// What is kept of a tenant.
    #[must_use]
    pub fn keep(&self, tenant: &str) -> Keep {
        self.tenants.get(tenant).copied().unwrap_or(self.keep)
    }
}
