//! Network interfaces in the kernel's own words: rtnetlink messages, parsed. Pure.

/// `RTM_NEWLINK`.
pub(crate) const NEW_LINK: u16 = 16;
/// `RTM_NEWNSID`.
pub(crate) const NEW_NSID: u16 = 88;
/// `NLMSG_ERROR`.
pub(crate) const ERROR: u16 = 2;
/// `NLMSG_DONE`.
pub(crate) const DONE: u16 = 3;
/// `NLM_F_DUMP_INTR`: the table changed while it was read.
pub(crate) const DUMP_INTERRUPTED: u16 = 0x10;

const HEADER: usize = 16;
const INTERFACE_HEADER: usize = 16;
const IFF_LOOPBACK: u32 = 0x8;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_LINK_NETNSID: u16 = 37;
const NETNSA_NSID: u16 = 1;
/// The flags that the kernel keeps in an attribute's type (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const ATTRIBUTE_FLAGS: u16 = 0xc000;

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) is_loopback: bool,
    /// `veth`, `bridge`, ...; empty for hardware.
    pub(crate) kind: String,
    /// Index of the lower device or, for a veth, of the other end, in its own namespace.
    pub(crate) peer: Option<u32>,
    /// The other end's namespace, as this one numbers it; `None` when it is this one.
    pub(crate) peer_namespace: Option<i32>,
}

/// A netlink message: its type, flags and body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) body: &'a [u8],
}

/// The messages in a datagram, as far as they are whole.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let message = Message {
            kind: u16_at(bytes, 4)?,
            flags: u16_at(bytes, 6)?,
            sequence: u32_at(bytes, 8)?,
            body: bytes.get(HEADER..length)?,
        };
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some(message)
    })
}

/// The interface in a message of type [`NEW_LINK`].
pub(crate) fn link(body: &[u8]) -> Option<Link> {
    let mut link = Link {
        index: u32_at(body, 4)?,
        is_loopback: u32_at(body, 8)? & IFF_LOOPBACK != 0,
        ..Link::default()
    };
    for (kind, value) in attributes(body.get(INTERFACE_HEADER..)?) {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_LINK => link.peer = u32_at(value, 0),
            IFLA_LINK_NETNSID => link.peer_namespace = i32_at(value, 0),
            IFLA_LINKINFO => {
                let kind = attributes(value).find(|(kind, _)| *kind == IFLA_INFO_KIND);
                link.kind = kind.map(|(_, value)| text(value)).unwrap_or_default();
            }
            _ => {}
        }
    }
    Some(link)
}

/// The number of a namespace in a message of type [`NEW_NSID`]; `None` when it has none.
pub(crate) fn namespace_id(body: &[u8]) -> Option<i32> {
    let (_, value) = attributes(body.get(4..)?).find(|(kind, _)| *kind == NETNSA_NSID)?;
    i32_at(value, 0).filter(|id| *id >= 0)
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & !ATTRIBUTE_FLAGS;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

const fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_ne_bytes)
}

pub(crate) fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(i32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + body.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend([kind.to_ne_bytes(), 2_u16.to_ne_bytes()].concat());
        bytes.extend([9_u32.to_ne_bytes(), 0_u32.to_ne_bytes()].concat());
        bytes.extend(body);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    fn veth() -> Vec<u8> {
        let mut body = vec![0, 0, 1, 0];
        body.extend(7_u32.to_ne_bytes());
        body.extend([0_u8; 8]);
        body.extend(attribute(IFLA_IFNAME, b"veth-a\0"));
        body.extend(attribute(IFLA_LINK, &2_u32.to_ne_bytes()));
        body.extend(attribute(IFLA_LINKINFO | 0x8000, &attribute(IFLA_INFO_KIND, b"veth\0")));
        body.extend(attribute(IFLA_LINK_NETNSID, &3_i32.to_ne_bytes()));
        body
    }

    #[test]
    fn a_veth_tells_its_other_end() {
        let bytes = [message(NEW_LINK, &veth()), message(DONE, &[0; 4])].concat();
        let read: Vec<Message<'_>> = messages(&bytes).collect();
        assert_eq!(
            read.iter().map(|message| (message.kind, message.sequence)).collect::<Vec<_>>(),
            [(NEW_LINK, 9), (DONE, 9)]
        );
        assert_eq!(
            link(read[0].body),
            Some(Link {
                index: 7,
                name: "veth-a".to_owned(),
                is_loopback: false,
                kind: "veth".to_owned(),
                peer: Some(2),
                peer_namespace: Some(3),
            })
        );
    }

    #[test]
    fn a_message_that_is_cut_short_anywhere_is_no_panic() {
        let bytes = message(NEW_LINK, &veth());
        for length in 0..bytes.len() {
            for message in messages(&bytes[..length]) {
                assert!(link(message.body).is_none_or(|link| link.index == 7));
            }
        }
        let mut endless = bytes.clone();
        endless[..4].copy_from_slice(&0_u32.to_ne_bytes());
        assert_eq!(messages(&endless).count(), 0);
    }

    #[test]
    fn a_namespace_without_a_number_has_none() {
        let body = |id: i32| [vec![0; 4], attribute(NETNSA_NSID, &id.to_ne_bytes())].concat();
        assert_eq!(namespace_id(&body(4)), Some(4));
        assert_eq!(namespace_id(&body(-1)), None);
        assert_eq!(namespace_id(&[]), None);
    }
}
