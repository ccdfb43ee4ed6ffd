//! A message of the Workload API, believed only when it is whole: each is everything (W-2), so one that is wrong
//! anywhere is thrown away as a whole (W-4).

use std::collections::{BTreeMap, BTreeSet};

use enforcer_core::identity::spiffe_id::{SpiffeId, SpiffeIdError};
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_proto::spiffe::{X509svid, X509svidResponse};
use prost_types::Timestamp;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};
use zeroize::Zeroizing;

use super::leaf;
use crate::certificate::{self, Certificate, NoCertificate};

/// Longest hint, in bytes (W-5).
const MAX_HINT_BYTES: usize = 1024;

/// Encoded certificates or revocation lists, in order.
pub(crate) type Ders = Vec<Vec<u8>>;

/// Everything that a workload has.
pub(crate) struct Update {
    /// What it is called by default (W-10).
    pub(crate) first: Svid,
    /// Its other names.
    pub(crate) others: Vec<Svid>,
    /// Authorities of other trust domains, never merged (F-8). One without any is not here: it vouches for nobody.
    pub(crate) federated: BTreeMap<TrustDomain, Ders>,
    /// Revocation lists, DER.
    pub(crate) crls: Ders,
}

/// An X.509-SVID with its key. Nothing here prints the key.
pub(crate) struct Svid {
    /// Whom it names.
    pub(crate) id: SpiffeId,
    /// Tells it from the others; may be empty.
    pub(crate) hint: String,
    /// DER, leaf first.
    pub(crate) chain: Ders,
    /// What stands in the leaf.
    pub(crate) leaf: Certificate,
    /// PKCS#8, DER.
    pub(crate) key: Zeroizing<Vec<u8>>,
    /// Authorities of its own trust domain, DER.
    pub(crate) bundle: Ders,
}

/// Why a message is thrown away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    /// W-5.
    #[error("there is no SVID in it")]
    NoSvid,
    /// W-4, W-5.
    #[error("the mandatory field {0} is empty")]
    Missing(&'static str),
    /// ID-1 to ID-5.
    #[error("{0:?} is no SPIFFE ID: {1}")]
    Id(String, SpiffeIdError),
    /// W-11.
    #[error("{0:?} is no SPIFFE ID of a trust domain")]
    TrustDomain(String),
    /// W-5: not DER, or something is left over.
    #[error("{0}: {1}")]
    Certificate(&'static str, NoCertificate),
    /// The list with this number, from 0.
    #[error("revocation list {0} is none")]
    Crl(usize),
    /// W-5.
    #[error("a hint has {0} bytes, and at most {MAX_HINT_BYTES} are taken")]
    HintTooLong(usize),
    /// W-5.
    #[error("the hint {0:?} is there twice")]
    HintTwice(String),
    ///
    #[error("the certificate has {0} URIs among its names, and an SVID has one")]
    Uris(usize),
    /// The message says one name and the certificate another.
    #[error("the certificate is of {certified:?}, and {said:?} was said")]
    OtherId { said: String, certified: String },
    ///
    #[error("the certificate is an authority's")]
    Authority,
    ///
    #[error("the key of the certificate may not sign handshakes, or may sign certificates")]
    Usage,
    /// It would take the place of one that may still be good.
    #[error("the certificate ended at {0}")]
    Ended(String),
    /// The certificate with this number, from 0.
    #[error("certificate {0} of the chain was not signed by the next one")]
    Chain(usize),
    /// Nobody could be trusted with them.
    #[error("none of the authorities has signed anything in the chain")]
    Authorities,
    /// The key is not readable, or is another certificate's.
    #[error("the private key does not fit the certificate: {0}")]
    Key(String),
}

impl Update {
    /// Takes a message apart.
    pub(crate) fn parse(message: X509svidResponse, now: &Timestamp) -> Result<Self, Unusable> {
        let X509svidResponse { svids, crl, federated_bundles } = message;
        check_hints(&svids)?;
        let mut svids = svids.into_iter().map(|svid| Svid::parse(svid, now));
        Ok(Self {
            first: svids.next().ok_or(Unusable::NoSvid)??,
            others: svids.collect::<Result<_, _>>()?,
            federated: federated_bundles
                .into_iter()
                .map(federate)
                .filter_map(Result::transpose)
                .collect::<Result<_, _>>()?,
            crls: crls(crl)?,
        })
    }

    /// Every SVID, the default one first.
    pub(crate) fn svids(&self) -> impl Iterator<Item = &Svid> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl Svid {
    fn parse(svid: X509svid, now: &Timestamp) -> Result<Self, Unusable> {
        let X509svid { spiffe_id, x509_svid, x509_svid_key, bundle, hint } = svid;
        let key = Zeroizing::new(x509_svid_key);
        // W-4: what is mandatory is not empty.
        if key.is_empty() {
            return Err(Unusable::Missing("x509_svid_key"));
        }
        let chain = authorities("x509_svid", &x509_svid)?;
        let bundle = authorities("bundle", &bundle)?;
        let id: SpiffeId = spiffe_id.parse().map_err(|error| Unusable::Id(spiffe_id, error))?;
        let leaf = leaf::check(&chain, &key, &id, now)?;
        Ok(Self { id, hint, chain, leaf, key, bundle })
    }
}

fn check_hints(svids: &[X509svid]) -> Result<(), Unusable> {
    let mut seen = BTreeSet::new();
    for hint in svids.iter().map(|svid| svid.hint.as_str()).filter(|hint| !hint.is_empty()) {
        if hint.len() > MAX_HINT_BYTES {
            return Err(Unusable::HintTooLong(hint.len()));
        }
        if !seen.insert(hint) {
            return Err(Unusable::HintTwice(hint.to_owned()));
        }
    }
    Ok(())
}

/// Certificates one after the other, at least one.
fn authorities(field: &'static str, bytes: &[u8]) -> Result<Ders, Unusable> {
    if bytes.is_empty() {
        return Err(Unusable::Missing(field));
    }
    split(field, bytes)
}

fn split(field: &'static str, bytes: &[u8]) -> Result<Ders, Unusable> {
    let ders = certificate::split(bytes).map_err(|error| Unusable::Certificate(field, error))?;
    Ok(ders.into_iter().map(<[u8]>::to_vec).collect())
}

/// W-11: by the SPIFFE ID of the trust domain, which has no path. B-4: without authorities nothing of it is valid,
/// so that it is left out.
fn federate((name, bytes): (String, Vec<u8>)) -> Result<Option<(TrustDomain, Ders)>, Unusable> {
    let domain = name.strip_prefix("spiffe://").and_then(|domain| domain.parse().ok());
    let domain = domain.ok_or(Unusable::TrustDomain(name))?;
    let authorities = split("federated_bundles", &bytes)?;
    Ok((!authorities.is_empty()).then_some((domain, authorities)))
}

fn crls(lists: Ders) -> Result<Ders, Unusable> {
    let is_one =
        |list: &[u8]| CertificateRevocationList::from_der(list).is_ok_and(|(rest, _)| rest.is_empty());
    match lists.iter().position(|list| !is_one(list)) {
        Some(number) => Err(Unusable::Crl(number)),
        None => Ok(lists),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::material::{Authority, now};

    fn error(message: X509svidResponse) -> Unusable {
        Update::parse(message, &now()).err().expect("refused")
    }

    fn with(change: impl FnOnce(&mut X509svidResponse)) -> X509svidResponse {
        let mut message = Authority::new("red.fleet.example").response("/ns/a/sa/web");
        change(&mut message);
        message
    }

    fn with_first(change: impl FnOnce(&mut X509svid)) -> X509svidResponse {
        with(|message| change(message.svids.first_mut().unwrap()))
    }

    #[test]
    fn a_whole_message_is_believed() {
        let update = Update::parse(with(|_| {}), &now()).unwrap();
        assert_eq!(update.first.id.as_str(), "spiffe://red.fleet.example/ns/a/sa/web");
        assert_eq!((update.first.chain.len(), update.first.bundle.len()), (2, 1));
        assert!(update.others.is_empty() && update.federated.is_empty() && update.crls.is_empty());
    }

    #[test]
    fn w_5_every_field_but_the_hint_is_mandatory() {
        assert_eq!(error(with(|message| message.svids.clear())), Unusable::NoSvid);
        assert_eq!(error(with_first(|svid| svid.x509_svid.clear())), Unusable::Missing("x509_svid"));
        assert_eq!(error(with_first(|svid| svid.x509_svid_key.clear())), Unusable::Missing("x509_svid_key"));
        assert_eq!(error(with_first(|svid| svid.bundle.clear())), Unusable::Missing("bundle"));
        assert_eq!(
            error(with_first(|svid| svid.spiffe_id.clear())),
            Unusable::Id(String::new(), SpiffeIdError::Scheme)
        );
    }

    #[test]
    fn w_5_hints_are_short_and_tell_svids_apart() {
        let mut message = with_first(|svid| svid.hint = "a".repeat(1024));
        assert!(Update::parse(message.clone(), &now()).is_ok());
        message.svids.push(message.svids.first().unwrap().clone());
        assert_eq!(error(message), Unusable::HintTwice("a".repeat(1024)));
        assert_eq!(error(with_first(|svid| svid.hint = "a".repeat(1025))), Unusable::HintTooLong(1025));
        let mut message = with(|_| {});
        message.svids.push(message.svids.first().unwrap().clone());
        assert_eq!(Update::parse(message, &now()).unwrap().svids().count(), 2);
    }

    #[test]
    fn what_is_cut_off_is_no_certificate() {
        let cut = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1);
        assert!(matches!(
            error(with_first(|svid| cut(&mut svid.x509_svid))),
            Unusable::Certificate("x509_svid", NoCertificate(at)) if at > 0
        ));
        assert_eq!(
            error(with_first(|svid| cut(&mut svid.bundle))),
            Unusable::Certificate("bundle", NoCertificate(0))
        );
        assert_eq!(error(with(|message| message.crl.push(vec![1]))), Unusable::Crl(0));
    }

    #[test]
    fn w_11_bundles_are_kept_apart_by_trust_domain() {
        let blue = Authority::new("blue.fleet.example").bundle();
        let federated = |name: &str, bytes: &[u8]| {
            with(|message| drop(message.federated_bundles.insert(name.to_owned(), bytes.to_vec())))
        };
        let update = Update::parse(federated("spiffe://blue.fleet.example", &blue), &now()).unwrap();
        assert_eq!(
            update.federated.keys().map(TrustDomain::as_str).collect::<Vec<_>>(),
            ["blue.fleet.example"]
        );
        // B-4.
        let update = Update::parse(federated("spiffe://blue.fleet.example", &[]), &now()).unwrap();
        assert!(update.federated.is_empty());
        for name in ["blue.fleet.example", "spiffe://blue.fleet.example/a", "spiffe://../../etc", "spiffe://"]
        {
            assert_eq!(error(federated(name, &blue)), Unusable::TrustDomain(name.to_owned()));
        }
    }
}
