//! The token door: a compact JWS → claims that nobody has vouched for yet, all or nothing.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::JwtAlgorithm;
use super::{JwtError, MAX_TOKEN_BYTES};
use crate::identity::json;
use crate::identity::spiffe_id::SpiffeId;
use crate::policy::problem::shown;

/// A token that reads as a JWT-SVID. [`Unverified::verify`] makes it one.
#[derive(Clone, PartialEq, Eq)]
pub struct Unverified {
    pub(super) algorithm: JwtAlgorithm,
    pub(super) key_id: String,
    pub(super) id: SpiffeId,
    pub(super) audience: Vec<String>,
    pub(super) expires: Duration,
    pub(super) not_before: Option<Duration>,
    pub(super) issued_at: Option<Duration>,
    pub(super) claims: Map<String, Value>,
    pub(super) signed: String,
    pub(super) signature: Vec<u8>,
}

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified")
            .field("id", &self.id)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl Unverified {
    /// Whom the token says it is about. Nobody has checked that.
    #[must_use]
    pub const fn claimed_id(&self) -> &SpiffeId {
        &self.id
    }
}

/// Parses a token.
///
/// # Errors
/// The first rule that it breaks.
pub fn parse(token: &str) -> Result<Unverified, JwtError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(JwtError::TooLong(token.len()));
    }
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else { return Err(JwtError::NotCompact(parts.len())) };
    let signed = format!("{header}.{claims}");
    let (algorithm, key_id) = read_header(&object("header", header)?)?;
    let claims = object("claims", claims)?;
    Ok(Unverified {
        algorithm,
        key_id,
        id: text(&claims, "sub")?.parse()?,
        audience: audience(&claims)?,
        expires: date(&claims, "exp")?.ok_or(JwtError::ClaimMissing("exp"))?,
        not_before: date(&claims, "nbf")?,
        issued_at: date(&claims, "iat")?,
        claims,
        signed,
        signature: decode("signature", signature)?,
    })
}

fn decode(part: &'static str, text: &str) -> Result<Vec<u8>, JwtError> {
    BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| JwtError::Base64(part))
}

fn object(part: &'static str, text: &str) -> Result<Map<String, Value>, JwtError> {
    let wrong = |error: String| JwtError::Json { part, error };
    let text = String::from_utf8(decode(part, text)?).map_err(|error| wrong(error.to_string()))?;
    match json::parse(&text).map_err(|error| wrong(error.to_string()))? {
        Value::Object(members) => Ok(members),
        _ => Err(wrong("it is another value".to_owned())),
    }
}

fn read_header(header: &Map<String, Value>) -> Result<(JwtAlgorithm, String), JwtError> {
    if let Some(name) = header.keys().find(|name| !matches!(name.as_str(), "alg" | "kid" | "typ")) {
        return Err(JwtError::Header(shown(name)));
    }
    let algorithm = header.get("alg").and_then(Value::as_str).unwrap_or_default();
    let algorithm = JwtAlgorithm::parse(algorithm).ok_or_else(|| JwtError::Algorithm(shown(algorithm)))?;
    if header.get("typ").is_some_and(|kind| kind != "JWT" && kind != "JOSE") {
        return Err(JwtError::Type);
    }
    match header.get("kid").and_then(Value::as_str) {
        None | Some("") => Err(JwtError::KeyIdMissing),
        Some(key_id) => Ok((algorithm, key_id.to_owned())),
    }
}

fn text<'a>(claims: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, JwtError> {
    claims.get(name).ok_or(JwtError::ClaimMissing(name))?.as_str().ok_or(JwtError::ClaimType(name))
}

/// One text or a list of them (RFC 7519 section 4.1.3); somebody, in any case.
fn audience(claims: &Map<String, Value>) -> Result<Vec<String>, JwtError> {
    match claims.get("aud").ok_or(JwtError::ClaimMissing("aud"))? {
        Value::String(one) => Ok(vec![one.clone()]),
        Value::Array(list) if list.is_empty() => Err(JwtError::ClaimMissing("aud")),
        Value::Array(list) => {
            let texts = list.iter().map(|item| item.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().ok_or(JwtError::ClaimType("aud"))
        }
        _ => Err(JwtError::ClaimType("aud")),
    }
}

/// Seconds since the Unix epoch, and parts of one (RFC 7519 section 2, `NumericDate`).
fn date(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Duration>, JwtError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_u64().map(Duration::from_secs);
    let seconds =
        seconds.or_else(|| value.as_f64().and_then(|parts| Duration::try_from_secs_f64(parts).ok()));
    seconds.map(Some).ok_or(JwtError::ClaimType(name))
}
