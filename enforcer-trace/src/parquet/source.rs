//! What a file is read from: bytes at places.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// Bytes that can be read at any place.
pub trait ReadAt: Send + Sync {
    /// How many there are.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn size(&self) -> std::io::Result<u64>;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// When there are not as many, or they cannot be read.
    fn fill(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()>;
}

impl ReadAt for File {
    fn size(&self) -> std::io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn fill(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.read_exact_at(buffer, offset)
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> std::io::Result<u64> {
        u64::try_from(self.len()).map_err(std::io::Error::other)
    }

    fn fill(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        let start = usize::try_from(offset).map_err(std::io::Error::other)?;
        let end = start.checked_add(buffer.len());
        let part = end.and_then(|end| self.get(start..end)).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(part);
        Ok(())
    }
}
