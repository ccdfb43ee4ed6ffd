//! HTTP/2 frame by frame (RFC 9113), as somebody writes it who may not keep to the rules; and as much of HPACK
//! (RFC 7541) as a status needs.

use std::io::{Read, Write};

use anyhow::{Context as _, Result, bail, ensure};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// What a client says first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) const fn new(kind: u8, flags: u8, stream: u32, payload: Vec<u8>) -> Self {
        Self { kind, flags, stream, payload }
    }

    /// A request with these fields, each of them literal.
    pub(crate) fn request(stream: u32, fields: &[(&str, &str)]) -> Self {
        Self::new(HEADERS, END_HEADERS, stream, block(fields))
    }

    /// CONNECT (RFC 9113, 8.5).
    pub(crate) fn connect(stream: u32, authority: &str) -> Self {
        Self::request(stream, &[(":method", "CONNECT"), (":authority", authority)])
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        self.claiming(length)
    }

    /// With another length in its header than it has.
    pub(crate) fn claiming(&self, length: u32) -> Vec<u8> {
        let [_, a, b, c] = length.to_be_bytes();
        let mut bytes = vec![a, b, c, self.kind, self.flags];
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    pub(crate) fn send(&self, to: &mut impl Write) -> Result<()> {
        to.write_all(&self.bytes())?;
        Ok(to.flush()?)
    }

    pub(crate) fn receive(from: &mut impl Read) -> Result<Self> {
        let mut header = [0; 9];
        from.read_exact(&mut header)?;
        let [a, b, c, kind, flags, stream @ ..] = header;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c]))?;
        ensure!(length <= 2 << 20, "a frame of {length} bytes");
        let mut payload = vec![0; length];
        from.read_exact(&mut payload)?;
        Ok(Self { kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff, payload })
    }
}

/// Says what a client says first.
pub(crate) fn begin(to: &mut impl Write) -> Result<()> {
    to.write_all(PREFACE)?;
    // SETTINGS_HEADER_TABLE_SIZE of nothing: a status is then always what it says, and never a place in a table.
    Frame::new(SETTINGS, 0, 0, vec![0, 1, 0, 0, 0, 0]).send(to)
}

/// What came of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// An answer with this status.
    Status(u16),
    /// The stream was reset with this code.
    Reset(u32),
    /// The whole connection was ended with this code.
    Goaway(u32),
}

/// Reads until something came of a stream; what others may say in between is answered as it must be.
pub(crate) fn came(stream: &mut (impl Read + Write), of: u32) -> Result<Came> {
    loop {
        let frame = Frame::receive(stream)?;
        match frame.kind {
            HEADERS if frame.stream == of => return Ok(Came::Status(status(&frame.payload)?)),
            RST_STREAM if frame.stream == of => return Ok(Came::Reset(number(&frame.payload, 0)?)),
            GOAWAY => return Ok(Came::Goaway(number(&frame.payload, 4)?)),
            SETTINGS if frame.flags & ACK == 0 => Frame::new(SETTINGS, ACK, 0, Vec::new()).send(stream)?,
            PING if frame.flags & ACK == 0 => Frame::new(PING, ACK, 0, frame.payload).send(stream)?,
            _ => {}
        }
    }
}

fn number(payload: &[u8], at: usize) -> Result<u32> {
    let bytes = payload.get(at..at + 4).context("a short payload")?;
    Ok(u32::from_be_bytes(bytes.try_into()?))
}

/// Fields, each as a literal without indexing under a new name (RFC 7541, 6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(&mut block, name);
        string(&mut block, value);
    }
    block
}

/// RFC 7541, 5.1 and 5.2, never in Huffman's code.
fn string(block: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(length) if length < 127 => block.push(length),
        _ => {
            block.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                block.push(0x80 | (rest % 128).to_le_bytes()[0]);
                rest /= 128;
            }
            block.push(rest.to_le_bytes()[0]);
        }
    }
    block.extend(text.as_bytes());
}

/// The status, which comes first: from the static table, or as a literal with its name from there.
fn status(block: &[u8]) -> Result<u16> {
    const TABLE: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    let mut rest = block;
    // Changes of the table's size may come before (6.3).
    while let [first, after @ ..] = rest
        && first & 0xe0 == 0x20
    {
        rest = after;
    }
    match rest {
        [first, ..] if first & 0x80 != 0 => {
            let index = usize::from(first & 0x7f).checked_sub(8).and_then(|index| TABLE.get(index));
            index.copied().with_context(|| format!("no status in {block:02x?}"))
        }
        [0x48 | 0x08 | 0x18, length, text @ ..] => {
            let text = text.get(..usize::from(length & 0x7f)).context("a short block")?;
            let text = if length & 0x80 == 0 { text.to_vec() } else { digits(text) };
            Ok(String::from_utf8(text)?.parse()?)
        }
        _ => bail!("no status in {block:02x?}"),
    }
}

/// Digits in Huffman's code (RFC 7541, appendix B): 0, 1 and 2 have five bits, the others six.
fn digits(code: &[u8]) -> Vec<u8> {
    let bits: Vec<u8> = code.iter().flat_map(|byte| (0..8).map(move |bit| byte >> (7 - bit) & 1)).collect();
    let value = |bits: &[u8]| bits.iter().fold(0_u8, |value, bit| value << 1 | bit);
    let (mut text, mut rest) = (Vec::new(), bits.as_slice());
    while let Some(five) = rest.get(..5) {
        let short = value(five);
        if short < 3 {
            text.push(b'0' + short);
            rest = &rest[5..];
        } else if let Some(six) = rest.get(..6).map(value).filter(|six| (0x19..=0x1f).contains(six)) {
            text.push(b'3' + (six - 0x19));
            rest = &rest[6..];
        } else {
            break;
        }
    }
    text
}
