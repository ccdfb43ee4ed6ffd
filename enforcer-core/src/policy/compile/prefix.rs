//! A range of services as prefixes: what one hash look-up per length can find.

/// A prefix of a service number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    /// The service with the bits beyond the prefix cleared.
    pub(super) service: u16,
    /// How many leading bits count, 0 to 16.
    pub(super) length: u8,
}

/// The fewest prefixes that cover `first..=last` exactly, in ascending order; at most thirty.
pub(super) fn split(first: u16, last: u16) -> Vec<Prefix> {
    let mut prefixes = Vec::new();
    let mut next = u32::from(first);
    let end = u32::from(last) + 1;
    while next < end {
        let block = largest_block(next, end - next);
        prefixes.push(prefix(next, block));
        next += 1 << block;
    }
    prefixes
}

/// Exponent of the largest power of two that starts at `start`, aligned, and is not longer than `room`.
fn largest_block(start: u32, room: u32) -> u32 {
    let aligned = start.trailing_zeros().min(16);
    aligned.min(room.ilog2())
}

fn prefix(start: u32, block: u32) -> Prefix {
    let [_, _, high, low] = start.to_be_bytes();
    let [.., length] = (16 - block).to_be_bytes();
    Prefix { service: u16::from_be_bytes([high, low]), length }
}

#[cfg(test)]
mod tests {
    use enforcer_common::policy::port_mask;

    use super::*;

    fn covered(prefixes: &[Prefix], service: u16) -> usize {
        prefixes.iter().filter(|prefix| service & port_mask(prefix.length) == prefix.service).count()
    }

    #[test]
    fn a_range_is_covered_once_and_nothing_else_is() {
        for (first, last) in [(0, 65535), (1, 65534), (80, 80), (0, 0), (65535, 65535), (1000, 2023), (8, 15)]
        {
            let prefixes = split(first, last);
            assert!(prefixes.len() <= 30);
            for service in 0..=u16::MAX {
                let expected = usize::from((first..=last).contains(&service));
                assert_eq!(covered(&prefixes, service), expected, "{first}-{last} at {service}");
            }
        }
    }

    #[test]
    fn aligned_ranges_are_one_prefix() {
        assert_eq!(split(0, 65535), [Prefix { service: 0, length: 0 }]);
        assert_eq!(split(8, 15), [Prefix { service: 8, length: 13 }]);
        assert_eq!(split(443, 443), [Prefix { service: 443, length: 16 }]);
    }
}
