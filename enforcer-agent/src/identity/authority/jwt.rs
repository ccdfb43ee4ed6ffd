//! Writing JWT-SVIDs: compact JWS, ES256 (JWT-SVID, sections 2 and 3).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use enforcer_core::identity::spiffe_id::SpiffeId;
use serde::Serialize;

use super::error::IssueError;
use super::member::JwtSigner;

/// Audiences of one token.
pub(super) const AUDIENCES_MAX: usize = 16;
/// Bytes of one audience.
pub(super) const AUDIENCE_MAX_BYTES: usize = 1024;

/// J-2 (alg), J-3 (typ, and nothing but kid besides), J-5 (kid).
#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    kid: &'a str,
    typ: &'static str,
}

/// J-4.
#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    aud: &'a [String],
    iat: u64,
    exp: u64,
}

/// A token.
pub(super) fn sign(
    signer: &JwtSigner,
    id: &SpiffeId,
    audience: &[String],
    now: Duration,
    ends: Duration,
) -> Result<String, IssueError> {
    let message = signing_input(&signer.id, id, audience, now, ends)?;
    let signature = signer.sign(message.as_bytes())?;
    Ok(assemble(message, &signature))
}

/// What is signed: header and claims (J-1).
fn signing_input(
    kid: &str,
    id: &SpiffeId,
    audience: &[String],
    now: Duration,
    ends: Duration,
) -> Result<String, IssueError> {
    let header = Header { alg: "ES256", kid, typ: "JWT" };
    let claims = Claims { sub: id.as_str(), aud: audience, iat: now.as_secs(), exp: ends.as_secs() };
    let json = |error: serde_json::Error| IssueError::Writer(error.to_string());
    let mut text = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).map_err(json)?);
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(&claims).map_err(json)?, &mut text);
    Ok(text)
}

/// The whole token.
fn assemble(mut message: String, signature: &[u8]) -> String {
    message.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut message);
    message
}
