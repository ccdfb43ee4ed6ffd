//! Just enough DER to take apart what must not be taken apart leniently: elements with definite lengths, and
//! nothing left over.

/// An element: its identifier octet, and its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
}

pub(super) const SEQUENCE: u8 = 0x30;

/// The first element, and what follows it. Lengths beyond two octets do not occur in an extension.
pub(super) fn element(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => rest.split_first_chunk().map(|(&[length], rest)| (usize::from(length), rest))?,
        0x82 => rest.split_first_chunk().map(|(two, rest)| (usize::from(u16::from_be_bytes(*two)), rest))?,
        _ => return None,
    };
    let is_shortest = matches!((first, length), (0..=0x7f, _) | (0x81, 0x80..) | (0x82, 0x100..));
    let (content, rest) = rest.split_at_checked(length)?;
    is_shortest.then_some((Element { tag, content }, rest))
}

/// The one element that the bytes are.
pub(super) fn only(bytes: &[u8]) -> Option<Element<'_>> {
    element(bytes).and_then(|(element, rest)| rest.is_empty().then_some(element))
}

/// Every element, up to the last byte.
pub(super) fn elements(mut bytes: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (element, rest) = element(bytes)?;
        found.push(element);
        bytes = rest;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_read_to_its_last_byte() {
        assert_eq!(only(&[4, 2, 7, 8]), Some(Element { tag: 4, content: &[7, 8] }));
        assert_eq!(only(&[4, 2, 7, 8, 0]), None, "something is left over");
        assert_eq!(only(&[4, 2, 7]), None, "something is missing");
        assert_eq!(only(&[4, 0x81, 2, 7, 8]), None, "a length that could be shorter");
        assert_eq!(only(&[4, 0x80, 0, 0]), None, "an indefinite length");
        assert_eq!(elements(&[4, 0, 5, 0]).unwrap().len(), 2);
        assert_eq!(elements(&[4, 0, 5]), None);
        let long = [&[4, 0x82, 1, 0], [0; 256].as_slice()].concat();
        assert_eq!(only(&long).unwrap().content.len(), 256);
    }
}
