//! Whether a chain and a key are an SVID that may be served (X509-SVID). Nobody's signature is checked: the socket
//! is the agent's, and peers check it anyway; what is looked for are mistakes that would break the workload.

use enforcer_core::identity::spiffe_id::SpiffeId;
use prost_types::Timestamp;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::update::Unusable;
use crate::certificate::Certificate;
use crate::instant;

/// What stands in the leaf, when the chain is one of `id` and the key is its own.
pub(crate) fn check(
    chain: &[Vec<u8>],
    key: &Zeroizing<Vec<u8>>,
    id: &SpiffeId,
    now: &Timestamp,
) -> Result<Certificate, Unusable> {
    let read =
        |der: &Vec<u8>| Certificate::read(der).map_err(|error| Unusable::Certificate("x509_svid", error));
    let certificates = chain.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    check_order(&certificates)?;
    let leaf = certificates.into_iter().next().ok_or(Unusable::Missing("x509_svid"))?;
    check_name(&leaf, id)?;
    check_purpose(&leaf)?;
    if instant::seconds_between(now, &leaf.not_after).is_none() {
        return Err(Unusable::Ended(instant::rfc3339(&leaf.not_after)));
    }
    check_key(chain, key)?;
    Ok(leaf)
}

/// W-5: leaf first, each signed by the next.
fn check_order(certificates: &[Certificate]) -> Result<(), Unusable> {
    let follows = |pair: &[Certificate]| match pair {
        [one, next] => one.names.issuer == next.names.subject && next.ca,
        _ => true,
    };
    match certificates.windows(2).position(|pair| !follows(pair)) {
        Some(number) => Err(Unusable::Chain(number)),
        None => Ok(()),
    }
}

/// exactly one URI, and it is the one that was said.
fn check_name(leaf: &Certificate, id: &SpiffeId) -> Result<(), Unusable> {
    let [uri] = leaf.uris.as_slice() else { return Err(Unusable::Uris(leaf.uris.len())) };
    let certified: SpiffeId = uri.parse().map_err(|error| Unusable::Id(uri.clone(), error))?;
    match certified == *id {
        true => Ok(()),
        false => Err(Unusable::OtherId { said: id.to_string(), certified: uri.clone() }),
    }
}

///
fn check_purpose(leaf: &Certificate) -> Result<(), Unusable> {
    if leaf.ca {
        return Err(Unusable::Authority);
    }
    match leaf.usage {
        Some(usage) if usage.digital_signature && !usage.certificates => Ok(()),
        Some(_) | None => Err(Unusable::Usage),
    }
}

/// The key is handed on as a copy that its library overwrites.
fn check_key(chain: &[Vec<u8>], key: &Zeroizing<Vec<u8>>) -> Result<(), Unusable> {
    let wrong = |error: rustls::Error| Unusable::Key(error.to_string());
    let borrowed = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_slice()));
    let signer = aws_lc_rs::sign::any_supported_type(&borrowed).map_err(wrong)?;
    let chain = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    CertifiedKey::new(chain, signer).keys_match().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svid::update::Update;
    use crate::tests::material::{Authority, Wrong, now};

    /// What is said about an SVID of a red workload that is wrong in one way.
    fn refusal(wrong: Wrong) -> Option<Unusable> {
        let red = Authority::new("red.fleet.example");
        Update::parse(red.wrong_response("/ns/a/sa/web", wrong), &now()).err()
    }

    #[test]
    fn an_svid_that_keeps_the_rules_is_taken() {
        assert_eq!(refusal(Wrong::Nothing), None);
    }

    #[test]
    fn each_broken_rule_has_its_refusal() {
        assert_eq!(refusal(Wrong::TwoUris), Some(Unusable::Uris(2)));
        assert_eq!(refusal(Wrong::NoUri), Some(Unusable::Uris(0)));
        assert_eq!(refusal(Wrong::Authority), Some(Unusable::Authority));
        assert_eq!(refusal(Wrong::SignsCertificates), Some(Unusable::Usage));
        assert_eq!(refusal(Wrong::NoDigitalSignature), Some(Unusable::Usage));
        assert_eq!(refusal(Wrong::OtherIssuer), Some(Unusable::Chain(0)));
        assert!(matches!(refusal(Wrong::OtherName), Some(Unusable::OtherId { .. })));
        assert!(matches!(refusal(Wrong::OtherKey), Some(Unusable::Key(_))));
        assert!(matches!(refusal(Wrong::BrokenKey), Some(Unusable::Key(_))));
        assert!(matches!(refusal(Wrong::Ended), Some(Unusable::Ended(_))));
    }
}
