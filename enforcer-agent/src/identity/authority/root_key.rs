//! The key of a root: ours in memory, from a file, or in a token.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, SHA384, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RsaKeyPair,
};
use enforcer_core::identity::signature::Algorithm;
use rcgen::{
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm,
    SigningKey as _,
};
use rustls_pki_types::PrivateKeyDer;

use super::der;
use super::error::{IssueError, RootError};
use super::member::CaKey;
use crate::identity::custody::token::{Token, TokenSignature};

/// A root's private key.
pub(super) enum RootKey {
    Ours(Arc<CaKey>),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Token(Arc<Token>, String, TokenKind),
}

/// What a key in a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    P256,
    P384,
    Rsa,
}

impl RootKey {
    /// A key from a file; `None` when it is of a kind that is not taken.
    pub(super) fn from_der(der: &PrivateKeyDer<'_>) -> Option<Self> {
        let bytes = der.secret_der();
        let ec = |algorithm| EcdsaKeyPair::from_private_key_der(algorithm, bytes);
        if let Ok(key) = ec(&ECDSA_P256_SHA256_ASN1_SIGNING) {
            return Some(Self::P256(key));
        }
        if let Ok(key) = ec(&ECDSA_P384_SHA384_ASN1_SIGNING) {
            return Some(Self::P384(key));
        }
        if let Ok(key) = Ed25519KeyPair::from_pkcs8(bytes) {
            return Some(Self::Ed25519(key));
        }
        let rsa = RsaKeyPair::from_pkcs8(bytes).or_else(|_| RsaKeyPair::from_der(bytes));
        rsa.ok().map(Self::Rsa)
    }

    /// How certificates name what it makes.
    pub(super) fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self {
            Self::Ours(_) | Self::P256(_) | Self::Token(_, _, TokenKind::P256) => &PKCS_ECDSA_P256_SHA256,
            Self::P384(_) | Self::Token(_, _, TokenKind::P384) => &PKCS_ECDSA_P384_SHA384,
            Self::Rsa(_) | Self::Token(_, _, TokenKind::Rsa) => &PKCS_RSA_SHA256,
            Self::Ed25519(_) => &PKCS_ED25519,
        }
    }

    /// How what it makes is checked.
    pub(super) const fn check(&self) -> Algorithm {
        match self {
            Self::Ours(_) | Self::P256(_) | Self::Token(_, _, TokenKind::P256) => {
                Algorithm::EcdsaP256Sha256Der
            }
            Self::P384(_) | Self::Token(_, _, TokenKind::P384) => Algorithm::EcdsaP384Sha384Der,
            Self::Rsa(_) | Self::Token(_, _, TokenKind::Rsa) => Algorithm::RsaPkcs1Sha256,
            Self::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// Signs.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, RootError> {
        match self {
            Self::Ours(ca) => Ok(ca.key().sign(message).map_err(IssueError::from)?),
            Self::P256(key) | Self::P384(key) => {
                let signature = key.sign(&SystemRandom::new(), message).map_err(|_| refused())?;
                Ok(signature.as_ref().to_vec())
            }
            Self::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .map_err(|_| refused())?;
                Ok(signature)
            }
            Self::Token(token, label, kind) => sign_in_token(token, label, *kind, message),
        }
    }
}

fn sign_in_token(token: &Token, label: &str, kind: TokenKind, message: &[u8]) -> Result<Vec<u8>, RootError> {
    let hash = match kind {
        TokenKind::Rsa => return Ok(token.sign(label, TokenSignature::RsaSha256, message)?),
        TokenKind::P256 => &SHA256,
        TokenKind::P384 => &SHA384,
    };
    let fixed = token.sign(label, TokenSignature::Ecdsa, digest(hash, message).as_ref())?;
    Ok(der::ecdsa(&fixed))
}

const fn refused() -> IssueError {
    IssueError::Library("sign")
}
