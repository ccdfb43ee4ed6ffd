//! A bundle → JWK Set.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls_pki_types::CertificateDer;
use serde_json::{Map, Value, json};

use super::{JWT_SVID, X509_SVID, key};
use crate::identity::bundle::{Bundle, JwtKey};
use crate::identity::x509::SubjectKey;
use crate::identity::x509::authority::parse_authority;

/// Everything, as a federation endpoint and an operator show it.
#[must_use]
pub fn write(bundle: &Bundle) -> String {
    let keys = bundle.x509.iter().filter_map(x509).chain(bundle.jwt.iter().map(jwt)).collect();
    set(bundle, keys)
}

/// What checks JWT-SVIDs, and nothing else (W-8).
#[must_use]
pub fn write_jwt(bundle: &Bundle) -> String {
    set(bundle, bundle.jwt.iter().map(jwt).collect())
}

fn set(bundle: &Bundle, keys: Vec<Value>) -> String {
    let Bundle { sequence, refresh_hint_seconds, .. } = bundle;
    json!({"keys": keys, "spiffe_sequence": sequence, "spiffe_refresh_hint": refresh_hint_seconds})
        .to_string()
}

/// no `kid`, and `x5c` with exactly one certificate. One that is no authority's vouches for nobody, here or
/// anywhere: it is left out.
fn x509(der: &CertificateDer<'_>) -> Option<Value> {
    let mut members = key::write(&parse_authority(der).ok()?.key);
    members.insert("use".to_owned(), X509_SVID.into());
    members.insert("x5c".to_owned(), vec![BASE64_STANDARD.encode(der)].into());
    Some(Value::Object(members))
}

/// J-5: with `kid`.
fn jwt(JwtKey { id, key }: &JwtKey) -> Value {
    let mut members: Map<_, _> = key::write(&SubjectKey::Web(key.clone()));
    members.insert("use".to_owned(), JWT_SVID.into());
    members.insert("kid".to_owned(), id.as_str().into());
    Value::Object(members)
}
