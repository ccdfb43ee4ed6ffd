//! Who is given what: each request against the policy and the revocations, and only then to a key.

use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::bundle::Revocations;
use enforcer_core::identity::entitle::Entitlements;
use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;
use rustls_pki_types::CertificateDer;
use tracing::info;

use super::domain::Domain;
use super::inner::{Inner, lock, refused, state_error};
use super::{csr, revoked};
use crate::door::upstream::{Target, UpstreamError};

/// Audiences of one token.
const AUDIENCES_MAX: usize = 16;
/// Bytes of one audience.
const AUDIENCE_MAX_BYTES: usize = 1024;

impl Inner {
    pub(super) fn node_ca(
        &self,
        node: &str,
        domain: &TrustDomain,
        csr: &[u8],
    ) -> Result<Vec<CertificateDer<'static>>, UpstreamError> {
        let entitlements = Arc::clone(&self.entitlements.borrow());
        if !entitlements.is_placed(domain, node, &self.config.own_node) {
            return Err(UpstreamError::Refused(format!(
                "the policy places no workload of {domain} on the node {node}"
            )));
        }
        self.node_is_not_revoked(node)?;
        self.domain_is_not_revoked(&entitlements, domain)?;
        let key = csr::parse(csr).map_err(|error| UpstreamError::Request(error.to_string()))?;
        let chain = self.with(domain, |room, tools| room.node_ca(tools, node, &key))?;
        info!(%domain, node, "a node CA was issued");
        Ok(chain)
    }

    pub(super) fn node_svid(
        &self,
        node: &str,
        csr: &[u8],
    ) -> Result<Vec<CertificateDer<'static>>, UpstreamError> {
        self.node_is_not_revoked(node)?;
        let id = self.config.node_id(node).map_err(|error| UpstreamError::Request(error.to_string()))?;
        let key = csr::parse(csr).map_err(|error| UpstreamError::Request(error.to_string()))?;
        // Another node is reached by its name: that alone the authority knows of it.
        let further = if node == self.config.own_node {
            self.config.further_names()
        } else {
            Ok(self.config.name_of_another(node).into_iter().collect())
        };
        let further = further.map_err(|error| refused(&error))?;
        let chain = self.with(&self.config.fleet, |room, tools| room.leaf(tools, &id, further, &key))?;
        info!(node, "a node's SVID was issued");
        Ok(chain)
    }

    pub(super) fn jwt_svid(
        &self,
        node: &str,
        id: &SpiffeId,
        audience: &[String],
        lifetime: Duration,
    ) -> Result<String, UpstreamError> {
        check_audience(audience)?;
        let entitlements = Arc::clone(&self.entitlements.borrow());
        if !entitlements.may_have(id, node, &self.config.own_node) {
            return Err(UpstreamError::Refused(format!("no workload of the node {node} has the ID {id}")));
        }
        self.node_is_not_revoked(node)?;
        let domain: TrustDomain =
            id.trust_domain().parse().map_err(|rule| UpstreamError::Request(format!("{id}: {rule}")))?;
        self.domain_is_not_revoked(&entitlements, &domain)?;
        self.member_is_not_revoked(&entitlements, id, node)?;
        let longest = self.config.lifetimes.jwt;
        let lifetime = if lifetime.is_zero() { longest } else { lifetime.min(longest) };
        self.with(&domain, |room, tools| room.token(tools, id, audience, lifetime))
    }

    pub(super) fn revoke(&self, target: &Target) -> Result<(), UpstreamError> {
        self.change_revocations(|revoked| match revoked::add(revoked, target) {
            Ok(new) => Ok(new),
            Err(why) => Err(UpstreamError::Request(why.to_string())),
        })?;
        info!(?target, "revoked");
        Ok(())
    }

    pub(super) fn restore(&self, target: &Target) -> Result<(), UpstreamError> {
        self.change_revocations(|revoked| Ok(revoked::take_back(revoked, target)))?;
        info!(?target, "restored");
        Ok(())
    }

    /// Changes who is revoked: kept first, then in force, then published.
    fn change_revocations(
        &self,
        change: impl FnOnce(&mut Revocations) -> Result<bool, UpstreamError>,
    ) -> Result<(), UpstreamError> {
        {
            let mut revoked = lock(&self.revoked);
            let mut changed = revoked.clone();
            if !change(&mut changed)? {
                return Ok(());
            }
            revoked::save(&self.vault, &changed).map_err(|error| state_error(&error))?;
            *revoked = changed;
        }
        self.publish();
        Ok(())
    }

    pub(super) fn rotate(&self, domain: &TrustDomain) -> Result<(), UpstreamError> {
        if *domain != self.config.fleet && !self.entitlements.borrow().domains.contains_key(domain) {
            return Err(UpstreamError::Refused(format!(
                "the policy has no tenant with the trust domain {domain}"
            )));
        }
        self.with(domain, Domain::rotate)?;
        info!(%domain, "a new authority is published");
        self.publish();
        Ok(())
    }

    fn domain_is_not_revoked(
        &self,
        entitlements: &Entitlements,
        domain: &TrustDomain,
    ) -> Result<(), UpstreamError> {
        if self.is_revoked(entitlements, domain) {
            return Err(UpstreamError::Revoked(format!("the tenant of {domain}")));
        }
        Ok(())
    }

    fn node_is_not_revoked(&self, node: &str) -> Result<(), UpstreamError> {
        let id = self.config.node_id(node).map_err(|error| UpstreamError::Request(error.to_string()))?;
        if lock(&self.revoked).spiffe_ids.contains(&id) {
            return Err(UpstreamError::Revoked(id.to_string()));
        }
        Ok(())
    }

    /// An ID may be shared: it is gone when it is revoked, or every workload of the node that has it.
    fn member_is_not_revoked(
        &self,
        entitlements: &Entitlements,
        id: &SpiffeId,
        node: &str,
    ) -> Result<(), UpstreamError> {
        let own = self.config.own_node.as_str();
        let revoked = lock(&self.revoked);
        let holds = entitlements.members.iter().any(|(workload, member)| {
            member.id.as_ref() == Ok(id)
                && member.node.as_deref().unwrap_or(own) == node
                && !revoked.workloads.contains(workload)
        });
        if holds && !revoked.spiffe_ids.contains(id) {
            return Ok(());
        }
        Err(UpstreamError::Revoked(id.to_string()))
    }
}

fn check_audience(audience: &[String]) -> Result<(), UpstreamError> {
    let error = |what: &str| Err(UpstreamError::Request(what.to_owned()));
    if audience.is_empty() {
        return error("a JWT-SVID is for somebody: the audience is empty");
    }
    if audience.len() > AUDIENCES_MAX {
        return error("the audience has too many names");
    }
    if audience.iter().any(|name| name.is_empty() || name.len() > AUDIENCE_MAX_BYTES) {
        return error("a name in the audience is empty or too long");
    }
    Ok(())
}
