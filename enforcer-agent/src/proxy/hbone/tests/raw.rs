//! Frames written by hand.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;

/// Codes of RFC 9113, section 7.
pub(super) const NO_ERROR: u32 = 0;
pub(super) const PROTOCOL_ERROR: u32 = 1;
pub(super) const FLOW_CONTROL_ERROR: u32 = 3;
pub(super) const STREAM_CLOSED: u32 = 5;
pub(super) const FRAME_SIZE_ERROR: u32 = 6;
pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const CANCEL: u32 = 8;
pub(super) const COMPRESSION_ERROR: u32 = 9;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The code of RST_STREAM or GOAWAY.
    pub(super) fn code(&self) -> u32 {
        let place = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[place..place + 4].try_into().unwrap())
    }
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Headers, each as a literal that nobody remembers (RFC 7541, section 6.2.2).
pub(super) fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in headers {
        bytes.push(0);
        for text in [name, value] {
            if text.len() < 127 {
                bytes.push(u8::try_from(text.len()).unwrap());
            } else {
                // Section 5.1: a prefix of seven ones, and the rest in groups of seven bits.
                bytes.push(127);
                let mut rest = text.len() - 127;
                while rest >= 128 {
                    bytes.push(u8::try_from(rest % 128).unwrap() | 128);
                    rest /= 128;
                }
                bytes.push(u8::try_from(rest).unwrap());
            }
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

pub(super) fn headers(stream: u32, flags: u8, headers: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, &block(headers))
}

pub(super) fn call(stream: u32) -> Vec<u8> {
    headers(stream, 0, &[(":method", "CONNECT"), (":authority", "10.0.0.1:80")])
}

/// One end of a connection.
pub(super) struct Raw(pub(super) DuplexStream);

impl Raw {
    /// A client that has said hello, and was greeted.
    pub(super) async fn client(io: DuplexStream) -> Self {
        let mut raw = Self(io);
        raw.send(PREFACE).await;
        raw.send(&frame(SETTINGS, 0, 0, &[])).await;
        raw.send(&frame(SETTINGS, ACK, 0, &[])).await;
        raw
    }

    /// A server that has greeted, with these settings.
    pub(super) async fn server(io: DuplexStream, settings: &[(u16, u32)]) -> Self {
        let mut raw = Self(io);
        let mut preface = [0; 24];
        raw.0.read_exact(&mut preface).await.unwrap();
        assert_eq!(preface, PREFACE);
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [id.to_be_bytes().to_vec(), value.to_be_bytes().to_vec()].concat())
            .collect();
        raw.send(&frame(SETTINGS, 0, 0, &payload)).await;
        raw.send(&frame(SETTINGS, ACK, 0, &[])).await;
        raw
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// As much as is taken before the other end closes.
    pub(super) async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// The next frame; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        super::soon(self.0.read_exact(&mut head)).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap()];
        super::soon(self.0.read_exact(&mut payload)).await.ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// The next frame of a kind, other kinds skipped; `None` at the end.
    pub(super) async fn next_of(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// The same, of whoever may take longer than a test does.
    pub(super) async fn next_within(&mut self, longest: std::time::Duration, kind: u8) -> Option<Frame> {
        tokio::time::timeout(longest, async {
            loop {
                let mut head = [0; 9];
                self.0.read_exact(&mut head).await.ok()?;
                let [a, b, c, found, flags, stream @ ..] = head;
                let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap()];
                self.0.read_exact(&mut payload).await.ok()?;
                if found == kind {
                    return Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload });
                }
            }
        })
        .await
        .ok()?
    }

    /// Reads and forgets; false at the end.
    pub(super) async fn forget(&mut self) -> bool {
        let mut bytes = [0; 4096];
        matches!(self.0.read(&mut bytes).await, Ok(1..))
    }

    /// The code of the next GOAWAY or RST_STREAM, and the kind; `None` at the end.
    pub(super) async fn verdict(&mut self) -> Option<(u8, u32)> {
        loop {
            let frame = self.next().await?;
            if matches!(frame.kind, GOAWAY | RST_STREAM) {
                return Some((frame.kind, frame.code()));
            }
        }
    }
}
