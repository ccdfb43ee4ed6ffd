//! Addresses as the kernel maps hold them: 16 bytes in network order, IPv4 mapped into IPv6
//! (`::ffff:a.b.c.d`, RFC 4291 section 2.5.5.2), so that one table serves both families.

/// An IPv4-mapped or IPv6 address, network byte order.
pub type Address = [u8; 16];

const MAPPED_PREFIX: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// The number of prefix bits that an IPv4 prefix gains when mapped.
pub const MAPPED_BITS: u32 = 96;

/// Maps an IPv4 address (network byte order) into the common form.
#[must_use]
#[inline(always)]
pub const fn from_v4(v4: [u8; 4]) -> Address {
    let [a, b, c, d] = v4;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// The IPv4 address inside, if there is one.
#[must_use]
#[inline(always)]
pub const fn to_v4(address: &Address) -> Option<[u8; 4]> {
    let [p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11, a, b, c, d] = *address;
    let prefix = [p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11];
    if u128_of_12(prefix) == u128_of_12(MAPPED_PREFIX) { Some([a, b, c, d]) } else { None }
}

const fn u128_of_12(bytes: [u8; 12]) -> u128 {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
    u128::from_be_bytes([0, 0, 0, 0, a, b, c, d, e, f, g, h, i, j, k, l])
}

/// Equality without a call into `memcmp`, which the kernel target lacks.
#[must_use]
#[inline(always)]
pub fn same(a: &Address, b: &Address) -> bool {
    u128::from_ne_bytes(*a) == u128::from_ne_bytes(*b)
}

/// The unspecified IPv6 address `::`, the source of duplicate address detection.
#[must_use]
#[inline(always)]
pub fn is_unspecified(address: &Address) -> bool {
    u128::from_ne_bytes(*address) == 0
}

/// IPv6 link-local, `fe80::/10` (RFC 4291 section 2.5.6).
#[must_use]
#[inline(always)]
pub const fn is_link_local_v6(address: &Address) -> bool {
    let [a, b, ..] = *address;
    a == 0xfe && b & 0xc0 == 0x80
}

/// IPv6 multicast, `ff00::/8`.
#[must_use]
#[inline(always)]
pub const fn is_multicast_v6(address: &Address) -> bool {
    let [a, ..] = *address;
    a == 0xff
}

/// Loopback: `127.0.0.0/8` or `::1`.
#[must_use]
#[inline(always)]
pub fn is_loopback(address: &Address) -> bool {
    match to_v4(address) {
        Some([first, ..]) => first == 127,
        None => u128::from_be_bytes(*address) == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v4_round_trips_and_v6_is_no_v4() {
        assert_eq!(to_v4(&from_v4([10, 1, 2, 3])), Some([10, 1, 2, 3]));
        assert_eq!(to_v4(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4]), None);
        assert_eq!(to_v4(&[0; 16]), None);
    }

    #[test]
    fn loopback_and_link_local_are_recognised() {
        assert!(is_loopback(&from_v4([127, 9, 9, 9])));
        assert!(is_loopback(&1_u128.to_be_bytes()));
        assert!(!is_loopback(&from_v4([128, 0, 0, 1])));
        assert!(is_link_local_v6(&[0xfe, 0xbf, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
        assert!(!is_link_local_v6(&[0xfe, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
    }
}
