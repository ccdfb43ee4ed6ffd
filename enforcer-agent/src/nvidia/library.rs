//! A library of the driver, opened when it is needed; every function may be missing, and says so.

use std::path::{Path, PathBuf};

/// What keeps the driver from being asked.
#[derive(Debug, thiserror::Error)]
pub enum NvidiaError {
    /// The library is not there, or not a library.
    #[error("{path} cannot be opened: {error}", path = .path.display())]
    NoLibrary {
        /// Which.
        path: PathBuf,
        /// How.
        error: libloading::Error,
    },
    /// The library is older or newer than what is asked of it, or another one.
    #[error("{path} has no function {name}", path = .path.display())]
    NoFunction {
        /// Of which library.
        path: PathBuf,
        /// Which.
        name: &'static str,
    },
    /// A function said no.
    #[error("{function}: {meaning} ({code})")]
    Refused {
        /// Which.
        function: &'static str,
        /// The library's number.
        code: i32,
        /// What that number means.
        meaning: &'static str,
    },
    /// What was asked for is not there, or cannot be done, in a sentence.
    #[error("{0}")]
    Cannot(String),
}

/// An open library. It stays open as long as the process: unloading a driver's library is asking for trouble.
pub(super) struct Library {
    inner: &'static libloading::Library,
    path: PathBuf,
}

impl Library {
    pub(super) fn open(path: &Path) -> Result<Self, NvidiaError> {
        // SAFETY: opening a library runs its initialisers. It is the driver's own, or one that the administrator who
        // runs this names, in a process that exists for nothing else.
        let opened = unsafe { libloading::Library::new(path) };
        let inner = opened.map_err(|error| NvidiaError::NoLibrary { path: path.to_owned(), error })?;
        Ok(Self { inner: Box::leak(Box::new(inner)), path: path.to_owned() })
    }

    /// A function by its name.
    ///
    /// # Safety
    /// `F` is the type of a pointer to that function, as the vendor's header declares it.
    pub(super) unsafe fn function<F: Copy>(&self, name: &'static str) -> Result<F, NvidiaError> {
        // SAFETY: what the caller promises.
        let found = unsafe { self.inner.get::<F>(name.as_bytes()) };
        found.map(|symbol| *symbol).map_err(|_| NvidiaError::NoFunction { path: self.path.clone(), name })
    }
}
