//! Why the journal could not be read or written.

use std::io;
use std::path::PathBuf;

/// What went wrong, with what to do where a person has to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A system call failed.
    #[error("cannot {operation} {path}: {error}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        error: io::Error,
    },
    /// Others could read or write it.
    #[error(
        "{path} has mode {mode:04o}: nobody but its owner may read or write it; check who changed it, then chmod it to {wanted:04o}"
    )]
    Permissions {
        /// Which file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        wanted: u32,
    },
    /// It is somebody else's.
    #[error("{path} belongs to user {owner}, and the agent runs as user {agent}")]
    Owner {
        /// Which file or directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The agent's effective user.
        agent: u32,
    },
    /// Neither a plain file nor a directory, where one should be.
    #[error("{0} is not of the kind it should be (a symbolic link is none)")]
    Kind(PathBuf),
    /// Another agent has it open.
    #[error("{0} is in use by another agent")]
    Locked(PathBuf),
    /// It is something else, or of a later version.
    #[error("{0} is no policy journal of this version; move it away to start without a policy")]
    Foreign(PathBuf),
    /// A record in the middle is damaged: the records after it cannot be trusted.
    #[error(
        "{path} is damaged at byte {offset}: {what}. The walls stay as they are. Restore the file from a backup, or \
         move it away and push the policy again; nothing was changed"
    )]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Where the damaged record starts.
        offset: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// A record larger than any that is written.
    #[error("a record of {bytes} bytes is too large for the journal")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// An earlier write could not be taken back, so nothing more is written.
    #[error("an earlier change could not be taken back from the journal; the agent has to be started again")]
    Poisoned,
}
