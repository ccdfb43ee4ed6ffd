//! One public key as a JSON Web Key (RFC 7518 section 6, RFC 8037 for Ed25519), there and back.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::MAX_KEY_ID_BYTES;
use crate::identity::bundle::JwtPublicKey;
use crate::identity::x509::SubjectKey;
use crate::identity::x509::authority::AuthorityError;

/// Bits of an RSA modulus: less is too weak, more is only slow.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Bytes of an RSA exponent.
const MAX_EXPONENT_BYTES: usize = 8;

/// Why a key of a bundle is refused, and the bundle with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// J-5.
    #[error("it has no kid, which a key for JWT-SVIDs must have")]
    KeyIdMissing,
    /// Longer than a name need be.
    #[error("its kid has {0} bytes, and at most {MAX_KEY_ID_BYTES} are taken")]
    KeyIdTooLong(usize),
    /// Two keys of one name: which one a token means is not clear.
    #[error("its kid is that of another key too")]
    KeyIdTwice,
    /// Missing, no text, no base64, or of the wrong length.
    #[error("its member {0} is missing or wrong")]
    Member(&'static str),
    /// Too weak or too big.
    #[error("its modulus has {0} bits, and 2048 to 8192 are taken")]
    RsaBits(usize),
    /// 1, even, or absurd.
    #[error("its exponent is none")]
    RsaExponent,
    /// what x5c holds.
    #[error("its certificate is no authority's: {0}")]
    Authority(#[from] AuthorityError),
}

/// The members that say what the key is.
pub(super) fn write(key: &SubjectKey) -> Map<String, Value> {
    match key {
        SubjectKey::Web(JwtPublicKey::P256(point)) => elliptic("P-256", point),
        SubjectKey::Web(JwtPublicKey::P384(point)) => elliptic("P-384", point),
        SubjectKey::Web(JwtPublicKey::P521(point)) => elliptic("P-521", point),
        SubjectKey::Web(JwtPublicKey::Rsa { n, e }) => {
            object([("kty", "RSA".to_owned()), ("n", encode(n)), ("e", encode(e))])
        }
        SubjectKey::Ed25519(x) => {
            object([("kty", "OKP".to_owned()), ("crv", "Ed25519".to_owned()), ("x", encode(x))])
        }
    }
}

/// The key, or `None` when it is of a kind that no JWT-SVID is signed with (B-1: passed over).
pub(super) fn read(members: &Map<String, Value>) -> Result<Option<JwtPublicKey>, KeyError> {
    match (text(members, "kty"), text(members, "crv")) {
        (Some("RSA"), _) => rsa(members).map(Some),
        (Some("EC"), Some("P-256")) => point(members, 32).map(JwtPublicKey::P256).map(Some),
        (Some("EC"), Some("P-384")) => point(members, 48).map(JwtPublicKey::P384).map(Some),
        (Some("EC"), Some("P-521")) => point(members, 66).map(JwtPublicKey::P521).map(Some),
        _ => Ok(None),
    }
}

pub(super) fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str)
}

fn elliptic(curve: &str, point: &[u8]) -> Map<String, Value> {
    // After the octet that says "uncompressed", two halves of one length.
    let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len() / 2);
    object([("kty", "EC".to_owned()), ("crv", curve.to_owned()), ("x", encode(x)), ("y", encode(y))])
}

fn object<const N: usize>(members: [(&str, String); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect()
}

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(members: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, KeyError> {
    let text = text(members, name).ok_or(KeyError::Member(name))?;
    BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyError::Member(name))
}

fn point(members: &Map<String, Value>, length: usize) -> Result<Vec<u8>, KeyError> {
    let mut point = vec![4];
    for name in ["x", "y"] {
        let coordinate = decode(members, name)?;
        if coordinate.len() != length {
            return Err(KeyError::Member(name));
        }
        point.extend(coordinate);
    }
    Ok(point)
}

fn rsa(members: &Map<String, Value>) -> Result<JwtPublicKey, KeyError> {
    let magnitude = |bytes: Vec<u8>| bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
    let (n, e) = (magnitude(decode(members, "n")?), magnitude(decode(members, "e")?));
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err(KeyError::RsaBits(bits));
    }
    let is_odd = e.last().is_some_and(|last| last & 1 == 1);
    if !is_odd || e == [1] || e.len() > MAX_EXPONENT_BYTES {
        return Err(KeyError::RsaExponent);
    }
    Ok(JwtPublicKey::Rsa { n, e })
}
