//! Reading every record, where keys are at hand: what was sealed is what its line and header say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;

use super::report::{Finding, Place, VerifyReport, Wrong};
use crate::chain::Sealed;
use crate::keys::{FileKey, KeyError, Keys};
use crate::parquet::{Predicate, Reader};
use crate::store::TENANT;
use crate::wal::{Frame, KeyNote, Kind, OpenError, Opener};

/// Reads a file that is as it was sealed.
pub(super) fn file(tenant: &str, file: File, sealed: &Sealed, keys: &dyn Keys, report: &mut VerifyReport) {
    let name = format!("{TENANT}{tenant}/{}", sealed.path);
    let mut refused = None;
    let unwrap = |metadata: &[u8]| match FileKey::open(keys, metadata) {
        Ok(key) => Ok(key.expose().to_vec()),
        Err(error) => {
            let sentence = error.to_string();
            refused = Some(error);
            Err(sentence)
        }
    };
    let opened = Reader::open(Arc::new(file), unwrap, Predicate::default());
    if let Some(KeyError::Destroyed(id)) = &refused {
        report.leave_open(format!("{name}: its records; the key {id:?} was destroyed"));
        return;
    }
    let read = opened.and_then(|reader| {
        let mut range = None;
        let mut count = 0_u64;
        for record in reader {
            let sequence = record?.sequence;
            range = Some(range.map_or((sequence, sequence), |(first, _): (u64, u64)| (first, sequence)));
            count += 1;
        }
        Ok((count, range))
    });
    let (count, range) = match read {
        Ok(read) => read,
        Err(error) => return find(report, tenant, &name, sealed, error.to_string()),
    };
    report.decoded += count;
    if count != sealed.records || range != Some((sealed.first, sealed.last)) {
        let detail = format!("it has {count} records, {range:?}, and its line says otherwise");
        find(report, tenant, &name, sealed, detail);
    }
}

fn find(report: &mut VerifyReport, tenant: &str, name: &str, sealed: &Sealed, detail: String) {
    report.find(Finding {
        tenant: Some(tenant.to_owned()),
        file: name.to_owned(),
        place: Place::default(),
        sequences: Some((sealed.first, sealed.last)),
        wrong: Wrong::Unreadable,
        detail,
    });
}

/// Reads the frames of one segment.
pub(super) struct Frames<'a> {
    keys: &'a dyn Keys,
    openers: BTreeMap<u16, Opener>,
    destroyed: BTreeSet<u16>,
}

impl<'a> Frames<'a> {
    pub(super) fn new(keys: &'a dyn Keys) -> Self {
        Self { keys, openers: BTreeMap::new(), destroyed: BTreeSet::new() }
    }

    pub(super) fn frame(&mut self, file: &str, frame: &Frame, report: &mut VerifyReport) {
        let index = frame.header.tenant;
        match frame.header.kind {
            Kind::Segment => {}
            Kind::Key => {
                if let Err(error) = self.key(file, frame, report) {
                    unreadable(file, frame, None, &error, report);
                }
            }
            Kind::Records if self.destroyed.contains(&index) => {}
            Kind::Records => {
                let Some(opener) = self.openers.get(&index) else { return };
                match opener.open(frame) {
                    Ok(records) => report.decoded += u64::try_from(records.len()).unwrap_or(0),
                    Err(error) => unreadable(file, frame, Some(opener.tenant()), &error, report),
                }
            }
        }
    }

    fn key(&mut self, file: &str, frame: &Frame, report: &mut VerifyReport) -> Result<(), OpenError> {
        let note: KeyNote = serde_json::from_slice(&frame.body)
            .map_err(|_| OpenError::Contents("a tenant's key is not what is written here"))?;
        match Opener::new(&note, self.keys) {
            Ok(opener) => {
                self.openers.insert(frame.header.tenant, opener);
            }
            Err(KeyError::Destroyed(id)) => {
                self.destroyed.insert(frame.header.tenant);
                report
                    .leave_open(format!("{file}: records of {}; the key {id:?} was destroyed", note.tenant));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

fn unreadable(file: &str, frame: &Frame, tenant: Option<&str>, error: &OpenError, report: &mut VerifyReport) {
    let header = &frame.header;
    report.find(Finding {
        tenant: tenant.map(ToOwned::to_owned),
        file: file.to_owned(),
        place: Place { offset: Some(frame.offset), length: Some(header.frame_bytes()), ..Place::default() },
        sequences: (header.first > 0).then_some((header.first, header.last)),
        wrong: Wrong::Unreadable,
        detail: error.to_string(),
    });
}
