//! X509-SVID statement by statement, on certificates as they are served, as x509-parser reads them.

use std::fs;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use enforcer_tests::runner::Case;
use x509_parser::extensions::{BasicConstraints, GeneralName, KeyUsage, NameConstraints};
use x509_parser::prelude::X509Certificate;

use crate::certificate::Certificate;
use crate::openssl::{Papers, openssl, pem, text};
use crate::outside::outcome;
use crate::site::{Site, domain_of, id_of};

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "statements::x1_a_leaf_has_exactly_one_uri", reasons: &[], run: x1 },
    Case {
        name: "statements::x3_a_leaf_has_a_path_and_the_name_is_critical_where_the_subject_is_empty",
        reasons: &[],
        run: x3,
    },
    Case { name: "statements::x4_signing_certificates_are_their_trust_domain", reasons: &[], run: x4 },
    Case { name: "statements::x5_signing_certificates_cannot_authenticate", reasons: &[], run: x5 },
    Case {
        name: "statements::x6_signing_certificates_are_authorities_and_a_leaf_is_not",
        reasons: &[],
        run: x6,
    },
    Case { name: "statements::x7_key_usage_is_critical_and_says_what_each_may", reasons: &[], run: x7 },
    Case { name: "statements::x8_a_leaf_is_for_servers_and_clients", reasons: &[], run: x8 },
    Case {
        name: "statements::x10_authorities_are_constrained_to_their_trust_domain",
        reasons: &[],
        run: x10,
    },
    Case {
        name: "statements::the_chain_is_leaf_node_ca_tenant_ca_each_signed_by_the_next",
        reasons: &[],
        run: chain,
    },
    Case { name: "statements::a_serial_number_is_never_used_twice", reasons: &[], run: serials },
];

/// Shows a statement on the chains of workloads of two tenants; the third argument is the tenant.
fn each(
    site: &Site,
    holds: impl Fn(&X509Certificate<'_>, &[X509Certificate<'_>], &str) -> Result<()>,
) -> Result<()> {
    for name in ["n1-t1-p1", "n1-t1-p2", "n1-t2-p1", "n1-t3-host"] {
        let ders = Papers::of(site, name)?.ders()?;
        let parsed: Result<Vec<Certificate<'_>>> = ders.iter().map(|der| Certificate::parse(der)).collect();
        let chain: Vec<X509Certificate<'_>> = parsed?.into_iter().map(|certificate| certificate.0).collect();
        let (leaf, signing) = chain.split_first().context("an empty chain")?;
        holds(leaf, signing, &site.workload(name)?.tenant).with_context(|| name.to_owned())?;
    }
    Ok(())
}

fn key_usage<'a>(certificate: &'a X509Certificate<'_>) -> Result<(&'a KeyUsage, bool)> {
    let usage = certificate.key_usage().map_err(|error| anyhow!("{error}"))?.context("no key usage")?;
    Ok((usage.value, usage.critical))
}

fn basic<'a>(certificate: &'a X509Certificate<'_>) -> Result<Option<&'a BasicConstraints>> {
    Ok(certificate.basic_constraints().map_err(|error| anyhow!("{error}"))?.map(|basic| basic.value))
}

fn constraints<'a>(certificate: &'a X509Certificate<'_>) -> Result<Option<(&'a NameConstraints<'a>, bool)>> {
    let found = certificate.name_constraints().map_err(|error| anyhow!("{error}"))?;
    Ok(found.map(|found| (found.value, found.critical)))
}

fn x1(site: &mut Site) -> Result<()> {
    each(site, |leaf, _, _| {
        let (uris, _) = Certificate(leaf.clone()).uris()?;
        ensure!(uris.len() == 1, "URIs: {uris:?}");
        Ok(())
    })
}

fn x3(site: &mut Site) -> Result<()> {
    for name in ["n1-t1-p1", "n1-t2-host"] {
        let ders = Papers::of(site, name)?.ders()?;
        let leaf = Certificate::parse(ders.first().context("an empty chain")?)?;
        let (uris, is_critical) = leaf.uris()?;
        ensure!(uris == [id_of(site.workload(name)?)], "{uris:?}");
        let is_empty = leaf.0.subject().iter().next().is_none();
        ensure!(is_critical || !is_empty, "an empty subject, and the name is not critical");
    }
    Ok(())
}

fn x4(site: &mut Site) -> Result<()> {
    each(site, |_, signing, tenant| {
        for certificate in signing {
            let (uris, _) = Certificate(certificate.clone()).uris()?;
            ensure!(uris == [format!("spiffe://{}", domain_of(tenant))], "{uris:?}");
        }
        Ok(())
    })
}

/// They say so twice: no signature but on certificates, and no purpose in TLS.
fn x5(site: &mut Site) -> Result<()> {
    each(site, |_, signing, _| {
        for certificate in signing {
            ensure!(!key_usage(certificate)?.0.digital_signature(), "it may sign anything");
            let purposes = certificate.extended_key_usage().map_err(|error| anyhow!("{error}"))?;
            ensure!(purposes.is_none(), "it has purposes: {purposes:?}");
        }
        Ok(())
    })
}

fn x6(site: &mut Site) -> Result<()> {
    each(site, |leaf, signing, _| {
        ensure!(basic(leaf)?.is_none_or(|basic| !basic.ca), "the leaf is an authority");
        ensure!(signing.len() == 2, "{} signing certificates", signing.len());
        for certificate in signing {
            let basic = basic(certificate)?.context("no basic constraints")?;
            ensure!(basic.ca, "it is no authority");
        }
        let of_node = signing.first().context("no node CA")?;
        let depth = basic(of_node)?.and_then(|basic| basic.path_len_constraint);
        ensure!(depth == Some(0), "the node CA may have authorities below it: {depth:?}");
        Ok(())
    })
}

fn x7(site: &mut Site) -> Result<()> {
    each(site, |leaf, signing, _| {
        let (usage, is_critical) = key_usage(leaf)?;
        ensure!(is_critical, "the leaf's is not critical");
        ensure!(usage.digital_signature(), "the leaf may sign nothing");
        ensure!(!usage.key_cert_sign() && !usage.crl_sign(), "the leaf may sign certificates: {usage}");
        for certificate in signing {
            let (usage, is_critical) = key_usage(certificate)?;
            ensure!(is_critical && usage.key_cert_sign(), "{usage}");
        }
        Ok(())
    })
}

fn x8(site: &mut Site) -> Result<()> {
    each(site, |leaf, _, _| {
        let purposes =
            leaf.extended_key_usage().map_err(|error| anyhow!("{error}"))?.context("no purposes")?;
        ensure!(purposes.value.server_auth && purposes.value.client_auth, "{:?}", purposes.value);
        ensure!(!purposes.value.any, "any purpose");
        Ok(())
    })
}

/// A critical constraint that permits the host of the trust domain and nothing else.
fn x10(site: &mut Site) -> Result<()> {
    each(site, |leaf, signing, tenant| {
        ensure!(constraints(leaf)?.is_none(), "a leaf is constrained");
        for certificate in signing {
            let (found, is_critical) = constraints(certificate)?.context("no name constraints")?;
            ensure!(is_critical, "the constraint is not critical");
            let permitted = found.permitted_subtrees.as_deref().unwrap_or_default();
            let hosts: Vec<&str> = permitted
                .iter()
                .filter_map(|tree| match &tree.base {
                    GeneralName::URI(host) => Some(*host),
                    _ => None,
                })
                .collect();
            ensure!(hosts == [domain_of(tenant)], "permitted: {hosts:?}");
        }
        Ok(())
    })
}

/// Signatures as `openssl` checks them, which reads chains of its own making.
fn chain(site: &mut Site) -> Result<()> {
    for (name, other) in [("n1-t1-p1", "n1-t2-p1"), ("n1-t2-p1", "n1-t1-p1")] {
        let (ders, foreign) = (Papers::of(site, name)?.ders()?, Papers::of(site, other)?.ders()?);
        ensure!(ders.len() == 3, "{} certificates", ders.len());
        for pair in ders.windows(2) {
            let [signed, signer] = pair else { continue };
            let (good, said) = is_signed(site, signed, signer)?;
            ensure!(good, "not signed by the next: {said}");
            let (signed, signer) = (Certificate::parse(signed)?.0, Certificate::parse(signer)?.0);
            ensure!(signed.issuer() == signer.subject(), "{} is not {}", signed.issuer(), signer.subject());
            ensure!(signed.validity().not_after <= signer.validity().not_after, "it outlives who signed it");
        }
        let (Some(leaf), Some(stranger)) = (ders.first(), foreign.get(1)) else { bail!("short chains") };
        let (good, said) = is_signed(site, leaf, stranger)?;
        ensure!(!good, "the node CA of {other} has signed for {name}: {said}");
    }
    Ok(())
}

fn is_signed(site: &Site, signed: &[u8], signer: &[u8]) -> Result<(bool, String)> {
    let dir = site.scratch("signed")?;
    let (one, other) = (dir.join("signed.pem"), dir.join("signer.pem"));
    fs::write(&one, pem(&[signed.to_vec()]))?;
    fs::write(&other, pem(&[signer.to_vec()]))?;
    let words = ["verify", "-partial_chain", "-trusted", &text(&other)?, &text(&one)?];
    outcome(&mut openssl(&words), "")
}

fn serials(site: &mut Site) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        for (workload, serial) in site.serials("n1")? {
            ensure!(seen.insert(serial.clone()), "{workload} has a number that was used before: {serial}");
            // RFC 5280, 4.1.2.2: at most twenty octets; 64 random bits are the least that is good practice.
            ensure!((16..=40).contains(&serial.len()), "{workload}: {serial}");
        }
        let before = site.serials("n1")?;
        site.ctl("n1")?.run(&["identity", "rotate"], "")?;
        for (workload, serial) in before {
            site.listed(&workload, "rotated", |one| one["serial"].as_str().is_some_and(|now| now != serial))?;
        }
    }
    Ok(())
}
