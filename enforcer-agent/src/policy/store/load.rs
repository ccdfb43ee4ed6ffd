//! Reading a journal: every whole record in order; a torn tail is told apart from damage.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use prost::Message as _;

use super::directory::io_error;
use super::frame::{self, Chain, HEADER_BYTES, PREAMBLE};
use super::{Entry, StoreError};

/// What a journal holds.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Every whole record, oldest first.
    pub entries: Vec<Entry>,
    /// Bytes at the end that a crash left unfinished; they are gone now.
    pub torn_bytes: u64,
}

/// What was read, and where the next record goes.
pub(super) struct Scan {
    pub(super) loaded: Loaded,
    pub(super) end: u64,
    pub(super) chain: Chain,
}

/// Reads everything. Changes nothing.
pub(super) fn scan(file: &File, path: &Path) -> Result<Scan, StoreError> {
    let unreadable = |error| io_error("read", path, error);
    let size = file.metadata().map_err(unreadable)?.len();
    let mut reader = Reader { input: BufReader::new(file), path, size, at: 0, chain: frame::start() };
    reader.input.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let mut preamble = [0; PREAMBLE.len()];
    if reader.fill(&mut preamble)?.is_none() || preamble != PREAMBLE {
        return Err(StoreError::Foreign(path.to_owned()));
    }
    let mut entries = Vec::new();
    while let Some(entry) = reader.record()? {
        entries.push(entry);
    }
    let Reader { at: end, chain, .. } = reader;
    Ok(Scan { loaded: Loaded { entries, torn_bytes: size - end }, end, chain })
}

struct Reader<'a> {
    input: BufReader<&'a File>,
    path: &'a Path,
    size: u64,
    /// Where the next record starts: everything before was whole.
    at: u64,
    chain: Chain,
}

impl Reader<'_> {
    /// The next whole record; `None` at the end, be it clean or torn.
    fn record(&mut self) -> Result<Option<Entry>, StoreError> {
        let start = self.at;
        let mut header = [0; HEADER_BYTES];
        if self.fill(&mut header)?.is_none() {
            self.at = start;
            return Ok(None);
        }
        let Some((length, checksum)) = frame::open(&self.chain, &header) else {
            self.at = start;
            // A file that grew before its blocks were written ends in zeros.
            return if header == [0; HEADER_BYTES] && self.rest_is_zero()? {
                Ok(None)
            } else {
                Err(self.corrupt(start, "its length is not what was written"))
            };
        };
        let mut payload = Vec::new();
        if u64::try_from(length).is_ok_and(|length| length <= self.size - self.at) {
            payload.resize(length, 0);
        }
        if payload.len() != length || self.fill(&mut payload)?.is_none() {
            self.at = start;
            return Ok(None);
        }
        if frame::extend(&self.chain, &payload) != checksum {
            let last = self.at == self.size || self.rest_is_zero()?;
            self.at = start;
            return if last { Ok(None) } else { Err(self.corrupt(start, "its checksum does not fit")) };
        }
        let entry = Entry::decode(payload.as_slice())
            .map_err(|_| self.corrupt(start, "its checksum fits, but it is no record of this version"))?;
        self.chain = checksum;
        Ok(Some(entry))
    }

    /// Fills `buffer` and moves on; `None` when fewer bytes are left.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<Option<()>, StoreError> {
        let wanted = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        if wanted > self.size - self.at {
            return Ok(None);
        }
        self.input.read_exact(buffer).map_err(|error| io_error("read", self.path, error))?;
        self.at += wanted;
        Ok(Some(()))
    }

    fn rest_is_zero(&mut self) -> Result<bool, StoreError> {
        let mut block = [0; 4096];
        loop {
            match self.input.read(&mut block).map_err(|error| io_error("read", self.path, error))? {
                0 => return Ok(true),
                read if block[..read].iter().any(|byte| *byte != 0) => return Ok(false),
                _ => {}
            }
        }
    }

    fn corrupt(&self, offset: u64, what: &'static str) -> StoreError {
        StoreError::Corrupt { path: self.path.to_owned(), offset, what }
    }
}
