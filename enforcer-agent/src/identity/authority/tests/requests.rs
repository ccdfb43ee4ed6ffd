//! Who is given what: the allowed case and every denied one.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use enforcer_core::identity::bundle::JwtPublicKey;
use enforcer_core::identity::signature::{Algorithm, SignatureCheck as _};
use rcgen::{CertificateParams, KeyPair};

use super::{Fleet, START, bundle, domain, node_ca, policy, web};
use crate::door::upstream::{Upstream as _, UpstreamError};
use crate::identity::authority::{REQUEST_MAX_BYTES, request};
use crate::identity::crypto::Checker;

#[tokio::test]
async fn a_node_is_given_a_ca_only_where_the_policy_places_the_tenant() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let (_, csr) = request().unwrap();
    let ask = async |node: &str, name: &str| local.node_ca(node, &domain(name), &csr).await;
    assert!(ask("node-1", "red.fleet.example").await.is_ok());
    assert!(ask("node-2", "red.fleet.example").await.is_ok());
    assert!(ask("node-1", "blue.fleet.example").await.is_ok());
    let denied = [
        ("node-2", "blue.fleet.example"),
        ("node-3", "red.fleet.example"),
        ("node-1", "green.fleet.example"),
        ("node-1", "fleet.example"),
        ("", "red.fleet.example"),
    ];
    for (node, name) in denied {
        assert!(matches!(ask(node, name).await, Err(UpstreamError::Refused(_))), "{node} {name}");
    }
    // The policy changes: what was allowed is not.
    let mut changed = policy();
    changed.domains.get_mut(&domain("red.fleet.example")).unwrap().nodes.remove(&Some("node-2".into()));
    fleet.policy().send_replace(Arc::new(changed));
    assert!(matches!(ask("node-2", "red.fleet.example").await, Err(UpstreamError::Refused(_))));
}

#[tokio::test]
async fn names_in_a_request_count_for_nothing() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
    params
        .subject_alt_names
        .push(super::super::profile::uri("spiffe://blue.fleet.example/ns/b/sa/db").unwrap());
    let csr = params.serialize_request(&key).unwrap();
    let chain = local.node_ca("node-1", &domain("red.fleet.example"), csr.der()).await.unwrap();
    let (_, x509) = x509_parser::parse_x509_certificate(&chain[0]).unwrap();
    let names = x509.subject_alternative_name().unwrap().unwrap();
    let names: Vec<_> = names.value.general_names.iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), 1);
    assert!(names[0].contains("spiffe://red.fleet.example)"), "{names:?}");
    assert!(!x509.subject().to_string().contains("evil"));
}

#[tokio::test]
async fn a_wrong_request_is_named_as_such() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let (_, mut broken) = request().unwrap();
    *broken.last_mut().unwrap() ^= 1;
    for csr in [vec![], b"nonsense".to_vec(), vec![0x30; REQUEST_MAX_BYTES + 1], broken] {
        let answer = local.node_ca("node-1", &domain("red.fleet.example"), &csr).await;
        assert!(matches!(answer, Err(UpstreamError::Request(_))), "{answer:?}");
        assert!(matches!(local.node_svid("node-1", &csr).await, Err(UpstreamError::Request(_))));
    }
    let (_, csr) = request().unwrap();
    assert!(matches!(local.node_svid("../node-1", &csr).await, Err(UpstreamError::Request(_))));
}

#[tokio::test]
async fn a_jwt_svid_is_signed_for_who_has_the_id_there() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let audience = ["spiffe://blue.fleet.example/ns/b/sa/db".to_owned(), "other".to_owned()];
    let long = Duration::from_secs(24 * 3600);
    let token = local.jwt_svid("node-1", &web(), &audience, long).await.unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("{token}") };
    let json = |part: &str| -> serde_json::Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let key = &bundle(&local, "red.fleet.example").jwt[0];
    // J-2, J-3, J-5.
    assert_eq!(json(header), serde_json::json!({"alg": "ES256", "kid": key.id, "typ": "JWT"}));
    // J-4; the lifetime is bounded.
    let expected =
        serde_json::json!({"sub": web().as_str(), "aud": audience, "iat": START, "exp": START + 300});
    assert_eq!(json(claims), expected);
    let JwtPublicKey::P256(point) = &key.key else { panic!("{key:?}") };
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert_eq!(signature.len(), 64);
    let message = format!("{header}.{claims}");
    let verify = |message: &[u8]| Checker.verify(Algorithm::EcdsaP256Sha256Raw, point, message, &signature);
    assert!(verify(message.as_bytes()) && !verify(b"another"));
}

#[tokio::test]
async fn a_jwt_svid_is_refused_to_everybody_else() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let minute = Duration::from_secs(60);
    let one = ["a".to_owned()];
    let far = domain("red.fleet.example").member("/ns/a/sa/far").unwrap();
    assert!(local.jwt_svid("node-2", &far, &one, minute).await.is_ok());
    for (node, id) in [("node-1", &far), ("node-2", &web()), ("node-3", &web())] {
        assert!(matches!(local.jwt_svid(node, id, &one, minute).await, Err(UpstreamError::Refused(_))));
    }
    let node = domain("fleet.example").member("/node/node-1").unwrap();
    assert!(matches!(local.jwt_svid("node-1", &node, &one, minute).await, Err(UpstreamError::Refused(_))));
    let many = vec!["a".to_owned(); 17];
    for audience in [&[][..], &[String::new()], &["a".repeat(1025)], &many] {
        let answer = local.jwt_svid("node-1", &web(), audience, minute).await;
        assert!(matches!(answer, Err(UpstreamError::Request(_))));
    }
}

/// B-6.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_ask_at_once_and_get_one_authority() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let asks: Vec<_> = (0..32)
        .map(|_| {
            let local = Arc::clone(&local);
            tokio::spawn(
                async move { node_ca(&local, "red.fleet.example").await.unwrap().chain()[1].clone() },
            )
        })
        .collect();
    let mut above = Vec::new();
    for ask in asks {
        above.push(ask.await.unwrap());
    }
    above.dedup();
    assert_eq!(above.len(), 1);
    assert_eq!(bundle(&local, "red.fleet.example").x509.len(), 1);
}
