//! One object, sent and looked at.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStore as _;
use sha2::{Digest as _, Sha256};

use super::plan::{From, Item};
use super::target::Target;
use super::{Pace, ShipError, blocking, unreadable};
use crate::hex;

/// Bytes that are held at once. S3 takes no part below 5 MiB but the last, and 10 000 parts.
const PART_BYTES: u64 = 8 << 20;

/// Sends an item; tries again what may pass by itself.
pub(super) async fn send(target: &Target, item: &Item, pace: Pace) -> Result<(), ShipError> {
    target.patiently(&item.place, pace, || once(target, item)).await
}

async fn once(target: &Target, item: &Item) -> Result<(), ShipError> {
    let refused = |error| ShipError::Target { path: item.place.clone(), error };
    let at = target.at(&item.place);
    let mut reading = Reading::open(item).await?;
    let sent = if item.bytes <= PART_BYTES {
        let bytes = reading.part(0).await?;
        reading.check(item)?;
        target.store.put(&at, bytes.into()).await.map_err(refused)?.e_tag
    } else {
        let mut upload = target.store.put_multipart(&at).await.map_err(refused)?;
        match parts(&mut *upload, &mut reading, item).await {
            Ok(()) => upload.complete().await.map_err(refused)?.e_tag,
            Err(error) => {
                // What cannot be taken back now, the bucket's rules for broken uploads do.
                let _tried = upload.abort().await;
                return Err(error);
            }
        }
    };
    let found = target.store.head(&at).await.map_err(refused)?;
    let is_same = sent.is_none() || found.e_tag.is_none() || sent == found.e_tag;
    if found.size != item.bytes || !is_same {
        return Err(ShipError::Altered { path: item.place.clone(), sent: item.bytes, found: found.size });
    }
    Ok(())
}

async fn parts(
    upload: &mut dyn object_store::MultipartUpload,
    reading: &mut Reading,
    item: &Item,
) -> Result<(), ShipError> {
    let mut offset = 0;
    while offset < item.bytes {
        let part = reading.part(offset).await?;
        offset += u64::try_from(part.len()).unwrap_or(u64::MAX);
        let sent = upload.put_part(part.into()).await;
        sent.map_err(|error| ShipError::Target { path: item.place.clone(), error })?;
    }
    reading.check(item)
}

/// An item that is read, part by part.
struct Reading {
    source: Source,
    bytes: u64,
    hash: Sha256,
}

#[derive(Clone)]
enum Source {
    File(Arc<File>, PathBuf),
    Memory(Bytes),
}

impl Reading {
    async fn open(item: &Item) -> Result<Self, ShipError> {
        let source = match &item.from {
            From::Memory(bytes) => Source::Memory(Bytes::copy_from_slice(bytes)),
            From::File(path) => {
                let path = path.clone();
                let open = move || {
                    File::open(&path).map(|file| (Arc::new(file), path.clone())).map_err(unreadable(&path))
                };
                let (file, path) = blocking(open).await?;
                Source::File(file, path)
            }
        };
        Ok(Self { source, bytes: item.bytes, hash: Sha256::new() })
    }

    /// The part at an offset. Parts are read in order, for the hash.
    async fn part(&mut self, offset: u64) -> Result<Bytes, ShipError> {
        let length = usize::try_from((self.bytes - offset).min(PART_BYTES)).unwrap_or(0);
        let bytes = match self.source.clone() {
            Source::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                bytes.slice(start..bytes.len().min(start + length))
            }
            Source::File(file, path) => {
                blocking(move || {
                    let mut part = vec![0; length];
                    file.read_exact_at(&mut part, offset).map_err(|error| match error.kind() {
                        std::io::ErrorKind::UnexpectedEof => ShipError::Changed(path),
                        _ => ShipError::Store { path, error },
                    })?;
                    Ok(Bytes::from(part))
                })
                .await?
            }
        };
        self.hash.update(&bytes);
        Ok(bytes)
    }

    /// That what was read is what a chain says.
    fn check(&self, item: &Item) -> Result<(), ShipError> {
        let Some(wanted) = &item.sha256 else { return Ok(()) };
        if hex::encode(&self.hash.clone().finalize()) == *wanted {
            return Ok(());
        }
        let path = match &self.source {
            Source::File(_, path) => path.clone(),
            Source::Memory(_) => PathBuf::from(&item.place),
        };
        Err(ShipError::Changed(path))
    }
}
