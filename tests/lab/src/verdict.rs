//! What an attack on a device came to, in one word: what the probe prints and the attack matrix compares.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

/// What an attack came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", content = "word", rename_all = "kebab-case")]
pub enum Verdict {
    /// The attacker had what it reached for: the driver answered it, or the call succeeded.
    Done,
    /// A message arrived without the descriptor that was sent in it.
    NoDescriptor,
    /// The kernel refused: the name of its error.
    Refused(String),
    /// The attack cannot be tried here, for this reason.
    Absent(String),
}

impl Verdict {
    /// The name of a system call's error.
    #[must_use]
    pub fn refused(error: &io::Error) -> Self {
        let name = error.raw_os_error().map(|number| format!("{:?}", nix::errno::Errno::from_raw(number)));
        Self::Refused(name.unwrap_or_else(|| error.to_string()))
    }
}

impl<T> From<io::Result<T>> for Verdict {
    fn from(result: io::Result<T>) -> Self {
        match result {
            Ok(_) => Self::Done,
            Err(error) => Self::refused(&error),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.pad("done"),
            Self::NoDescriptor => f.pad("no-fd"),
            Self::Refused(error) => f.pad(error),
            Self::Absent(_) => f.pad("absent"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_one_word_and_survives_being_printed() {
        let refused = Verdict::refused(&io::Error::from_raw_os_error(libc::EPERM));
        assert_eq!(refused.to_string(), "EPERM");
        for verdict in [Verdict::Done, Verdict::NoDescriptor, refused, Verdict::Absent("why".to_owned())] {
            let text = serde_json::to_string(&verdict).unwrap();
            assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict);
        }
    }
}
