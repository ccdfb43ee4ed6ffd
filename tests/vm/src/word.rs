//! What the machine says, between the lines that its programs print on the same serial line.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The serial line of words and of programs' output. The kernel has the other one, so that neither tears the other's
/// lines.
pub const LINE: &str = "/dev/ttyS1";

/// Stands before every word. No program prints a record separator.
const MARK: &str = "\u{1e}enforcer-vm ";

/// A word of the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "kebab-case")]
pub enum Word {
    /// The machine is up.
    Up {
        /// What `uname -r` says.
        release: String,
        /// Security modules that the kernel runs, as it lists them.
        lsm: String,
    },
    /// A kernel module did not load.
    Module {
        /// Its file.
        path: String,
        /// What the kernel said.
        error: String,
    },
    /// A job begins; what follows is its output.
    Begin {
        /// Which.
        job: String,
    },
    /// A job ended.
    End {
        /// Which.
        job: String,
        /// In which way.
        end: End,
        /// After how many seconds.
        seconds: f64,
    },
    /// The orders could not be carried out.
    Broken {
        /// Why.
        error: String,
    },
    /// Everything was done; the machine powers off.
    Done,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(String),
    /// It was killed when its time was over.
    TimeOver,
}

impl Word {
    /// Finds a word in a line; hands back what a program printed before it, and the word.
    #[must_use]
    pub fn find(line: &str) -> Option<(&str, Self)> {
        let (before, word) = line.split_once(MARK)?;
        Some((before, serde_json::from_str(word.trim_end()).ok()?))
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        write!(f, "{MARK}{word}")
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "{signal}"),
            Self::TimeOver => f.write_str("its time was over"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_also_behind_an_unfinished_line() {
        let word = Word::End { job: "netns".to_owned(), end: End::Code(1), seconds: 2.5 };
        assert_eq!(Word::find(&format!("half a line{word}\r\n")), Some(("half a line", word)));
        assert_eq!(Word::find(&Word::Done.to_string()), Some(("", Word::Done)));
    }

    #[test]
    fn what_a_program_prints_is_no_word() {
        assert_eq!(Word::find("{\"word\":\"done\"}"), None);
        assert_eq!(Word::find(&format!("{MARK}{{\"word\":\"other\"}}")), None);
    }
}
