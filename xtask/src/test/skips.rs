//! `tests/skips.txt`: the tests that may be skipped, a line each: `LEVEL NAME REASON`. Whatever else is
//! skipped fails the run.

use std::fs;

use anyhow::{Context, Result, bail};

use super::level::Level;
use crate::root;

/// The tests that may be skipped.
pub(crate) struct Skips {
    listed: Vec<(String, String)>,
}

impl Skips {
    /// Reads the list.
    ///
    /// # Errors
    /// It is missing, or a line has no reason.
    pub(crate) fn load() -> Result<Self> {
        let path = root::workspace().join("tests/skips.txt");
        parse(&fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?)
    }

    /// True when a test of this level and name may be skipped.
    pub(crate) fn allows(&self, level: Level, name: &str) -> bool {
        let level = level.to_string();
        self.listed
            .iter()
            .any(|(of, listed)| *of == level && (name == listed || name.ends_with(&format!(" {listed}"))))
    }
}

fn parse(text: &str) -> Result<Skips> {
    let mut listed = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.splitn(3, ' ');
        let (Some(level), Some(name), Some(_reason)) = (words.next(), words.next(), words.next()) else {
            bail!("tests/skips.txt:{}: expected LEVEL NAME REASON", number + 1);
        };
        listed.push((level.to_owned(), name.to_owned()));
    }
    Ok(Skips { listed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_needs_a_reason_and_counts_for_its_level_only() {
        let skips = parse("# why\nnetns a::b needs a second machine\n").unwrap();
        assert!(skips.allows(Level::Netns, "a::b"));
        assert!(!skips.allows(Level::Device, "a::b"));
        assert!(!skips.allows(Level::Netns, "a::c"));
        assert!(parse("netns a::b\n").is_err());
    }
}
