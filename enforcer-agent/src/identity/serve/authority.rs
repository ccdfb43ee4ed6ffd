//! What gRPC's C core (Python, C++, Ruby) sends as `:authority` over a Unix socket is the socket's path,
//! percent-encoded: `run%2Fenforcer%2Fapi.sock`. RFC 3986 allows that, the `http` crate does not, and so h2 ends every
//! call with PROTOCOL_ERROR. Here each `%` in that one value becomes a `-`, in place and one for one, so that every
//! length and every compression table stays right. It must not know what is asked, and it never refuses anything:
//! what it cannot follow it leaves as it is, for h2 to judge.

/// Bytes of the connection preface (RFC 9113 section 3.4).
const PREFACE_BYTES: usize = 24;
/// Bytes of a frame's head (RFC 9113 section 4.1).
const HEAD_BYTES: usize = 9;
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// Bytes that the flag [`PRIORITY`] puts before the fields.
const PRIORITY_BYTES: usize = 5;
/// Largest number in a field block that is followed: a header list of ours is far shorter.
const NUMBER_MAX: usize = 1 << 20;
const NAME: &[u8] = b":authority";
/// Index of the name in the static table (RFC 7541 appendix A).
const NAME_INDEX: usize = 1;

/// Mends what a client sends on one connection, whatever pieces it comes in.
#[derive(Debug)]
pub(super) struct Mender {
    at: At,
    fields: Fields,
}

/// Where in the frames we are.
#[derive(Debug)]
enum At {
    Preface {
        left: usize,
    },
    Head {
        bytes: [u8; HEAD_BYTES],
        have: usize,
    },
    /// At the byte that says how much padding there is.
    PadLength {
        left: usize,
        before: usize,
    },
    /// Bytes before the fields, of the fields, and after them.
    Payload {
        before: usize,
        fields: usize,
        after: usize,
    },
}

/// Where in the fields we are (RFC 7541 section 6); a block may go on in another frame.
#[derive(Debug)]
enum Fields {
    Start,
    /// A number that did not fit into its first byte.
    Number {
        then: Then,
        value: usize,
        shift: u32,
    },
    /// At the first byte of a text.
    Length {
        of: Of,
    },
    Text {
        of: Of,
        left: usize,
        is_plain: bool,
        seen: usize,
        is_name: bool,
    },
    /// It cannot be what it seems: nothing is touched any more.
    Lost,
}

/// What a number is for.
#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    /// Index of a name, whose value follows.
    Name,
    /// Length of a text.
    Text {
        of: Of,
        is_plain: bool,
    },
}

/// What a text is.
#[derive(Clone, Copy, Debug)]
enum Of {
    Name,
    Authority,
    Other,
}

impl Mender {
    pub(super) const fn new() -> Self {
        Self { at: At::Preface { left: PREFACE_BYTES }, fields: Fields::Start }
    }

    /// Mends the next bytes of the connection.
    pub(super) fn mend(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| self.step(byte));
    }

    fn step(&mut self, byte: &mut u8) {
        match &mut self.at {
            At::Preface { left } => {
                *left -= 1;
                if *left == 0 {
                    self.at = At::head();
                }
            }
            At::Head { bytes, have } => {
                if let Some(place) = bytes.get_mut(*have) {
                    *place = *byte;
                }
                *have += 1;
                if *have == HEAD_BYTES {
                    self.at = At::after(bytes);
                }
            }
            At::PadLength { left, before } => {
                let after = usize::from(*byte);
                let fields = left.saturating_sub(1 + *before + after);
                self.at = At::Payload { before: *before, fields, after };
            }
            At::Payload { before, fields, after } => {
                if *before > 0 {
                    *before -= 1;
                } else if *fields > 0 {
                    *fields -= 1;
                    self.fields.step(byte);
                } else {
                    *after = after.saturating_sub(1);
                }
                if (*before, *fields, *after) == (0, 0, 0) {
                    self.at = At::head();
                }
            }
        }
    }
}

impl At {
    const fn head() -> Self {
        Self::Head { bytes: [0; HEAD_BYTES], have: 0 }
    }

    /// What follows the head of a frame.
    fn after(head: &[u8; HEAD_BYTES]) -> Self {
        let [high, middle, low, kind, flags, ..] = *head;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let before = if kind == HEADERS && flags & PRIORITY != 0 { PRIORITY_BYTES } else { 0 };
        match kind {
            _ if length == 0 => Self::head(),
            HEADERS if flags & PADDED != 0 => Self::PadLength { left: length, before },
            HEADERS | CONTINUATION => {
                Self::Payload { before: before.min(length), fields: length.saturating_sub(before), after: 0 }
            }
            _ => Self::Payload { before: length, fields: 0, after: 0 },
        }
    }
}

impl Fields {
    fn step(&mut self, byte: &mut u8) {
        *self = match std::mem::replace(self, Self::Lost) {
            Self::Lost => Self::Lost,
            Self::Start => Self::first(*byte),
            Self::Length { of } => Self::number(*byte, 7, Then::Text { of, is_plain: *byte & 0x80 == 0 }),
            Self::Number { then, value, shift } => {
                let more = usize::from(*byte & 0x7f).checked_shl(shift).unwrap_or(usize::MAX);
                match value.saturating_add(more) {
                    value if value > NUMBER_MAX => Self::Lost,
                    value if *byte & 0x80 != 0 => Self::Number { then, value, shift: shift + 7 },
                    value => Self::counted(then, value),
                }
            }
            Self::Text { of, left, is_plain, seen, is_name } => {
                if is_plain && matches!(of, Of::Authority) && *byte == b'%' {
                    *byte = b'-';
                }
                let is_name = is_name && NAME.get(seen) == Some(byte);
                let next = Self::Text { of, left: left - 1, is_plain, seen: seen + 1, is_name };
                if left == 1 { next.ended() } else { next }
            }
        };
    }

    /// The first byte of a field.
    fn first(byte: u8) -> Self {
        match byte {
            _ if byte & 0x80 != 0 => Self::number(byte, 7, Then::Nothing),
            _ if byte & 0x40 != 0 => Self::number(byte, 6, Then::Name),
            _ if byte & 0x20 != 0 => Self::number(byte, 5, Then::Nothing),
            _ => Self::number(byte, 4, Then::Name),
        }
    }

    /// A number that begins in the lowest bits of a byte (RFC 7541 section 5.1).
    fn number(byte: u8, bits: u32, then: Then) -> Self {
        let most = (1_usize << bits) - 1;
        let value = usize::from(byte) & most;
        if value == most { Self::Number { then, value, shift: 0 } } else { Self::counted(then, value) }
    }

    fn counted(then: Then, value: usize) -> Self {
        match then {
            Then::Nothing => Self::Start,
            Then::Name if value == 0 => Self::Length { of: Of::Name },
            Then::Name => Self::Length { of: if value == NAME_INDEX { Of::Authority } else { Of::Other } },
            Then::Text { of, is_plain } => {
                let text = Self::Text {
                    of,
                    left: value,
                    is_plain,
                    seen: 0,
                    is_name: is_plain && value == NAME.len(),
                };
                if value == 0 { text.ended() } else { text }
            }
        }
    }

    /// What follows a text.
    const fn ended(self) -> Self {
        match self {
            Self::Text { of: Of::Name, is_name: true, .. } => Self::Length { of: Of::Authority },
            Self::Text { of: Of::Name, .. } => Self::Length { of: Of::Other },
            Self::Text { .. } => Self::Start,
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// `mended` must be what comes of `sent`, whole and byte by byte.
    fn check(sent: &[Vec<u8>], mended: &[Vec<u8>]) {
        let (sent, mended) = ([PREFACE, &sent.concat()].concat(), [PREFACE, &mended.concat()].concat());
        let mut whole = sent.clone();
        Mender::new().mend(&mut whole);
        assert_eq!(whole, mended);
        let mut pieces = sent;
        let mut mender = Mender::new();
        pieces.chunks_mut(1).for_each(|piece| mender.mend(piece));
        assert_eq!(pieces, mended);
    }

    /// As grpc 1.85 for Python sends it.
    #[test]
    fn the_path_of_a_socket_becomes_a_name() {
        let block = |path: &str| {
            let path = path.as_bytes();
            [b"@\x05:path\x02/A@\x0a:authority\x13", path, b"\x83\x86@\x02te\x08trailers"].concat()
        };
        let (sent, mended) = (block("tmp%2Fidt%2Fxy.sock"), block("tmp-2Fidt-2Fxy.sock"));
        let settings = frame(0x4, 0, &[0; 6]);
        check(
            &[settings.clone(), frame(HEADERS, 0x4, &sent), frame(0x0, 0x1, b"a%b")],
            &[settings, frame(HEADERS, 0x4, &mended), frame(0x0, 0x1, b"a%b")],
        );
    }

    #[test]
    fn the_static_name_is_known_and_other_values_are_let_alone() {
        let block = |byte: u8| [b"\x01\x03a", [byte].as_slice(), b"b\x04\x03a%b\x00\x02xy\x01%"].concat();
        check(&[frame(HEADERS, 0x4, &block(b'%'))], &[frame(HEADERS, 0x4, &block(b'-'))]);
    }

    #[test]
    fn padding_priority_and_continuations_are_followed() {
        let first = |payload: &[u8]| [&[2, 0, 0, 0, 0, 7], payload, b"%%"].concat();
        let sent = [
            frame(HEADERS, PADDED | PRIORITY, &first(b"\x41\x05a%")),
            frame(CONTINUATION, 0x4, b"b%c\x82"),
            frame(HEADERS, 0x4, b"\xbe\x82"),
        ];
        let mended = [
            frame(HEADERS, PADDED | PRIORITY, &first(b"\x41\x05a-")),
            frame(CONTINUATION, 0x4, b"b-c\x82"),
            frame(HEADERS, 0x4, b"\xbe\x82"),
        ];
        check(&sent, &mended);
    }

    #[test]
    fn what_is_compressed_or_senseless_is_left_for_others_to_judge() {
        let compressed = frame(HEADERS, 0x4, b"\x41\x83%%%\x82");
        check(std::slice::from_ref(&compressed), std::slice::from_ref(&compressed));
        let endless = frame(HEADERS, 0x4, b"\x41\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff%");
        let later = frame(HEADERS, 0x4, b"\x01\x01%");
        check(&[endless.clone(), later.clone()], &[endless, later]);
    }
}
