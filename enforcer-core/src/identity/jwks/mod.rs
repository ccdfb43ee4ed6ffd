//! Bundles as the standard spells them: a JWK Set (RFC 7517; SPIFFE Trust Domain and Bundle, X509-SVID section 6,
//! JWT-SVID section 6).

mod key;
mod read;
mod write;

pub use key::KeyError;
pub use read::{BundleError, parse};
pub use write::{write, write_jwt};

/// Bytes of one bundle.
pub const MAX_BUNDLE_BYTES: usize = 1 << 20;
/// Keys of one bundle.
pub const MAX_KEYS: usize = 256;
/// Bytes of the name of a key.
pub const MAX_KEY_ID_BYTES: usize = 256;
/// How often to ask for a newer bundle, when it does not say: five minutes (B-3).
pub const DEFAULT_REFRESH_HINT_SECONDS: u32 = 300;

const X509_SVID: &str = "x509-svid";
const JWT_SVID: &str = "jwt-svid";

#[cfg(test)]
mod tests;
