//! TCP segments without payload, as Ethernet frames.

use std::net::SocketAddrV4;

/// A connection is asked for.
pub(super) const SYN: u8 = 2;
/// It goes on.
pub(super) const ACK: u8 = 16;

const ETHERNET: [u8; 14] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
const IPV4_BYTES: u8 = 20;
const TCP_BYTES: u8 = 20;

/// Checksums are left out: nobody on the way looks at them.
pub(super) fn tcp(from: SocketAddrV4, to: SocketAddrV4, flags: u8) -> Vec<u8> {
    let mut frame = ETHERNET.to_vec();
    frame.extend([0x45, 0, 0, IPV4_BYTES + TCP_BYTES, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0]);
    frame.extend(from.ip().octets());
    frame.extend(to.ip().octets());
    frame.extend(from.port().to_be_bytes());
    frame.extend(to.port().to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    frame
}

#[cfg(test)]
mod tests {
    use enforcer_common::packet::{Headers, Parsed, parse_frame};

    use super::*;

    #[test]
    fn the_parser_reads_what_was_written() {
        let from = "10.0.0.1:1025".parse().unwrap();
        let frame = tcp(from, "100.64.0.9:443".parse().unwrap(), ACK);
        let mut headers = Headers::default();
        assert_eq!(parse_frame(frame.as_slice(), 0, &mut headers), Parsed::IP);
        assert_eq!((headers.source_port, headers.destination_port, headers.tcp_flags), (1025, 443, ACK));
    }
}
