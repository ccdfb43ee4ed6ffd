//! Putting together what a workload is given: its certificate, and whom it may trust.

use std::collections::BTreeMap;
use std::sync::Arc;

use enforcer_core::identity::bundle::Trust;
use enforcer_core::identity::entitle::Entitlements;
use enforcer_core::identity::lifecycle::State;
use enforcer_core::identity::trust_domain::TrustDomain;

use super::domain::Domain;
use super::member::Member;
use super::trust;
use crate::identity::svid::{Crls, Material, Standing};

/// What workloads are put together from.
pub(super) struct Stock<'a> {
    pub(super) entitlements: &'a Entitlements,
    pub(super) trust: &'a Trust,
    pub(super) domains: &'a BTreeMap<TrustDomain, Domain>,
    pub(super) node: &'a str,
}

impl Stock<'_> {
    /// Where a workload stands.
    pub(super) fn standing(&self, member: &Member) -> Standing {
        match (&member.state, &member.svid) {
            (State::Valid(_) | State::Renewing(..), Some(_)) => self.granted(member),
            (State::Denied(reason, _) | State::Revoked(reason), _) => Standing::Closed(Arc::clone(reason)),
            (
                State::Absent
                | State::Requesting(_)
                | State::Expired(_)
                | State::Valid(_)
                | State::Renewing(..),
                _,
            ) => Standing::Waiting,
        }
    }

    fn granted(&self, member: &Member) -> Standing {
        let own = &member.entitlement.domain;
        let Some(svid) = &member.svid else { return Standing::Waiting };
        // Trust that was there and is not any more: what was handed out is taken back.
        let Some(bundle) = self.trust.bundles.get(own) else {
            return Standing::Closed(trust::NO_BUNDLE.into());
        };
        if bundle.x509.is_empty() {
            return Standing::Closed(trust::NO_BUNDLE.into());
        }
        let others = self.entitlements.domains.get(own).map(|domain| &domain.federates_with);
        let federated: BTreeMap<_, _> = others
            .into_iter()
            .flatten()
            .filter_map(|domain| Some((domain.clone(), Arc::clone(self.trust.bundles.get(domain)?))))
            .collect();
        let crls =
            std::iter::once(own).chain(federated.keys()).filter_map(|domain| self.crls(domain)).collect();
        let (svid, bundle) = (Arc::clone(svid), Arc::clone(bundle));
        Standing::Granted(Arc::new(Material { svid, bundle, federated, crls }))
    }

    /// Lists of a trust domain, when they are complete: who checks lists refuses every issuer that has none, and
    /// this node has those of its own node CAs only.
    fn crls(&self, domain: &TrustDomain) -> Option<(TrustDomain, Crls)> {
        let placed = self.entitlements.domains.get(domain)?;
        let is_here_alone = placed.nodes.iter().all(|node| node.as_deref().unwrap_or(self.node) == self.node);
        let here = self.domains.get(domain)?;
        let is_complete = is_here_alone && !here.crls.is_empty() && here.unlisted.is_empty();
        is_complete.then(|| (domain.clone(), here.crls.clone()))
    }
}
