//! The bundle door: JWK Set → a bundle, all or nothing. What the standard has a reader pass over is passed over;
//! what it knows and finds wrong is an error, because half a bundle looks like a withdrawal.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls_pki_types::CertificateDer;
use serde_json::{Map, Value};

use super::key::{self, KeyError, text};
use super::{
    DEFAULT_REFRESH_HINT_SECONDS, JWT_SVID, MAX_BUNDLE_BYTES, MAX_KEY_ID_BYTES, MAX_KEYS, X509_SVID,
};
use crate::identity::bundle::{Bundle, JwtKey};
use crate::identity::json;
use crate::identity::trust_domain::TrustDomain;
use crate::identity::x509::authority::parse_authority;

/// Kinds of keys that an X.509 authority may have. Others are passed over (B-1).
const AUTHORITY_KEYS: [&str; 3] = ["EC", "RSA", "OKP"];

/// Why a text is no bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Longer than anybody's.
    #[error("it has {0} bytes, and at most {MAX_BUNDLE_BYTES} are taken")]
    TooLong(usize),
    /// No JSON, or an object that states a member twice.
    #[error("it is no JSON: {0}")]
    Json(String),
    /// B-1: no keys is a statement, and must be made.
    #[error("it has no list \"keys\"")]
    KeysMissing,
    /// More than are looked at.
    #[error("it has {0} keys, and at most {MAX_KEYS} are taken")]
    TooManyKeys(usize),
    /// B-2.
    #[error("its spiffe_sequence is no whole number of 64 bits")]
    Sequence,
    /// B-3.
    #[error("its spiffe_refresh_hint is no whole number of seconds")]
    RefreshHint,
    /// A key that is known and wrong.
    #[error("key {place}: {error}")]
    Key {
        /// From 0.
        place: usize,
        /// The rule it breaks.
        error: KeyError,
    },
}

/// Parses the bundle of a trust domain. The keys stay in order.
///
/// # Errors
/// The first rule that it breaks.
pub fn parse(text: &str, trust_domain: &TrustDomain) -> Result<Bundle, BundleError> {
    if text.len() > MAX_BUNDLE_BYTES {
        return Err(BundleError::TooLong(text.len()));
    }
    let set = json::parse(text).map_err(|error| BundleError::Json(error.to_string()))?;
    let keys = set.get("keys").and_then(Value::as_array).ok_or(BundleError::KeysMissing)?;
    if keys.len() > MAX_KEYS {
        return Err(BundleError::TooManyKeys(keys.len()));
    }
    let mut bundle = Bundle {
        trust_domain: trust_domain.clone(),
        x509: Vec::new(),
        jwt: Vec::new(),
        sequence: sequence(&set)?,
        refresh_hint_seconds: refresh_hint(&set)?,
    };
    for (place, key) in keys.iter().enumerate() {
        take(&mut bundle, key).map_err(|error| BundleError::Key { place, error })?;
    }
    Ok(bundle)
}

fn sequence(set: &Value) -> Result<u64, BundleError> {
    set.get("spiffe_sequence").map_or(Ok(0), |sequence| sequence.as_u64().ok_or(BundleError::Sequence))
}

fn refresh_hint(set: &Value) -> Result<u32, BundleError> {
    match set.get("spiffe_refresh_hint") {
        None => Ok(DEFAULT_REFRESH_HINT_SECONDS),
        Some(hint) => hint.as_u64().and_then(|hint| hint.try_into().ok()).ok_or(BundleError::RefreshHint),
    }
}

/// B-1: a key without a use that is known is passed over, and so is what is no object.
fn take(bundle: &mut Bundle, key: &Value) -> Result<(), KeyError> {
    let Some(members) = key.as_object() else { return Ok(()) };
    match text(members, "use") {
        Some(X509_SVID) => bundle.x509.extend(x509(members)?),
        Some(JWT_SVID) => {
            if let Some(key) = jwt(members)? {
                if bundle.jwt.iter().any(|known| known.id == key.id) {
                    return Err(KeyError::KeyIdTwice);
                }
                bundle.jwt.push(key);
            }
        }
        _ => {}
    }
    Ok(())
}

/// without `x5c` there is nothing to see, and of `x5c` the first counts.
fn x509(members: &Map<String, Value>) -> Result<Option<CertificateDer<'static>>, KeyError> {
    if !text(members, "kty").is_some_and(|kind| AUTHORITY_KEYS.contains(&kind)) {
        return Ok(None);
    }
    let first = match members.get("x5c") {
        None => return Ok(None),
        Some(Value::Array(chain)) if chain.is_empty() => return Ok(None),
        Some(chain) => chain.get(0).and_then(Value::as_str).ok_or(KeyError::Member("x5c"))?,
    };
    let der = BASE64_STANDARD.decode(first).map_err(|_| KeyError::Member("x5c"))?;
    parse_authority(&der)?;
    Ok(Some(CertificateDer::from(der)))
}

fn jwt(members: &Map<String, Value>) -> Result<Option<JwtKey>, KeyError> {
    let Some(key) = key::read(members)? else { return Ok(None) };
    match text(members, "kid") {
        None | Some("") => Err(KeyError::KeyIdMissing),
        Some(id) if id.len() > MAX_KEY_ID_BYTES => Err(KeyError::KeyIdTooLong(id.len())),
        Some(id) => Ok(Some(JwtKey { id: id.to_owned(), key })),
    }
}
