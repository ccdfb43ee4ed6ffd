//! Reading a segment: every frame in order; a torn tail is told apart from damage, and what lies behind damage is found.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::frame::{self, Chain, HEADER_BYTES, Header, MAGIC, TRAILER_BYTES};

/// What is found next in a segment.
#[derive(Clone, Debug)]
pub enum Found {
    /// A whole frame as it was written.
    Frame(Frame),
    /// A frame whose body or hash is not what was written; its header is.
    Changed(Frame),
    /// Bytes that are no frame of this log.
    Damaged {
        /// Where they begin.
        offset: u64,
        /// How many, up to the next frame or the end.
        bytes: u64,
    },
    /// The end of the file comes before the end of a frame.
    Torn {
        /// Where the unfinished frame begins.
        offset: u64,
        /// How much of it is there.
        bytes: u64,
        /// Its header, if that is whole.
        header: Option<Header>,
    },
}

/// A frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Where it begins.
    pub offset: u64,
    /// Its header.
    pub header: Header,
    /// The header's bytes.
    pub header_bytes: [u8; HEADER_BYTES],
    /// The hash of the frame before.
    pub previous: Chain,
    /// Its body.
    pub body: Vec<u8>,
    /// Its hash, as it should be.
    pub hash: Chain,
}

/// Reads a segment as long as it was when it was opened.
#[derive(Debug)]
pub struct Reader {
    input: BufReader<File>,
    size: u64,
    at: u64,
    /// What the next header may follow: more than one hash after a frame that was changed.
    chains: [Chain; 2],
}

impl Reader {
    /// Opens a segment.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let input = BufReader::with_capacity(256 << 10, file);
        Ok(Self { input, size, at: 0, chains: [frame::start(); 2] })
    }

    /// Bytes of the segment.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// What comes next; `None` at a clean end.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&mut self) -> io::Result<Option<Found>> {
        if self.at == 0 && self.size > 0 {
            let mut magic = [0; MAGIC.len()];
            if !self.fill(&mut magic)? {
                return Ok(Some(self.torn(0, None)));
            }
            if magic != MAGIC {
                return self.damaged(0).map(Some);
            }
        }
        if self.at >= self.size {
            return Ok(None);
        }
        self.frame().map(Some)
    }

    /// The frame that begins at `offset`, which follows another one.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read_at(&mut self, offset: u64) -> io::Result<Found> {
        self.at = offset.saturating_sub(u64::try_from(TRAILER_BYTES).unwrap_or(0));
        self.input.seek(SeekFrom::Start(self.at))?;
        let mut previous = [0; TRAILER_BYTES];
        if !self.fill(&mut previous)? {
            return Ok(self.torn(offset, None));
        }
        self.chains = [previous; 2];
        self.frame()
    }

    fn frame(&mut self) -> io::Result<Found> {
        let offset = self.at;
        let mut header_bytes = [0; HEADER_BYTES];
        if !self.fill(&mut header_bytes)? {
            return Ok(self.torn(offset, None));
        }
        let decoded = self.chains.map(|chain| (chain, Header::decode(&header_bytes, &chain)));
        let Some((previous, header)) =
            decoded.into_iter().find_map(|(chain, header)| header.ok().map(|header| (chain, header)))
        else {
            return self.unknown(offset, &header_bytes);
        };
        let around = u64::try_from(TRAILER_BYTES).unwrap_or(0);
        if u64::from(header.length) + around > self.size - self.at {
            return Ok(self.torn(offset, Some(header)));
        }
        let mut body = vec![0; usize::try_from(header.length).unwrap_or(0)];
        let mut stored = [0; TRAILER_BYTES];
        self.fill(&mut body)?;
        self.fill(&mut stored)?;
        let hash = frame::extend(&previous, &header_bytes, &body);
        self.chains = [stored, hash];
        let frame = Frame { offset, header, header_bytes, previous, body, hash };
        Ok(if stored == hash { Found::Frame(frame) } else { Found::Changed(frame) })
    }

    /// A file that grew before its blocks were written ends in zeros.
    fn unknown(&mut self, offset: u64, header: &[u8; HEADER_BYTES]) -> io::Result<Found> {
        if *header == [0; HEADER_BYTES] && self.rest_is_zero()? {
            return Ok(self.torn(offset, None));
        }
        self.damaged(offset)
    }

    /// Goes on at the next frame after `offset`, wherever that is.
    fn damaged(&mut self, offset: u64) -> io::Result<Found> {
        let next = self.find_frame(offset)?;
        let end = next.unwrap_or(self.size);
        self.at = end;
        self.input.seek(SeekFrom::Start(end))?;
        Ok(Found::Damaged { offset, bytes: end - offset })
    }

    /// The first place after `from` where a header fits the 32 bytes before it, which are the hash of a frame that
    /// nobody can read any more, and where the whole frame fits its hash.
    fn find_frame(&mut self, from: u64) -> io::Result<Option<u64>> {
        self.input.seek(SeekFrom::Start(from))?;
        let mut rest = Vec::new();
        self.input.by_ref().take(self.size - from).read_to_end(&mut rest)?;
        for (at, window) in rest.windows(TRAILER_BYTES + HEADER_BYTES).enumerate().skip(1) {
            let (Some((chain, after)), Ok(start)) = (window.split_first_chunk(), u64::try_from(at)) else {
                continue;
            };
            let Some(header_bytes) = after.first_chunk::<HEADER_BYTES>() else { continue };
            let Ok(header) = Header::decode(header_bytes, chain) else { continue };
            let body_at = at + window.len();
            let length = usize::try_from(header.length).unwrap_or(usize::MAX);
            let body_end = body_at.saturating_add(length);
            let Some(body) = rest.get(body_at..body_end) else { continue };
            let hash = frame::extend(chain, header_bytes, body);
            if rest.get(body_end..body_end.saturating_add(TRAILER_BYTES)) == Some(&hash[..]) {
                self.chains = [*chain; 2];
                return Ok(Some(from + start + u64::try_from(TRAILER_BYTES).unwrap_or(0)));
            }
        }
        Ok(None)
    }

    fn torn(&mut self, offset: u64, header: Option<Header>) -> Found {
        self.at = self.size;
        Found::Torn { offset, bytes: self.size.saturating_sub(offset), header }
    }

    /// Fills `buffer` and moves on; false when fewer bytes are left.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let wanted = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        if wanted > self.size - self.at {
            return Ok(false);
        }
        self.input.read_exact(buffer)?;
        self.at += wanted;
        Ok(true)
    }

    fn rest_is_zero(&mut self) -> io::Result<bool> {
        let mut block = [0; 4096];
        loop {
            match self.input.read(&mut block)? {
                0 => return Ok(true),
                read if block.iter().take(read).any(|byte| *byte != 0) => return Ok(false),
                _ => {}
            }
        }
    }
}
