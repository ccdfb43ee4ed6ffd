//! Chains: what leads from a leaf to its own authority, and what does not.

use super::*;
use crate::identity::bundle::RevokedError;
use crate::identity::x509::authority::AuthorityError;
use crate::identity::x509::chain::{Link, MAX_CHAIN};

const ID: &str = "spiffe://red.fleet.example/ns/a/sa/b";

#[test]
fn a_chain_leads_to_the_tenants_own_authority() {
    let fleet = Fleet::new();
    let chain = fleet.chain(&leaf(ID));
    let verified = check(&chain, &fleet.trust()).unwrap();
    assert_eq!(verified.leaf.id.as_str(), ID);
    assert_eq!(verified.until, since_epoch(NOW + 3_600));
    assert!(
        check(&chain[..2], &fleet.trust()).is_ok(),
        "what the root signed is for who knows only the root"
    );
    let root = trust("red.fleet.example", vec![fleet.root.self_signed()]);
    assert!(check(&chain, &root).is_ok(), "and who knows only the root needs it");
    let refused = check(&chain[..2], &root);
    assert_eq!(refused, Err(ChainError::NoAnchor(domain("red.fleet.example"))));
}

#[test]
fn what_is_not_needed_is_not_looked_at() {
    let fleet = Fleet::new();
    let mut chain = fleet.chain(&leaf(ID));
    chain.truncate(2);
    chain.push(Der::from(vec![0; 10]));
    assert!(check(&chain, &fleet.trust()).is_ok());
    chain.swap(1, 2);
    assert!(matches!(
        check(&chain, &fleet.trust()),
        Err(ChainError::Intermediate { place: 1, error: AuthorityError::Certificate(_) })
    ));
}

#[test]
fn a_chain_has_a_bound() {
    let fleet = Fleet::new();
    let mut chain = fleet.chain(&leaf(ID));
    chain.resize(MAX_CHAIN + 1, fleet.root.self_signed());
    assert_eq!(check(&chain, &fleet.trust()), Err(ChainError::TooLong(MAX_CHAIN + 1)));
    chain.truncate(MAX_CHAIN);
    assert!(check(&chain, &fleet.trust()).is_ok());
    assert_eq!(check(&[], &fleet.trust()), Err(ChainError::Empty));
}

/// X-12, F-8.
#[test]
fn a_path_is_built_with_the_bundle_of_the_leafs_own_trust_domain() {
    // Blue's authority signs for red. Both bundles are trusted, each for its own domain.
    let fleet = Fleet::new();
    let blue = Ca::new(authority("blue", "blue.fleet.example", 100));
    let mut trust = fleet.trust();
    trust.bundles.extend(super::trust("blue.fleet.example", vec![blue.self_signed()]).bundles);
    let forged = [blue.issue(&leaf(ID))];
    assert_eq!(check(&forged, &trust), Err(ChainError::NoAnchor(domain("red.fleet.example"))));
    assert!(check(&[blue.issue(&leaf("spiffe://blue.fleet.example/a"))], &trust).is_ok());
}

#[test]
fn an_authority_of_the_same_name_and_another_key_vouches_for_nobody() {
    let fleet = Fleet::new();
    let impostor = Ca::new(fleet.tenant.params.clone());
    let trust = trust("red.fleet.example", vec![impostor.self_signed()]);
    assert_eq!(
        check(&fleet.chain(&leaf(ID)), &trust),
        Err(ChainError::NoAnchor(domain("red.fleet.example")))
    );
}

/// B-4.
#[test]
fn an_empty_bundle_vouches_for_nobody() {
    let fleet = Fleet::new();
    let empty = trust("red.fleet.example", Vec::new());
    let refused = check(&fleet.chain(&leaf(ID)), &empty);
    assert_eq!(refused, Err(ChainError::NoAuthorities(domain("red.fleet.example"))));
}

#[test]
fn who_is_revoked_is_refused_before_expiry() {
    let fleet = Fleet::new();
    let chain = fleet.chain(&leaf(ID));
    let mut trust = fleet.trust();
    trust.revoked.spiffe_ids.insert("spiffe://red.fleet.example/other".parse().unwrap());
    trust.revoked.tenants.insert("blue".into());
    assert!(check(&chain, &trust).is_ok());
    trust.revoked.spiffe_ids.insert(ID.parse().unwrap());
    assert_eq!(check(&chain, &trust), Err(ChainError::Revoked(RevokedError::Id(ID.parse().unwrap()))));
    trust.revoked.spiffe_ids.clear();
    trust.revoked.tenants.insert("red".into());
    assert_eq!(check(&chain, &trust), Err(ChainError::Revoked(RevokedError::Tenant("red".into()))));
}

///
#[test]
fn every_certificate_of_the_path_is_in_time() {
    let fleet = Fleet::new();
    let mut leaf = leaf(ID);
    leaf.not_before = at(NOW - 10 * 3_600);
    leaf.not_after = at(NOW + 1_000 * 3_600);
    let chain = fleet.chain(&leaf);
    let at_hour = |hour: i64| check_at(&chain, &fleet.trust(), NOW + hour * 3_600);
    assert_eq!(at_hour(0).unwrap().until, since_epoch(NOW + 10 * 3_600));
    assert!(at_hour(10).is_ok(), "the last second counts");
    assert_eq!(at_hour(11), Err(ChainError::Expired(Link::Intermediate(1))));
    assert_eq!(at_hour(-2), Err(ChainError::NotYetValid(Link::Intermediate(1))));
    let direct = [fleet.tenant.issue(&leaf)];
    assert_eq!(check_at(&direct, &fleet.trust(), NOW + 101 * 3_600), Err(ChainError::Expired(Link::Anchor)));
}

#[test]
fn while_authorities_overlap_either_vouches_and_an_expired_one_is_no_obstacle() {
    let fleet = Fleet::new();
    let mut old = authority("red", "red.fleet.example", 0);
    old.not_after = at(NOW - 1);
    let old = Ca { params: old, key: rcgen::KeyPair::generate().unwrap() };
    let mut same_key = Ca { params: fleet.tenant.params.clone(), key: clone(&fleet.tenant.key) };
    same_key.params.not_after = at(NOW - 1);
    let anchors = vec![old.self_signed(), same_key.self_signed(), fleet.tenant.self_signed()];
    let trust = trust("red.fleet.example", anchors);
    assert!(check(&fleet.chain(&leaf(ID)), &trust).is_ok());
    assert_eq!(check(&[old.issue(&leaf(ID))], &trust), Err(ChainError::Expired(Link::Anchor)));
}

fn clone(key: &rcgen::KeyPair) -> rcgen::KeyPair {
    rcgen::KeyPair::try_from(key.serialized_der()).unwrap()
}

///
#[test]
fn an_authority_signs_no_deeper_than_its_path_length() {
    let fleet = Fleet::new();
    let below = Ca::new(authority("below the node", "red.fleet.example", 10));
    let deep = [below.issue(&leaf(ID)), fleet.node.signs(&below), fleet.tenant.signs(&fleet.node)];
    assert_eq!(check(&deep, &fleet.trust()), Err(ChainError::PathLength(Link::Intermediate(2))));
    let strict = Ca { params: path_length(fleet.tenant.params.clone(), 0), key: clone(&fleet.tenant.key) };
    let trust = trust("red.fleet.example", vec![strict.self_signed()]);
    assert_eq!(check(&fleet.chain(&leaf(ID)), &trust), Err(ChainError::PathLength(Link::Anchor)));
}

///
#[test]
fn a_node_ca_of_one_tenant_vouches_for_no_other() {
    // The node's red CA is stolen, and signs for blue: red's authority is not in blue's bundle, and where a root
    // stands in both, the constraint holds.
    let fleet = Fleet::new();
    let chain = fleet.chain(&leaf("spiffe://blue.fleet.example/a"));
    let root = trust("blue.fleet.example", vec![fleet.root.self_signed()]);
    let host = "blue.fleet.example".to_owned();
    assert_eq!(
        check(&chain, &root),
        Err(ChainError::NameConstraint { authority: Link::Intermediate(1), host })
    );
}

///
#[test]
fn an_authority_is_named_within_the_constraints_above_it() {
    let fleet = Fleet::new();
    let blue = Ca::new(authority("blue below red", "blue.fleet.example", 10));
    let chain = [blue.issue(&leaf(ID)), fleet.tenant.signs(&blue)];
    let host = "blue.fleet.example".to_owned();
    assert_eq!(
        check(&chain, &fleet.trust()),
        Err(ChainError::NameConstraint { authority: Link::Anchor, host })
    );
}

///
#[test]
fn a_leaf_is_no_authority_for_another() {
    let fleet = Fleet::new();
    let (one, key) = (leaf(ID), rcgen::KeyPair::generate().unwrap());
    let signer = Ca { params: one.clone(), key };
    let chain = [signer.issue(&leaf(ID)), fleet.node.signs(&signer), fleet.tenant.signs(&fleet.node)];
    assert_eq!(
        check(&chain, &fleet.trust()),
        Err(ChainError::Intermediate { place: 1, error: AuthorityError::NotAuthority })
    );
}

///
#[test]
fn a_damaged_signature_is_refused() {
    let fleet = Fleet::new();
    let mut chain = fleet.chain(&leaf(ID));
    let mut damaged = chain[1].to_vec();
    // Inside s: still well-formed DER.
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    chain[1] = Der::from(damaged);
    assert_eq!(check(&chain, &fleet.trust()), Err(ChainError::Signature(Link::Intermediate(1))));
}
