//! Refused packets as a capture: "PCAP Next Generation (pcapng) Capture File Format", little endian, one interface of raw
//! IP with times in nanoseconds.

use std::io::{self, Write};

use enforcer_proto::v1;

use crate::parquet::nanoseconds;

/// Section Header Block.
const SECTION: u32 = 0x0a0d_0d0a;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Interface Description Block.
const INTERFACE: u32 = 1;
/// Enhanced Packet Block.
const PACKET: u32 = 6;

/// `LINKTYPE_RAW`: begins with an IPv4 or IPv6 header.
const LINK_RAW: u16 = 101;

const OPTION_END: u16 = 0;
const OPTION_COMMENT: u16 = 1;
const OPTION_INTERFACE_NAME: u16 = 2;
const OPTION_APPLICATION: u16 = 4;
const OPTION_TIME_RESOLUTION: u16 = 9;

/// Bytes of a comment: an option holds 65 535.
const COMMENT_MOST: usize = 4096;
/// Bytes of a packet: far more than an event carries.
const PACKET_MOST: usize = 64 * 1024;

/// A capture that is being written.
pub(super) struct Capture<W> {
    out: W,
}

impl<W: Write> Capture<W> {
    /// Writes what goes before packets.
    pub(super) fn begin(out: W) -> io::Result<Self> {
        let mut capture = Self { out };
        let mut section = Vec::new();
        section.extend(BYTE_ORDER.to_le_bytes());
        section.extend([1, 0, 0, 0]);
        // The section's length is not known beforehand.
        section.extend(u64::MAX.to_le_bytes());
        option(&mut section, OPTION_APPLICATION, concat!("enforcer ", env!("CARGO_PKG_VERSION")).as_bytes());
        end_of_options(&mut section);
        capture.block(SECTION, &section)?;

        let mut interface = Vec::new();
        interface.extend(LINK_RAW.to_le_bytes());
        interface.extend([0; 2]);
        // Packets are cut by the kernel's event, not by a capture: no limit.
        interface.extend([0; 4]);
        option(&mut interface, OPTION_INTERFACE_NAME, b"enforcer");
        // Ten to the minus nine.
        option(&mut interface, OPTION_TIME_RESOLUTION, &[9]);
        end_of_options(&mut interface);
        capture.block(INTERFACE, &interface)?;
        Ok(capture)
    }

    /// Writes the packet of a record, with what was decided on it.
    pub(super) fn packet(&mut self, record: &v1::Record) -> io::Result<()> {
        let packet = record.packet.get(..PACKET_MOST).unwrap_or(&record.packet);
        let captured = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        let time = record.time.as_ref().map_or(0, nanoseconds);
        let time = u64::try_from(time).unwrap_or(0);
        let [a, b, c, d, e, f, g, h] = time.to_le_bytes();
        let mut body = vec![0; 4];
        body.extend([e, f, g, h]);
        body.extend([a, b, c, d]);
        body.extend(captured.to_le_bytes());
        body.extend(record.packet_length.max(captured).to_le_bytes());
        body.extend(packet);
        pad(&mut body);
        option(&mut body, OPTION_COMMENT, comment(record).as_bytes());
        end_of_options(&mut body);
        self.block(PACKET, &body)
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// A block has its length at both ends.
    fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len() + 12).map_err(io::Error::other)?.to_le_bytes();
        self.out.write_all(&kind.to_le_bytes())?;
        self.out.write_all(&length)?;
        self.out.write_all(body)?;
        self.out.write_all(&length)
    }
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let Ok(length) = u16::try_from(value.len()) else { return };
    body.extend(code.to_le_bytes());
    body.extend(length.to_le_bytes());
    body.extend(value);
    pad(body);
}

fn end_of_options(body: &mut Vec<u8>) {
    option(body, OPTION_END, &[]);
}

/// To 32 bits: every block starts aligned, so its body does.
fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

/// `verdict=deny reason=... source=red/web ...`: what a display filter can look for. A value with anything else than plain
/// characters is quoted as JSON quotes it.
fn comment(record: &v1::Record) -> String {
    let process = record.process.as_ref().map(|process| {
        let name = if process.executable.is_empty() { &process.command } else { &process.executable };
        format!("{}:{name}", process.pid)
    });
    let words = [
        ("verdict", record.verdict.clone()),
        ("reason", record.reason.clone()),
        ("rule", record.rule.clone()),
        ("hook", record.hook.clone()),
        ("source", end(record.source.as_ref())),
        ("destination", end(record.destination.as_ref())),
        ("process", process.unwrap_or_default()),
        ("sequence", record.sequence.to_string()),
    ];
    let told = words.iter().filter(|(_, value)| !value.is_empty());
    let mut text =
        told.map(|(name, value)| format!("{name}={}", quoted(value))).collect::<Vec<_>>().join(" ");
    text.truncate(text.floor_char_boundary(COMMENT_MOST));
    text
}

/// `tenant/workload`
fn end(end: Option<&v1::Endpoint>) -> String {
    match end {
        Some(end) if end.workload.is_empty() => end.identity.clone(),
        Some(end) => format!("{}/{}", end.identity, end.workload),
        None => String::new(),
    }
}

fn quoted(value: &str) -> String {
    if value.chars().all(|c| c.is_ascii_graphic() && c != '"') {
        return value.to_owned();
    }
    let clean: String =
        value.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    serde_json::to_string(&clean).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parquet::from_nanoseconds;

    fn refused() -> v1::Record {
        v1::Record {
            sequence: 12,
            time: Some(from_nanoseconds(1_795_838_400_123_456_789)),
            verdict: "deny".to_owned(),
            reason: "cross_tenant_no_rule".to_owned(),
            packet: vec![0x45, 0, 0, 60, 1, 2, 3],
            packet_length: 60,
            source: Some(v1::Endpoint {
                identity: "red".to_owned(),
                workload: "web".to_owned(),
                ..v1::Endpoint::default()
            }),
            destination: Some(v1::Endpoint {
                identity: "another tenant".to_owned(),
                ..v1::Endpoint::default()
            }),
            process: Some(v1::Process {
                pid: 77,
                executable: "/tmp/a\nb".to_owned(),
                ..v1::Process::default()
            }),
            ..v1::Record::default()
        }
    }

    /// Kind and body of each block.
    fn blocks(mut bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let word = |bytes: &[u8]| u32::from_le_bytes(*bytes.first_chunk().unwrap());
        let mut blocks = Vec::new();
        while !bytes.is_empty() {
            let (kind, length) = (word(bytes), word(&bytes[4..]));
            let size = usize::try_from(length).unwrap();
            assert_eq!((size % 4, word(&bytes[size - 4..])), (0, length));
            blocks.push((kind, bytes[8..size - 4].to_vec()));
            bytes = &bytes[size..];
        }
        blocks
    }

    #[test]
    fn a_capture_is_a_section_an_interface_and_packets() {
        let mut out = Vec::new();
        let mut capture = Capture::begin(&mut out).unwrap();
        capture.packet(&refused()).unwrap();
        capture.finish().unwrap();
        let blocks = blocks(&out);
        let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [SECTION, INTERFACE, PACKET]);
        assert_eq!(blocks[1].1[..8], [101, 0, 0, 0, 0, 0, 0, 0]);
        let body = &blocks[2].1;
        let number = |at: usize| u64::from(u32::from_le_bytes(*body[at..].first_chunk().unwrap()));
        assert_eq!(number(0), 0);
        assert_eq!(number(4) << 32 | number(8), 1_795_838_400_123_456_789);
        assert_eq!((number(12), number(16)), (7, 60));
        assert_eq!(body[20..28], [0x45, 0, 0, 60, 1, 2, 3, 0]);
        assert_eq!(body[28..30], OPTION_COMMENT.to_le_bytes());
    }

    #[test]
    fn a_comment_says_who_and_why_in_one_line() {
        assert_eq!(
            comment(&refused()),
            "verdict=deny reason=cross_tenant_no_rule source=red/web destination=\"another tenant\" \
             process=\"77:/tmp/a\u{fffd}b\" sequence=12"
        );
        let long = v1::Record { rule: "ä".repeat(COMMENT_MOST), ..refused() };
        assert!(comment(&long).len() <= COMMENT_MOST);
    }
}
