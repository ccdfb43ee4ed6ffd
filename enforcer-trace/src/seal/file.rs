//! A Parquet file as it is written: every byte passes here on its way to the disk, and is hashed.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use enforcer_proto::v1;

use crate::chain::{BLOCK_BYTES, BLOCK_DIGITS, RowGroup, Sealed};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::hex;
use crate::keys::FileKey;
use crate::parquet::{Protection, Writer};

/// A file that is being written.
pub(super) struct Sheet<'a> {
    temporary: Temporary<'a>,
    out: Out<'a>,
    writer: Writer<Out<'a>>,
    first: u64,
    last: u64,
    records: u64,
    times: Option<(u64, u64)>,
}

impl<'a> Sheet<'a> {
    /// Begins a file under a temporary name.
    pub(super) fn begin(disk: &'a dyn Disk, path: PathBuf, key: &FileKey) -> Result<Self, StoreError> {
        let file = disk.create(&path).map_err(|error| StoreError::io("create", &path, error))?;
        let temporary = Temporary { disk, path };
        let protection = Protection::Sealed { key: key.dek.expose(), metadata: &key.key_metadata };
        let out = Out(Arc::new(Mutex::new(Hashing::new(disk, file))));
        let writer =
            Writer::new(out.clone(), protection).map_err(|error| out.failed(&temporary.path, &error))?;
        Ok(Self { temporary, out, writer, first: 0, last: 0, records: 0, times: None })
    }

    /// Adds a record; they come in the order of their numbers.
    pub(super) fn push(&mut self, record: &v1::Record) -> Result<(), StoreError> {
        self.writer.push(record).map_err(|error| self.out.failed(&self.temporary.path, &error))?;
        if self.records == 0 {
            self.first = record.sequence;
        }
        self.last = record.sequence;
        self.records += 1;
        let time = time_ns(record);
        self.times = Some(
            self.times.map_or((time, time), |(earliest, latest)| (earliest.min(time), latest.max(time))),
        );
        Ok(())
    }

    /// How many records it has so far.
    pub(super) const fn records(&self) -> u64 {
        self.records
    }

    /// Ends the file and waits for the disk; its name in `directory` is made of what it holds.
    pub(super) fn finish(
        self,
        directory: &str,
        node: &str,
        segment: u64,
    ) -> Result<(PathBuf, Sealed), StoreError> {
        let Self { temporary, out, writer, first, last, records, times } = self;
        let written = writer.finish().map_err(|error| out.failed(&temporary.path, &error))?;
        let (bytes, sha256, blocks) =
            out.finish().map_err(|error| StoreError::io("write", &temporary.path, error))?;
        let (first_time_ns, last_time_ns) = times.unwrap_or_default();
        let row_groups = written
            .row_groups
            .iter()
            .map(|group| RowGroup {
                offset: group.offset,
                length: group.length,
                first: group.first,
                last: group.last,
            })
            .collect();
        let name = format!("{directory}/{node}-{first}-{last}.parquet");
        let sealed = Sealed {
            path: name,
            bytes,
            sha256,
            blocks,
            row_groups,
            first,
            last,
            records,
            first_time_ns,
            last_time_ns,
            segment,
        };
        Ok((temporary.keep(), sealed))
    }
}

/// A file that goes when it does not come to its end: on a full disk it would be in the way of what frees it.
struct Temporary<'a> {
    disk: &'a dyn Disk,
    path: PathBuf,
}

impl Temporary<'_> {
    fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.path)
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            let _tried_again_later = self.disk.remove(&self.path);
        }
    }
}

/// When a record happened, nanoseconds since 1970.
fn time_ns(record: &v1::Record) -> u64 {
    let Some(time) = &record.time else { return 0 };
    let seconds = u64::try_from(time.seconds).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.nanos).unwrap_or(0))
}

/// The way to the disk, shared by the library that writes and by who wants to know what was written.
#[derive(Clone)]
struct Out<'a>(Arc<Mutex<Hashing<'a>>>);

/// Writes through and hashes: all of it, and each block.
struct Hashing<'a> {
    disk: &'a dyn Disk,
    file: File,
    bytes: u64,
    all: Context,
    block: Context,
    /// Bytes in the current block.
    filled: usize,
    blocks: String,
    /// Why a write failed, which the library does not hand on.
    failure: Option<io::Error>,
}

impl Out<'_> {
    fn failed(&self, path: &Path, error: &crate::parquet::Error) -> StoreError {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).failure.take() {
            Some(error) => StoreError::io("write", path, error),
            None => StoreError::Parquet { path: path.to_owned(), reason: error.to_string() },
        }
    }

    fn finish(&self) -> io::Result<(u64, String, String)> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.filled > 0 {
            inner.end_block();
        }
        inner.disk.sync(&inner.file)?;
        let all = inner.all.clone().finish();
        Ok((inner.bytes, hex::encode(all.as_ref()), std::mem::take(&mut inner.blocks)))
    }
}

impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = inner.disk.write_at(&inner.file, bytes, inner.bytes) {
            let kind = error.kind();
            inner.failure = Some(error);
            return Err(kind.into());
        }
        inner.hash(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> Hashing<'a> {
    fn new(disk: &'a dyn Disk, file: File) -> Self {
        let (all, block) = (Context::new(&SHA256), Context::new(&SHA256));
        Self { disk, file, bytes: 0, all, block, filled: 0, blocks: String::new(), failure: None }
    }

    fn hash(&mut self, bytes: &[u8]) {
        self.bytes += u64::try_from(bytes.len()).unwrap_or(0);
        self.all.update(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min(BLOCK_BYTES - self.filled));
            self.block.update(part);
            self.filled += part.len();
            if self.filled == BLOCK_BYTES {
                self.end_block();
            }
            rest = after;
        }
    }

    fn end_block(&mut self) {
        let block = std::mem::replace(&mut self.block, Context::new(&SHA256)).finish();
        self.blocks.extend(hex::encode(block.as_ref()).chars().take(BLOCK_DIGITS));
        self.filled = 0;
    }
}
