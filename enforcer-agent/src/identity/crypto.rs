//! Checking signatures over public keys as certificates hold them (SubjectPublicKeyInfo, DER).

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::der_parser::Oid;
use x509_parser::oid_registry::{
    OID_HASH_SHA1, OID_NIST_EC_P384, OID_NIST_HASH_SHA256, OID_NIST_HASH_SHA384, OID_NIST_HASH_SHA512,
    OID_PKCS1_RSASSAPSS, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
    OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ED25519,
};
use x509_parser::oid_registry::OID_EC_P256;
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

/// How something was signed. Neither SHA-1 nor RSA below 2,048 bits is among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// ECDSA on P-256 with SHA-256, r and s in ASN.1.
    EcdsaP256Sha256,
    /// ECDSA on P-256 with SHA-384, r and s in ASN.1.
    EcdsaP256Sha384,
    /// ECDSA on P-384 with SHA-256, r and s in ASN.1.
    EcdsaP384Sha256,
    /// ECDSA on P-384 with SHA-384, r and s in ASN.1.
    EcdsaP384Sha384,
    /// ES256 of JWS: r and s in 32 bytes each.
    Es256,
    /// ES384 of JWS: r and s in 48 bytes each.
    Es384,
    /// RSA PKCS #1 1.5 with SHA-256, 2,048 to 8,192 bits; as are the others.
    RsaPkcs1Sha256,
    /// With SHA-384.
    RsaPkcs1Sha384,
    /// With SHA-512.
    RsaPkcs1Sha512,
    /// RSA-PSS with SHA-256, the salt as long as the digest; as are the others.
    RsaPssSha256,
    /// With SHA-384.
    RsaPssSha384,
    /// With SHA-512.
    RsaPssSha512,
    /// Ed25519.
    Ed25519,
}

/// Why a signature does not count. A caller from outside is told neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// None of [`Scheme`].
    #[error("signed in a way that is not taken")]
    Scheme,
    /// Not by this key, or not over this.
    #[error("the signature is not that of the key")]
    Mismatch,
}

impl Scheme {
    /// How a certificate, request or revocation list says that it was signed, by a key of this kind.
    ///
    /// # Errors
    /// In none of these ways.
    pub fn of_x509(
        algorithm: &AlgorithmIdentifier<'_>,
        signer: &SubjectPublicKeyInfo<'_>,
    ) -> Result<Self, SignatureError> {
        let p384 = is_p384(signer);
        let oid = &algorithm.algorithm;
        if *oid == OID_SIG_ECDSA_WITH_SHA256 {
            return Ok(if p384? { Self::EcdsaP384Sha256 } else { Self::EcdsaP256Sha256 });
        }
        if *oid == OID_SIG_ECDSA_WITH_SHA384 {
            return Ok(if p384? { Self::EcdsaP384Sha384 } else { Self::EcdsaP256Sha384 });
        }
        if *oid == OID_PKCS1_RSASSAPSS {
            return pss(algorithm);
        }
        let others = [
            (OID_PKCS1_SHA256WITHRSA, Self::RsaPkcs1Sha256),
            (OID_PKCS1_SHA384WITHRSA, Self::RsaPkcs1Sha384),
            (OID_PKCS1_SHA512WITHRSA, Self::RsaPkcs1Sha512),
            (OID_SIG_ED25519, Self::Ed25519),
        ];
        others.into_iter().find(|(known, _)| known == oid).map(|(_, scheme)| scheme).ok_or(SignatureError::Scheme)
    }

    fn algorithm(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::EcdsaP256Sha256 => &signature::ECDSA_P256_SHA256_ASN1,
            Self::EcdsaP256Sha384 => &signature::ECDSA_P256_SHA384_ASN1,
            Self::EcdsaP384Sha256 => &signature::ECDSA_P384_SHA256_ASN1,
            Self::EcdsaP384Sha384 => &signature::ECDSA_P384_SHA384_ASN1,
            Self::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            Self::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
            Self::RsaPkcs1Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::RsaPkcs1Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Self::RsaPkcs1Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Self::RsaPssSha256 => &signature::RSA_PSS_2048_8192_SHA256,
            Self::RsaPssSha384 => &signature::RSA_PSS_2048_8192_SHA384,
            Self::RsaPssSha512 => &signature::RSA_PSS_2048_8192_SHA512,
            Self::Ed25519 => &signature::ED25519,
        }
    }
}

/// Checks a signature by the key in `public_key`, a SubjectPublicKeyInfo.
///
/// # Errors
/// It is not that key's, or not over this message.
pub fn verify(
    scheme: Scheme,
    public_key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    UnparsedPublicKey::new(scheme.algorithm(), public_key)
        .verify(message, signature)
        .map_err(|_| SignatureError::Mismatch)
}

/// Checks what an X.509 object says of its signature.
///
/// # Errors
/// It is not the signer's, or made in a way that is not taken.
pub fn verify_x509(
    algorithm: &AlgorithmIdentifier<'_>,
    signer: &SubjectPublicKeyInfo<'_>,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    verify(Scheme::of_x509(algorithm, signer)?, signer.raw, message, signature)
}

fn is_p384(signer: &SubjectPublicKeyInfo<'_>) -> Result<bool, SignatureError> {
    let curve = signer.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    match curve {
        Some(curve) if curve == OID_NIST_EC_P384 => Ok(true),
        Some(curve) if curve == OID_EC_P256 => Ok(false),
        Some(_) | None => Err(SignatureError::Scheme),
    }
}

/// The three combinations that TLS uses: one hash for everything, its length for the salt.
fn pss(algorithm: &AlgorithmIdentifier<'_>) -> Result<Scheme, SignatureError> {
    let parameters = algorithm.parameters.as_ref().ok_or(SignatureError::Scheme)?;
    let parameters = RsaSsaPssParams::try_from(parameters).map_err(|_| SignatureError::Scheme)?;
    let hash = parameters.hash_algorithm_oid();
    let mask = parameters.mask_gen_algorithm().map_err(|_| SignatureError::Scheme)?;
    if *hash == OID_HASH_SHA1 || mask.hash != *hash {
        return Err(SignatureError::Scheme);
    }
    let known: [(Oid<'_>, u32, Scheme); 3] = [
        (OID_NIST_HASH_SHA256, 32, Scheme::RsaPssSha256),
        (OID_NIST_HASH_SHA384, 48, Scheme::RsaPssSha384),
        (OID_NIST_HASH_SHA512, 64, Scheme::RsaPssSha512),
    ];
    let found = known.into_iter().find(|(oid, salt, _)| oid == hash && *salt == parameters.salt_length());
    found.map(|(_, _, scheme)| scheme).ok_or(SignatureError::Scheme)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use tempfile::TempDir;
    use x509_parser::prelude::{FromDer as _, X509Certificate};

    use super::*;

    /// A self-signed certificate that openssl made.
    fn certificate(key: &[&str], more: &[&str]) -> Vec<u8> {
        let directory = TempDir::new().unwrap();
        let out = directory.path().join("c.der");
        let mut command = Command::new("openssl");
        command.current_dir(&directory).args(["req", "-x509", "-nodes", "-subj", "/CN=a", "-outform", "DER"]);
        command.args(["-keyout", "k.pem", "-out"]).arg(&out).arg("-newkey").args(key).args(more);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::read(out).unwrap()
    }

    fn check(der: &[u8]) -> (Result<Scheme, SignatureError>, Result<(), SignatureError>) {
        let (_, x509) = X509Certificate::from_der(der).unwrap();
        let key = x509.public_key();
        let scheme = Scheme::of_x509(&x509.signature_algorithm, key);
        let tbs = x509.tbs_certificate.as_ref();
        (scheme, verify_x509(&x509.signature_algorithm, key, tbs, &x509.signature_value.data))
    }

    const P256: [&str; 3] = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    const P384: [&str; 3] = ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
    const PSS: [&str; 4] = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"];

    #[test]
    fn what_openssl_signs_in_a_taken_way_verifies_and_a_changed_bit_does_not() {
        let pss = |hash: &'static str| [&[hash][..], &PSS].concat();
        let cases: Vec<(&[&str], Vec<&str>, Scheme)> = vec![
            (&P256, vec!["-sha256"], Scheme::EcdsaP256Sha256),
            (&P256, vec!["-sha384"], Scheme::EcdsaP256Sha384),
            (&P384, vec!["-sha256"], Scheme::EcdsaP384Sha256),
            (&P384, vec!["-sha384"], Scheme::EcdsaP384Sha384),
            (&["rsa:2048"], vec!["-sha256"], Scheme::RsaPkcs1Sha256),
            (&["rsa:2048"], vec!["-sha384"], Scheme::RsaPkcs1Sha384),
            (&["rsa:2048"], vec!["-sha512"], Scheme::RsaPkcs1Sha512),
            (&["rsa:2048"], pss("-sha256"), Scheme::RsaPssSha256),
            (&["rsa:2048"], pss("-sha384"), Scheme::RsaPssSha384),
            (&["rsa:2048"], pss("-sha512"), Scheme::RsaPssSha512),
            (&["ed25519"], vec![], Scheme::Ed25519),
        ];
        for (key, more, scheme) in cases {
            let mut der = certificate(key, &more);
            assert_eq!(check(&der), (Ok(scheme), Ok(())), "{key:?} {more:?}");
            *der.last_mut().unwrap() ^= 1;
            assert_eq!(check(&der).1, Err(SignatureError::Mismatch), "{key:?} {more:?}");
        }
    }

    #[test]
    fn weak_and_odd_ways_to_sign_are_refused() {
        let cases: [(&[&str], &[&str]); 4] = [
            (&["rsa:2048"], &["-sha1"]),
            (&["ec", "-pkeyopt", "ec_paramgen_curve:P-521"], &["-sha256"]),
            (&["rsa:2048"], &["-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:20"]),
            (&P256, &["-sha512"]),
        ];
        for (key, more) in cases {
            assert_eq!(check(&certificate(key, more)).1, Err(SignatureError::Scheme), "{key:?} {more:?}");
        }
        assert_eq!(check(&certificate(&["rsa:1024"], &["-sha256"])).1, Err(SignatureError::Mismatch));
    }
}
