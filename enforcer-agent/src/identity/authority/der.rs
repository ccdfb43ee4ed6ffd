//! The little DER that rcgen does not write for us.

/// SEQUENCE.
pub(super) const SEQUENCE: u8 = 0x30;
/// INTEGER.
pub(super) const INTEGER: u8 = 0x02;
/// BIT STRING.
pub(super) const BIT_STRING: u8 = 0x03;

/// A value with its tag and length.
pub(super) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = Vec::with_capacity(length + 6);
    bytes.push(tag);
    write_length(&mut bytes, length);
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}

fn write_length(bytes: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => bytes.push(short),
        Ok(_) | Err(_) => {
            let long = length.to_be_bytes();
            let significant: Vec<u8> = long.into_iter().skip_while(|byte| *byte == 0).collect();
            // At most eight bytes.
            bytes.push(0x80 | u8::try_from(significant.len()).unwrap_or(0));
            bytes.extend(significant);
        }
    }
}

/// Bytes of tag and length.
pub(super) fn header_bytes(tlv: &[u8]) -> Option<usize> {
    let length = *tlv.get(1)?;
    Some(if length < 0x80 { 2 } else { 2 + usize::from(length & 0x7f) })
}

/// A non-negative integer from its big-endian bytes.
pub(super) fn integer(bytes: &[u8]) -> Vec<u8> {
    let significant = bytes.iter().position(|byte| *byte != 0).map_or(&[][..], |first| &bytes[first..]);
    match significant.first() {
        Some(first) if *first < 0x80 => tlv(INTEGER, &[significant]),
        Some(_) | None => tlv(INTEGER, &[&[0], significant]),
    }
}

/// An ECDSA signature from r and s of fixed length.
pub(super) fn ecdsa(fixed: &[u8]) -> Vec<u8> {
    let (r, s) = fixed.split_at(fixed.len() / 2);
    tlv(SEQUENCE, &[&integer(r), &integer(s)])
}

/// Name constraints that permit URIs of exactly this host (RFC 5280 section 4.2.1.10): the GeneralName of a URI
/// has tag 6, the permitted subtrees have tag 0.
pub(super) fn permit_uri_host(host: &str) -> Vec<u8> {
    let base = tlv(0x86, &[host.as_bytes()]);
    let subtree = tlv(SEQUENCE, &[&base]);
    tlv(SEQUENCE, &[&tlv(0xa0, &[&subtree])])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_integers_are_minimal() {
        assert_eq!(tlv(SEQUENCE, &[&[1], &[2]]), [0x30, 2, 1, 2]);
        assert_eq!(tlv(4, &[&[0; 127]])[..2], [4, 127]);
        assert_eq!(tlv(4, &[&[0; 128]])[..3], [4, 0x81, 128]);
        assert_eq!(tlv(4, &[&[0; 256]])[..4], [4, 0x82, 1, 0]);
        assert_eq!(integer(&[0, 0, 1]), [2, 1, 1]);
        assert_eq!(integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0, 0]), [2, 1, 0]);
        assert_eq!(ecdsa(&[0, 1, 0x80, 0]), [0x30, 8, 2, 1, 1, 2, 3, 0, 0x80, 0]);
    }

    #[test]
    fn a_constraint_is_the_example_of_the_specification() {
        assert_eq!(permit_uri_host("a.b"), [0x30, 9, 0xa0, 7, 0x30, 5, 0x86, 3, b'a', b'.', b'b']);
    }
}
