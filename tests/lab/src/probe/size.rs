//! Sizes and families as the socket calls want them.

/// The size of a value that is handed to the kernel.
#[expect(clippy::cast_possible_truncation, reason = "only structures of a few hundred bytes come here")]
pub(crate) const fn socklen<T>(_value: &T) -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

/// `AF_PACKET`, in the width of a socket address.
#[expect(clippy::cast_possible_truncation, reason = "address families are small constants")]
pub(crate) const PACKET_FAMILY: libc::sa_family_t = libc::AF_PACKET as libc::sa_family_t;
