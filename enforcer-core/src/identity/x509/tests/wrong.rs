//! The wrong certificates, each with its own error.

use std::collections::BTreeSet;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyUsagePurpose};

use super::*;
use crate::identity::spiffe_id::SpiffeIdError;
use crate::identity::x509::chain::Link;
use crate::identity::x509::leaf::LeafError;

const ID: &str = "spiffe://red.fleet.example/ns/a/sa/b";

fn with(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = leaf(ID);
    change(&mut params);
    params
}

/// what is said of ID-3 in [`LeafError::TrustDomainIsAddress`].
#[test]
fn each_wrong_certificate_is_refused_with_its_own_error() {
    let fleet = Fleet::new();
    let trust = fleet.trust();
    let other_node = Ca::new(authority("red on node-2", "red.fleet.example", 10));
    let impostor = Ca::new(authority("red on node-1", "red.fleet.example", 10));
    let blue_node = Ca::new(permit(
        path_length(authority("blue on node-1", "red.fleet.example", 10), 0),
        &["blue.fleet.example"],
    ));
    let through = |ca: &Ca, leaf: Der| vec![leaf, fleet.tenant.signs(ca), fleet.root.signs(&fleet.tenant)];
    let long = format!("{ID}{}", "x".repeat(2049 - ID.len()));

    let leaf_is = |error: LeafError| ChainError::Leaf(error);
    let id_is = |error: SpiffeIdError| ChainError::Leaf(LeafError::SpiffeId(error));
    let wrong: Vec<(&str, Vec<Der>, ChainError)> = vec![
        (
            "two URI SANs",
            fleet.chain(&with(|leaf| leaf.subject_alt_names.push(uri("spiffe://red.fleet.example/other")))),
            leaf_is(LeafError::UriCount(2)),
        ),
        (
            "CA leaf",
            fleet.chain(&with(|leaf| leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
            leaf_is(LeafError::Authority),
        ),
        (
            "keyCertSign leaf",
            fleet.chain(&with(|leaf| leaf.key_usages.push(KeyUsagePurpose::KeyCertSign))),
            leaf_is(LeafError::KeyCertSign),
        ),
        (
            "cRLSign leaf",
            fleet.chain(&with(|leaf| leaf.key_usages.push(KeyUsagePurpose::CrlSign))),
            leaf_is(LeafError::CrlSign),
        ),
        (
            "foreign domain",
            fleet.chain(&leaf("spiffe://elsewhere.example/a")),
            ChainError::UnknownTrustDomain(domain("elsewhere.example")),
        ),
        ("expired", fleet.chain(&with(|leaf| leaf.not_after = at(NOW - 1))), ChainError::Expired(Link::Leaf)),
        (
            "not yet valid",
            fleet.chain(&with(|leaf| leaf.not_before = at(NOW + 1))),
            ChainError::NotYetValid(Link::Leaf),
        ),
        ("no SAN", fleet.chain(&with(|leaf| leaf.subject_alt_names.clear())), leaf_is(LeafError::UriMissing)),
        (
            "IP-like trust domain",
            fleet.chain(&leaf("spiffe://10.0.0.1/a")),
            leaf_is(LeafError::TrustDomainIsAddress("10.0.0.1".to_owned())),
        ),
        ("2,049-byte id", fleet.chain(&leaf(&long)), id_is(SpiffeIdError::TooLong(2049))),
        (
            "missing digitalSignature",
            fleet.chain(&with(|leaf| leaf.key_usages = vec![KeyUsagePurpose::KeyAgreement])),
            leaf_is(LeafError::NoDigitalSignature),
        ),
        (
            "name-constraint breach",
            through(&blue_node, blue_node.issue(&leaf(ID))),
            ChainError::NameConstraint {
                authority: Link::Intermediate(1),
                host: "red.fleet.example".to_owned(),
            },
        ),
        (
            "wrong intermediate",
            through(&other_node, fleet.node.issue(&leaf(ID))),
            ChainError::WrongIssuer(Link::Leaf),
        ),
        (
            "wrong intermediate of the same name",
            through(&impostor, fleet.node.issue(&leaf(ID))),
            ChainError::Signature(Link::Leaf),
        ),
        (
            "wildcard trust domain",
            fleet.chain(&leaf("spiffe://*.fleet.example/a")),
            id_is(SpiffeIdError::TrustDomainCharacter('*')),
        ),
        (
            "wildcard path",
            fleet.chain(&leaf("spiffe://red.fleet.example/ns/a/sa/*")),
            id_is(SpiffeIdError::PathCharacter('*')),
        ),
    ];
    assert!(check(&fleet.chain(&leaf(ID)), &trust).is_ok(), "the right one is taken");
    for (what, chain, error) in &wrong {
        assert_eq!(check(chain, &trust).as_ref(), Err(error), "{what}");
    }
    let words: BTreeSet<String> = wrong.iter().map(|(_, _, error)| error.to_string()).collect();
    assert_eq!(words.len(), wrong.len(), "two of them read alike");
}
