//! The algorithms of JWT-SVIDs (J-2), and the keys that fit each.

use crate::identity::bundle::JwtPublicKey;
use crate::identity::signature::Algorithm;

/// `alg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JwtAlgorithm {
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
    Es512,
    Ps256,
    Ps384,
    Ps512,
}

impl JwtAlgorithm {
    /// Neither `none` nor an algorithm with a shared secret is among them.
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "RS384" => Some(Self::Rs384),
            "RS512" => Some(Self::Rs512),
            "ES256" => Some(Self::Es256),
            "ES384" => Some(Self::Es384),
            "ES512" => Some(Self::Es512),
            "PS256" => Some(Self::Ps256),
            "PS384" => Some(Self::Ps384),
            "PS512" => Some(Self::Ps512),
            _ => None,
        }
    }

    /// How a key of this kind signs by this algorithm; `None` when it cannot.
    pub(super) const fn with(self, key: &JwtPublicKey) -> Option<Algorithm> {
        match (self, key) {
            (Self::Rs256, JwtPublicKey::Rsa { .. }) => Some(Algorithm::RsaPkcs1Sha256),
            (Self::Rs384, JwtPublicKey::Rsa { .. }) => Some(Algorithm::RsaPkcs1Sha384),
            (Self::Rs512, JwtPublicKey::Rsa { .. }) => Some(Algorithm::RsaPkcs1Sha512),
            (Self::Ps256, JwtPublicKey::Rsa { .. }) => Some(Algorithm::RsaPssSha256),
            (Self::Ps384, JwtPublicKey::Rsa { .. }) => Some(Algorithm::RsaPssSha384),
            (Self::Ps512, JwtPublicKey::Rsa { .. }) => Some(Algorithm::RsaPssSha512),
            (Self::Es256, JwtPublicKey::P256(_)) => Some(Algorithm::EcdsaP256Sha256Raw),
            (Self::Es384, JwtPublicKey::P384(_)) => Some(Algorithm::EcdsaP384Sha384Raw),
            (Self::Es512, JwtPublicKey::P521(_)) => Some(Algorithm::EcdsaP521Sha512Raw),
            _ => None,
        }
    }
}
