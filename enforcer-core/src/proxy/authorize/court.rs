//! Judgement under one revision of the policy.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use enforcer_common::identity::{HOST, REMOTE_NODE, WORLD, is_tenant};
use enforcer_common::maps::{INTERCEPT_PORT, TUNNEL_PORT};
use enforcer_common::policy::{Question, decide};
use enforcer_common::verdict::{ALLOW, AUDIT, DENY, Verdict, action_name};
use enforcer_common::{packet, reason};

use super::parties::{Inbound, Outbound, Parties};
use super::permit::{Permit, Refusal};
use super::tables::OverTls;
use crate::event::names::rule_name;
use crate::node::NodeFacts;
use crate::policy::compile::{compile_tenant, node};
use crate::policy::explain::reason_text;
use crate::policy::image::TenantImage;
use crate::policy::model::{Holder, Name, Policy, Tenant, UnixNanos, Workload};

/// Compiled tenants that are kept: each takes what its rules take, and a node carries the flows of few.
const IMAGES_MAX: usize = 1024;

type Compiled = Arc<OnceLock<TenantImage>>;

/// One revision of the policy, on this node.
pub struct Court {
    policy: Arc<Policy>,
    facts: Arc<NodeFacts>,
    revision: u64,
    images: RwLock<BTreeMap<u32, Compiled>>,
}

/// Both ends, found out.
struct Found<'a> {
    source: &'a Tenant,
    destination: &'a Tenant,
    /// When the first lease of an end's address or workload ends.
    lapses: Option<UnixNanos>,
}

/// Who an address belongs to.
struct Held<'a> {
    identity: u32,
    tenant: Option<&'a Tenant>,
    lapses: Option<UnixNanos>,
}

impl Court {
    /// A court for this revision, which compiles each tenant when its first flow comes.
    #[must_use]
    pub const fn new(policy: Arc<Policy>, facts: Arc<NodeFacts>, revision: u64) -> Self {
        Self { policy, facts, revision, images: RwLock::new(BTreeMap::new()) }
    }

    /// The revision.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The policy.
    #[must_use]
    pub const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Whether a flow between these may go through the tunnel at this time.
    ///
    /// # Errors
    /// It may not.
    pub fn authorize(&self, parties: &Parties, now: UnixNanos) -> Result<Permit, Refusal> {
        let destination = parties.destination();
        if matches!(destination.port(), TUNNEL_PORT | INTERCEPT_PORT) {
            let detail = format!("port {} is the agent's own", destination.port());
            return Err(Refusal::unasked(reason::TUNNEL_TARGET, detail));
        }
        let found = match parties {
            Parties::Outbound(outbound) => self.find_outbound(outbound)?,
            Parties::Inbound(inbound) => self.find_inbound(inbound)?,
        };
        let verdict = self.decide(&found, destination.port(), now);
        self.answer(&found, &verdict)
    }

    fn find_outbound(&self, parties: &Outbound) -> Result<Found<'_>, Refusal> {
        let Outbound { workload, identity, own, source: _, destination, peer } = parties;
        let (workload, source) = self.own(workload, own)?;
        if source.id != *identity {
            let detail = format!("the kernel knows the socket as tenant {identity}, not {}", source.name);
            return Err(Refusal::unasked(reason::TUNNEL_IDENTITY, detail));
        }
        let held = self.held(destination.ip());
        let Some(destination) = held.tenant else { return Err(no_tenant(destination.ip(), held.identity)) };
        if let Some(peer) = peer {
            same(&destination.name, peer)?;
        }
        Ok(Found { source, destination, lapses: first(workload.lease_until, held.lapses) })
    }

    fn find_inbound(&self, parties: &Inbound) -> Result<Found<'_>, Refusal> {
        let Inbound { workload, own, carrier, source, destination, peer } = parties;
        let (workload, own) = self.own(workload, own)?;
        self.is_of(workload, *destination)?;
        if source.ip().to_canonical() != carrier.to_canonical() {
            let detail = format!("a flow from {} came in a connection from {carrier}", source.ip());
            return Err(Refusal::unasked(reason::TUNNEL_IDENTITY, detail));
        }
        let held = self.held(source.ip());
        let source = match (held.tenant, held.identity) {
            (Some(tenant), _) => same(&tenant.name, peer).map(|()| tenant)?,
            // The workload shares its node's address: the certificate alone says whose it is.
            (None, REMOTE_NODE | HOST) => self.policy.tenants.get(peer).ok_or_else(|| unknown(peer))?,
            (None, identity) => return Err(no_tenant(source.ip(), identity)),
        };
        Ok(Found { source, destination: own, lapses: first(workload.lease_until, held.lapses) })
    }

    /// A workload of this node, and its tenant, which its certificate must name.
    fn own(&self, name: &Name, certified: &Name) -> Result<(&Workload, &Tenant), Refusal> {
        let workload =
            self.policy.workloads.get(name).filter(|workload| node::is_local(&self.facts, workload));
        let Some(workload) = workload else {
            let detail = format!("this node has no workload {name} any more");
            return Err(Refusal::unasked(reason::TUNNEL_IDENTITY, detail));
        };
        same(&workload.tenant, certified)?;
        let tenant = self.policy.tenants.get(&workload.tenant).ok_or_else(|| unknown(&workload.tenant))?;
        Ok((workload, tenant))
    }

    /// The address that a flow asks for is the workload's at whose listener it arrived.
    fn is_of(&self, workload: &Workload, destination: SocketAddr) -> Result<(), Refusal> {
        let address = destination.ip().to_canonical();
        match self.policy.index.holder.get(&address) {
            Some(Holder::Workload(name))
                if *name == workload.name && !self.facts.addresses.contains(&address) =>
            {
                Ok(())
            }
            _ => {
                let detail = format!("{address} is not an address of workload {}", workload.name);
                Err(Refusal::unasked(reason::TUNNEL_TARGET, detail))
            }
        }
    }

    /// Who holds an address, to the kernel too.
    fn held(&self, address: IpAddr) -> Held<'_> {
        let address = address.to_canonical();
        let Some(value) = node::address(&self.policy, &self.facts, address) else {
            return Held { identity: WORLD, tenant: None, lapses: None };
        };
        let tenant = self.policy.index.tenant_by_id.get(&value.identity);
        Held {
            identity: value.identity,
            tenant: tenant.and_then(|name| self.policy.tenants.get(name)).map(AsRef::as_ref),
            lapses: self.lease(address),
        }
    }

    fn lease(&self, address: IpAddr) -> Option<UnixNanos> {
        match self.policy.index.holder.get(&address)? {
            Holder::Workload(name) => self.policy.workloads.get(name)?.lease_until,
            Holder::Binding => self.policy.bindings.get(&address)?.lease_until,
        }
    }

    fn decide(&self, found: &Found<'_>, service: u16, now: UnixNanos) -> Verdict {
        let images = [found.source, found.destination].map(|tenant| self.image(tenant));
        let [source, destination] = &images;
        let question = Question {
            source: found.source.id,
            destination: found.destination.id,
            expired: u32::from(found.lapses.is_some_and(|until| until < now)),
            // Over TLS it makes no difference: see `tables`.
            same_node: 0,
            remote: [0; 16],
            protocol: packet::PROTOCOL_TCP,
            service,
        };
        decide(&OverTls([source.get(), destination.get()]), &question)
    }

    fn answer(&self, found: &Found<'_>, verdict: &Verdict) -> Result<Permit, Refusal> {
        let name = |rule| Name::from(rule_name(&self.policy, rule));
        let audited = match verdict.action {
            ALLOW => None,
            AUDIT => Some(verdict.reason),
            _ => {
                return Err(Refusal {
                    reason: verdict.reason,
                    rule: Some(name(verdict.rule)),
                    detail: reason_text(verdict.reason).to_owned(),
                });
            }
        };
        let would_be = if verdict.action == AUDIT { DENY } else { verdict.action };
        let has_shadow = verdict.shadow_rule != 0 && verdict.shadow_action != would_be;
        Ok(Permit {
            revision: self.revision,
            rule: verdict.rule,
            rule_name: name(verdict.rule),
            source: Name::clone(&found.source.name),
            destination: Name::clone(&found.destination.name),
            audited,
            shadow: has_shadow.then(|| (name(verdict.shadow_rule), action_name(verdict.shadow_action))),
            // Inside a tenant a lease decides nothing.
            lapses: found.lapses.filter(|_| found.source.id != found.destination.id),
        })
    }

    /// A tenant's tables. Who comes while they are compiled waits; who comes for another tenant does not.
    fn image(&self, tenant: &Tenant) -> Compiled {
        let compiled = self.compiled(tenant.id);
        compiled.get_or_init(|| compile_tenant(&self.policy, tenant, &self.facts));
        compiled
    }

    fn compiled(&self, id: u32) -> Compiled {
        let images = self.images.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = images.get(&id) {
            return Arc::clone(compiled);
        }
        drop(images);
        let mut images = self.images.write().unwrap_or_else(PoisonError::into_inner);
        if images.len() >= IMAGES_MAX && !images.contains_key(&id) {
            images.clear();
        }
        Arc::clone(images.entry(id).or_default())
    }
}

impl fmt::Debug for Court {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Court").field("revision", &self.revision).finish_non_exhaustive()
    }
}

fn same(known: &Name, certified: &Name) -> Result<(), Refusal> {
    if known == certified {
        return Ok(());
    }
    let detail = format!("the kernel knows that end as tenant {known}, its certificate as {certified}");
    Err(Refusal::unasked(reason::TUNNEL_IDENTITY, detail))
}

fn unknown(tenant: &Name) -> Refusal {
    Refusal::unasked(reason::TENANT_UNKNOWN, format!("the policy has no tenant {tenant}"))
}

fn no_tenant(address: IpAddr, identity: u32) -> Refusal {
    let whose = enforcer_common::identity::reserved_name(identity).unwrap_or("nobody");
    let detail = format!("{address} is no tenant's to the kernel: it is {whose}'s");
    Refusal::unasked(
        if is_tenant(identity) { reason::TENANT_UNKNOWN } else { reason::TUNNEL_IDENTITY },
        detail,
    )
}

fn first(a: Option<UnixNanos>, b: Option<UnixNanos>) -> Option<UnixNanos> {
    a.into_iter().chain(b).min()
}
