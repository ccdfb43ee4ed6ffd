//! Authorities by themselves.

use rcgen::{CertificateParams, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

use super::*;
use crate::identity::spiffe_id::SpiffeIdError;
use crate::identity::x509::authority::{Authority, AuthorityError, parse_authority};
use crate::identity::x509::certificate::CertificateError;
use crate::identity::x509::constraints::ConstraintError;

fn parsed(change: impl FnOnce(&mut CertificateParams)) -> Result<Authority, AuthorityError> {
    let mut params = authority("red", "red.fleet.example", 100);
    change(&mut params);
    parse_authority(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der())
}

#[test]
fn an_authority_says_whose_it_is_and_for_whom_it_may_sign() {
    let params = permit(path_length(authority("red", "red.fleet.example", 100), 1), &["red.fleet.example"]);
    let authority = parse_authority(&Ca::new(params).self_signed()).unwrap();
    assert_eq!(authority.domain, Some(domain("red.fleet.example")));
    assert_eq!(authority.path_length, Some(1));
    assert!(
        authority.constraints.permit("red.fleet.example") && !authority.constraints.permit("fleet.example")
    );
    assert!(
        authority.is_valid_at(since_epoch(NOW)) && !authority.is_valid_at(since_epoch(NOW + 101 * 3_600))
    );
}

#[test]
fn an_authority_without_a_name_or_constraint_is_one_all_the_same() {
    let authority = parsed(|ca| ca.subject_alt_names.clear()).unwrap();
    assert_eq!((authority.domain, authority.path_length), (None, None));
    assert!(authority.constraints.permit("anything.example"));
}

///
#[test]
fn an_authoritys_id_has_no_path() {
    let named =
        |names: &[&str]| parsed(|ca| ca.subject_alt_names = names.iter().map(|name| uri(name)).collect());
    let with_path = "spiffe://red.fleet.example/ca";
    assert_eq!(named(&[with_path]), Err(AuthorityError::Path(with_path.parse().unwrap())));
    let slash = named(&["spiffe://red.fleet.example/"]);
    assert_eq!(slash, Err(AuthorityError::SpiffeId(SpiffeIdError::SegmentEmpty)));
    assert_eq!(named(&["https://a"]), Err(AuthorityError::SpiffeId(SpiffeIdError::Scheme)));
    assert_eq!(named(&["spiffe://a", "spiffe://b"]), Err(AuthorityError::UriCount(2)));
}

///
#[test]
fn an_authority_is_one_by_both_marks() {
    assert_eq!(parsed(|ca| ca.is_ca = IsCa::ExplicitNoCa), Err(AuthorityError::NotAuthority));
    let usage = |usages: &[KeyUsagePurpose]| parsed(|ca| ca.key_usages = usages.to_vec());
    assert_eq!(usage(&[KeyUsagePurpose::CrlSign]), Err(AuthorityError::NoKeyCertSign));
    assert_eq!(usage(&[]), Err(AuthorityError::Certificate(CertificateError::KeyUsageMissing)));
    let nameless = parsed(|ca| ca.distinguished_name = DistinguishedName::new());
    assert_eq!(nameless, Err(AuthorityError::NoSubject));
}

///
#[test]
fn constraints_of_another_form_are_refused() {
    use rcgen::{GeneralSubtree, NameConstraints};
    let dns = NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("fleet.example".to_owned())],
        excluded_subtrees: Vec::new(),
    };
    let refused = parsed(|ca| ca.name_constraints = Some(dns));
    assert_eq!(refused, Err(AuthorityError::NameConstraints(ConstraintError::Form(0x82))));
}

///
#[test]
fn an_unknown_critical_extension_is_refused() {
    // inhibitAnyPolicy: known to the parser, not obeyed here.
    let policy = extension(&[2, 5, 29, 54], true, vec![2, 1, 0]);
    let refused = parsed(|ca| ca.custom_extensions.push(policy));
    assert_eq!(
        refused,
        Err(AuthorityError::Certificate(CertificateError::UnknownCritical("2.5.29.54".to_owned())))
    );
}

#[test]
fn keys_of_other_kinds_sign_too() {
    for kind in [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let params = authority("root", "red.fleet.example", 100);
        let root = Ca { params, key: KeyPair::generate_for(kind).unwrap() };
        let leaf = root.issue(&leaf("spiffe://red.fleet.example/a"));
        let trust = trust("red.fleet.example", vec![root.self_signed()]);
        assert!(check(&[leaf], &trust).is_ok(), "{kind:?}");
    }
}
