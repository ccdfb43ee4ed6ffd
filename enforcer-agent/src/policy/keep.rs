//! Keeping revisions on disk: what is appended for a change, how history is read back, when the journal is
//! written anew.

use std::sync::Arc;

use enforcer_core::policy::change::{self, Change};
use enforcer_core::policy::model::Policy;
use enforcer_core::policy::wire;
use tracing::info;

use super::delta::{self, Difference};
use super::engine::Engine;
use super::history::History;
use super::start::StartError;
use super::store::{Content, Entry, StoreError};
use crate::door::policy::Revision;

/// The journal is written anew once it is longer than this and than twice what it was when last written.
const COMPACT_BYTES: u64 = 16 << 20;

/// The record of a revision that follows another one.
pub(super) fn entry(revision: &Revision, difference: &Difference) -> Entry {
    let whole = difference.objects * 2 > objects(&revision.policy);
    let content = if whole {
        Content::Base(wire::snapshot(&revision.policy))
    } else {
        Content::Delta(difference.delta.clone())
    };
    record(revision, content)
}

/// Every revision that the journal holds, oldest first; the last bases on what came before it.
pub(super) fn replay(entries: Vec<Entry>) -> Result<Option<History>, StartError> {
    let mut history: Option<History> = None;
    for entry in entries {
        let Entry { revision: number, time_unix_ns: time, author, source, digest, content } = entry;
        let before = history.as_ref().map(|history| Arc::clone(&history.current().policy));
        let (change, before) = match (content, before) {
            (Some(Content::Confirmed(_)), _) => {
                if let (Some(history), Ok(digest)) = (&mut history, digest.try_into()) {
                    history.set_digest(digest);
                }
                continue;
            }
            // What a snapshot leaves out is gone, but its tenants' numbers stay used.
            (Some(Content::Base(snapshot)), before) => {
                (Change::Snapshot(snapshot), before.unwrap_or_default())
            }
            (Some(Content::Delta(delta)), Some(before)) => (Change::Delta(delta), before),
            (Some(Content::Delta(_)) | None, _) => return Err(StartError::Unfounded { revision: number }),
        };
        let changed = change::apply(&before, &change, time)
            .map_err(|problems| StartError::Replay { revision: number, problems })?;
        let objects = delta::between(&before, &changed.policy).objects;
        let policy = Arc::new(changed.policy);
        let revision = Revision { number, time, author, source, digest: digest.try_into().ok(), policy };
        history.get_or_insert_with(|| History::empty(0)).push(revision, objects);
    }
    Ok(history)
}

impl Engine {
    /// Writes the journal anew when it has grown: the oldest kept revision whole, then the changes since.
    pub(super) fn compact(&mut self) -> Result<(), StoreError> {
        let before = self.store.bytes();
        if before < COMPACT_BYTES || before < self.store.rewritten_bytes().saturating_mul(2) {
            return Ok(());
        }
        self.compact_now()
    }

    pub(super) fn compact_now(&mut self) -> Result<(), StoreError> {
        let before = self.store.bytes();
        let kept = self.history.kept();
        let mut entries = Vec::with_capacity(kept.len());
        let mut previous: Option<&Arc<Revision>> = None;
        for revision in &kept {
            entries.push(match previous {
                None => record(revision, Content::Base(wire::snapshot(&revision.policy))),
                Some(previous) => entry(revision, &delta::between(&previous.policy, &revision.policy)),
            });
            previous = Some(revision);
        }
        self.store.rewrite(&entries)?;
        info!(before, after = self.store.bytes(), revisions = entries.len(), "journal compacted");
        Ok(())
    }
}

fn record(revision: &Revision, content: Content) -> Entry {
    Entry {
        revision: revision.number,
        time_unix_ns: revision.time,
        author: revision.author.clone(),
        source: revision.source.clone(),
        digest: revision.digest.map(Vec::from).unwrap_or_default(),
        content: Some(content),
    }
}

fn objects(policy: &Policy) -> usize {
    policy.tenants.len() + policy.workloads.len() + policy.rules.len() + policy.bindings.len()
}
