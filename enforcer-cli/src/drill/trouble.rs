//! Why something could not be done in a drill. It ends in a row, as a sentence.

use std::io;
use std::path::Path;

use crate::failure::Failure;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The system refused.
    #[error("{what}: {error}")]
    System { what: String, error: io::Error },
    /// The agent refused, or does not answer.
    #[error("{0}")]
    Agent(#[from] Failure),
    /// Something was not as it must be.
    #[error("{0}")]
    Wrong(String),
    /// It cannot be drilled here.
    #[error("{0}")]
    Absent(String),
}

impl Trouble {
    /// The system refused something about a path.
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = path.display().to_string();
        move |error| Self::System { what, error }
    }

    /// The system refused something.
    pub(super) fn on(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::System { what: what.to_owned(), error }
    }
}

/// The same for errors of nix.
pub(super) fn errno(what: &str) -> impl FnOnce(nix::errno::Errno) -> Trouble {
    let what = what.to_owned();
    move |error| Trouble::System { what, error: error.into() }
}

/// Something must be so.
pub(super) fn must(is: bool, otherwise: impl FnOnce() -> String) -> Result<(), Trouble> {
    if is { Ok(()) } else { Err(Trouble::Wrong(otherwise())) }
}
