//! What kind of key a certificate holds, and by which algorithm it signed another: the kinds that are known here,
//! and no others.

use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
    OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256,
    OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512, OID_SIG_ED25519,
};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use crate::identity::bundle::JwtPublicKey;
use crate::identity::signature::{Algorithm, key_bytes};

/// A subject's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::identity) enum SubjectKey {
    /// One that JSON Web Keys know too.
    Web(JwtPublicKey),
    /// 32 bytes.
    Ed25519(Vec<u8>),
}

impl SubjectKey {
    pub(super) fn read(info: &SubjectPublicKeyInfo<'_>) -> Option<Self> {
        let bytes = info.subject_public_key.data.to_vec();
        let kind = &info.algorithm.algorithm;
        if *kind == OID_SIG_ED25519 {
            return (bytes.len() == 32).then_some(Self::Ed25519(bytes));
        }
        if *kind == OID_PKCS1_RSAENCRYPTION {
            let PublicKey::RSA(rsa) = info.parsed().ok()? else { return None };
            let magnitude = |integer: &[u8]| integer.iter().copied().skip_while(|byte| *byte == 0).collect();
            let (n, e) = (magnitude(rsa.modulus), magnitude(rsa.exponent));
            return Some(Self::Web(JwtPublicKey::Rsa { n, e }));
        }
        (*kind == OID_KEY_TYPE_EC_PUBLIC_KEY).then(|| point(info, bytes))?.map(Self::Web)
    }

    /// As [`crate::identity::signature::SignatureCheck`] takes it.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Web(key) => key_bytes(key),
            Self::Ed25519(bytes) => bytes.clone(),
        }
    }

    /// By which algorithm this key signed, if it can have.
    pub(super) fn signed_by(&self, algorithm: &AlgorithmIdentifier<'_>) -> Option<Algorithm> {
        let oid = &algorithm.algorithm;
        let is = |known| *oid == known;
        match self {
            Self::Web(JwtPublicKey::Rsa { .. }) if is(OID_PKCS1_SHA256WITHRSA) => {
                Some(Algorithm::RsaPkcs1Sha256)
            }
            Self::Web(JwtPublicKey::Rsa { .. }) if is(OID_PKCS1_SHA384WITHRSA) => {
                Some(Algorithm::RsaPkcs1Sha384)
            }
            Self::Web(JwtPublicKey::Rsa { .. }) if is(OID_PKCS1_SHA512WITHRSA) => {
                Some(Algorithm::RsaPkcs1Sha512)
            }
            Self::Web(JwtPublicKey::P256(_)) if is(OID_SIG_ECDSA_WITH_SHA256) => {
                Some(Algorithm::EcdsaP256Sha256Der)
            }
            Self::Web(JwtPublicKey::P256(_)) if is(OID_SIG_ECDSA_WITH_SHA384) => {
                Some(Algorithm::EcdsaP256Sha384Der)
            }
            Self::Web(JwtPublicKey::P384(_)) if is(OID_SIG_ECDSA_WITH_SHA256) => {
                Some(Algorithm::EcdsaP384Sha256Der)
            }
            Self::Web(JwtPublicKey::P384(_)) if is(OID_SIG_ECDSA_WITH_SHA384) => {
                Some(Algorithm::EcdsaP384Sha384Der)
            }
            Self::Web(JwtPublicKey::P521(_)) if is(OID_SIG_ECDSA_WITH_SHA512) => {
                Some(Algorithm::EcdsaP521Sha512Der)
            }
            Self::Ed25519(_) if is(OID_SIG_ED25519) => Some(Algorithm::Ed25519),
            Self::Web(_) | Self::Ed25519(_) => None,
        }
    }
}

fn point(info: &SubjectPublicKeyInfo<'_>, bytes: Vec<u8>) -> Option<JwtPublicKey> {
    let curve = info.algorithm.parameters.as_ref()?.as_oid().ok()?;
    let uncompressed = |length: usize| bytes.len() == length && bytes.first() == Some(&4);
    if curve == OID_EC_P256 && uncompressed(65) {
        Some(JwtPublicKey::P256(bytes))
    } else if curve == OID_NIST_EC_P384 && uncompressed(97) {
        Some(JwtPublicKey::P384(bytes))
    } else if curve == OID_NIST_EC_P521 && uncompressed(133) {
        Some(JwtPublicKey::P521(bytes))
    } else {
        None
    }
}
