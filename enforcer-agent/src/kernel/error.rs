//! What can go wrong at the kernel's door.

use std::io;
use std::path::PathBuf;

use enforcer_core::enforce::EnforceError;

/// An error of loading, attaching, adopting or removing. Changes of tables have
/// [`EnforceError`](enforcer_core::enforce::EnforceError).
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The object could not be loaded: an old kernel, missing rights, or a program the verifier refused.
    #[error("cannot load the kernel programs: {0}")]
    Load(#[from] Box<aya::EbpfError>),
    /// A program could not be loaded.
    #[error("cannot load program {program}: {error}")]
    Program {
        /// Its name.
        program: &'static str,
        /// The verifier's words, or the system's.
        error: Box<aya::programs::ProgramError>,
    },
    /// The object lacks something this agent needs: they were not built together.
    #[error("the kernel object has no {0}: agent and kernel programs were not built together")]
    Missing(&'static str),
    /// A table could not be opened.
    #[error("cannot open table {table}: {error}")]
    Table {
        /// Its name.
        table: &'static str,
        /// Why.
        error: aya::maps::MapError,
    },
    /// The kernel's type information cannot be read.
    #[error("the kernel's type information: {0}")]
    Types(String),
    /// A file, directory or link.
    #[error("{operation} {}: {error}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        error: io::Error,
    },
    /// The pinned tables have another ABI number than their directory says.
    #[error("the tables pinned in {} have ABI {found}, this agent has {expected}; run `enforcer-agent uninstall` with the agent that made them", path.display())]
    Abi {
        /// Where they are pinned.
        path: PathBuf,
        /// Their number.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// A table could not be read or written.
    #[error(transparent)]
    Enforce(#[from] EnforceError),
}

impl KernelError {
    /// For `map_err`.
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(super) fn types(error: aya::BtfError) -> Self {
        Self::Types(error.to_string())
    }

    /// For `map_err`: what was tried on which path.
    pub(super) fn file(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::File { operation, path, error }
    }
}

/// For `map_err`: what was tried on which table.
pub(super) fn kernel<E: std::fmt::Display>(
    operation: &'static str,
    table: impl Into<String>,
) -> impl FnOnce(E) -> EnforceError {
    let table = table.into();
    move |error| EnforceError::Kernel { operation, table, error: error.to_string() }
}
