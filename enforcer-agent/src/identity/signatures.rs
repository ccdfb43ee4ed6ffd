//! Checking signatures for `enforcer-core`, which knows no cryptography.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_ASN1, ECDSA_P521_SHA512_FIXED, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, UnparsedPublicKey,
    VerificationAlgorithm,
};
use enforcer_core::identity::signature::{Algorithm, SignatureCheck};

/// aws-lc.
#[derive(Clone, Copy, Debug)]
pub struct AwsLc;

impl SignatureCheck for AwsLc {
    fn verify(&self, algorithm: Algorithm, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(algorithm_of(algorithm), key).verify(message, signature).is_ok()
    }
}

fn algorithm_of(algorithm: Algorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        Algorithm::EcdsaP256Sha256Der => &ECDSA_P256_SHA256_ASN1,
        Algorithm::EcdsaP256Sha384Der => &ECDSA_P256_SHA384_ASN1,
        Algorithm::EcdsaP384Sha256Der => &ECDSA_P384_SHA256_ASN1,
        Algorithm::EcdsaP384Sha384Der => &ECDSA_P384_SHA384_ASN1,
        Algorithm::EcdsaP521Sha512Der => &ECDSA_P521_SHA512_ASN1,
        Algorithm::EcdsaP256Sha256Raw => &ECDSA_P256_SHA256_FIXED,
        Algorithm::EcdsaP384Sha384Raw => &ECDSA_P384_SHA384_FIXED,
        Algorithm::EcdsaP521Sha512Raw => &ECDSA_P521_SHA512_FIXED,
        Algorithm::RsaPkcs1Sha256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RsaPkcs1Sha384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RsaPkcs1Sha512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::RsaPssSha256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::RsaPssSha384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::RsaPssSha512 => &RSA_PSS_2048_8192_SHA512,
        Algorithm::Ed25519 => &ED25519,
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        KeyPair as _,
    };

    use super::*;

    fn signed(by: &'static EcdsaSigningAlgorithm) -> (Vec<u8>, Vec<u8>) {
        let key = EcdsaKeyPair::generate(by).unwrap();
        let signature = key.sign(&SystemRandom::new(), b"message").unwrap();
        (key.public_key().as_ref().to_vec(), signature.as_ref().to_vec())
    }

    #[test]
    fn a_signature_counts_for_its_message_key_and_form_alone() {
        let (key, der) = signed(&ECDSA_P256_SHA256_ASN1_SIGNING);
        let (other, raw) = signed(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let check = |algorithm, key: &[u8], message: &[u8], signature: &[u8]| {
            AwsLc.verify(algorithm, key, message, signature)
        };
        assert!(check(Algorithm::EcdsaP256Sha256Der, &key, b"message", &der));
        assert!(check(Algorithm::EcdsaP256Sha256Raw, &other, b"message", &raw));
        assert!(!check(Algorithm::EcdsaP256Sha256Der, &key, b"another", &der));
        assert!(!check(Algorithm::EcdsaP256Sha256Der, &other, b"message", &der));
        assert!(!check(Algorithm::EcdsaP256Sha256Raw, &key, b"message", &der));
        assert!(!check(Algorithm::EcdsaP256Sha256Der, &[], b"message", &der));
    }
}
