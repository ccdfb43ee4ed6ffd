//! What an authority answered to a node's request, believed only when it is for this key and names this node.
//! Nobody's signature is checked: the door to the authority is trusted already, and peers check the chain anyway.

use std::iter::once;

use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_proto::v1::EnrollNodeResponse;
use prost_types::Timestamp;
use zeroize::Zeroizing;

use crate::certificate::Certificate;
use crate::pem::{self, Label};
use crate::svid::leaf;
use crate::svid::update::{Ders, Unusable};

/// A node's certificate with its key. Nothing here prints the key.
pub(crate) struct NodeSvid {
    /// `spiffe://<fleet>/node/<name>`
    pub(crate) id: SpiffeId,
    /// What stands in the leaf.
    pub(crate) leaf: Certificate,
    chain: Ders,
    key: Zeroizing<Vec<u8>>,
    authorities_pem: String,
}

impl NodeSvid {
    /// Takes the answer apart. A fleet of any name is taken, and a node of another name is not.
    pub(crate) fn parse(
        answer: EnrollNodeResponse,
        node: &str,
        key: Zeroizing<Vec<u8>>,
        now: &Timestamp,
    ) -> Result<Self, Unusable> {
        let EnrollNodeResponse { certificates: chain, authorities_pem } = answer;
        let id = name_of(&chain, node)?;
        let leaf = leaf::check(&chain, &key, &id, now)?;
        check_authorities(&authorities_pem, &chain, &leaf)?;
        Ok(Self { id, leaf, chain, key, authorities_pem })
    }

    /// The chain, PEM, leaf first.
    pub(super) fn chain_pem(&self) -> Zeroizing<String> {
        pem::encode(Label::Certificate, self.chain.iter().map(Vec::as_slice))
    }

    /// The key, PEM, PKCS#8.
    pub(super) fn key_pem(&self) -> Zeroizing<String> {
        pem::encode(Label::PrivateKey, once(self.key.as_slice()))
    }

    /// The authorities of the fleet's own trust domain, PEM.
    pub(super) fn authorities_pem(&self) -> &str {
        &self.authorities_pem
    }
}

/// The name that the node must have in the trust domain that the leaf is of.
fn name_of(chain: &Ders, node: &str) -> Result<SpiffeId, Unusable> {
    let leaf = chain.first().ok_or(Unusable::Missing("certificates"))?;
    let leaf = Certificate::read(leaf).map_err(|error| Unusable::Certificate("certificates", error))?;
    let [uri] = leaf.uris.as_slice() else { return Err(Unusable::Uris(leaf.uris.len())) };
    let no_id = |error| Unusable::Id(uri.clone(), error);
    let certified: SpiffeId = uri.parse().map_err(no_id)?;
    let fleet: TrustDomain = certified.trust_domain().parse().map_err(no_id)?;
    fleet.member(&format!("/node/{node}")).map_err(no_id)
}

/// Without one that signed the chain the node would trust nobody, or somebody else.
fn check_authorities(pem: &str, chain: &Ders, leaf: &Certificate) -> Result<(), Unusable> {
    let unreadable = |error| Unusable::Certificate("authorities_pem", error);
    let authorities = Certificate::read_pem(pem).map_err(unreadable)?;
    if authorities.is_empty() {
        return Err(Unusable::Missing("authorities_pem"));
    }
    let above = chain.iter().skip(1).filter_map(|der| Certificate::read(der).ok());
    let issuers: Vec<Vec<u8>> =
        once(leaf.names.issuer.clone()).chain(above.map(|one| one.names.issuer)).collect();
    let vouches = |one: &Certificate| one.ca && issuers.contains(&one.names.subject);
    if authorities.iter().any(vouches) { Ok(()) } else { Err(Unusable::Authorities) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enroll::request::Request;
    use crate::tests::material::{Authority, now};

    const FLEET: &str = "fleet.example";

    fn answer(authority: &Authority, path: &str, csr: &[u8]) -> EnrollNodeResponse {
        EnrollNodeResponse {
            certificates: authority.enroll(path, csr),
            authorities_pem: authority.bundle_pem(),
        }
    }

    /// What is said about an answer that was changed.
    fn refusal(change: impl FnOnce(&mut EnrollNodeResponse)) -> Option<Unusable> {
        let request = Request::generate().unwrap();
        let mut answer = answer(&Authority::new(FLEET), "/node/gpu-17", &request.csr);
        change(&mut answer);
        NodeSvid::parse(answer, "gpu-17", request.key, &now()).err()
    }

    #[test]
    fn an_answer_for_this_key_and_node_is_taken() {
        assert_eq!(refusal(|_| ()), None);
    }

    #[test]
    fn a_node_of_another_name_is_refused() {
        for path in ["/node/gpu-18", "/node/gpu-17/a", "/ns/node/sa/gpu-17"] {
            let request = Request::generate().unwrap();
            let answer = answer(&Authority::new(FLEET), path, &request.csr);
            let refused = NodeSvid::parse(answer, "gpu-17", request.key, &now()).err();
            assert!(matches!(refused, Some(Unusable::OtherId { .. })), "{path}: {refused:?}");
        }
    }

    #[test]
    fn a_certificate_for_another_key_is_refused() {
        let (request, other) = (Request::generate().unwrap(), Request::generate().unwrap());
        let answer = answer(&Authority::new(FLEET), "/node/gpu-17", &other.csr);
        let refused = NodeSvid::parse(answer, "gpu-17", request.key, &now()).err();
        assert!(matches!(refused, Some(Unusable::Key(_))), "{refused:?}");
    }

    #[test]
    fn an_answer_without_authorities_of_its_own_is_refused() {
        assert_eq!(refusal(|a| a.authorities_pem.clear()), Some(Unusable::Missing("authorities_pem")));
        let foreign = Authority::new("other.example").bundle_pem();
        assert_eq!(refusal(|a| a.authorities_pem = foreign), Some(Unusable::Authorities));
        let broken = refusal(|a| a.authorities_pem = "no PEM".to_owned());
        assert!(matches!(broken, Some(Unusable::Certificate("authorities_pem", _))), "{broken:?}");
        assert_eq!(refusal(|a| a.certificates.clear()), Some(Unusable::Missing("certificates")));
    }
}
