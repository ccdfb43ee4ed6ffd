//! The state of one `StreamSecrets` stream: each response holds everything that was asked for.

use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use prost::Name as _;
use tonic::Status;

use super::Heard;
use super::nobody::Nobody;
use super::secret::{Packed, digest};
use super::subscription::{Subscription, check_type};
use crate::identity::svid::Material;

/// What was asked, and what was answered last.
#[derive(Debug, Default)]
pub(super) struct Sotw {
    subscription: Subscription,
    responses: u64,
    /// The version that was sent last; none when whatever it is has to be sent.
    sent: Option<String>,
}

impl Sotw {
    /// Takes a request: a subscription, an acknowledgement, a rejection, or one that was sent before its sender
    /// saw the last response, which says nothing.
    pub(super) fn hear(&mut self, request: DiscoveryRequest) -> Result<Heard, Status> {
        check_type(&request.type_url)?;
        let is_first = request.response_nonce.is_empty();
        if !is_first && request.response_nonce != self.responses.to_string() {
            return Ok(Heard::Nothing);
        }
        if self.subscription.replace(request.resource_names)? || (is_first && self.sent.is_some()) {
            self.sent = None;
        }
        // What was rejected is as good as sent: it is not sent again before it changes.
        Ok(request.error_detail.map_or(Heard::Nothing, |error| Heard::Rejection(error.message)))
    }

    /// What is to be sent now, if anything.
    pub(super) fn answer(
        &mut self,
        material: &Material,
        nobody: &Nobody,
    ) -> Result<Option<DiscoveryResponse>, Status> {
        let packed = self.subscription.pack(material, nobody)?;
        let version = version(&packed);
        if packed.is_empty() || self.sent.as_ref() == Some(&version) {
            return Ok(None);
        }
        self.sent = Some(version.clone());
        self.responses += 1;
        Ok(Some(response(packed, version, self.responses.to_string())))
    }
}

/// The answer to a single `FetchSecrets`.
pub(super) fn fetch(
    request: DiscoveryRequest,
    material: &Material,
    nobody: &Nobody,
) -> Result<DiscoveryResponse, Status> {
    check_type(&request.type_url)?;
    if request.resource_names.is_empty() {
        return Err(Status::invalid_argument("no secret is asked for"));
    }
    let mut subscription = Subscription::default();
    subscription.replace(request.resource_names)?;
    let packed = subscription.pack(material, nobody)?;
    let version = version(&packed);
    Ok(response(packed, version, String::new()))
}

fn version(packed: &[Packed]) -> String {
    digest(packed.iter().flat_map(|one| [one.name.as_bytes(), one.version.as_bytes()]))
}

fn response(packed: Vec<Packed>, version: String, nonce: String) -> DiscoveryResponse {
    DiscoveryResponse {
        version_info: version,
        resources: packed.into_iter().map(|one| one.any).collect(),
        type_url: Secret::type_url(),
        nonce,
        ..DiscoveryResponse::default()
    }
}
