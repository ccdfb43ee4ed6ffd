//! Tests of bundles as JWK Sets.

use rcgen::{
    BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, SignatureAlgorithm,
};
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};

use super::*;
use crate::identity::bundle::{Bundle, JwtKey, JwtPublicKey};
use crate::identity::trust_domain::TrustDomain;

fn domain() -> TrustDomain {
    "red.fleet.example".parse().unwrap()
}

fn authority(kind: &'static SignatureAlgorithm) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.self_signed(&KeyPair::generate_for(kind).unwrap()).unwrap().der().clone()
}

fn point(length: usize) -> Vec<u8> {
    (0..length).map(|index| if index == 0 { 4 } else { u8::try_from(index % 251).unwrap() }).collect()
}

fn key(id: &str, key: JwtPublicKey) -> JwtKey {
    JwtKey { id: id.to_owned(), key }
}

fn bundle() -> Bundle {
    let rsa = JwtPublicKey::Rsa { n: [&[0x80], point(255).as_slice()].concat(), e: vec![1, 0, 1] };
    Bundle {
        trust_domain: domain(),
        x509: vec![
            authority(&rcgen::PKCS_ECDSA_P256_SHA256),
            authority(&PKCS_ECDSA_P384_SHA384),
            authority(&PKCS_ED25519),
        ],
        jwt: vec![
            key("new", JwtPublicKey::P256(point(65))),
            key("b", JwtPublicKey::P384(point(97))),
            key("a", JwtPublicKey::P521(point(133))),
            key("old", rsa),
        ],
        sequence: u64::MAX,
        refresh_hint_seconds: 60,
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn read(set: &Value) -> Result<Bundle, BundleError> {
    parse(&set.to_string(), &domain())
}

/// The good bundle with one change.
fn changed(change: impl FnOnce(&mut Value)) -> Result<Bundle, BundleError> {
    let mut set = json(&write(&bundle()));
    change(&mut set);
    read(&set)
}

/// B-1 to B-3.
#[test]
fn a_bundle_is_read_back_as_it_was_written() {
    let bundle = bundle();
    assert_eq!(parse(&write(&bundle), &domain()).as_ref(), Ok(&bundle));
    let empty = Bundle { x509: Vec::new(), jwt: Vec::new(), ..bundle };
    assert_eq!(json(&write(&empty))["keys"], json!([]), "everything taken back is said, not left out");
    assert_eq!(parse(&write(&empty), &domain()), Ok(empty));
}

/// X-11, B-2, B-3.
#[test]
fn an_authority_has_one_certificate_and_no_key_id() {
    let set = json(&write(&bundle()));
    let authorities: Vec<_> =
        set["keys"].as_array().unwrap().iter().filter(|key| key["use"] == "x509-svid").collect();
    assert_eq!(authorities.len(), 3);
    for (authority, kty) in authorities.iter().zip(["EC", "EC", "OKP"]) {
        assert_eq!(authority["x5c"].as_array().unwrap().len(), 1);
        assert!(authority.get("kid").is_none());
        assert_eq!(authority["kty"], kty);
        assert!(authority["x"].is_string(), "libraries want the key beside the certificate");
    }
    assert_eq!((&set["spiffe_sequence"], &set["spiffe_refresh_hint"]), (&json!(u64::MAX), &json!(60)));
}

/// W-8, J-5.
#[test]
fn a_jwt_bundle_has_only_keys_for_tokens() {
    let set = json(&write_jwt(&bundle()));
    let keys = set["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 4);
    assert!(keys.iter().all(|key| key["use"] == "jwt-svid" && key["kid"].is_string()));
    assert_eq!(parse(&write_jwt(&bundle()), &domain()).unwrap().jwt, bundle().jwt);
}

/// B-1, B-3, X-11.
#[test]
fn what_is_unknown_is_passed_over_key_by_key() {
    let certificate = json(&write(&bundle()))["keys"][0].clone();
    let mut without_use = certificate.clone();
    without_use.as_object_mut().unwrap().remove("use");
    let mut without_chain = certificate.clone();
    without_chain.as_object_mut().unwrap().remove("x5c");
    let mut unknown_kind = certificate.clone();
    unknown_kind["kty"] = json!("FUTURE");
    let mut two = certificate.clone();
    two["x5c"].as_array_mut().unwrap().push(json!("not looked at"));
    two["kid"] = json!("not looked at");
    let set = json!({"other": 1, "keys": [
        without_use, without_chain, unknown_kind, 7, {"use": "wit-svid", "kty": "EC"},
        {"use": "jwt-svid", "kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {"use": "jwt-svid", "kty": "EC", "crv": "secp256k1"},
        {"use": "x509-svid", "kty": "EC", "x5c": []},
        two,
    ]});
    let read = read(&set).unwrap();
    assert_eq!((read.x509.len(), read.jwt.len()), (1, 0));
    assert_eq!((read.sequence, read.refresh_hint_seconds), (0, DEFAULT_REFRESH_HINT_SECONDS));
}

/// B-1 to B-3, B-5.
#[test]
fn each_rule_of_a_bundle_has_its_error() {
    let wrong = |text: &str| parse(text, &domain()).unwrap_err();
    assert!(matches!(wrong("{"), BundleError::Json(_)));
    assert!(matches!(wrong(r#"{"keys": [], "keys": []}"#), BundleError::Json(_)));
    for keyless in ["{}", "[]", r#"{"keys": {}}"#, r#"{"keys": null}"#] {
        assert_eq!(wrong(keyless), BundleError::KeysMissing, "{keyless}");
    }
    assert_eq!(wrong(&" ".repeat(MAX_BUNDLE_BYTES + 1)), BundleError::TooLong(MAX_BUNDLE_BYTES + 1));
    let many = json!({"keys": vec![1; MAX_KEYS + 1]}).to_string();
    assert_eq!(wrong(&many), BundleError::TooManyKeys(MAX_KEYS + 1));
    for sequence in [json!(-1), json!(1.5), json!("1"), Value::Null] {
        assert_eq!(changed(|set| set["spiffe_sequence"] = sequence), Err(BundleError::Sequence));
    }
    for hint in [json!(-1), json!(1_u64 << 32), json!("1")] {
        assert_eq!(changed(|set| set["spiffe_refresh_hint"] = hint), Err(BundleError::RefreshHint));
    }
}

/// X-11, J-5.
#[test]
fn each_rule_of_a_key_has_its_error() {
    let with = |place: usize, name: &str, value: Value| match changed(|set| set["keys"][place][name] = value)
    {
        Err(BundleError::Key { place: found, error }) if found == place => error,
        other => panic!("{other:?}"),
    };
    // 0 to 2 are authorities, 3 is P-256, 6 is RSA.
    assert_eq!(with(0, "x5c", json!("text")), KeyError::Member("x5c"));
    assert_eq!(with(0, "x5c", json!(["!"])), KeyError::Member("x5c"));
    assert!(matches!(with(0, "x5c", json!(["AAAA"])), KeyError::Authority(_)));
    assert_eq!(with(3, "kid", json!("")), KeyError::KeyIdMissing);
    assert_eq!(with(3, "kid", Value::Null), KeyError::KeyIdMissing);
    assert_eq!(with(3, "kid", json!("x".repeat(257))), KeyError::KeyIdTooLong(257));
    assert_eq!(with(6, "kid", json!("new")), KeyError::KeyIdTwice);
    assert_eq!(with(3, "x", json!("AAAA")), KeyError::Member("x"));
    assert_eq!(with(3, "y", json!("+/==")), KeyError::Member("y"));
    assert_eq!(with(6, "n", json!("AQAB")), KeyError::RsaBits(17));
    assert_eq!(with(6, "n", json!("")), KeyError::RsaBits(0));
    for exponent in ["AQ", "AAE", "Ag", "", "AQEBAQEBAQEB"] {
        assert_eq!(with(6, "e", json!(exponent)), KeyError::RsaExponent, "{exponent}");
    }
}
