//! Sealing one segment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::file::Sheet;
use super::index::{Index, Owner};
use crate::chain::{Lost, LostWhy, Sealed};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::keys::{FileKey, KeyError, Keys};
use crate::name;
use crate::split::NODE;
use crate::wal::{self, Chain, Found, Opener, Reader};

/// What is to be sealed.
pub(crate) struct Job {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) keys: Arc<dyn Keys>,
    /// The store's directory.
    pub(crate) root: PathBuf,
    pub(crate) node: String,
    pub(crate) segment: u64,
    /// The hash of the segment's last frame that was acknowledged; none where none was.
    pub(crate) until: Option<Chain>,
    /// By tenant, the last record of this segment that is in a file already.
    pub(crate) after: BTreeMap<String, u64>,
    /// The last record that is in a file, whosever.
    pub(crate) before: u64,
    /// Records of a file, at most.
    pub(crate) file_records: u64,
    /// Set when nobody waits for the result any more.
    pub(crate) stop: Arc<AtomicBool>,
}

/// What became of a part of the segment.
pub(crate) enum Part {
    /// A file, whole and on the disk, that still has to get its name and its line.
    File { tenant: String, temporary: PathBuf, sealed: Sealed },
    /// Records that cannot be sealed.
    Lost { tenant: String, lost: Lost },
}

impl Job {
    /// Does it. Nothing that is there is changed.
    ///
    /// # Errors
    /// It can be tried again.
    pub(crate) fn run(&self) -> Result<Vec<Part>, StoreError> {
        let mut parts = Vec::new();
        match self.fill(&mut parts) {
            Ok(()) => Ok(parts),
            Err(error) => {
                for part in parts {
                    if let Part::File { temporary, .. } = part {
                        let _tried_again_later = self.disk.remove(&temporary);
                    }
                }
                Err(error)
            }
        }
    }

    fn fill(&self, parts: &mut Vec<Part>) -> Result<(), StoreError> {
        let path = self.path();
        let unreadable = |error| StoreError::io("read", &path, error);
        let Some(until) = &self.until else { return Ok(()) };
        let index = Index::of(&path, self.segment, Some(until)).map_err(unreadable)?;
        let hour = name::hour(index.time_ns);
        for owner in index.owners.values().filter(|owner| !owner.frames.is_empty()) {
            self.tenant(owner, &hour, parts)?;
        }
        parts.extend(index.damaged.into_iter().map(|(tenant, mut lost)| {
            lost.first = lost.first.max(self.before.saturating_add(1)).min(lost.last);
            Part::Lost { tenant, lost }
        }));
        if !index.is_complete {
            let (first, segment) = (index.last.saturating_add(1), self.segment);
            let lost = Lost { segment, first, last: first, records: 0, why: LostWhy::Cut };
            parts.push(Part::Lost { tenant: NODE.to_owned(), lost });
        }
        Ok(())
    }

    fn path(&self) -> PathBuf {
        wal::path(&self.root.join(wal::DIRECTORY), self.segment)
    }

    fn tenant(&self, owner: &Owner, hour: &str, parts: &mut Vec<Part>) -> Result<(), StoreError> {
        let tenant = &owner.note.tenant;
        let keys = Opener::new(&owner.note, self.keys.as_ref())
            .and_then(|opener| Ok((opener, self.keys.tenant(tenant)?)));
        let (opener, master) = match keys {
            Ok(keys) => keys,
            Err(error @ (KeyError::Unavailable { .. } | KeyError::Cipher(_))) => return Err(error.into()),
            Err(error) => {
                let (first, last, records) = (owner.first, owner.last, owner.records);
                let lost = Lost { segment: self.segment, first, last, records, why: why(&error) };
                parts.push(Part::Lost { tenant: tenant.clone(), lost });
                return Ok(());
            }
        };
        let directory = format!("hour={hour}");
        let mut sheet: Option<Sheet<'_>> = None;
        let after = self.after.get(tenant).copied();
        let mut reader = self.reader()?;
        for offset in &owner.frames {
            self.check()?;
            let records = match self.frame(&mut reader, *offset, &opener)? {
                Ok(records) => records,
                Err(lost) => {
                    parts.push(Part::Lost { tenant: tenant.clone(), lost });
                    continue;
                }
            };
            for record in records.iter().filter(|record| Some(record.sequence) > after) {
                let mut current = match sheet.take() {
                    Some(sheet) => sheet,
                    None => self.begin(tenant, &directory, parts.len(), &FileKey::make(&master)?)?,
                };
                current.push(record)?;
                if current.records() >= self.file_records {
                    parts.push(self.finish(current, tenant, &directory)?);
                } else {
                    sheet = Some(current);
                }
            }
        }
        if let Some(sheet) = sheet {
            parts.push(self.finish(sheet, tenant, &directory)?);
        }
        Ok(())
    }

    fn begin(
        &self,
        tenant: &str,
        directory: &str,
        number: usize,
        key: &FileKey,
    ) -> Result<Sheet<'_>, StoreError> {
        let mut path = self.root.clone();
        for part in [format!("tenant={tenant}"), directory.to_owned()] {
            path.push(part);
            self.disk.make_directory(&path).map_err(|error| StoreError::io("create", &path, error))?;
        }
        Sheet::begin(self.disk.as_ref(), path.join(format!(".seal-{}-{number}.tmp", self.segment)), key)
    }

    fn finish(&self, sheet: Sheet<'_>, tenant: &str, directory: &str) -> Result<Part, StoreError> {
        let (temporary, sealed) = sheet.finish(directory, &self.node, self.segment)?;
        Ok(Part::File { tenant: tenant.to_owned(), temporary, sealed })
    }

    fn reader(&self) -> Result<Reader, StoreError> {
        let path = self.path();
        Reader::open(&path).map_err(|error| StoreError::io("read", &path, error))
    }

    /// The records of the frame at `offset`, or that they are lost.
    fn frame(
        &self,
        reader: &mut Reader,
        offset: u64,
        opener: &Opener,
    ) -> Result<Result<Vec<enforcer_proto::v1::Record>, Lost>, StoreError> {
        let found = reader.read_at(offset).map_err(|error| StoreError::io("read", &self.path(), error))?;
        let (Found::Frame(frame) | Found::Changed(frame)) = found else {
            return Ok(Err(self.lost(0, 0, 0, LostWhy::Damaged)));
        };
        let header = frame.header;
        Ok(opener
            .open(&frame)
            .map_err(|_| self.lost(header.first, header.last, u64::from(header.records), LostWhy::KeyWrong)))
    }

    const fn lost(&self, first: u64, last: u64, records: u64, why: LostWhy) -> Lost {
        Lost { segment: self.segment, first, last, records, why }
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.stop.load(Ordering::Relaxed) { Err(StoreError::Stopped) } else { Ok(()) }
    }
}

const fn why(error: &KeyError) -> LostWhy {
    match error {
        KeyError::Destroyed(_) => LostWhy::KeyDestroyed,
        KeyError::Unknown(_)
        | KeyError::Unavailable { .. }
        | KeyError::Wrong(_)
        | KeyError::Id(_)
        | KeyError::Material(_)
        | KeyError::Cipher(_) => LostWhy::KeyWrong,
    }
}
