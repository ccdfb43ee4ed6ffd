//! The state of one `DeltaSecrets` stream: each response holds what the caller does not have.

use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource,
};
use prost::Name as _;
use tonic::Status;

use super::Heard;
use super::nobody::Nobody;
use super::secret::{Packed, digest};
use super::subscription::{Subscription, check_type};
use crate::identity::svid::Material;

/// What was asked.
#[derive(Debug, Default)]
pub(super) struct Delta {
    subscription: Subscription,
    responses: u64,
}

impl Delta {
    /// Takes a request: a subscription, its end, an acknowledgement or a rejection. Unlike in the other form,
    /// subscriptions count whatever response their sender had seen.
    pub(super) fn hear(&mut self, request: DeltaDiscoveryRequest) -> Result<Heard, Status> {
        check_type(&request.type_url)?;
        let mut has = request.initial_resource_versions;
        for name in request.resource_names_subscribe {
            let version = has.remove(&name);
            self.subscription.add(name, version)?;
        }
        for name in request.resource_names_unsubscribe {
            self.subscription.remove(&name);
        }
        // What was rejected is as good as sent: it is not sent again before it changes.
        Ok(request.error_detail.map_or(Heard::Nothing, |error| Heard::Rejection(error.message)))
    }

    /// What is to be sent now, if anything.
    pub(super) fn answer(
        &mut self,
        material: &Material,
        nobody: &Nobody,
    ) -> Result<Option<DeltaDiscoveryResponse>, Status> {
        let packed = self.subscription.pack_changed(material, nobody)?;
        if packed.is_empty() {
            return Ok(None);
        }
        self.responses += 1;
        Ok(Some(response(packed, self.responses.to_string())))
    }
}

fn response(packed: Vec<Packed>, nonce: String) -> DeltaDiscoveryResponse {
    let system_version_info = digest(packed.iter().map(|one| one.version.as_bytes()));
    let resources = packed.into_iter().map(|Packed { name, version, any }| Resource {
        name,
        version,
        resource: Some(any),
        ..Resource::default()
    });
    DeltaDiscoveryResponse {
        system_version_info,
        resources: resources.collect(),
        type_url: Secret::type_url(),
        nonce,
        ..DeltaDiscoveryResponse::default()
    }
}
