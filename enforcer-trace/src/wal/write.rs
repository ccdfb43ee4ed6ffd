//! Writing the log: a batch is one write and one wait for the disk, then it is acknowledged, or it is not there.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};

use super::batch::{Batch, Chunk};
use super::frame::{self, Chain, Header, KeyNote, Kind, MAGIC, SegmentNote};
use crate::disk::{Disk, sync_parent};
use crate::error::StoreError;
use crate::hex;
use crate::keys::{DataKey, KeyError, Keys};

/// The fastest that still finds what repeats; sealing compresses again.
const LEVEL: i32 = 1;
/// Tenants that a segment can number.
const TENANTS_MAX: u16 = 65_000;

/// The log, where it is written.
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    node: String,
    /// The number of the last segment.
    number: u64,
    /// Hash of the last frame that was acknowledged.
    hash: Chain,
    /// The segment that this frame is in, and where it ends.
    position: (u64, u64),
    current: Option<Segment>,
    /// Segments that are ended and not sealed, each with the hash of its last frame that was acknowledged; none where
    /// there is no such frame.
    closed: BTreeMap<u64, Option<Chain>>,
    compressor: zstd::bulk::Compressor<'static>,
}

/// The segment that is being written.
struct Segment {
    path: PathBuf,
    file: File,
    /// Where the next frame goes; 0 before the first batch.
    end: u64,
    hash: Chain,
    nonce: u64,
    tenants: BTreeMap<String, Sealer>,
    opened_ns: u64,
}

struct Sealer {
    index: u16,
    cipher: LessSafeKey,
}

/// Records of a tenant that could not be sealed, and so are not in the log.
pub(crate) struct Unsealed {
    pub(crate) tenant: String,
    pub(crate) records: u64,
    pub(crate) error: KeyError,
}

/// How far the current segment is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current {
    pub(crate) opened_ns: u64,
    pub(crate) bytes: u64,
}

impl Log {
    /// Goes on after the frame with this hash, which ends at `position`, and after the segments that are there.
    pub(crate) fn after(
        disk: Arc<dyn Disk>,
        directory: &Path,
        node: &str,
        position: (u64, u64),
        hash: Chain,
        closed: BTreeMap<u64, Option<Chain>>,
    ) -> Result<Self, StoreError> {
        let compressor = zstd::bulk::Compressor::new(LEVEL)
            .map_err(|error| StoreError::io("compress for", directory, error))?;
        let (directory, node) = (directory.to_owned(), node.to_owned());
        let number = closed.last_key_value().map_or(0, |(number, _)| *number).max(position.0);
        Ok(Self { disk, directory, node, number, hash, position, current: None, closed, compressor })
    }

    /// Writes a batch and waits for the disk.
    ///
    /// # Errors
    /// The log is as it was before.
    pub(crate) fn append(
        &mut self,
        batch: &Batch,
        keys: &dyn Keys,
        now_ns: u64,
    ) -> Result<Vec<Unsealed>, StoreError> {
        let mut segment = match self.current.take() {
            Some(segment) => segment,
            None => self.begin(now_ns)?,
        };
        let known = segment.tenants.len();
        let mut output = Output { bytes: Vec::new(), hash: segment.hash };
        if segment.end == 0 {
            self.introduce(&mut segment, &mut output, now_ns);
        }
        let mut unsealed = Vec::new();
        let mut records = 0;
        for (tenant, chunks) in batch.tenants() {
            match seal_tenant(&mut segment, &mut self.compressor, &mut output, tenant, chunks, keys, now_ns) {
                Ok(sealed) => records += sealed,
                Err(error) => {
                    let records = chunks.iter().map(|chunk| u64::from(chunk.records)).sum();
                    unsealed.push(Unsealed { tenant: tenant.to_owned(), records, error });
                }
            }
        }
        if records == 0 {
            if segment.end == 0 {
                self.undo(&segment);
            } else {
                segment.keep_tenants(known);
                self.current = Some(segment);
            }
            return Ok(unsealed);
        }
        self.write(segment, &output, known)?;
        Ok(unsealed)
    }

    /// Ends the current segment: the next batch begins another.
    pub(crate) fn end_segment(&mut self) {
        if self.current.take().is_some() {
            self.closed.insert(self.number, Some(self.hash));
        }
    }

    /// A tenant's key is gone: the next batch asks for it anew.
    pub(crate) fn forget(&mut self, tenant: &str) {
        // Its number in this segment stands for the old key, so the segment ends.
        if self.current.as_ref().is_some_and(|segment| segment.tenants.contains_key(tenant)) {
            self.end_segment();
        }
    }

    /// Hash of the last frame that was acknowledged.
    pub(crate) const fn hash(&self) -> &Chain {
        &self.hash
    }

    /// The segment of the last frame that was acknowledged, and where the frame ends.
    pub(crate) const fn position(&self) -> (u64, u64) {
        self.position
    }

    /// The segment that is being written.
    pub(crate) fn current(&self) -> Option<Current> {
        self.current.as_ref().map(|segment| Current { opened_ns: segment.opened_ns, bytes: segment.end })
    }

    /// Segments that wait to be sealed, oldest first, each with the hash of its last frame that counts.
    pub(crate) fn closed(&self) -> impl Iterator<Item = (u64, Option<Chain>)> {
        self.closed.iter().map(|(number, hash)| (*number, *hash))
    }

    /// The oldest segment that is not sealed; the next one when all are.
    pub(crate) fn oldest(&self) -> u64 {
        let current = if self.current.is_some() { self.number } else { self.number + 1 };
        self.closed.first_key_value().map_or(current, |(number, _)| *number)
    }

    /// A segment is sealed.
    pub(crate) fn take_closed(&mut self, number: u64) -> Option<Chain> {
        self.closed.remove(&number).flatten()
    }

    /// It is not, after all.
    pub(crate) fn put_back(&mut self, number: u64, hash: Option<Chain>) {
        self.closed.insert(number, hash);
    }

    fn begin(&mut self, now_ns: u64) -> Result<Segment, StoreError> {
        let number = self.number + 1;
        let path = super::path(&self.directory, number);
        let file = self.disk.create(&path).map_err(|error| StoreError::io("create", &path, error))?;
        self.number = number;
        Ok(Segment {
            path,
            file,
            end: 0,
            hash: frame::start(),
            nonce: 0,
            tenants: BTreeMap::new(),
            opened_ns: now_ns,
        })
    }

    fn introduce(&self, segment: &mut Segment, output: &mut Output, now_ns: u64) {
        output.bytes.extend_from_slice(&MAGIC);
        let note = SegmentNote {
            segment: self.number,
            node: self.node.clone(),
            previous: hex::encode(&self.hash),
            time_ns: now_ns,
        };
        let header = Header {
            length: 0,
            kind: Kind::Segment,
            tenant: 0,
            records: 0,
            first: 0,
            last: 0,
            time_ns: now_ns,
            nonce: segment.next_nonce(),
        };
        output.put_clear(header, &note);
    }

    fn write(&mut self, mut segment: Segment, output: &Output, known: usize) -> Result<(), StoreError> {
        let is_new = segment.end == 0;
        let failed = |operation, error| StoreError::io(operation, &segment.path, error);
        if let Err(error) = self.disk.write_at(&segment.file, &output.bytes, segment.end) {
            let error = failed("write", error);
            self.take_back(segment, known);
            return Err(error);
        }
        // After a wait for the disk that failed nobody knows what is there: the segment is left, and what was not
        // acknowledged does not count, since the next segment names the last frame that was.
        let synced = self
            .disk
            .sync(&segment.file)
            .map_err(|error| failed("sync", error))
            .and_then(|()| if is_new { sync_parent(self.disk.as_ref(), &segment.path) } else { Ok(()) });
        if let Err(error) = synced {
            self.leave(&segment);
            return Err(error);
        }
        segment.end += u64::try_from(output.bytes.len()).unwrap_or(u64::MAX);
        segment.hash = output.hash;
        self.hash = output.hash;
        self.position = (self.number, segment.end);
        self.current = Some(segment);
        Ok(())
    }

    /// A part may be there; without cutting it off, the next frame would follow a torn one.
    fn take_back(&mut self, mut segment: Segment, known: usize) {
        if segment.end == 0 {
            self.undo(&segment);
        } else if self.disk.set_len(&segment.file, segment.end).is_ok() {
            segment.keep_tenants(known);
            self.current = Some(segment);
        } else {
            self.leave(&segment);
        }
    }

    /// A segment in which nothing was acknowledged: as if it had never been begun.
    fn undo(&mut self, segment: &Segment) {
        if self.disk.remove(&segment.path).is_ok() {
            self.number -= 1;
        } else {
            self.leave(segment);
        }
    }

    /// Nothing more is written into a segment.
    fn leave(&mut self, segment: &Segment) {
        self.closed.insert(self.number, (segment.end > 0).then_some(self.hash));
    }
}

impl Segment {
    fn next_nonce(&mut self) -> u64 {
        self.nonce += 1;
        self.nonce
    }

    /// Only the first so many are in the file.
    fn keep_tenants(&mut self, count: usize) {
        self.tenants.retain(|_, sealer| usize::from(sealer.index) <= count);
    }
}

/// Frames that are ready to be written.
struct Output {
    bytes: Vec<u8>,
    hash: Chain,
}

impl Output {
    fn put_clear(&mut self, mut header: Header, note: &impl serde::Serialize) {
        let body = serde_json::to_vec(note).unwrap_or_default();
        header.length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let bytes = header.encode(&self.hash);
        self.put(&bytes, &body);
    }

    fn put(&mut self, header: &[u8; frame::HEADER_BYTES], body: &[u8]) {
        self.hash = frame::extend(&self.hash, header, body);
        self.bytes.extend_from_slice(header);
        self.bytes.extend_from_slice(body);
        self.bytes.extend_from_slice(&self.hash);
    }
}

fn seal_tenant(
    segment: &mut Segment,
    compressor: &mut zstd::bulk::Compressor<'static>,
    output: &mut Output,
    tenant: &str,
    chunks: &[Chunk],
    keys: &dyn Keys,
    now_ns: u64,
) -> Result<u64, KeyError> {
    if !segment.tenants.contains_key(tenant) {
        let sealer = make_sealer(segment, output, tenant, keys, now_ns)?;
        segment.tenants.insert(tenant.to_owned(), sealer);
    }
    let mut records = 0;
    for chunk in chunks {
        let nonce = segment.next_nonce();
        let Some(sealer) = segment.tenants.get(tenant) else { continue };
        let mut body = compressor.compress(&chunk.plain).map_err(|_| KeyError::Cipher("compress"))?;
        let tag_bytes = sealer.cipher.algorithm().tag_len();
        let header = Header {
            length: u32::try_from(body.len() + tag_bytes).unwrap_or(u32::MAX),
            kind: Kind::Records,
            tenant: sealer.index,
            records: chunk.records,
            first: chunk.first,
            last: chunk.last,
            time_ns: now_ns,
            nonce,
        };
        let bytes = header.encode(&output.hash);
        let aad = Aad::from([&output.hash[..], &bytes].concat());
        sealer
            .cipher
            .seal_in_place_append_tag(nonce_of(nonce), aad, &mut body)
            .map_err(|_| KeyError::Cipher("seal"))?;
        output.put(&bytes, &body);
        records += u64::from(chunk.records);
    }
    Ok(records)
}

fn make_sealer(
    segment: &mut Segment,
    output: &mut Output,
    tenant: &str,
    keys: &dyn Keys,
    now_ns: u64,
) -> Result<Sealer, KeyError> {
    let index = u16::try_from(segment.tenants.len() + 1).ok().filter(|index| *index <= TENANTS_MAX);
    let index = index.ok_or(KeyError::Cipher("number more tenants in one segment"))?;
    let master = keys.tenant(tenant)?;
    let key = DataKey::generate()?;
    let note = KeyNote {
        tenant: tenant.to_owned(),
        index,
        master_key_id: master.id().to_owned(),
        wrapped_dek: master.wrap(&key)?,
    };
    let header = Header {
        length: 0,
        kind: Kind::Key,
        tenant: index,
        records: 0,
        first: 0,
        last: 0,
        time_ns: now_ns,
        nonce: segment.next_nonce(),
    };
    output.put_clear(header, &note);
    Ok(Sealer { index, cipher: key.cipher()? })
}

/// A nonce by its number: no two frames of a segment have the same, and each segment has keys of its own.
pub(super) fn nonce_of(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}
