//! What the exit code says.

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok,
    /// The input was refused, the answer was not the expected one, or the agent failed.
    Refused,
    /// The command line makes no sense.
    Usage,
    /// No agent answers.
    Unreachable,
    /// The agent does not listen to this caller.
    NotPermitted,
    /// Nothing came in time.
    Timeout,
    /// Traces are not as they were written.
    Tampered,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::NotPermitted => 4,
            Self::Timeout => 5,
            Self::Tampered => 6,
        }
    }
}

/// For `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  refused input, an unexpected answer, or a failure inside the agent
  2  wrong usage
  3  cannot reach the agent
  4  not permitted
  5  timeout
  6  traces are not as they were written";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_code() {
        let all = [
            Exit::Ok,
            Exit::Refused,
            Exit::Usage,
            Exit::Unreachable,
            Exit::NotPermitted,
            Exit::Timeout,
            Exit::Tampered,
        ];
        for (number, exit) in (0_u8..).zip(all) {
            assert_eq!(exit.code(), number);
            assert!(HELP.contains(&format!("\n  {number}  ")));
        }
    }
}
