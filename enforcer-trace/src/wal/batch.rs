//! Records on their way into the log, encoded, by tenant.

use std::collections::BTreeMap;
use std::sync::Arc;

use enforcer_proto::v1;
use prost::Message as _;

use super::frame::PLAIN_MAX_BYTES;
use crate::split::split;

/// Largest record that is kept.
pub(crate) const RECORD_MAX_BYTES: usize = 1 << 20;

/// A batch.
#[derive(Default)]
pub(crate) struct Batch {
    tenants: BTreeMap<String, Vec<Chunk>>,
    /// Records that are too large for any frame, by tenant.
    pub(crate) too_large: BTreeMap<String, u64>,
}

/// What goes into one frame.
#[derive(Default)]
pub(crate) struct Chunk {
    /// Records, each after its length.
    pub(crate) plain: Vec<u8>,
    pub(crate) records: u32,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Batch {
    /// Splits records by tenant; they are in the order of their numbers.
    pub(crate) fn of<'a>(records: impl Iterator<Item = &'a Arc<v1::Record>>) -> Self {
        let mut batch = Self::default();
        for record in records {
            split(record, |tenant, part| batch.put(tenant, part));
        }
        batch
    }

    pub(crate) fn tenants(&self) -> impl Iterator<Item = (&str, &[Chunk])> {
        self.tenants.iter().map(|(tenant, chunks)| (tenant.as_str(), chunks.as_slice()))
    }

    /// How many records each tenant has.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        let count = |chunks: &[Chunk]| chunks.iter().map(|chunk| u64::from(chunk.records)).sum();
        self.tenants().map(move |(tenant, chunks)| (tenant, count(chunks)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }

    fn put(&mut self, tenant: &str, record: &v1::Record) {
        let bytes = record.encoded_len();
        if bytes > RECORD_MAX_BYTES {
            *self.too_large.entry(tenant.to_owned()).or_default() += 1;
            return;
        }
        let chunks = match self.tenants.get_mut(tenant) {
            Some(chunks) => chunks,
            None => self.tenants.entry(tenant.to_owned()).or_default(),
        };
        if chunks.last().is_none_or(|chunk| chunk.plain.len() + bytes + 10 > PLAIN_MAX_BYTES) {
            chunks.push(Chunk { first: record.sequence, ..Chunk::default() });
        }
        if let Some(chunk) = chunks.last_mut()
            && record.encode_length_delimited(&mut chunk.plain).is_ok()
        {
            chunk.records += 1;
            chunk.last = record.sequence;
        }
    }
}
