//! What is signed, and the token that comes of it. The key is not here.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::identity::spiffe_id::SpiffeId;

/// Header and claims of an ES256 token, as they are signed. The times are since the Unix epoch; parts of a second
/// are cut off.
#[must_use]
pub fn signing_input(
    kid: &str,
    subject: &SpiffeId,
    audience: &[String],
    issued_at: Duration,
    expires: Duration,
) -> String {
    let header = json!({"alg": "ES256", "kid": kid, "typ": "JWT"});
    let claims = json!({
        "sub": subject.as_str(),
        "aud": audience,
        "iat": issued_at.as_secs(),
        "exp": expires.as_secs(),
    });
    format!("{}.{}", encode(&header), encode(&claims))
}

/// The token: what was signed, and its signature, r and s side by side (RFC 7518 section 3.4).
#[must_use]
pub fn assemble(signing_input: &str, signature: &[u8; 64]) -> String {
    format!("{signing_input}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

fn encode(part: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(part.to_string())
}
