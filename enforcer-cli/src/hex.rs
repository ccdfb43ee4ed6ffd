//! Digests as text.

use std::fmt::Write as _;

/// Lower-case hexadecimal.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The first twelve digits: enough to compare by eye.
pub(crate) fn short(bytes: &[u8]) -> String {
    encode(bytes.get(..6).unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_lower_case_hexadecimal() {
        assert_eq!(encode(&[0, 0xab, 0xff]), "00abff");
        assert_eq!(short(&[1; 32]), "010101010101");
        assert_eq!(short(&[1]), "01");
    }
}
