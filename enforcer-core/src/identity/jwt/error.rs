//! Why a token proves nothing.

use crate::identity::bundle::RevokedError;
use crate::identity::spiffe_id::SpiffeIdError;
use crate::identity::trust_domain::TrustDomain;

use super::MAX_TOKEN_BYTES;

/// One variant for each rule. None repeats the token; what it says of itself is shortened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Longer than anybody's.
    #[error("it has {0} bytes, and at most {MAX_TOKEN_BYTES} are taken")]
    TooLong(usize),
    /// J-1: header, claims and signature, joined by dots.
    #[error("it has {0} parts where compact serialization has three")]
    NotCompact(usize),
    /// RFC 7515 section 2: base64url without padding.
    #[error("its {0} is no base64url")]
    Base64(&'static str),
    /// No JSON object, or one that states a member twice.
    #[error("its {part} is no JSON object: {error}")]
    Json {
        /// `header` or `claims`.
        part: &'static str,
        /// What the parser says.
        error: String,
    },
    /// J-3: none but `alg`, `kid` and `typ`.
    #[error("its header {0:?} is not allowed")]
    Header(String),
    /// J-2.
    #[error("its algorithm {0:?} is not allowed")]
    Algorithm(String),
    /// J-3.
    #[error("its type is neither JWT nor JOSE")]
    Type,
    /// J-5: without it, no key is chosen.
    #[error("it does not name its key")]
    KeyIdMissing,
    /// J-4.
    #[error("its claim {0} is missing")]
    ClaimMissing(&'static str),
    /// RFC 7519 section 4.1.
    #[error("its claim {0} is of the wrong type")]
    ClaimType(&'static str),
    /// J-4.
    #[error("its subject is no SPIFFE ID: {0}")]
    Subject(#[from] SpiffeIdError),
    /// A stranger's trust domain.
    #[error("nothing vouches here for the trust domain {0}")]
    UnknownTrustDomain(TrustDomain),
    /// B-4.
    #[error("the trust domain {0} has no keys for tokens")]
    NoKeys(TrustDomain),
    /// J-5: of another trust domain, withdrawn, or never there.
    #[error("its trust domain has no key {0:?}")]
    UnknownKey(String),
    /// An algorithm is the key's business, not the token's.
    #[error("its algorithm is none for the key {0:?}")]
    WrongKey(String),
    /// Somebody else's, or of something else.
    #[error("its signature is not the key's")]
    Signature,
    /// J-4.
    #[error("it has expired")]
    Expired,
    /// `nbf`.
    #[error("it is not valid yet")]
    NotYetValid,
    /// `iat`.
    #[error("it was issued in the future")]
    IssuedInFuture,
    /// J-4.
    #[error("it is for somebody else than {0:?}")]
    Audience(String),
    /// Taken away.
    #[error(transparent)]
    Revoked(#[from] RevokedError),
}
