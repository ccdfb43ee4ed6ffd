//! What is said of each descriptor that is handed over. Pure.
//!
//! A frame is a header and entries. Header: magic (4 bytes), version u16, count u16, length of all entries u32. Entry:
//! role u8 (1 intercept, 2 tunnel), length of the name u16, address 16 bytes (mapped), name. Numbers are big endian: two
//! agents need not be the same build. A frame without entries ends the handover.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use enforcer_core::policy::model::Name;

use super::super::listener::{Listener, Role};
use super::HandoverError;

/// `ENFH`.
const MAGIC: [u8; 4] = *b"ENFH";
const VERSION: u16 = 1;
/// Bytes of a frame's header.
pub(super) const HEADER: usize = 12;
/// Descriptors in a frame: the kernel takes 253 (`SCM_MAX_FD`).
pub(super) const BATCH: usize = 64;
/// Bytes of a frame's entries: names are far shorter.
pub(super) const ENTRIES_MAX: usize = 64 * 1024;
const FIXED: usize = 19;

/// What is said of one descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) workload: Name,
    pub(super) role: Role,
    pub(super) address: IpAddr,
}

impl Description {
    pub(super) fn of(listener: &Listener) -> Self {
        Self { workload: Arc::clone(listener.workload()), role: listener.role(), address: listener.address() }
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) count: usize,
    pub(super) length: usize,
}

/// The frame for these; `None` when a name or the whole is too long.
pub(super) fn format(descriptions: &[Description]) -> Option<Vec<u8>> {
    let mut entries = Vec::new();
    for description in descriptions {
        entries.push(code(description.role));
        entries.extend(u16::try_from(description.workload.len()).ok()?.to_be_bytes());
        entries.extend(mapped(description.address).octets());
        entries.extend(description.workload.as_bytes());
    }
    let (count, length) = (u16::try_from(descriptions.len()).ok()?, u32::try_from(entries.len()).ok()?);
    if descriptions.len() > BATCH || entries.len() > ENTRIES_MAX {
        return None;
    }
    let mut frame = MAGIC.to_vec();
    frame.extend(VERSION.to_be_bytes());
    frame.extend(count.to_be_bytes());
    frame.extend(length.to_be_bytes());
    frame.extend(entries);
    Some(frame)
}

/// Reads a header.
pub(super) fn header(bytes: &[u8; HEADER]) -> Result<Header, HandoverError> {
    let [m0, m1, m2, m3, v0, v1, c0, c1, l0, l1, l2, l3] = *bytes;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(HandoverError::Message("no handover"));
    }
    if u16::from_be_bytes([v0, v1]) != VERSION {
        return Err(HandoverError::Message("another version's handover"));
    }
    let count = usize::from(u16::from_be_bytes([c0, c1]));
    let length = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    if count > BATCH || length > ENTRIES_MAX {
        return Err(HandoverError::Message("too much at once"));
    }
    Ok(Header { count, length })
}

/// Reads the entries that a header announces.
pub(super) fn entries(header: Header, mut bytes: &[u8]) -> Result<Vec<Description>, HandoverError> {
    let mut descriptions = Vec::with_capacity(header.count);
    for _ in 0..header.count {
        let (description, rest) = entry(bytes).ok_or(HandoverError::Message("a description is cut short"))?;
        descriptions.push(description);
        bytes = rest;
    }
    if bytes.is_empty() { Ok(descriptions) } else { Err(HandoverError::Message("more than announced")) }
}

fn entry(bytes: &[u8]) -> Option<(Description, &[u8])> {
    let (fixed, rest) = bytes.split_at_checked(FIXED)?;
    let [code, l0, l1, address @ ..] = fixed else { return None };
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([*l0, *l1])))?;
    let address: [u8; 16] = address.try_into().ok()?;
    let description = Description {
        workload: Arc::from(std::str::from_utf8(name).ok()?),
        role: role(*code)?,
        address: IpAddr::from(Ipv6Addr::from(address)).to_canonical(),
    };
    Some((description, rest))
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

    fn described(workload: &str, role: Role, address: &str) -> Description {
        Description { workload: workload.into(), role, address: address.parse().unwrap() }
    }

    fn read(frame: &[u8]) -> Result<Vec<Description>, HandoverError> {
        let (head, rest) = frame.split_first_chunk::<HEADER>().ok_or(HandoverError::Message("short"))?;
        let header = header(head)?;
        entries(header, rest.get(..header.length).ok_or(HandoverError::Message("short"))?)
    }

    #[test]
    fn what_is_said_is_understood() {
        let said =
            [described("red/web", Role::Intercept, "192.0.2.1"), described("", Role::Tunnel, "2001:db8::1")];
        let frame = format(&said).unwrap();
        assert_eq!(read(&frame).unwrap(), said);
        assert_eq!(read(&format(&[]).unwrap()).unwrap(), []);
        for length in 0..frame.len() {
            assert!(read(&frame[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn too_much_and_strange_things_are_refused() {
        let one = described("a", Role::Tunnel, "192.0.2.1");
        assert_eq!(format(&vec![one.clone(); BATCH + 1]), None);
        assert_eq!(format(&[described(&"n".repeat(70_000), Role::Tunnel, "::1")]), None);
        let frame = format(&[one]).unwrap();
        for (at, byte) in [(0, b'X'), (5, 2), (6, 1), (8, 1), (HEADER, 3)] {
            let mut wrong = frame.clone();
            wrong[at] = byte;
            assert!(read(&wrong).is_err(), "{at}");
        }
    }
}
