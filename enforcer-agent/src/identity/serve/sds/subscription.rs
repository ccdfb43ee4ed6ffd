//! What one stream has asked for and been told: the part that both forms of the protocol share. It knows no
//! socket: requests go in, secrets to send come out.

use std::collections::BTreeMap;

use enforcer_core::identity::spiffe_id;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use prost::Name as _;
use tonic::Status;

use super::nobody::Nobody;
use super::secret::{self, Asked, Packed};
use crate::identity::serve::limits::SECRETS_PER_STREAM_MAX;
use crate::identity::svid::Material;

/// By name.
#[derive(Debug, Default)]
pub(super) struct Subscription(BTreeMap<String, Subscribed>);

#[derive(Debug, Default)]
struct Subscribed {
    /// What the name means, once the caller was given it.
    granted: Option<Asked>,
    /// The version that was sent last, or that the caller says it has.
    version: Option<String>,
}

impl Subscription {
    /// Asks for a secret, again if need be. `version` is what the caller has of it.
    pub(super) fn add(&mut self, name: String, version: Option<String>) -> Result<(), Status> {
        if name.len() > spiffe_id::MAX_BYTES {
            return Err(Status::invalid_argument("the name of a secret is too long"));
        }
        self.0.entry(name).or_default().version = version;
        if self.0.len() > SECRETS_PER_STREAM_MAX {
            return Err(Status::resource_exhausted("too many secrets on one stream"));
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Asks for these and no others; true when that is something new.
    pub(super) fn replace(&mut self, names: Vec<String>) -> Result<bool, Status> {
        let before = self.0.len();
        self.0.retain(|name, _| names.contains(name));
        let mut is_new = self.0.len() != before;
        for name in names {
            if !self.0.contains_key(&name) {
                is_new = true;
                self.add(name, None)?;
            }
        }
        Ok(is_new)
    }

    /// Every secret as it is now.
    pub(super) fn pack(&mut self, material: &Material, nobody: &Nobody) -> Result<Vec<Packed>, Status> {
        self.0.iter_mut().map(|(name, subscribed)| subscribed.pack(name, material, nobody)).collect()
    }

    /// Those that the caller does not have as they are now; it has them once they are sent.
    pub(super) fn pack_changed(
        &mut self,
        material: &Material,
        nobody: &Nobody,
    ) -> Result<Vec<Packed>, Status> {
        let mut changed = Vec::new();
        for (name, subscribed) in &mut self.0 {
            let packed = subscribed.pack(name, material, nobody)?;
            if subscribed.version.as_ref() != Some(&packed.version) {
                subscribed.version = Some(packed.version.clone());
                changed.push(packed);
            }
        }
        Ok(changed)
    }
}

impl Subscribed {
    /// A trust domain that was withdrawn is one that nobody belongs to: a secret that is merely not sent any more
    /// would be kept by the caller. What it never had is not there.
    fn pack(&mut self, name: &str, material: &Material, nobody: &Nobody) -> Result<Packed, Status> {
        let asked = match (secret::read(name, material), &self.granted) {
            (Some(asked), _) => asked,
            (None, Some(withdrawn @ Asked::Authorities(_))) => withdrawn.clone(),
            (None, _) => return Err(Status::not_found("there is no such secret for this workload")),
        };
        let packed = secret::pack(name, &asked, material, nobody);
        self.granted = Some(asked);
        Ok(packed)
    }
}

/// Secrets are all that is served here.
pub(super) fn check_type(type_url: &str) -> Result<(), Status> {
    if type_url.is_empty() || type_url == Secret::type_url() {
        return Ok(());
    }
    Err(Status::invalid_argument("only secrets are served here"))
}
