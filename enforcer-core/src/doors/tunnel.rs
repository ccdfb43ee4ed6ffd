//! The tunnel's door: frames of whoever got through TLS.

use crate::proxy::native::{FrameHeader, HEADER_BYTES, Kind, Open, RefuseCode};

/// A frame and what follows. Whatever is let in is written as it came.
pub fn tunnel_header(bytes: &[u8]) {
    let Some((header, payload)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return };
    let Ok(frame) = FrameHeader::parse(*header) else { return };
    assert_eq!(frame.bytes(), *header);
    let Some(payload) = payload.get(..frame.payload_bytes()) else { return };
    match frame.kind() {
        Kind::Open => {
            if let Ok(open) = Open::parse(payload) {
                assert_eq!(open.bytes(), *payload);
                assert_eq!(Open::new(open.source(), open.destination(), open.trace()), Ok(open));
            }
        }
        Kind::Refuse => {
            if let Ok(code) = RefuseCode::parse(payload) {
                assert_eq!([code.byte()], *payload);
            }
        }
        Kind::Accept | Kind::Fin | Kind::Reset => assert!(payload.is_empty()),
        Kind::Data => assert!(!payload.is_empty()),
    }
}
