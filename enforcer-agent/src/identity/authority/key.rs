//! A P-256 key that signs: ours, in memory. The library overwrites it when it is dropped.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm, SigningKey};
use zeroize::Zeroizing;

use super::error::IssueError;
use crate::identity::secret::PrivateKey;

/// Bytes of an uncompressed point on P-256.
pub(super) const POINT_BYTES: usize = 65;

/// A key pair.
pub(in crate::identity) struct EcKey(EcdsaKeyPair);

impl fmt::Debug for EcKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EcKey(..)")
    }
}

impl EcKey {
    /// A fresh key.
    pub(in crate::identity) fn generate() -> Result<Self, IssueError> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING);
        key.map(Self).map_err(|_| IssueError::Library("generate a key"))
    }

    /// A key that was kept.
    pub(in crate::identity) fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, IssueError> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8);
        key.map(Self).map_err(|_| IssueError::Key("it is no PKCS#8 key on P-256"))
    }

    /// PKCS#8, for the vault or the workload whose key it is.
    pub(in crate::identity) fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, IssueError> {
        let document = self.0.to_pkcs8v1().map_err(|_| IssueError::Library("write a key"))?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// The same as a key to hand out.
    pub(in crate::identity) fn private(&self) -> Result<PrivateKey, IssueError> {
        self.pkcs8().map(PrivateKey::new)
    }

    /// The public key: an uncompressed point.
    pub(in crate::identity) fn point(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }
}

impl PublicKeyData for EcKey {
    fn der_bytes(&self) -> &[u8] {
        self.point()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for EcKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature =
            self.0.sign(&SystemRandom::new(), message).map_err(|_| rcgen::Error::RingUnspecified)?;
        Ok(signature.as_ref().to_vec())
    }
}

/// Somebody's public key: an uncompressed point on P-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::identity) struct Point(pub(super) [u8; POINT_BYTES]);

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}
