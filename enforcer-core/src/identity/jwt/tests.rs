//! Tests of tokens: those that prove something, and those that do not.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA512, RsaEncoding,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::identity::bundle::{Bundle, JwtKey, JwtPublicKey, RevokedError, Trust};
use crate::identity::signature::key_bytes;
use crate::identity::signature::tests::Real;
use crate::identity::spiffe_id::SpiffeIdError;
use crate::identity::trust_domain::TrustDomain;

const NOW: u64 = 1_800_000_000;
const ID: &str = "spiffe://red.fleet.example/ns/a/sa/b";
const AUDIENCE: &str = "spiffe://blue.fleet.example/ns/a/sa/db";

fn domain(name: &str) -> TrustDomain {
    name.parse().unwrap()
}

fn trust(name: &str, keys: Vec<JwtKey>) -> Trust {
    let bundle = Bundle {
        trust_domain: domain(name),
        x509: Vec::new(),
        jwt: keys,
        sequence: 1,
        refresh_hint_seconds: 300,
    };
    Trust { bundles: BTreeMap::from([(domain(name), Arc::new(bundle))]), ..Trust::default() }
}

fn public(id: &str, key: JwtPublicKey) -> JwtKey {
    JwtKey { id: id.to_owned(), key }
}

/// Red's key, and what red is trusted by.
struct Red {
    key: EcdsaKeyPair,
    trust: Trust,
}

impl Red {
    fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = JwtPublicKey::P256(key.public_key().as_ref().to_vec());
        Self { key, trust: trust("red.fleet.example", vec![public("k1", point)]) }
    }

    fn sign(&self, input: &str) -> String {
        let signature = self.key.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        assemble(input, signature.as_ref().try_into().unwrap())
    }

    /// The good header and claims, changed and signed.
    fn token(&self, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        let mut header = json!({"alg": "ES256", "kid": "k1", "typ": "JWT"});
        let mut claims = json!({"sub": ID, "aud": [AUDIENCE, "other"], "exp": NOW + 300, "iat": NOW});
        change(&mut header, &mut claims);
        self.sign(&input(&header, &claims))
    }

    fn check(&self, token: &str) -> Result<JwtSvid, JwtError> {
        check(token, &self.trust)
    }
}

fn input(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn check(token: &str, trust: &Trust) -> Result<JwtSvid, JwtError> {
    parse(token)?.verify(AUDIENCE, trust, &domain("fleet.example"), Duration::from_secs(NOW), &Real)
}

#[test]
fn a_token_proves_what_was_signed() {
    let red = Red::new();
    let audience = ["other".to_owned(), AUDIENCE.to_owned()];
    let (issued, expires) = (Duration::from_secs(NOW), Duration::from_secs(NOW + 300));
    let token = red.sign(&signing_input("k1", &ID.parse().unwrap(), &audience, issued, expires));
    let svid = red.check(&token).unwrap();
    assert_eq!((svid.id.as_str(), svid.expires), (ID, expires));
    assert_eq!(Value::Object(svid.claims), json!({"sub": ID, "aud": audience, "exp": NOW + 300, "iat": NOW}));
}

#[test]
fn a_token_does_not_print_itself() {
    let token = Red::new().token(|_, _| ());
    let printed = format!("{:?}", parse(&token).unwrap());
    assert!(printed.contains(ID), "{printed}");
    assert!(token.split('.').all(|part| !printed.contains(part)), "{printed}");
}

/// J-3, J-4.
#[test]
fn a_token_says_only_what_it_must() {
    let red = Red::new();
    let plain = red.token(|header, claims| {
        header.as_object_mut().unwrap().remove("typ");
        claims.as_object_mut().unwrap().remove("iat");
        claims["aud"] = json!(AUDIENCE);
        claims["exp"] = json!(1_800_000_000.5);
    });
    assert!(red.check(&plain).is_ok());
    assert!(red.check(&red.token(|header, _| header["typ"] = json!("JOSE"))).is_ok());
}

/// J-1.
#[test]
fn serialization_is_compact() {
    let red = Red::new();
    let token = red.token(|_, _| ());
    assert_eq!(red.check("a.b"), Err(JwtError::NotCompact(2)));
    assert_eq!(red.check(&format!("{token}.a")), Err(JwtError::NotCompact(4)));
    let json = r#"{"payload": "", "signatures": []}"#;
    assert_eq!(red.check(json), Err(JwtError::NotCompact(1)));
    assert_eq!(red.check(&format!("{token}=")), Err(JwtError::Base64("signature")));
    assert_eq!(red.check(&format!(" {token}")), Err(JwtError::Base64("header")));
    let long = "x".repeat(MAX_TOKEN_BYTES + 1);
    assert_eq!(red.check(&long), Err(JwtError::TooLong(long.len())));
}

/// J-2, J-3, J-5.
#[test]
fn a_header_holds_an_allowed_algorithm_a_key_and_nothing_else() {
    let red = Red::new();
    let with =
        |name: &str, value: Value| red.check(&red.token(|header, _| header[name] = value)).unwrap_err();
    for algorithm in ["none", "None", "HS256", "EdDSA", "es256", ""] {
        assert_eq!(with("alg", json!(algorithm)), JwtError::Algorithm(algorithm.to_owned()));
    }
    assert_eq!(with("alg", json!(1)), JwtError::Algorithm(String::new()));
    for kind in [json!("jwt"), json!("at+jwt"), json!("wit+jwt"), Value::Null] {
        assert_eq!(with("typ", kind), JwtError::Type);
    }
    for name in ["jwk", "jku", "x5c", "x5u", "crit", "b64", "cty", "zip"] {
        assert_eq!(with(name, json!("x")), JwtError::Header(name.to_owned()));
    }
    assert_eq!(with("kid", json!("")), JwtError::KeyIdMissing);
    assert_eq!(with("kid", Value::Null), JwtError::KeyIdMissing);
}

/// J-4.
#[test]
fn the_claims_that_must_be_there_are() {
    let red = Red::new();
    let with =
        |name: &str, value: Value| red.check(&red.token(|_, claims| claims[name] = value)).unwrap_err();
    for name in ["sub", "aud", "exp"] {
        let without = red.token(|_, claims| drop(claims.as_object_mut().unwrap().remove(name)));
        assert_eq!(red.check(&without), Err(JwtError::ClaimMissing(name)));
        assert_eq!(with(name, json!({})), JwtError::ClaimType(name));
    }
    assert_eq!(with("aud", json!([])), JwtError::ClaimMissing("aud"));
    assert_eq!(with("aud", json!([AUDIENCE, 1])), JwtError::ClaimType("aud"));
    for date in [json!(-1), json!("1800000300"), json!(1e300), Value::Null] {
        assert_eq!(with("exp", date.clone()), JwtError::ClaimType("exp"));
        assert_eq!(with("nbf", date), JwtError::ClaimType("nbf"));
    }
    assert_eq!(with("sub", json!("red")), JwtError::Subject(SpiffeIdError::Scheme));
    assert_eq!(
        with("sub", json!("spiffe://red.fleet.example")),
        JwtError::Subject(SpiffeIdError::PathMissing)
    );
}

#[test]
fn a_member_that_is_stated_twice_is_refused() {
    let red = Red::new();
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let claims = part(&json!({"sub": ID, "aud": AUDIENCE, "exp": NOW + 300}).to_string());
    let twice = format!("{}.{claims}", part(r#"{"alg": "ES256", "kid": "k1", "kid": "k1"}"#));
    assert!(matches!(red.check(&red.sign(&twice)), Err(JwtError::Json { part: "header", .. })));
    let header = part(r#"{"alg": "ES256", "kid": "k1"}"#);
    let twice =
        format!("{header}.{}", part(&format!(r#"{{"sub": "{ID}", "aud": "a", "exp": 1, "exp": 2}}"#)));
    assert!(matches!(red.check(&red.sign(&twice)), Err(JwtError::Json { part: "claims", .. })));
    let list = format!("{header}.{}", part("[]"));
    assert!(matches!(red.check(&red.sign(&list)), Err(JwtError::Json { part: "claims", .. })));
}

/// X-12, B-4.
#[test]
fn a_token_is_checked_with_a_key_of_its_subjects_own_trust_domain() {
    let red = Red::new();
    let blue = red.token(|_, claims| claims["sub"] = json!("spiffe://blue.fleet.example/a"));
    assert_eq!(red.check(&blue), Err(JwtError::UnknownTrustDomain(domain("blue.fleet.example"))));
    // Both are trusted; the key is red's.
    let other = Red::new();
    let mut both = red.trust.clone();
    let point = JwtPublicKey::P256(other.key.public_key().as_ref().to_vec());
    both.bundles.extend(trust("blue.fleet.example", vec![public("k2", point)]).bundles);
    assert_eq!(check(&blue, &both), Err(JwtError::UnknownKey("k1".to_owned())));
    let empty = trust("red.fleet.example", Vec::new());
    let token = red.token(|_, _| ());
    assert_eq!(check(&token, &empty), Err(JwtError::NoKeys(domain("red.fleet.example"))));
    let renamed = other.token(|_, _| ());
    assert_eq!(red.check(&renamed), Err(JwtError::Signature), "the same kid, another key");
}

#[test]
fn the_key_says_which_algorithms_it_has() {
    let red = Red::new();
    for algorithm in ["ES384", "ES512", "RS256", "PS256"] {
        let token = red.token(|header, _| header["alg"] = json!(algorithm));
        assert_eq!(red.check(&token), Err(JwtError::WrongKey("k1".to_owned())), "{algorithm}");
    }
}

#[test]
fn a_changed_token_is_refused() {
    let red = Red::new();
    let token = red.token(|_, _| ());
    let (header, rest) = token.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let claims = json!({"sub": ID, "aud": AUDIENCE, "exp": NOW + 900}).to_string();
    let forged = format!("{header}.{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode(claims));
    assert_eq!(red.check(&forged), Err(JwtError::Signature));
    let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
    assert_eq!(red.check(&unsigned), Err(JwtError::Signature));
}

/// J-4, W-9.
#[test]
fn a_token_is_valid_in_its_time_and_towards_its_audience_alone() {
    let red = Red::new();
    let with = |name: &str, value: Value| red.check(&red.token(|_, claims| claims[name] = value));
    assert_eq!(with("exp", json!(NOW)), Err(JwtError::Expired), "no grace");
    assert!(with("exp", json!(NOW + 1)).is_ok());
    assert!(with("iat", json!(NOW + 60)).is_ok());
    assert_eq!(with("iat", json!(NOW + 61)), Err(JwtError::IssuedInFuture));
    assert!(with("nbf", json!(NOW + 60)).is_ok());
    assert_eq!(with("nbf", json!(NOW + 61)), Err(JwtError::NotYetValid));
    let elsewhere = Err(JwtError::Audience(AUDIENCE.to_owned()));
    assert_eq!(with("aud", json!(["other"])), elsewhere);
    assert_eq!(with("aud", json!(format!("{AUDIENCE}x"))), elsewhere);
}

#[test]
fn a_token_of_somebody_revoked_is_refused_before_expiry() {
    let mut red = Red::new();
    let token = red.token(|_, _| ());
    red.trust.revoked.spiffe_ids.insert(ID.parse().unwrap());
    assert_eq!(red.check(&token), Err(JwtError::Revoked(RevokedError::Id(ID.parse().unwrap()))));
    red.trust.revoked.spiffe_ids.clear();
    red.trust.revoked.tenants.insert("red".into());
    assert_eq!(red.check(&token), Err(JwtError::Revoked(RevokedError::Tenant("red".into()))));
}

/// A token by another algorithm, and what it is trusted by.
fn signed(algorithm: &str, key: JwtPublicKey, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> (String, Trust) {
    let header = json!({"alg": algorithm, "kid": "k1"});
    let input = input(&header, &json!({"sub": ID, "aud": AUDIENCE, "exp": NOW + 300}));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(sign(input.as_bytes()));
    (format!("{input}.{signature}"), trust("red.fleet.example", vec![public("k1", key)]))
}

fn elliptic(
    algorithm: &str,
    how: &'static EcdsaSigningAlgorithm,
    kind: fn(Vec<u8>) -> JwtPublicKey,
) -> (String, Trust) {
    let key = EcdsaKeyPair::generate(how).unwrap();
    let public = kind(key.public_key().as_ref().to_vec());
    signed(algorithm, public, |message| key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec())
}

fn rsa(algorithm: &str, how: &'static dyn RsaEncoding) -> (String, Trust) {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    // RSAPublicKey: after nine bytes of framing, 256 of modulus; the exponent is 65537.
    let encoded = key.public_key().as_ref();
    let public = JwtPublicKey::Rsa { n: encoded[9..265].to_vec(), e: vec![1, 0, 1] };
    assert_eq!(key_bytes(&public), encoded);
    signed(algorithm, public, |message| {
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(how, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    })
}

/// J-2.
#[test]
fn tokens_of_other_fleets_are_signed_in_other_ways() {
    for (token, trust) in [
        elliptic("ES384", &ECDSA_P384_SHA384_FIXED_SIGNING, JwtPublicKey::P384),
        elliptic("ES512", &ECDSA_P521_SHA512_FIXED_SIGNING, JwtPublicKey::P521),
        rsa("RS256", &RSA_PKCS1_SHA256),
        rsa("PS512", &RSA_PSS_SHA512),
    ] {
        assert_eq!(check(&token, &trust).map(|svid| svid.id.as_str().to_owned()), Ok(ID.to_owned()));
    }
}
