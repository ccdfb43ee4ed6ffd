//! The four bytes before every payload.

use super::NativeError;
use super::open::OPEN_BYTES;

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 4;
/// Most bytes of data in a frame: what 24 bits can say.
pub const DATA_MAX: usize = 0x00ff_ffff;

const LENGTH_BITS: u32 = 24;
const OPEN_LENGTH: u32 = 54;
const REFUSE_LENGTH: u32 = 1;
const _: () = assert!(OPEN_BYTES == 54);

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Client to server: asks for a flow.
    Open,
    /// Server to client: the workload took the connection.
    Accept,
    /// Server to client: there is no flow, for the reason in the payload.
    Refuse,
    /// Bytes of the flow.
    Data,
    /// No more bytes come from this side.
    Fin,
    /// The flow was broken off at this side.
    Reset,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::Accept => 2,
            Self::Refuse => 3,
            Self::Data => 4,
            Self::Fin => 5,
            Self::Reset => 6,
        }
    }

    const fn parse(byte: u8) -> Result<Self, NativeError> {
        Ok(match byte {
            1 => Self::Open,
            2 => Self::Accept,
            3 => Self::Refuse,
            4 => Self::Data,
            5 => Self::Fin,
            6 => Self::Reset,
            other => return Err(NativeError::Kind(other)),
        })
    }

    /// A DATA of nothing would cost its reader something and move nothing.
    const fn takes(self, len: u32) -> bool {
        match self {
            Self::Open => len == OPEN_LENGTH,
            Self::Refuse => len == REFUSE_LENGTH,
            Self::Data => len > 0,
            Self::Accept | Self::Fin | Self::Reset => len == 0,
        }
    }
}

/// A frame's header: a kind, and a length that this kind may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    kind: Kind,
    len: u32,
}

impl FrameHeader {
    /// Before an [`super::Open`].
    pub const OPEN: Self = Self { kind: Kind::Open, len: OPEN_LENGTH };
    /// The whole frame.
    pub const ACCEPT: Self = Self { kind: Kind::Accept, len: 0 };
    /// Before a [`super::RefuseCode`].
    pub const REFUSE: Self = Self { kind: Kind::Refuse, len: REFUSE_LENGTH };
    /// The whole frame.
    pub const FIN: Self = Self { kind: Kind::Fin, len: 0 };
    /// The whole frame.
    pub const RESET: Self = Self { kind: Kind::Reset, len: 0 };

    /// Before so many bytes of data; `None` for none, and for more than [`DATA_MAX`].
    #[must_use]
    pub fn data(len: usize) -> Option<Self> {
        if len == 0 || len > DATA_MAX {
            return None;
        }
        u32::try_from(len).ok().map(|len| Self { kind: Kind::Data, len })
    }

    /// Reads a header.
    ///
    /// # Errors
    /// The kind is unknown, or has no such length.
    pub const fn parse(bytes: [u8; HEADER_BYTES]) -> Result<Self, NativeError> {
        let word = u32::from_be_bytes(bytes);
        let [kind, ..] = bytes;
        let len = word & ((1 << LENGTH_BITS) - 1);
        match Kind::parse(kind) {
            Ok(kind) if kind.takes(len) => Ok(Self { kind, len }),
            Ok(kind) => Err(NativeError::Length { kind, len }),
            Err(error) => Err(error),
        }
    }

    /// As it travels.
    #[must_use]
    pub const fn bytes(self) -> [u8; HEADER_BYTES] {
        let [_, a, b, c] = self.len.to_be_bytes();
        [self.kind.byte(), a, b, c]
    }

    /// What the frame is.
    #[must_use]
    pub const fn kind(self) -> Kind {
        self.kind
    }

    /// Bytes behind the header.
    #[must_use]
    pub fn payload_bytes(self) -> usize {
        // 24 bits fit everywhere that this runs.
        usize::try_from(self.len).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_has_its_number_and_its_length() {
        assert_eq!(FrameHeader::OPEN.bytes(), [1, 0, 0, 54]);
        assert_eq!(FrameHeader::ACCEPT.bytes(), [2, 0, 0, 0]);
        assert_eq!(FrameHeader::REFUSE.bytes(), [3, 0, 0, 1]);
        assert_eq!(FrameHeader::data(0x01_0203).unwrap().bytes(), [4, 1, 2, 3]);
        assert_eq!(FrameHeader::FIN.bytes(), [5, 0, 0, 0]);
        assert_eq!(FrameHeader::RESET.bytes(), [6, 0, 0, 0]);
        assert_eq!(FrameHeader::data(DATA_MAX).unwrap().payload_bytes(), DATA_MAX);
        assert_eq!((FrameHeader::data(0), FrameHeader::data(DATA_MAX + 1)), (None, None));
    }

    #[test]
    fn a_length_that_a_kind_cannot_have_is_refused() {
        for (bytes, kind, len) in [
            ([1, 0, 0, 53], Kind::Open, 53),
            ([1, 0, 0, 55], Kind::Open, 55),
            ([2, 0, 0, 1], Kind::Accept, 1),
            ([3, 0, 0, 0], Kind::Refuse, 0),
            ([3, 0, 0, 2], Kind::Refuse, 2),
            ([4, 0, 0, 0], Kind::Data, 0),
            ([5, 1, 0, 0], Kind::Fin, 0x01_0000),
            ([6, 0xff, 0xff, 0xff], Kind::Reset, 0x00ff_ffff),
        ] {
            assert_eq!(FrameHeader::parse(bytes), Err(NativeError::Length { kind, len }));
        }
        assert_eq!(FrameHeader::parse([0; 4]), Err(NativeError::Kind(0)));
        assert_eq!(FrameHeader::parse([7, 0, 0, 0]), Err(NativeError::Kind(7)));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_as_it_came(bytes: [u8; HEADER_BYTES], kind in 0_u8..8) {
            let [_, a, b, c] = bytes;
            for bytes in [bytes, [kind, a, b, c]] {
                if let Ok(header) = FrameHeader::parse(bytes) {
                    prop_assert_eq!(header.bytes(), bytes);
                }
            }
        }

        #[test]
        fn what_is_written_is_read(len in 1..=DATA_MAX) {
            let header = FrameHeader::data(len).unwrap();
            prop_assert_eq!(FrameHeader::parse(header.bytes()), Ok(header));
            prop_assert_eq!(header.payload_bytes(), len);
        }
    }
}
