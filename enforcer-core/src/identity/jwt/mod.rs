//! JWT-SVIDs: what a signer signs, and what a verifier takes (JWT-SVID, RFC 7515, RFC 7519). A token is a bearer's
//! whole proof: it is never printed.

mod algorithm;
mod error;
mod read;
mod verify;
mod write;

pub use error::JwtError;
pub use read::{Unverified, parse};
pub use verify::JwtSvid;
pub use write::{assemble, signing_input};

use std::time::Duration;

/// Bytes of a token.
pub const MAX_TOKEN_BYTES: usize = 16 << 10;
/// How far ahead of ours the clock of an issuer may be, for `iat` and `nbf`. For `exp` there is no grace.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
