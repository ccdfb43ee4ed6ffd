//! What operators ask of the keeper, and what they are told.

use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::bundle::Bundle;
use enforcer_core::identity::jwks;
use enforcer_core::identity::lifecycle::{Attempt, Event, State};
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::policy::model::Name;
use enforcer_proto::v1;
use rustls_pki_types::CertificateDer;
use tokio::sync::oneshot;
use tracing::info;

use super::member::Member;
use super::run::Keeper;
use super::task::Outcome;
use crate::door::identity::{Answer, Command, Enrolled, Order, Refused};
use crate::door::upstream::Target;
use crate::hex::hex;
use crate::identity::pem;
use crate::identity::told::Told;

impl Keeper {
    /// Answers, at once or when the authority has.
    pub(super) fn answer(&mut self, command: Command) {
        match command {
            Command::List(tenant, reply) => drop(reply.send(self.list(tenant.as_ref()))),
            Command::Show(name, reply) => drop(reply.send(self.show(&name))),
            Command::Revoke(order, reply) => self.revoke(order, reply),
            Command::Restore(order, reply) => self.restore(order, reply),
            Command::Rotate(target, reply) => drop(reply.send(self.rotate(target.as_ref()))),
            Command::RotateAuthority(target, reply) => self.rotate_authority(target, reply),
            Command::Enroll(node, csr, reply) => self.enroll(node, csr, reply),
            Command::Metrics(reply) => drop(reply.send(self.metrics())),
        }
    }

    pub(super) fn list(&self, tenant: Option<&Name>) -> v1::ListIdentitiesResponse {
        let wanted = |of: &Name| tenant.is_none_or(|tenant| tenant == of);
        let members = self.members.iter().filter(|(_, member)| wanted(&member.entitlement.tenant));
        let domains = self.trust.bundles.iter().filter(|(domain, _)| match self.tenant_of(domain) {
            Some(of) => tenant.is_none_or(|tenant| **tenant == *of),
            None => tenant.is_none(),
        });
        let health = self.health.borrow().clone();
        v1::ListIdentitiesResponse {
            identities: members.map(|(name, member)| self.identity(name, member)).collect(),
            trust_domains: domains.map(|(domain, bundle)| self.trust_domain(domain, bundle)).collect(),
            health: Some(v1::IdentityHealth {
                enabled: true,
                ready: health.ready,
                warnings: health.warnings,
                trust_domain: self.entitlements.fleet.to_string(),
                upstream: self.upstream.kind().to_owned(),
                key_encryption_key: self.shelf.0.kek_kind().to_owned(),
                key_encryption_key_id: self.shelf.0.kek_id(),
                sealed_with_older_keys: self.shelf.0.sealed_with_older().unwrap_or(u32::MAX),
            }),
        }
    }

    fn tenant_of<'a>(&self, domain: &'a TrustDomain) -> Option<&'a str> {
        domain.tenant(&self.entitlements.fleet)
    }

    fn show(&self, name: &Name) -> Option<v1::ShowIdentityResponse> {
        let member = self.members.get(name)?;
        let chain_pem = member.svid.as_ref().map(|svid| pem::certificates(&svid.chain)).unwrap_or_default();
        Some(v1::ShowIdentityResponse { identity: Some(self.identity(name, member)), chain_pem })
    }

    fn identity(&self, name: &Name, member: &Member) -> v1::Identity {
        let now = (self.clock)();
        let (state, reason, attempt) = words(&member.state);
        let term = member.state.term();
        let left = term.map(|term| term.not_after.saturating_sub(now).as_secs());
        let federates = self.entitlements.domains.get(&member.entitlement.domain);
        let followers = self.wallet.followers(name);
        v1::Identity {
            workload: name.to_string(),
            tenant: member.entitlement.tenant.to_string(),
            spiffe_id: member.id().map(ToString::to_string).unwrap_or_default(),
            state: state.into(),
            reason,
            serial: member.svid.as_ref().map(|svid| hex(&svid.serial)).unwrap_or_default(),
            not_before: term.map(|term| timestamp(term.not_before)),
            not_after: term.map(|term| timestamp(term.not_after)),
            renew_at: term.map(|term| timestamp(term.renew_at)),
            seconds_to_expiry: left.map(|left| i64::try_from(left).unwrap_or(i64::MAX)),
            failures: attempt.map_or(0, |attempt| attempt.failures),
            issued: member.issued,
            federates_with: federates
                .into_iter()
                .flat_map(|domain| &domain.federates_with)
                .map(ToString::to_string)
                .collect(),
            streams: u32::try_from(followers).unwrap_or(u32::MAX),
        }
    }

    fn trust_domain(&self, name: &TrustDomain, bundle: &Bundle) -> v1::TrustDomain {
        let tenant = self.tenant_of(name);
        let revoked = tenant.is_some_and(|tenant| self.trust.revoked.tenants.contains(tenant));
        let term = self.domains.get(name).and_then(super::domain::Domain::term);
        v1::TrustDomain {
            name: name.to_string(),
            tenant: tenant.unwrap_or_default().to_owned(),
            bundle: jwks::write(bundle),
            sequence: bundle.sequence,
            node_ca_not_after: term.map(|term| timestamp(term.not_after)),
            authorities_not_after: bundle.x509.iter().filter_map(|one| end_of(one)).collect(),
            revoked,
            authorities_pem: pem::certificates(&bundle.x509),
        }
    }

    /// Workloads of this node that are meant.
    fn meant(&self, target: Option<&Target>) -> Vec<Name> {
        let is_meant = |(name, member): &(&Name, &Member)| match target {
            None => true,
            Some(Target::Workload(wanted)) => *name == wanted,
            Some(Target::Tenant(tenant)) => member.entitlement.tenant == *tenant,
            Some(Target::SpiffeId(id)) => member.id() == Some(id),
        };
        self.members.iter().filter(is_meant).map(|(name, _)| Arc::clone(name)).collect()
    }

    /// Somebody of the policy, here or elsewhere.
    fn is_known(&self, target: &Target) -> bool {
        match target {
            Target::Workload(name) => self.entitlements.members.contains_key(name),
            Target::Tenant(tenant) => {
                self.entitlements.domains.values().any(|domain| domain.tenant == *tenant)
            }
            // A node is somebody, also one that the policy has nothing on.
            Target::SpiffeId(id) => {
                let is_node = TrustDomain::from(id) == self.entitlements.fleet;
                is_node || self.entitlements.members.values().any(|member| member.id.as_ref() == Ok(id))
            }
        }
    }

    fn revoke(&self, order: Order, reply: oneshot::Sender<Answer>) {
        let Order { target, reason, author } = order;
        if !self.is_known(&target) {
            drop(reply.send(Err(Refused::Unknown(target))));
            return;
        }
        info!(%target, reason, author, "revoking");
        self.tell_order("revoke_ordered", &target, &author, &reason);
        let names = self.meant(Some(&target)).iter().map(ToString::to_string).collect();
        let upstream = Arc::clone(&self.upstream);
        self.tell(reply, async move { upstream.revoke(&target).await.map(|()| names) });
    }

    /// Also of somebody whom the policy no longer has: a revocation outlives its workload.
    fn restore(&self, order: Order, reply: oneshot::Sender<Answer>) {
        let Order { target, author, .. } = order;
        let revoked = &self.trust.revoked;
        let is_revoked = match &target {
            Target::Workload(name) => revoked.workloads.contains(name),
            Target::Tenant(name) => revoked.tenants.contains(name),
            Target::SpiffeId(id) => revoked.spiffe_ids.contains(id),
        };
        if !is_revoked {
            drop(reply.send(Err(Refused::Senseless("it is not revoked in these words"))));
            return;
        }
        info!(%target, author, "taking a revocation back");
        self.tell_order("restored", &target, &author, "");
        let names = self.meant(Some(&target)).iter().map(ToString::to_string).collect();
        let upstream = Arc::clone(&self.upstream);
        self.tell(reply, async move { upstream.restore(&target).await.map(|()| names) });
    }

    /// For the tenant that it is about, where that is one.
    fn tell_order(&self, event: &'static str, target: &Target, author: &str, reason: &str) {
        let workload = match target {
            Target::Workload(name) => Some(name),
            Target::Tenant(_) => None,
            Target::SpiffeId(id) => {
                let mut members = self.entitlements.members.iter();
                members.find(|(_, member)| member.id.as_ref() == Ok(id)).map(|(name, _)| name)
            }
        };
        let tenant = match target {
            Target::Tenant(tenant) => Some(tenant),
            Target::Workload(_) | Target::SpiffeId(_) => {
                workload.and_then(|name| self.entitlements.members.get(name)).map(|member| &member.tenant)
            }
        };
        let told = Told {
            event,
            tenant: tenant.map_or("", |tenant| tenant),
            workload: workload.map_or("", |name| name),
            subject: target.to_string(),
            actor: author,
            message: reason,
            ..Told::default()
        };
        (self.tell)(told.record());
    }

    fn rotate(&mut self, target: Option<&Target>) -> Answer {
        let meant = self.meant(target);
        if let (Some(target), true) = (target, meant.is_empty()) {
            return Err(Refused::Unknown(target.clone()));
        }
        for name in &meant {
            self.apply(name, Event::Rotate);
        }
        Ok(meant.iter().map(ToString::to_string).collect())
    }

    fn rotate_authority(&self, target: Option<Target>, reply: oneshot::Sender<Answer>) {
        let domains: Vec<TrustDomain> = match &target {
            None => self.trust.bundles.keys().cloned().collect(),
            Some(Target::Tenant(tenant)) => {
                let of = |domain: &&TrustDomain| self.tenant_of(domain) == Some(&**tenant);
                self.trust.bundles.keys().filter(of).cloned().collect()
            }
            Some(Target::Workload(_) | Target::SpiffeId(_)) => {
                let message = "an authority is a tenant's: name the tenant, or nobody for all";
                drop(reply.send(Err(Refused::Senseless(message))));
                return;
            }
        };
        if let (Some(target), true) = (target, domains.is_empty()) {
            drop(reply.send(Err(Refused::Unknown(target))));
            return;
        }
        let upstream = Arc::clone(&self.upstream);
        self.tell(reply, async move {
            for domain in &domains {
                upstream.rotate(domain).await?;
            }
            Ok(domains.iter().map(ToString::to_string).collect())
        });
    }

    fn enroll(&self, node: String, csr: Vec<u8>, reply: oneshot::Sender<Result<Enrolled, Refused>>) {
        if self.entitlements.fleet.member(&format!("/node/{node}")).is_err() || node.contains('/') {
            let message = "a node's name is one of letters, digits, '-' and '.'";
            drop(reply.send(Err(Refused::Senseless(message))));
            return;
        }
        if self.upstream.kind() == "grpc" || node == self.node {
            let message = "enrol other nodes, where the authority is";
            drop(reply.send(Err(Refused::Senseless(message))));
            return;
        }
        info!(node, "enrolling a node");
        let bundle = self.trust.bundles.get(&self.entitlements.fleet);
        let authorities_pem = bundle.map(|bundle| pem::certificates(&bundle.x509)).unwrap_or_default();
        let upstream = Arc::clone(&self.upstream);
        tokio::spawn(async move {
            let chain = upstream.node_svid(&node, &csr).await;
            let enrolled = chain.map(|chain| Enrolled { chain, authorities_pem });
            drop(reply.send(enrolled.map_err(|error| Refused::Upstream(error.to_string()))));
        });
    }

    /// Has the authority asked, and whoever asked us told once we have learned what followed.
    fn tell(
        &self,
        reply: oneshot::Sender<Answer>,
        asked: impl Future<Output = Result<Vec<String>, crate::door::upstream::UpstreamError>> + Send + 'static,
    ) {
        let outcomes = self.outcomes.clone();
        tokio::spawn(async move {
            let answer = asked.await.map_err(|error| Refused::Upstream(error.to_string()));
            let _stopping = outcomes.send(Outcome::Told(reply, answer)).await;
        });
    }
}

/// The state as the wire has it, why it is what it is, and the attempt that goes on.
fn words(state: &State) -> (v1::IdentityState, String, Option<&Attempt>) {
    use v1::IdentityState as Word;
    match state {
        State::Absent => (Word::Absent, "not on this node".to_owned(), None),
        State::Requesting(attempt) => (Word::Requesting, String::new(), Some(attempt)),
        State::Valid(_) => (Word::Valid, String::new(), None),
        State::Renewing(_, attempt) => (Word::Renewing, String::new(), Some(attempt)),
        State::Expired(attempt) => (Word::Expired, "no successor came in time".to_owned(), Some(attempt)),
        State::Denied(reason, attempt) => (Word::Denied, reason.to_string(), attempt.as_ref()),
        State::Revoked(reason) => (Word::Revoked, reason.to_string(), None),
    }
}

/// The state as metrics have it.
pub(super) const fn state_word(state: v1::IdentityState) -> &'static str {
    use v1::IdentityState as Word;
    match state {
        Word::Unspecified => "unspecified",
        Word::Absent => "absent",
        Word::Requesting => "requesting",
        Word::Valid => "valid",
        Word::Renewing => "renewing",
        Word::Expired => "expired",
        Word::Denied => "denied",
        Word::Revoked => "revoked",
    }
}

fn timestamp(since: Duration) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or_default(),
    }
}

fn end_of(certificate: &CertificateDer<'_>) -> Option<prost_types::Timestamp> {
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(prost_types::Timestamp { seconds: certificate.validity().not_after.timestamp(), nanos: 0 })
}
