//! Checking signatures: what the core asks of us, answered by the library that rustls uses.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use enforcer_core::identity::signature::{Algorithm, SignatureCheck};

/// The library.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checker;

impl SignatureCheck for Checker {
    fn verify(&self, algorithm: Algorithm, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(implementation(algorithm), key).verify(message, signature).is_ok()
    }
}

/// RSA below 2,048 bits is not among them.
fn implementation(algorithm: Algorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        Algorithm::EcdsaP256Sha256Der => &signature::ECDSA_P256_SHA256_ASN1,
        Algorithm::EcdsaP256Sha384Der => &signature::ECDSA_P256_SHA384_ASN1,
        Algorithm::EcdsaP384Sha256Der => &signature::ECDSA_P384_SHA256_ASN1,
        Algorithm::EcdsaP384Sha384Der => &signature::ECDSA_P384_SHA384_ASN1,
        Algorithm::EcdsaP521Sha512Der => &signature::ECDSA_P521_SHA512_ASN1,
        Algorithm::EcdsaP256Sha256Raw => &signature::ECDSA_P256_SHA256_FIXED,
        Algorithm::EcdsaP384Sha384Raw => &signature::ECDSA_P384_SHA384_FIXED,
        Algorithm::EcdsaP521Sha512Raw => &signature::ECDSA_P521_SHA512_FIXED,
        Algorithm::RsaPkcs1Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RsaPkcs1Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RsaPkcs1Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::RsaPssSha256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::RsaPssSha384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::RsaPssSha512 => &signature::RSA_PSS_2048_8192_SHA512,
        Algorithm::Ed25519 => &signature::ED25519,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use tempfile::TempDir;
    use x509_parser::prelude::{FromDer as _, X509Certificate};

    use super::*;

    /// Whether a self-signed certificate that openssl made verifies; and whether one with another signature does.
    fn check(algorithm: Algorithm, key: &[&str], more: &[&str]) -> (bool, bool) {
        let directory = TempDir::new().unwrap();
        let out = directory.path().join("c.der");
        let mut command = Command::new("openssl");
        command.current_dir(&directory).args(["req", "-x509", "-nodes", "-subj", "/CN=a", "-outform", "DER"]);
        command.args(["-keyout", "k.pem", "-out"]).arg(&out).arg("-newkey").args(key).args(more);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let der = fs::read(out).unwrap();
        let (_, x509) = X509Certificate::from_der(&der).unwrap();
        let bits = &x509.public_key().subject_public_key.data;
        let mut signature = x509.signature_value.data.to_vec();
        let message = x509.tbs_certificate.as_ref();
        let good = Checker.verify(algorithm, bits, message, &signature);
        *signature.last_mut().unwrap() ^= 1;
        (good, Checker.verify(algorithm, bits, message, &signature))
    }

    const P256: [&str; 3] = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    const P384: [&str; 3] = ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
    const P521: [&str; 3] = ["ec", "-pkeyopt", "ec_paramgen_curve:P-521"];
    const PSS: [&str; 4] = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"];

    #[test]
    fn what_openssl_signs_verifies_and_a_changed_bit_does_not() {
        let pss = |hash: &'static str| [&[hash][..], &PSS].concat();
        let cases: Vec<(Algorithm, &[&str], Vec<&str>)> = vec![
            (Algorithm::EcdsaP256Sha256Der, &P256, vec!["-sha256"]),
            (Algorithm::EcdsaP256Sha384Der, &P256, vec!["-sha384"]),
            (Algorithm::EcdsaP384Sha256Der, &P384, vec!["-sha256"]),
            (Algorithm::EcdsaP384Sha384Der, &P384, vec!["-sha384"]),
            (Algorithm::EcdsaP521Sha512Der, &P521, vec!["-sha512"]),
            (Algorithm::RsaPkcs1Sha256, &["rsa:2048"], vec!["-sha256"]),
            (Algorithm::RsaPkcs1Sha384, &["rsa:2048"], vec!["-sha384"]),
            (Algorithm::RsaPkcs1Sha512, &["rsa:2048"], vec!["-sha512"]),
            (Algorithm::RsaPssSha256, &["rsa:2048"], pss("-sha256")),
            (Algorithm::RsaPssSha384, &["rsa:2048"], pss("-sha384")),
            (Algorithm::RsaPssSha512, &["rsa:2048"], pss("-sha512")),
            (Algorithm::Ed25519, &["ed25519"], vec![]),
        ];
        for (algorithm, key, more) in cases {
            assert_eq!(check(algorithm, key, &more), (true, false), "{algorithm:?}");
        }
    }

    #[test]
    fn a_short_key_and_another_algorithm_have_signed_nothing() {
        assert!(!check(Algorithm::RsaPkcs1Sha256, &["rsa:1024"], &["-sha256"]).0);
        assert!(!check(Algorithm::EcdsaP256Sha384Der, &P256, &["-sha256"]).0);
        assert!(!check(Algorithm::EcdsaP384Sha384Der, &P256, &["-sha384"]).0);
        assert!(!check(Algorithm::RsaPssSha256, &["rsa:2048"], &["-sha256"]).0);
        assert!(!Checker.verify(Algorithm::Ed25519, &[], &[], &[]));
    }
}
