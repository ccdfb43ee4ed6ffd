//! Every statement on certificates, read back with x509-parser.

use std::time::Duration;

use rustls_pki_types::CertificateDer;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{DAY, Fleet, HOUR, START, anchor, domain, node_ca, svid, web};
use crate::door::upstream::Upstream as _;
use crate::identity::authority::{IssueError, NodeCa, open_svid, request, seal_svid};

fn parse<'a>(der: &'a CertificateDer<'_>) -> X509Certificate<'a> {
    X509Certificate::from_der(der).unwrap().1
}

fn uris(x509: &X509Certificate<'_>) -> Vec<String> {
    let names = x509.subject_alternative_name().unwrap().unwrap();
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(uri).collect()
}

fn key_id(x509: &X509Certificate<'_>) -> Vec<u8> {
    let own = x509.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    });
    own.unwrap()
}

fn issuer_key_id(x509: &X509Certificate<'_>) -> Vec<u8> {
    let above = x509.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0.to_vec()),
        _ => None,
    });
    above.unwrap()
}

#[tokio::test]
async fn a_leaf_says_what_the_standard_asks() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let svid = svid(&fleet, &local).await;
    let leaf = parse(&svid.chain[0]);
    //
    assert_eq!(uris(&leaf), [web().as_str()]);
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert!(names.critical && leaf.subject().iter().next().is_none());
    //
    assert!(!leaf.basic_constraints().unwrap().unwrap().value.ca);
    //
    let usage = leaf.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.digital_signature());
    assert_eq!(usage.value.flags, 1, "nothing but digitalSignature");
    //
    let extended = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.server_auth && extended.client_auth && !extended.any);
    assert_eq!(issuer_key_id(&leaf), key_id(&parse(&svid.chain[1])));
    assert_eq!(leaf.raw_serial(), svid.serial);
    assert_eq!(svid.serial.len(), 16);
    assert!(svid.serial[0] & 0x80 == 0 && svid.serial[0] != 0);
    let end = u64::try_from(leaf.validity().not_after.timestamp()).unwrap();
    assert_eq!((end, Duration::from_secs(end)), (START + HOUR, svid.not_after));
    let start = u64::try_from(leaf.validity().not_before.timestamp()).unwrap();
    assert_eq!((start, Duration::from_secs(start)), (START - 60, svid.not_before));
}

#[tokio::test]
async fn authorities_say_what_the_standard_asks() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let red = svid(&fleet, &local).await.chain;
    let (_, csr) = request().unwrap();
    let node = local.node_svid("node-1", &csr).await.unwrap();
    let root = local.roots().remove(0);
    let authorities = [
        (&red[1], "spiffe://red.fleet.example", Some(0), true),
        (&red[2], "spiffe://red.fleet.example", Some(1), true),
        (&anchor(&local, "red.fleet.example"), "spiffe://red.fleet.example", Some(1), false),
        (&node[1], "spiffe://fleet.example", Some(0), false),
        (&anchor(&local, "fleet.example"), "spiffe://fleet.example", Some(0), false),
        (&root, "spiffe://fleet.example", None, false),
    ];
    for (der, id, path_length, constrained) in authorities {
        let x509 = parse(der);
        // X-4, ID-7.
        assert_eq!(uris(&x509), [id]);
        //
        let basic = x509.basic_constraints().unwrap().unwrap();
        assert!(basic.critical && basic.value.ca);
        assert_eq!(basic.value.path_len_constraint, path_length);
        //
        let usage = x509.key_usage().unwrap().unwrap();
        assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
        assert!(!usage.value.digital_signature());
        //
        let constraints = x509.name_constraints().unwrap();
        assert_eq!(constraints.is_some(), constrained, "{id}");
        if let Some(constraints) = constraints {
            assert!(constraints.critical && constraints.value.excluded_subtrees.is_none());
            let permitted = constraints.value.permitted_subtrees.as_ref().unwrap();
            assert!(matches!(&permitted[..], [only] if only.base == GeneralName::URI("red.fleet.example")));
        }
        assert!(x509.raw_serial().len() == 16 && x509.raw_serial()[0] & 0x80 == 0);
        assert!(!key_id(&x509).is_empty());
    }
    // One key and one subject, two signers.
    let (own, under) = (anchor(&local, "red.fleet.example"), parse(&red[2]));
    let own = parse(&own);
    assert_eq!(own.public_key().raw, under.public_key().raw);
    assert_eq!(own.subject().as_raw(), under.subject().as_raw());
    assert_eq!(own.issuer().as_raw(), own.subject().as_raw());
    assert_eq!(under.issuer().as_raw(), parse(&root).subject().as_raw());
    assert_eq!(issuer_key_id(&under), key_id(&parse(&root)));
    // The chain of a node's SVID has its further names, its path and no constraint.
    assert_eq!(uris(&parse(&node[0])), ["spiffe://fleet.example/node/node-1"]);
}

#[tokio::test]
async fn nothing_outlives_its_issuer() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let ca = node_ca(&local, "red.fleet.example").await.unwrap();
    assert_eq!(ca.not_after(), Duration::from_secs(START + DAY));
    let late = ca.not_after() - Duration::from_secs(10);
    let svid = ca.issue_svid(&web(), late, Duration::from_secs(HOUR)).unwrap();
    assert_eq!(svid.not_after, ca.not_after());
    for outside in [ca.not_after(), ca.not_before() - Duration::from_secs(1)] {
        let refused = ca.issue_svid(&web(), outside, Duration::from_secs(HOUR));
        assert!(matches!(refused, Err(IssueError::IssuerEnded { .. })));
    }
    for der in ca.chain() {
        let end = u64::try_from(parse(der).validity().not_after.timestamp()).unwrap();
        assert!(Duration::from_secs(end) >= ca.not_after());
    }
}

///
#[tokio::test]
async fn a_node_ca_issues_for_its_own_trust_domain_alone() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let ca = node_ca(&local, "red.fleet.example").await.unwrap();
    for foreign in
        ["spiffe://blue.fleet.example/a", "spiffe://fleet.example/node/a", "spiffe://x.red.fleet.example/a"]
    {
        let refused = ca.issue_svid(&foreign.parse().unwrap(), fleet.now(), Duration::from_secs(HOUR));
        assert!(matches!(refused, Err(IssueError::ForeignDomain { .. })), "{foreign}");
    }
}

#[tokio::test]
async fn what_is_sealed_comes_back_and_every_cut_is_noticed() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let ca = node_ca(&local, "red.fleet.example").await.unwrap();
    let svid = ca.issue_svid(&web(), fleet.now(), Duration::from_secs(HOUR)).unwrap();
    let sealed = seal_svid(&svid);
    let back = open_svid(&sealed).unwrap();
    assert_eq!((&back.id, &back.chain, &back.serial), (&svid.id, &svid.chain, &svid.serial));
    assert_eq!((back.not_before, back.not_after), (svid.not_before, svid.not_after));
    assert_eq!(back.key.expose(), svid.key.expose());
    let kept = ca.to_sealed().unwrap();
    let restored = NodeCa::from_sealed(&kept).unwrap();
    assert_eq!((restored.chain(), restored.domain()), (ca.chain(), &domain("red.fleet.example")));
    restored.issue_svid(&web(), fleet.now(), Duration::from_secs(HOUR)).unwrap();
    for cut in 0..sealed.len() {
        assert!(open_svid(&sealed[..cut]).is_err(), "{cut}");
    }
    for cut in 0..kept.len() {
        assert!(NodeCa::from_sealed(&kept[..cut]).is_err(), "{cut}");
    }
    assert!(open_svid(&kept).is_err() && NodeCa::from_sealed(&sealed).is_err());
    assert!(open_svid(&[&sealed[..], &[0]].concat()).is_err());
}

#[tokio::test]
async fn a_key_that_is_another_certificates_makes_no_node_ca() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let ca = node_ca(&local, "red.fleet.example").await.unwrap();
    let (other, _) = request().unwrap();
    assert!(matches!(NodeCa::new(ca.chain().to_vec(), &other), Err(IssueError::Key(_))));
    assert!(matches!(NodeCa::new(vec![], &other), Err(IssueError::Issuer(_))));
    let leaf = ca.issue_svid(&web(), fleet.now(), Duration::from_secs(HOUR)).unwrap();
    assert!(
        matches!(NodeCa::new(leaf.chain, &leaf.key), Err(IssueError::Issuer(_))),
        "a leaf is no authority"
    );
}
