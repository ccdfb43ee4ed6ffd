//! Makes readable what clients of a Unix socket say they call. Where HTTP/2 wants a host (`:authority`, RFC 9113
//! section 8.3.1), gRPC libraries of several languages put the path of the socket, and the server's library
//! refuses such a request before anybody sees it. Nothing here goes by that field: on a Unix socket there is no
//! other host to mean. So the characters that no host has become hyphens, in the bytes as they come.
//!
//! A hyphen is as long as what it replaces, plain and in Huffman's code, so that neither lengths nor the
//! compression's tables (RFC 7541) change, and nothing has to be remembered between requests. Whatever is not as
//! expected passes unchanged, and the server's library decides.

use std::ops::Range;

/// Bytes of the connection preface (RFC 9113 section 3.4).
const PREFACE_BYTES: usize = 24;
/// Bytes of a frame's header (section 4.1).
const HEAD_BYTES: usize = 9;
/// Bytes of the largest frame, as nobody was allowed more (section 6.5.2): longer ones are refused later.
const FRAME_MAX_BYTES: usize = 1 << 14;
/// The frame that begins a request, and its flags (section 6.2).
const HEADERS: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
/// `:authority` in the table that everybody has (RFC 7541 appendix A).
const AUTHORITY: usize = 1;
/// The same spelled out, as gRPC's C library does, plain and in Huffman's code.
const AUTHORITY_NAMES: [&[u8]; 2] = [b":authority", &[0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f]];

/// One connection's bytes, as they pass.
#[derive(Debug)]
pub struct Readable(State);

#[derive(Debug)]
enum State {
    /// Bytes that pass: of the preface, or of a frame that is no business of ours.
    Pass(usize),
    /// A frame's header, as far as it is there.
    Head(Vec<u8>),
    /// The header and contents of a frame that begins a request, and how long it will be.
    Hold(Vec<u8>, usize),
}

impl Default for Readable {
    fn default() -> Self {
        Self(State::Pass(PREFACE_BYTES))
    }
}

impl Readable {
    /// Takes the next bytes, and gives what can go on: everything but a frame that is not whole yet, which has at
    /// most 16 KiB.
    pub fn pass(&mut self, mut bytes: &[u8], on: &mut Vec<u8>) {
        while !bytes.is_empty() {
            bytes = self.step(bytes, on);
        }
    }

    /// Takes bytes up to the next border, and gives the rest.
    fn step<'a>(&mut self, bytes: &'a [u8], on: &mut Vec<u8>) -> &'a [u8] {
        let missing = match &self.0 {
            State::Pass(missing) => *missing,
            State::Head(head) => HEAD_BYTES - head.len(),
            State::Hold(frame, whole) => whole - frame.len(),
        };
        let (now, rest) = bytes.split_at(missing.min(bytes.len()));
        let is_whole = now.len() == missing;
        match &mut self.0 {
            State::Pass(missing) => {
                on.extend_from_slice(now);
                *missing -= now.len();
                if is_whole {
                    self.0 = State::Head(Vec::new());
                }
            }
            State::Head(head) => {
                head.extend_from_slice(now);
                if is_whole {
                    self.0 = begin(std::mem::take(head), on);
                }
            }
            State::Hold(frame, _) => {
                frame.extend_from_slice(now);
                if is_whole {
                    rewrite(frame);
                    on.append(frame);
                    self.0 = State::Head(Vec::new());
                }
            }
        }
        rest
    }
}

/// What follows a frame's header.
fn begin(head: Vec<u8>, on: &mut Vec<u8>) -> State {
    let length = match head.as_slice() {
        [a, b, c, ..] => usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c),
        _ => 0,
    };
    let (kind, flags) = (head.get(3), head.get(4));
    let is_request = kind == Some(&HEADERS) && flags.is_some_and(|flags| flags & END_HEADERS != 0);
    if is_request && (1..=FRAME_MAX_BYTES).contains(&length) {
        return State::Hold(head, HEAD_BYTES + length);
    }
    on.extend_from_slice(&head);
    if length == 0 { State::Head(Vec::new()) } else { State::Pass(length) }
}

fn rewrite(frame: &mut [u8]) {
    for value in fields(frame).unwrap_or_default() {
        if let Some(bytes) = frame.get_mut(value.bytes) {
            if value.is_huffman { rewrite_huffman(bytes) } else { rewrite_plain(bytes) }
        }
    }
}

/// A text within a frame.
struct Text {
    bytes: Range<usize>,
    is_huffman: bool,
}

impl Text {
    fn is_authority(&self, frame: &[u8]) -> bool {
        frame.get(self.bytes.clone()) == Some(AUTHORITY_NAMES[usize::from(self.is_huffman)])
    }
}

/// Where the frame gives a value to `:authority`. A value of the past is referred to by number, and was rewritten
/// when it came. `None` for a frame that makes no sense.
fn fields(frame: &[u8]) -> Option<Vec<Text>> {
    let flags = *frame.get(4)?;
    let mut cursor = Cursor { frame, at: HEAD_BYTES, end: frame.len() };
    if flags & PADDED != 0 {
        let padding = usize::from(*frame.get(HEAD_BYTES)?);
        cursor.at += 1;
        cursor.end = cursor.end.checked_sub(padding)?;
    }
    if flags & PRIORITY != 0 {
        cursor.at += 5;
    }
    let mut found = Vec::new();
    while cursor.at < cursor.end {
        match cursor.peek()? {
            // A field of the tables, and a new size of the table that is not ours.
            0x80..=0xff => drop(cursor.number(7)?),
            0x20..=0x3f => drop(cursor.number(5)?),
            first => {
                let name = cursor.number(if first >= 0x40 { 6 } else { 4 })?;
                let is_spelled = name == 0 && cursor.text()?.is_authority(frame);
                let value = cursor.text()?;
                if is_spelled || name == AUTHORITY {
                    found.push(value);
                }
            }
        }
    }
    Some(found)
}

/// Reads the compression's numbers and texts (RFC 7541 section 5).
struct Cursor<'a> {
    frame: &'a [u8],
    at: usize,
    end: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.frame.get(..self.end)?.get(self.at).copied()
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn number(&mut self, bits: u32) -> Option<usize> {
        let mask = (1_usize << bits) - 1;
        let mut number = usize::from(self.byte()?) & mask;
        if number < mask {
            return Some(number);
        }
        // More than a frame can hold is none.
        for shift in [0, 7, 14] {
            let byte = self.byte()?;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<Text> {
        let is_huffman = self.peek()? & 0x80 != 0;
        let length = self.number(7)?;
        let bytes = self.at..self.at.checked_add(length)?;
        if bytes.end > self.end {
            return None;
        }
        self.at = bytes.end;
        Some(Text { bytes, is_huffman })
    }
}

const fn is_foreign(character: u8) -> bool {
    matches!(character, b'%' | b'/')
}

fn rewrite_plain(value: &mut [u8]) {
    value.iter_mut().filter(|character| is_foreign(**character)).for_each(|character| *character = b'-');
}

/// The codes of six bits that stand for `%`, `/` and `-` (RFC 7541 appendix B).
const FOREIGN_CODES: [u16; 2] = [0b01_0101, 0b01_1000];
const HYPHEN_CODE: u16 = 0b01_0110;
/// First and last code of each length up to eight bits: every character that paths are made of. Shorter codes are
/// no prefix of longer ones, so the first that fits is the one.
const CODES: [(usize, u16, u16); 4] =
    [(5, 0b0_0000, 0b0_1001), (6, 0b01_0100, 0b10_1101), (7, 0b101_1100, 0b111_1011), (8, 0xf8, 0xfd)];

fn rewrite_huffman(value: &mut [u8]) {
    let mut at = 0;
    while let Some((length, code)) = code(value, at) {
        if length == 6 && FOREIGN_CODES.contains(&code) {
            for bit in 0..6 {
                put(value, at + bit, HYPHEN_CODE >> (5 - bit) & 1 == 1);
            }
        }
        at += length;
    }
}

/// The code that begins at a bit; `None` at the end, and at a character that no path is made of.
fn code(value: &[u8], at: usize) -> Option<(usize, u16)> {
    CODES.into_iter().find_map(|(length, first, last)| {
        let mut code = 0;
        for bit in at..at + length {
            code = code << 1 | u16::from(value.get(bit / 8)? >> (7 - bit % 8) & 1);
        }
        (first..=last).contains(&code).then_some((length, code))
    })
}

fn put(value: &mut [u8], bit: usize, is_one: bool) {
    if let Some(byte) = value.get_mut(bit / 8) {
        let mask = 0x80 >> (bit % 8);
        *byte = if is_one { *byte | mask } else { *byte & !mask };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request to `tmp%2Frun%2Fa-b.sock` as an independent library compresses it, and to
    /// `tmp-2Frun-2Fa-b.sock`; in Huffman's code and plain.
    const FROM: [&str; 2] = [
        "83418f4d35aa2c365b52a2c235a35d07275f448263cf4082497f864d833505b11f",
        "834114746d7025324672756e253246612d622e736f636b44022f784002746508747261696c657273",
    ];
    const TO: [&str; 2] = [
        "83418f4d35ac2c365b52c2c235a35d07275f448263cf4082497f864d833505b11f",
        "834114746d702d324672756e2d3246612d622e736f636b44022f784002746508747261696c657273",
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
    }

    fn frame(kind: u8, flags: u8, contents: &[u8]) -> Vec<u8> {
        let length = u32::try_from(contents.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], contents].concat()
    }

    fn connection(contents: &[u8]) -> Vec<u8> {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let settings = frame(4, 0, &[]);
        [preface.as_slice(), &settings, contents, &frame(0, 1, b"%/%/")].concat()
    }

    fn passed(sent: &[u8], chunk: usize) -> Vec<u8> {
        let (mut readable, mut on) = (Readable::default(), Vec::new());
        sent.chunks(chunk).for_each(|bytes| readable.pass(bytes, &mut on));
        on
    }

    #[test]
    fn the_path_of_a_socket_becomes_a_host_however_it_comes() {
        for (from, to) in FROM.into_iter().zip(TO) {
            let (from, to) = (bytes(from), bytes(to));
            assert_ne!(from, to);
            let sent = connection(&frame(HEADERS, END_HEADERS, &from));
            let expected = connection(&frame(HEADERS, END_HEADERS, &to));
            for chunk in 1..sent.len() {
                assert_eq!(passed(&sent, chunk), expected);
            }
        }
    }

    #[test]
    fn the_field_may_be_spelled_out() {
        for name in AUTHORITY_NAMES {
            let length = u8::try_from(name.len()).unwrap() | if name[0] == b':' { 0 } else { 0x80 };
            for first in [0x40, 0x00, 0x10] {
                let block = |value: &[u8]| [&[first, length], name, &[3], value, &[0x84]].concat();
                let sent = connection(&frame(HEADERS, END_HEADERS, &block(b"a%b")));
                assert_eq!(passed(&sent, 5), connection(&frame(HEADERS, END_HEADERS, &block(b"a-b"))));
            }
        }
    }

    #[test]
    fn padding_and_priority_are_stepped_over() {
        for (from, to) in FROM.into_iter().zip(TO) {
            let dress = |block: Vec<u8>| [&[2_u8, 0, 0, 0, 0, 9][..], &block, b"%/"].concat();
            let flags = END_HEADERS | PADDED | PRIORITY;
            let sent = connection(&frame(HEADERS, flags, &dress(bytes(from))));
            assert_eq!(passed(&sent, 7), connection(&frame(HEADERS, flags, &dress(bytes(to)))));
        }
    }

    #[test]
    fn a_raw_path_becomes_a_host_too() {
        let block = |authority: &[u8]| [&[0x83, 0x41, 9], authority, &[0x84]].concat();
        let sent = connection(&frame(HEADERS, END_HEADERS, &block(b"/run/s.so")));
        assert_eq!(passed(&sent, 100), connection(&frame(HEADERS, END_HEADERS, &block(b"-run-s.so"))));
    }

    /// Whatever else passes as it is: other frames, other fields, frames cut short, noise.
    #[test]
    fn everything_else_passes_unchanged() {
        let field = [&[0x40, 1, b'%', 1, b'/'][..], &[0x04, 2, b'/', b'%'], &[0x3f, 0xe1, 0x1f]].concat();
        let unchanged = [
            frame(HEADERS, END_HEADERS, &field),
            frame(HEADERS, 0, &bytes(FROM[0])),
            frame(HEADERS, END_HEADERS, &[]),
            frame(HEADERS, END_HEADERS | PADDED, &[200, 0x41, 1, b'%']),
            frame(HEADERS, END_HEADERS, &[0x41, 9, b'%']),
            frame(HEADERS, END_HEADERS, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            frame(HEADERS, END_HEADERS, &[0x41; FRAME_MAX_BYTES + 1]),
            vec![0xff; 100],
        ];
        for contents in unchanged {
            let sent = connection(&contents);
            let passed = passed(&sent, 11);
            assert_eq!(passed, sent[..passed.len()]);
        }
    }

    #[test]
    fn noise_neither_grows_nor_shrinks() {
        let mut noise = 1_u32;
        let mut next = || {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise.to_be_bytes()[0]
        };
        for length in 0..300 {
            let block: Vec<u8> = std::iter::repeat_with(&mut next).take(length).collect();
            for flags in [END_HEADERS, END_HEADERS | PADDED, END_HEADERS | PADDED | PRIORITY] {
                let sent = connection(&frame(HEADERS, flags, &block));
                assert_eq!(passed(&sent, 13).len(), sent.len());
            }
        }
    }
}
