//! The header that opens a flow.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use enforcer_common::address::{Address, from_v4, to_v4};

use super::NativeError;
use crate::proxy::trace::TraceId;

/// Bytes of an OPEN's payload, version 1: version, flags, destination port and address, source port and address,
/// trace ID.
pub const OPEN_BYTES: usize = 1 + 1 + 2 + 16 + 2 + 16 + 16;

const VERSION: u8 = 1;

/// Who opens a flow to whom: two hosts' addresses of one family, each with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    source: SocketAddr,
    destination: SocketAddr,
    trace: TraceId,
}

impl Open {
    /// A flow. An IPv4 address that was mapped into IPv6 is the IPv4 address; scopes and flow labels do not travel.
    ///
    /// # Errors
    /// No flow runs between these.
    pub fn new(source: SocketAddr, destination: SocketAddr, trace: TraceId) -> Result<Self, NativeError> {
        let (source, destination) = (plain(source), plain(destination));
        for end in [source, destination] {
            if end.port() == 0 {
                return Err(NativeError::Port);
            }
            if !is_hosts(end.ip()) {
                return Err(NativeError::Address);
            }
        }
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(NativeError::Family);
        }
        Ok(Self { source, destination, trace })
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// Its length, version or flags are not of version 1, or no flow is as it says.
    pub fn parse(payload: &[u8]) -> Result<Self, NativeError> {
        let wrong_length = || NativeError::Length {
            kind: super::Kind::Open,
            len: u32::try_from(payload.len()).unwrap_or(u32::MAX),
        };
        let payload: &[u8; OPEN_BYTES] = payload.try_into().map_err(|_| wrong_length())?;
        let ([version, flags], rest) = cut::<2, 52>(payload).ok_or_else(wrong_length)?;
        if version != VERSION {
            return Err(NativeError::Version(version));
        }
        if flags != 0 {
            return Err(NativeError::Flags(flags));
        }
        let (destination, rest) = cut::<18, 34>(&rest).ok_or_else(wrong_length)?;
        let (source, trace) = cut::<18, 16>(&rest).ok_or_else(wrong_length)?;
        let trace = TraceId::new(trace).ok_or(NativeError::Trace)?;
        Self::new(read(&source), read(&destination), trace)
    }

    /// As it travels.
    #[must_use]
    pub fn bytes(&self) -> [u8; OPEN_BYTES] {
        let mut bytes = [0; OPEN_BYTES];
        let fields: [&[u8]; 6] = [
            &[VERSION, 0],
            &self.destination.port().to_be_bytes(),
            &mapped(self.destination.ip()),
            &self.source.port().to_be_bytes(),
            &mapped(self.source.ip()),
            &self.trace.bytes(),
        ];
        let fields = fields.into_iter().flatten();
        bytes.iter_mut().zip(fields).for_each(|(byte, field)| *byte = *field);
        bytes
    }

    /// Who opens it.
    #[must_use]
    pub const fn source(&self) -> SocketAddr {
        self.source
    }

    /// To whom.
    #[must_use]
    pub const fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// What both ends call it.
    #[must_use]
    pub const fn trace(&self) -> TraceId {
        self.trace
    }
}

fn cut<const N: usize, const M: usize>(bytes: &[u8]) -> Option<([u8; N], [u8; M])> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    Some((*first, rest.try_into().ok()?))
}

fn read(end: &[u8; 18]) -> SocketAddr {
    let [high, low, address @ ..] = *end;
    SocketAddr::new(unmapped(address), u16::from_be_bytes([high, low]))
}

fn plain(end: SocketAddr) -> SocketAddr {
    SocketAddr::new(end.ip().to_canonical(), end.port())
}

/// Loopback is nobody's at the other end; multicast and broadcast are many.
fn is_hosts(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || is_broadcast)
}

fn mapped(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(v4) => from_v4(v4.octets()),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn unmapped(address: Address) -> IpAddr {
    match to_v4(&address) {
        Some(v4) => Ipv4Addr::from(v4).into(),
        None => Ipv6Addr::from(address).into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trace() -> TraceId {
        TraceId::new([9; 16]).unwrap()
    }

    fn open(source: &str, destination: &str) -> Result<Open, NativeError> {
        Open::new(source.parse().unwrap(), destination.parse().unwrap(), trace())
    }

    /// The layout, byte by byte: another implementation could be written from this.
    #[test]
    fn an_open_is_laid_out_as_documented() {
        let bytes = open("10.0.0.1:40000", "10.0.1.2:8080").unwrap().bytes();
        let mut expected = vec![1, 0, 0x1f, 0x90];
        expected.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 1, 2]);
        expected.extend([0x9c, 0x40]);
        expected.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1]);
        expected.extend([9; 16]);
        assert_eq!(bytes.as_slice(), expected);
    }

    #[test]
    fn no_flow_runs_between_two_families_or_to_nobody() {
        assert_eq!(open("10.0.0.1:1", "[2001:db8::1]:1"), Err(NativeError::Family));
        assert_eq!(open("10.0.0.1:0", "10.0.0.2:1"), Err(NativeError::Port));
        for nobody in [
            "0.0.0.0",
            "127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[ff02::1]",
            "[::ffff:127.0.0.1]",
        ] {
            assert_eq!(open("10.0.0.1:1", &format!("{nobody}:1")), Err(NativeError::Address), "{nobody}");
            assert_eq!(open(&format!("{nobody}:1"), "10.0.0.1:1"), Err(NativeError::Address), "{nobody}");
        }
        let mapped = open("[::ffff:10.0.0.1]:1", "10.0.0.2:1").unwrap();
        assert_eq!(mapped, open("10.0.0.1:1", "10.0.0.2:1").unwrap());
    }

    #[test]
    fn what_version_1_does_not_have_is_refused() {
        let bytes = open("10.0.0.1:1", "10.0.0.2:1").unwrap().bytes();
        let changed = |index: usize, byte: u8| {
            let mut bytes = bytes;
            bytes[index] = byte;
            Open::parse(&bytes)
        };
        assert_eq!(changed(0, 2), Err(NativeError::Version(2)));
        assert_eq!(changed(1, 1), Err(NativeError::Flags(1)));
        let mut untraced = bytes;
        untraced[38..].fill(0);
        assert_eq!(Open::parse(&untraced), Err(NativeError::Trace));
        for length in [0, 1, OPEN_BYTES - 1] {
            let error =
                NativeError::Length { kind: super::super::Kind::Open, len: u32::try_from(length).unwrap() };
            assert_eq!(Open::parse(&bytes[..length]), Err(error));
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(matches!(Open::parse(&longer), Err(NativeError::Length { len: 55, .. })));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(source: SocketAddr, destination: SocketAddr, trace: [u8; 16]) {
            let Some(trace) = TraceId::new(trace) else { return Ok(()) };
            if let Ok(open) = Open::new(source, destination, trace) {
                prop_assert_eq!(Open::parse(&open.bytes()), Ok(open));
            }
        }

        #[test]
        fn what_is_read_is_written_as_it_came(mut bytes in proptest::array::uniform32(any::<u8>()), rest in proptest::collection::vec(any::<u8>(), 22)) {
            bytes[0] = 1;
            bytes[1] = 0;
            let payload = [&bytes[..], &rest].concat();
            if let Ok(open) = Open::parse(&payload) {
                let written = open.bytes();
                prop_assert_eq!(written.as_slice(), payload);
            }
        }
    }
}
