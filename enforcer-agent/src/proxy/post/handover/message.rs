//! What is said of each descriptor that is handed over. Pure.
//!
//! A frame is a header and entries. Header: magic (4 bytes), version u16, count u16. Entry: role u8 (1 intercept,
//! 2 tunnel), cookie of the namespace u64, address 16 bytes (mapped). Numbers are big endian: two agents need not be the
//! same build. A frame without entries ends the handover.

use std::net::{IpAddr, Ipv6Addr};

use super::super::listener::{Role, Spot};
use super::HandoverError;

/// `ENFH`.
const MAGIC: [u8; 4] = *b"ENFH";
const VERSION: u16 = 1;
/// Bytes of a frame's header.
pub(super) const HEADER: usize = 8;
/// Bytes of an entry.
pub(super) const ENTRY: usize = 25;
/// Descriptors in a frame: the kernel takes 253 (`SCM_MAX_FD`).
pub(super) const BATCH: usize = 64;

/// The frame for these, [`BATCH`] at most.
pub(super) fn format(spots: &[Spot]) -> Vec<u8> {
    let spots = spots.get(..BATCH).unwrap_or(spots);
    let mut frame = MAGIC.to_vec();
    frame.extend(VERSION.to_be_bytes());
    frame.extend(u16::try_from(spots.len()).unwrap_or(u16::MAX).to_be_bytes());
    for Spot { namespace, role, address } in spots {
        frame.push(code(*role));
        frame.extend(namespace.to_be_bytes());
        frame.extend(mapped(*address).octets());
    }
    frame
}

/// Reads a header: how many entries follow.
pub(super) fn header(bytes: &[u8; HEADER]) -> Result<usize, HandoverError> {
    let [m0, m1, m2, m3, v0, v1, c0, c1] = *bytes;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(HandoverError::Message("no handover"));
    }
    if u16::from_be_bytes([v0, v1]) != VERSION {
        return Err(HandoverError::Message("another version's handover"));
    }
    let count = usize::from(u16::from_be_bytes([c0, c1]));
    if count <= BATCH { Ok(count) } else { Err(HandoverError::Message("too much at once")) }
}

/// Reads the entries that a header announced.
pub(super) fn entries(bytes: &[u8]) -> Result<Vec<Spot>, HandoverError> {
    bytes.chunks(ENTRY).map(|entry| self::entry(entry).ok_or(HandoverError::Message("no entry"))).collect()
}

fn entry(bytes: &[u8]) -> Option<Spot> {
    let (code, rest) = bytes.split_first()?;
    let (namespace, address) = rest.split_first_chunk::<8>()?;
    let address = Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?);
    Some(Spot {
        namespace: u64::from_be_bytes(*namespace),
        role: role(*code)?,
        address: IpAddr::from(address).to_canonical(),
    })
}

const fn code(role: Role) -> u8 {
    match role {
        Role::Intercept => 1,
        Role::Tunnel => 2,
    }
}

const fn role(code: u8) -> Option<Role> {
    match code {
        1 => Some(Role::Intercept),
        2 => Some(Role::Tunnel),
        _ => None,
    }
}

/// An address as sixteen bytes.
pub(super) const fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(role: Role, address: &str) -> Spot {
        Spot { namespace: 4097, role, address: address.parse().unwrap() }
    }

    fn read(frame: &[u8]) -> Result<Vec<Spot>, HandoverError> {
        let (head, rest) = frame.split_first_chunk::<HEADER>().ok_or(HandoverError::Message("short"))?;
        let length = header(head)? * ENTRY;
        entries(rest.get(..length).ok_or(HandoverError::Message("short"))?)
    }

    #[test]
    fn what_is_said_is_understood() {
        let said = [spot(Role::Intercept, "192.0.2.1"), spot(Role::Tunnel, "2001:db8::1")];
        let frame = format(&said);
        assert_eq!(read(&frame).unwrap(), said);
        assert_eq!(read(&format(&[])).unwrap(), []);
        for length in 0..frame.len() {
            assert!(read(&frame[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn too_much_and_strange_things_are_refused() {
        let one = spot(Role::Tunnel, "192.0.2.1");
        assert_eq!(read(&format(&[one; BATCH + 9])).unwrap().len(), BATCH);
        let frame = format(&[one]);
        for (at, byte) in [(0, b'X'), (5, 2), (6, 1), (7, 2), (HEADER, 3)] {
            let mut wrong = frame.clone();
            wrong[at] = byte;
            assert!(read(&wrong).is_err(), "{at}");
        }
    }
}
