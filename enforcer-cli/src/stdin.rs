//! What a person or a pipe says to us.

use std::io::{self, BufRead as _, BufReader, Read};

/// Longest answer that is listened to, in bytes.
const MAX_ANSWER_BYTES: u64 = 64;

/// Standard input.
pub(crate) struct Stdin<'a> {
    read: &'a mut dyn Read,
    is_terminal: bool,
}

impl<'a> Stdin<'a> {
    /// Reads from `read`, where a person sits when it is a terminal.
    pub(crate) fn new(read: &'a mut dyn Read, is_terminal: bool) -> Self {
        Self { read, is_terminal }
    }

    /// True where a person can be asked.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Everything that comes.
    pub(crate) fn reader(&mut self) -> &mut dyn Read {
        self.read
    }

    /// True when the next line says yes; anything else says no.
    pub(crate) fn says_yes(&mut self) -> io::Result<bool> {
        let mut line = Vec::new();
        BufReader::new(self.read.take(MAX_ANSWER_BYTES)).read_until(b'\n', &mut line)?;
        let answer = String::from_utf8_lossy(&line).trim().to_ascii_lowercase();
        Ok(matches!(answer.as_str(), "y" | "yes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says_yes(mut text: &[u8]) -> bool {
        Stdin::new(&mut text, true).says_yes().unwrap()
    }

    #[test]
    fn only_yes_is_yes() {
        assert!(says_yes(b"y\n"));
        assert!(says_yes(b" YES \r\nno\n"));
        for text in [b"".as_slice(), b"\n", b"n\n", b"yesterday\n", b"\xff\n"] {
            assert!(!says_yes(text), "{text:?}");
        }
        assert!(!Stdin::new(&mut io::repeat(b'y'), true).says_yes().unwrap());
    }
}
