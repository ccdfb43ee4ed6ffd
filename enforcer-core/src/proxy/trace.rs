//! The trace ID of a flow (W3C Trace Context, `trace-id`): the same at both ends of a tunnel.

use std::fmt;

/// A trace ID; never all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// `None` for all zero, which the specification forbids.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// As they travel.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// Reads 32 lower-case hexadecimal digits, the only form that the specification has.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().and_then(|number| Self::new(number.to_be_bytes()))
    }
}

/// 32 lower-case hexadecimal digits.
impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_reads_back_and_nothing_else_is_one() {
        let id = TraceId::new([1; 16]).unwrap();
        assert_eq!(id.to_string(), "01".repeat(16));
        assert_eq!(TraceId::from_hex(&id.to_string()), Some(id));
        assert_eq!(TraceId::new([0; 16]), None);
        for wrong in ["", "01", &"0".repeat(32), &"0A".repeat(16), &format!("+{}", "1".repeat(31))] {
            assert_eq!(TraceId::from_hex(wrong), None, "{wrong}");
        }
    }
}
