//! The trace that a flow belongs to: `traceparent` (W3C Trace Context, section 3.2).

use std::fmt;
use std::str::FromStr;

/// Length of version 00, in bytes.
pub const TRACEPARENT_BYTES: usize = 55;
/// Longest value of a later version that is looked at, in bytes.
pub const TRACEPARENT_MAX_BYTES: usize = 512;

/// A trace and the step in it that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Traceparent {
    trace_id: [u8; 16],
    parent_id: [u8; 8],
    flags: u8,
}

impl Traceparent {
    /// A trace that is not sampled; `None` when an identifier is all zeros, which names nothing (sections 3.2.2.3
    /// and 3.2.2.4).
    #[must_use]
    pub fn new(trace_id: [u8; 16], parent_id: [u8; 8]) -> Option<Self> {
        Self::with_flags(trace_id, parent_id, 0)
    }

    fn with_flags(trace_id: [u8; 16], parent_id: [u8; 8], flags: u8) -> Option<Self> {
        let names_something = trace_id != [0; 16] && parent_id != [0; 8];
        names_something.then_some(Self { trace_id, parent_id, flags })
    }

    /// The trace.
    #[must_use]
    pub const fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The step.
    #[must_use]
    pub const fn parent_id(&self) -> [u8; 8] {
        self.parent_id
    }

    /// Whether the caller may have recorded it.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & 1 != 0
    }
}

/// Why a text is no trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceparentError {
    /// Not the length of its version (section 3.2.2).
    #[error("it has {0} bytes instead of {TRACEPARENT_BYTES}")]
    Length(usize),
    /// Version ff (section 3.2.2.1).
    #[error("its version is invalid")]
    Version,
    /// A field that is not lower case hexadecimal, or a separator that is no dash.
    #[error("it is not four fields of lower case hexadecimal")]
    Fields,
    /// All zeros (sections 3.2.2.3 and 3.2.2.4).
    #[error("an identifier is all zeros")]
    Zero,
}

impl FromStr for Traceparent {
    type Err = TraceparentError;

    fn from_str(text: &str) -> Result<Self, TraceparentError> {
        use TraceparentError as E;
        let bytes = text.as_bytes();
        if !(TRACEPARENT_BYTES..=TRACEPARENT_MAX_BYTES).contains(&bytes.len()) {
            return Err(E::Length(bytes.len()));
        }
        let [version] = hex(&bytes[..2]).ok_or(E::Fields)?;
        match (version, bytes.get(TRACEPARENT_BYTES)) {
            (0xff, _) => return Err(E::Version),
            // Later versions may append fields, behind another dash (section 3.2.4).
            (_, None) | (1.., Some(b'-')) => {}
            (0, Some(_)) => return Err(E::Length(bytes.len())),
            (_, Some(_)) => return Err(E::Fields),
        }
        if [2, 35, 52].iter().any(|&place| bytes[place] != b'-') {
            return Err(E::Fields);
        }
        let trace_id = hex(&bytes[3..35]).ok_or(E::Fields)?;
        let parent_id = hex(&bytes[36..52]).ok_or(E::Fields)?;
        let [flags] = hex(&bytes[53..55]).ok_or(E::Fields)?;
        Self::with_flags(trace_id, parent_id, flags).ok_or(E::Zero)
    }
}

fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        self.trace_id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("-")?;
        self.parent_id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "-{:02x}", self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn it_reads_back_as_itself() {
        let trace: Traceparent = GOOD.parse().unwrap();
        assert_eq!(trace.to_string(), GOOD);
        assert!(trace.is_sampled());
        assert_eq!(trace.trace_id()[..2], [0x4b, 0xf9]);
        assert_eq!(trace.parent_id()[7], 0xb7);
        let own = Traceparent::new([7; 16], [9; 8]).unwrap();
        assert_eq!(own.to_string().len(), TRACEPARENT_BYTES);
        assert_eq!(own.to_string().parse(), Ok(own));
        assert_eq!(Traceparent::new([0; 16], [9; 8]), None);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = GOOD.replacen("00-", "cc-", 1);
        assert_eq!(later.parse::<Traceparent>(), GOOD.parse());
        assert_eq!(format!("{later}-what.comes").parse::<Traceparent>(), GOOD.parse());
        assert_eq!(format!("{later}.").parse::<Traceparent>(), Err(TraceparentError::Fields));
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        use TraceparentError as E;
        let long = format!("cc{}-{}", &GOOD[2..], "a".repeat(TRACEPARENT_MAX_BYTES));
        for (text, error) in [
            ("".to_owned(), E::Length(0)),
            (GOOD[..54].to_owned(), E::Length(54)),
            (format!("{GOOD}-00"), E::Length(58)),
            (long.clone(), E::Length(long.len())),
            (GOOD.replacen("00-", "ff-", 1), E::Version),
            (GOOD.to_uppercase(), E::Fields),
            (GOOD.replace('-', "_"), E::Fields),
            (GOOD.replacen("4b", "+b", 1), E::Fields),
            (GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)), E::Zero),
            (GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)), E::Zero),
            (format!("é{}", &GOOD[2..]), E::Fields),
        ] {
            assert_eq!(text.parse::<Traceparent>(), Err(error), "{text}");
        }
    }
}
