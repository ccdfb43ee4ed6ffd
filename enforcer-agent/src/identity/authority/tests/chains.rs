//! Chains verify against the bundle and against the root, and nothing else does.

use std::time::Duration;

use enforcer_core::identity::wire;
use enforcer_core::identity::x509::chain::{ChainError, verify};

use super::openssl::Verify;
use super::{DAY, Fleet, HOUR, anchor, domain, node_ca, svid, web};
use crate::door::upstream::Upstream as _;
use crate::identity::authority::request;
use crate::identity::crypto::Checker;

/// B-6: the tenant's authority, and no other's.
#[tokio::test]
async fn an_svid_verifies_against_the_bundle_and_against_the_root() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let svid = svid(&fleet, &local).await;
    assert_eq!(svid.chain.len(), 3, "leaf, node CA, tenant CA below the root");
    for purpose in ["sslserver", "sslclient"] {
        let verify = || Verify::at(fleet.now()).purpose(purpose);
        let tenant = [anchor(&local, "red.fleet.example")];
        verify().trusting(&tenant).chain(&svid.chain[..2]).unwrap();
        verify().trusting(&tenant).chain(&svid.chain).unwrap();
        verify().trusting(&local.roots()).chain(&svid.chain).unwrap();
    }
    let others = [anchor(&local, "blue.fleet.example"), anchor(&local, "fleet.example")];
    Verify::at(fleet.now()).trusting(&others).chain(&svid.chain[..2]).unwrap_err();
    // Without the tenant CA in between the root says nothing.
    Verify::at(fleet.now()).trusting(&local.roots()).chain(&svid.chain[..2]).unwrap_err();
    let late = fleet.now() + Duration::from_secs(HOUR + 1);
    let error = Verify::at(late).trusting(&local.roots()).chain(&svid.chain).unwrap_err();
    assert!(error.contains("expired"), "{error}");
}

#[tokio::test]
async fn our_own_verifier_agrees_and_bundles_are_read_back() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let svid = svid(&fleet, &local).await;
    let (own, trust) = (domain("fleet.example"), local.trust().borrow().clone());
    let check = |chain: &[_]| verify(chain, &trust, &own, fleet.now(), &Checker);
    assert_eq!(check(&svid.chain).unwrap().leaf.id, web());
    assert_eq!(check(&svid.chain[..2]).unwrap().until, svid.not_after);
    let ca = node_ca(&local, "red.fleet.example").await.unwrap();
    let foreign = domain("blue.fleet.example").member("/ns/b/sa/db").unwrap();
    assert!(matches!(
        check(&stolen(&fleet, &ca, foreign.as_str())),
        Err(ChainError::NoAnchor(_) | ChainError::Signature(_) | ChainError::WrongIssuer(_))
    ));
    let (_, csr) = request().unwrap();
    let node = local.node_svid("node-1", &csr).await.unwrap();
    assert_eq!(check(&node).unwrap().leaf.id.as_str(), "spiffe://fleet.example/node/node-1");
    // What a node is sent is what the authority meant.
    assert_eq!(wire::parse(&wire::write(&trust)).unwrap(), *trust);
}

///
#[tokio::test]
async fn a_node_ca_that_signs_for_another_tenant_is_refused_by_its_constraint() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let ca = node_ca(&local, "red.fleet.example").await.unwrap();
    // What a stolen key could do: the keeper's own check is not asked.
    let foreign = domain("blue.fleet.example").member("/ns/b/sa/db").unwrap();
    let chain = stolen(&fleet, &ca, foreign.as_str());
    for anchors in [vec![anchor(&local, "red.fleet.example")], local.roots()] {
        let error = Verify::at(fleet.now()).trusting(&anchors).chain(&chain).unwrap_err();
        assert!(error.contains("permitted subtree violation"), "{error}");
    }
    let own = stolen(&fleet, &ca, web().as_str());
    Verify::at(fleet.now()).trusting(&local.roots()).chain(&own).unwrap();
}

/// A chain that somebody with the node CA's key makes.
fn stolen(fleet: &Fleet, ca: &super::NodeCa, uri: &str) -> Vec<rustls_pki_types::CertificateDer<'static>> {
    use crate::identity::authority::{key::EcKey, profile};
    let key = EcKey::generate().unwrap();
    let mut params = profile::leaf();
    params.subject_alt_names.push(profile::uri(uri).unwrap());
    let validity = profile::Validity::from_now(fleet.now(), Duration::from_secs(HOUR));
    profile::date(&mut params, validity).unwrap();
    let leaf = params.signed_by(&key, ca.issuer()).unwrap();
    [vec![leaf.into()], ca.chain().to_vec()].concat()
}

/// X-10 is a MAY.
#[tokio::test]
async fn without_constraints_chains_verify_too() {
    let mut fleet = Fleet::new();
    fleet.config.name_constraints = false;
    let local = fleet.open();
    let svid = svid(&fleet, &local).await;
    for der in &svid.chain {
        let (_, x509) = x509_parser::parse_x509_certificate(der).unwrap();
        assert!(x509.name_constraints().unwrap().is_none(), "{}", x509.subject());
    }
    Verify::at(fleet.now()).trusting(&local.roots()).chain(&svid.chain).unwrap();
    let tenant = [anchor(&local, "red.fleet.example")];
    Verify::at(fleet.now()).trusting(&tenant).chain(&svid.chain[..2]).unwrap();
}

#[tokio::test]
async fn a_revocation_list_takes_one_svid_and_leaves_the_other() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let ca = node_ca(&local, "red.fleet.example").await.unwrap();
    let issue = || ca.issue_svid(&web(), fleet.now(), Duration::from_secs(HOUR)).unwrap();
    let (taken, left) = (issue(), issue());
    let next = fleet.now() + Duration::from_secs(10 * DAY);
    let list = ca.crl(std::slice::from_ref(&taken.serial), 7, fleet.now(), next).unwrap();
    let verify = || {
        let anchors = [anchor(&local, "red.fleet.example")];
        Verify::at(fleet.now()).trusting(&anchors).crl(&list)
    };
    let error = verify().chain(&taken.chain[..2]).unwrap_err();
    assert!(error.contains("revoked"), "{error}");
    verify().chain(&left.chain[..2]).unwrap();
}

#[tokio::test]
async fn a_nodes_svid_verifies_with_its_dns_names() {
    let mut fleet = Fleet::new();
    fleet.config.node_names = vec!["node-1.example".to_owned(), "10.0.0.1".to_owned()];
    let local = fleet.open();
    let (_, csr) = request().unwrap();
    let chain = local.node_svid("node-1", &csr).await.unwrap();
    assert_eq!(chain.len(), 2, "leaf, fleet CA below the root");
    let fleets = [anchor(&local, "fleet.example")];
    Verify::at(fleet.now()).purpose("sslserver").trusting(&fleets).chain(&chain[..1]).unwrap();
    Verify::at(fleet.now()).purpose("sslclient").trusting(&local.roots()).chain(&chain).unwrap();
}

#[tokio::test]
async fn a_long_trust_domain_still_makes_a_chain() {
    let mut fleet = Fleet::new();
    let long = format!("{}.fleet.example", "a".repeat(200));
    let mut policy = super::policy();
    let red = policy.domains.remove(&domain("red.fleet.example")).unwrap();
    policy.domains.insert(domain(&long), red);
    fleet.policy().send_replace(std::sync::Arc::new(policy));
    fleet.config.node_names.clear();
    let local = fleet.open();
    let ca = node_ca(&local, &long).await.unwrap();
    let id = domain(&long).member("/ns/a/sa/web").unwrap();
    let svid = ca.issue_svid(&id, fleet.now(), Duration::from_secs(HOUR)).unwrap();
    Verify::at(fleet.now()).trusting(&local.roots()).chain(&svid.chain).unwrap();
}
