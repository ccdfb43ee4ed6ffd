//! Leaves by themselves.

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, SanType};

use super::*;
use crate::identity::spiffe_id::SpiffeIdError;
use crate::identity::x509::certificate::{CertificateError, MAX_CERTIFICATE_BYTES};
use crate::identity::x509::leaf::{Leaf, LeafError, parse_leaf};

const ID: &str = "spiffe://fleet.example/plane";

fn parsed(change: impl FnOnce(&mut CertificateParams)) -> Result<Leaf, LeafError> {
    parse_leaf(&made(change))
}

fn made(change: impl FnOnce(&mut CertificateParams)) -> Der {
    let mut params = leaf(ID);
    change(&mut params);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

///
#[test]
fn one_uri_names_the_peer_whatever_other_names_there_are() {
    let dns = SanType::DnsName(rcgen::string::Ia5String::try_from("*.name.example").unwrap());
    let leaf = parsed(|leaf| leaf.subject_alt_names.push(dns)).unwrap();
    assert_eq!(leaf.id.as_str(), ID);
    assert_eq!((leaf.not_before, leaf.not_after), (since_epoch(NOW - 3_600), since_epoch(NOW + 3_600)));
    assert!(!leaf.serial.is_empty() && leaf.spki_der.starts_with(&[0x30]));
}

/// a trust domain by itself is an authority's.
#[test]
fn a_leafs_id_has_a_path() {
    let named = |id: &str| parsed(|leaf| leaf.subject_alt_names = vec![uri(id)]);
    assert_eq!(named("spiffe://fleet.example"), Err(LeafError::SpiffeId(SpiffeIdError::PathMissing)));
    assert_eq!(named("spiffe://fleet.example/"), Err(LeafError::SpiffeId(SpiffeIdError::SegmentEmpty)));
}

/// ID-5.
#[test]
fn the_longest_id_is_taken() {
    let id = format!("{ID}{}", "x".repeat(2048 - ID.len()));
    assert_eq!(parsed(|leaf| leaf.subject_alt_names = vec![uri(&id)]).unwrap().id.as_str(), id);
}

///
#[test]
fn key_usage_is_there_and_critical() {
    assert_eq!(
        parsed(|leaf| leaf.key_usages.clear()),
        Err(LeafError::Certificate(CertificateError::KeyUsageMissing))
    );
    let not_critical = parsed(|leaf| {
        leaf.key_usages.clear();
        leaf.custom_extensions.push(extension(KEY_USAGE, false, vec![3, 2, 7, 0x80]));
    });
    assert_eq!(not_critical, Err(LeafError::Certificate(CertificateError::KeyUsageNotCritical)));
}

///
#[test]
fn extended_key_usage_names_both_sides_when_it_is_there() {
    let usage =
        |usages: &[ExtendedKeyUsagePurpose]| parsed(|leaf| leaf.extended_key_usages = usages.to_vec());
    let lacks = |what| Err(LeafError::Certificate(CertificateError::ExtendedKeyUsage(what)));
    assert!(usage(&[]).is_ok());
    assert_eq!(usage(&[ExtendedKeyUsagePurpose::ServerAuth]), lacks("clientAuth"));
    assert_eq!(usage(&[ExtendedKeyUsagePurpose::ClientAuth]), lacks("serverAuth"));
    assert_eq!(usage(&[ExtendedKeyUsagePurpose::Any]), lacks("serverAuth"));
}

///
#[test]
fn without_a_subject_the_names_are_critical() {
    let names = [&[0x30, 30, 0x86, 28], ID.as_bytes()].concat();
    let nameless = |critical| {
        parsed(|leaf| {
            leaf.distinguished_name = DistinguishedName::new();
            leaf.subject_alt_names.clear();
            leaf.custom_extensions.push(extension(ALTERNATIVE_NAMES, critical, names.clone()));
        })
    };
    assert_eq!(nameless(true).unwrap().id.as_str(), ID);
    assert_eq!(nameless(false), Err(LeafError::NamesNotCritical));
}

///
#[test]
fn a_second_uri_does_not_hide_behind_bytes_that_are_no_text() {
    let names = [&[0x30, 33, 0x86, 28], ID.as_bytes(), &[0x86, 1, 0xff]].concat();
    let hidden = parsed(|leaf| {
        leaf.subject_alt_names.clear();
        leaf.custom_extensions.push(extension(ALTERNATIVE_NAMES, true, names));
    });
    assert!(matches!(hidden, Err(LeafError::Certificate(CertificateError::Extensions(_)))), "{hidden:?}");
}

///
#[test]
fn extensions_that_are_unknown_doubled_or_malformed_are_refused() {
    let with =
        |oid, critical, value| parsed(|leaf| leaf.custom_extensions.push(extension(oid, critical, value)));
    let unknown = &[1, 3, 6, 1, 4, 1, 99_999, 1];
    assert!(with(unknown, false, vec![5, 0]).is_ok());
    assert_eq!(
        with(unknown, true, vec![5, 0]),
        Err(LeafError::Certificate(CertificateError::UnknownCritical("1.3.6.1.4.1.99999.1".to_owned())))
    );
    let is_extensions =
        |parsed| matches!(parsed, Err(LeafError::Certificate(CertificateError::Extensions(_))));
    assert!(is_extensions(with(KEY_USAGE, true, vec![3, 2, 7, 0x80])), "twice");
    // basicConstraints that no parser can read must not pass for "no authority".
    let unreadable = |leaf: &mut CertificateParams| {
        leaf.is_ca = rcgen::IsCa::NoCa;
        leaf.custom_extensions.push(extension(&[2, 5, 29, 19], true, vec![0x30, 3, 1, 1]));
    };
    assert!(is_extensions(parsed(unreadable)), "malformed");
    let longer = |leaf: &mut CertificateParams| {
        leaf.is_ca = rcgen::IsCa::NoCa;
        leaf.custom_extensions.push(extension(&[2, 5, 29, 19], true, vec![0x30, 0, 0x30, 0]));
    };
    assert!(is_extensions(parsed(longer)), "something after it");
}

/// The leaf with the last occurrence of some bytes replaced.
fn patched(from: &[u8], to: &[u8]) -> Result<Leaf, LeafError> {
    let mut der = made(|_| ()).to_vec();
    let place = der.windows(from.len()).rposition(|window| window == from).unwrap();
    der[place..place + to.len()].copy_from_slice(to);
    parse_leaf(&der)
}

#[test]
fn a_certificate_is_of_version_3_and_states_one_algorithm() {
    let version = patched(&[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 1]);
    assert_eq!(version, Err(LeafError::Certificate(CertificateError::Version)));
    // ecdsa-with-SHA256 becomes ecdsa-with-SHA384, outside what is signed.
    let algorithm =
        patched(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3]);
    assert_eq!(algorithm, Err(LeafError::Certificate(CertificateError::TwoAlgorithms)));
}

#[test]
fn a_time_before_the_epoch_is_refused() {
    let refused = parsed(|leaf| leaf.not_before = at(-1));
    assert_eq!(refused, Err(LeafError::Certificate(CertificateError::Validity)));
}

#[test]
fn damaged_bytes_never_panic() {
    let der = made(|_| ());
    for at in 0..der.len() {
        let mut damaged = der.to_vec();
        damaged[at] ^= 0xff;
        let _answer = parse_leaf(&damaged);
        assert_eq!(parse_leaf(&der[..at]), Err(LeafError::Certificate(CertificateError::Malformed)));
    }
    let longer = [&der[..], &[0]].concat();
    assert_eq!(parse_leaf(&longer), Err(LeafError::Certificate(CertificateError::Malformed)));
    let flood = vec![0x30; MAX_CERTIFICATE_BYTES + 1];
    assert_eq!(parse_leaf(&flood), Err(LeafError::Certificate(CertificateError::TooLong(flood.len()))));
}
