//! Whoever checks signatures, as this crate sees it: it knows no cryptography, the agent hands in its TLS library.

use super::bundle::JwtPublicKey;

/// A way of signing, with everything that a verifier must agree on beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Signature in DER, as in certificates.
    EcdsaP256Sha256Der,
    /// Signature in DER.
    EcdsaP256Sha384Der,
    /// Signature in DER.
    EcdsaP384Sha256Der,
    /// Signature in DER.
    EcdsaP384Sha384Der,
    /// Signature in DER.
    EcdsaP521Sha512Der,
    /// ES256: r and s side by side, 64 bytes.
    EcdsaP256Sha256Raw,
    /// ES384: 96 bytes.
    EcdsaP384Sha384Raw,
    /// ES512: 132 bytes.
    EcdsaP521Sha512Raw,
    /// In certificates, and RS256.
    RsaPkcs1Sha256,
    /// In certificates, and RS384.
    RsaPkcs1Sha384,
    /// In certificates, and RS512.
    RsaPkcs1Sha512,
    /// PS256.
    RsaPssSha256,
    /// PS384.
    RsaPssSha384,
    /// PS512.
    RsaPssSha512,
    /// In certificates.
    Ed25519,
}

/// Checks signatures.
pub trait SignatureCheck {
    /// True when `key` made `signature` over `message`.
    ///
    /// `key` is what stands in the bit string of a `SubjectPublicKeyInfo`: the uncompressed point for ECDSA, PKCS#1
    /// `RSAPublicKey` in DER for RSA, the 32 bytes for Ed25519. A key that is too short, or no point of its curve,
    /// has signed nothing.
    fn verify(&self, algorithm: Algorithm, key: &[u8], message: &[u8], signature: &[u8]) -> bool;
}

/// A public key as [`SignatureCheck`] takes it.
#[must_use]
pub fn key_bytes(key: &JwtPublicKey) -> Vec<u8> {
    match key {
        JwtPublicKey::P256(point) | JwtPublicKey::P384(point) | JwtPublicKey::P521(point) => point.clone(),
        JwtPublicKey::Rsa { n, e } => sequence(&[unsigned_integer(n), unsigned_integer(e)].concat()),
    }
}

fn unsigned_integer(magnitude: &[u8]) -> Vec<u8> {
    // DER integers are signed: a leading one would make it negative.
    let is_negative = magnitude.first().is_none_or(|byte| byte & 0x80 != 0);
    let padding: &[u8] = if is_negative { &[0] } else { &[] };
    element(0x02, &[padding, magnitude].concat())
}

fn sequence(content: &[u8]) -> Vec<u8> {
    element(0x30, content)
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut out = vec![tag];
    match significant.as_slice() {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        // At most eight bytes: the length of a length fits.
        long => {
            out.extend(u8::try_from(long.len()).map(|count| 0x80 | count));
            out.extend(long);
        }
    }
    out.extend(content);
    out
}

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::signature as aws;
    use aws_lc_rs::signature::VerificationAlgorithm;

    use super::*;

    /// The library that the agent uses too.
    pub(crate) struct Real;

    impl SignatureCheck for Real {
        fn verify(&self, algorithm: Algorithm, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
            let algorithm: &dyn VerificationAlgorithm = match algorithm {
                Algorithm::EcdsaP256Sha256Der => &aws::ECDSA_P256_SHA256_ASN1,
                Algorithm::EcdsaP256Sha384Der => &aws::ECDSA_P256_SHA384_ASN1,
                Algorithm::EcdsaP384Sha256Der => &aws::ECDSA_P384_SHA256_ASN1,
                Algorithm::EcdsaP384Sha384Der => &aws::ECDSA_P384_SHA384_ASN1,
                Algorithm::EcdsaP521Sha512Der => &aws::ECDSA_P521_SHA512_ASN1,
                Algorithm::EcdsaP256Sha256Raw => &aws::ECDSA_P256_SHA256_FIXED,
                Algorithm::EcdsaP384Sha384Raw => &aws::ECDSA_P384_SHA384_FIXED,
                Algorithm::EcdsaP521Sha512Raw => &aws::ECDSA_P521_SHA512_FIXED,
                Algorithm::RsaPkcs1Sha256 => &aws::RSA_PKCS1_2048_8192_SHA256,
                Algorithm::RsaPkcs1Sha384 => &aws::RSA_PKCS1_2048_8192_SHA384,
                Algorithm::RsaPkcs1Sha512 => &aws::RSA_PKCS1_2048_8192_SHA512,
                Algorithm::RsaPssSha256 => &aws::RSA_PSS_2048_8192_SHA256,
                Algorithm::RsaPssSha384 => &aws::RSA_PSS_2048_8192_SHA384,
                Algorithm::RsaPssSha512 => &aws::RSA_PSS_2048_8192_SHA512,
                Algorithm::Ed25519 => &aws::ED25519,
            };
            aws::UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        }
    }

    #[test]
    fn lengths_are_der() {
        assert_eq!(element(0x30, &[]), [0x30, 0]);
        assert_eq!(element(0x30, &[7; 127])[..2], [0x30, 127]);
        assert_eq!(element(0x30, &[7; 128])[..3], [0x30, 0x81, 128]);
        assert_eq!(element(0x30, &[7; 300])[..4], [0x30, 0x82, 1, 44]);
        assert_eq!(unsigned_integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned_integer(&[1, 0, 1]), [2, 3, 1, 0, 1]);
    }
}
