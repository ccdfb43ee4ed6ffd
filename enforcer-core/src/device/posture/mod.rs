//! What isolation rests on besides the gate: settings of drivers, firmware and kernel, read elsewhere and judged here.

pub mod gpu;
mod judge;
pub mod params;
pub mod uid_map;

use sha2::{Digest as _, Sha256};

pub use self::judge::{Readings, Text, judge};

/// Whether a setting keeps tenants apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It does.
    Good,
    /// It does not, or less than it could.
    Weak,
    /// It could not be read, or says what nobody knows.
    Unknown,
    /// There is no such driver or device.
    Absent,
}

impl Judgement {
    /// As the wire has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Weak => "weak",
            Self::Unknown => "unknown",
            Self::Absent => "absent",
        }
    }
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What it is called.
    pub name: String,
    /// Where it was read.
    pub source: String,
    /// What was read; empty when nothing was.
    pub value: String,
    /// What that means.
    pub judgement: Judgement,
    /// Why, in a sentence.
    pub detail: String,
}

/// SHA-256 over name, source, value and judgement of every setting, in the order of their names and sources. Each word has
/// its length before it (eight bytes, little-endian), so that no two lists have the same bytes.
#[must_use]
pub fn digest(settings: &[Setting]) -> [u8; 32] {
    let mut sorted: Vec<&Setting> = settings.iter().collect();
    sorted.sort_by_key(|setting| (&setting.name, &setting.source, &setting.value));
    let mut hash = Sha256::new();
    for setting in sorted {
        for word in [&setting.name, &setting.source, &setting.value, setting.judgement.word()] {
            hash.update(u64::try_from(word.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(word);
        }
    }
    hash.finalize().into()
}

/// What the door promises, over any bytes: a text of parameters, a zero byte, a map of user ids. The digest does not depend
/// on the order, and no text makes a setting good that a shorter prefix of it could not be read to set.
pub fn door(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (params, map) = text.split_once('\0').unwrap_or((&text, ""));
    let readings = Readings { params: Text::Read(params.to_owned()), ..Readings::default() };
    let mut settings = judge(&readings);
    let before = digest(&settings);
    settings.reverse();
    assert_eq!(before, digest(&settings), "the digest depends on the order");
    if let Ok(ranges) = uid_map::parse(map) {
        assert!(uid_map::overlap(&ranges, &ranges) || ranges.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_changes_with_any_word_and_not_with_the_order() {
        let setting = |name: &str, value: &str| Setting {
            name: name.to_owned(),
            source: "s".to_owned(),
            value: value.to_owned(),
            judgement: Judgement::Good,
            detail: String::new(),
        };
        let one = [setting("a", "1"), setting("b", "2")];
        let other = [setting("b", "2"), setting("a", "1")];
        assert_eq!(digest(&one), digest(&other));
        assert_ne!(digest(&one), digest(&[setting("a", "1"), setting("b", "3")]));
        assert_ne!(digest(&[setting("ab", "c")]), digest(&[setting("a", "bc")]));
    }
}
