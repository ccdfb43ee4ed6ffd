//! Keeping secrets without knowing who seals them: drawers, each of which can be made unreadable at a stroke.

use zeroize::Zeroizing;

/// A secret could not be kept, had or destroyed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SafeError(pub String);

/// Sealed objects in drawers.
pub trait Safe: Send + Sync {
    /// Keeps an object, in place of the one that had its name; it outlasts a loss of power.
    ///
    /// # Errors
    /// It was not kept.
    fn put(&self, drawer: &str, item: &str, contents: &[u8]) -> Result<(), SafeError>;

    /// An object; `None` when nothing has this name.
    ///
    /// # Errors
    /// It is there and cannot be had.
    fn get(&self, drawer: &str, item: &str) -> Result<Option<Zeroizing<Vec<u8>>>, SafeError>;

    /// Names of the objects in a drawer, in order.
    ///
    /// # Errors
    /// They cannot be listed.
    fn items(&self, drawer: &str) -> Result<Vec<String>, SafeError>;

    /// Removes a drawer; nothing that was in it can ever be read again.
    ///
    /// # Errors
    /// It may still be there.
    fn destroy(&self, drawer: &str) -> Result<(), SafeError>;
}
