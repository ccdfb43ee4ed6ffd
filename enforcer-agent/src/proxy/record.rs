//! What is told of tunnelled flows: one record when a flow opens, one when it ends or is refused.

use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use enforcer_common::{reason, verdict};
use enforcer_core::event::record::TUNNEL;
use enforcer_core::policy::model::{Holder, Name, Policy};
use enforcer_core::proxy::authorize::{Permit, Refusal};
use enforcer_core::proxy::trace::TraceId;
use enforcer_proto::v1;

/// Where on the agent's side a flow was looked at: the hook of its records.
const HOOK: &str = "tunnel";
/// `Record.carriage`.
const CARRIAGE: &str = "tunnel";

/// Both ends of a connection, as far as they are known; filled in on the way.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) direction: Direction,
    pub(super) hop: &'static str,
    pub(super) source: Shown,
    pub(super) destination: Shown,
    pub(super) trace: TraceId,
    pub(super) resumed: bool,
    pub(super) reused: bool,
    pub(super) cookie: u64,
}

/// Which way a flow goes through this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Direction {
    /// It was intercepted here.
    #[default]
    Outbound,
    /// It is handed to its workload here.
    Inbound,
}

impl Direction {
    const fn word(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }
}

/// A certificate that an end showed.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) serial: String,
}

/// What a flow carried, and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) bytes_forward: u64,
    pub(super) bytes_back: u64,
    pub(super) end: &'static str,
    pub(super) detail: String,
}

/// What a record needs to name the ends of a flow.
pub(super) struct Teller<'a> {
    pub(super) node: &'a str,
    pub(super) policy: &'a Policy,
    pub(super) revision: u64,
}

impl Teller<'_> {
    pub(super) fn opened(
        &self,
        facts: &Facts,
        (source, destination): (SocketAddr, SocketAddr),
        permit: &Permit,
    ) -> v1::Record {
        let facts = self.facts(facts, "opened", &Outcome::default());
        self.permitted(facts, (source, destination), permit)
    }

    pub(super) fn closed(
        &self,
        facts: &Facts,
        (source, destination): (SocketAddr, SocketAddr),
        permit: &Permit,
        outcome: &Outcome,
    ) -> v1::Record {
        self.permitted(self.facts(facts, "closed", outcome), (source, destination), permit)
    }

    pub(super) fn refused(
        &self,
        facts: &Facts,
        (source, destination): (SocketAddr, SocketAddr),
        refusal: &Refusal,
    ) -> v1::Record {
        let outcome = Outcome { detail: refusal.detail.clone(), ..Outcome::default() };
        v1::Record {
            verdict: verdict::action_name(verdict::DENY).to_owned(),
            reason: reason::name(refusal.reason).to_owned(),
            rule: refusal.rule.as_deref().unwrap_or_default().to_owned(),
            ..self.common(self.facts(facts, "refused", &outcome), (source, destination))
        }
    }

    fn permitted(
        &self,
        facts: v1::TunnelFacts,
        ends: (SocketAddr, SocketAddr),
        permit: &Permit,
    ) -> v1::Record {
        let action = if permit.audited().is_some() { verdict::AUDIT } else { verdict::ALLOW };
        v1::Record {
            verdict: verdict::action_name(action).to_owned(),
            reason: permit.audited().map_or_else(String::new, |reason| reason::name(reason).to_owned()),
            rule: permit.rule_name().to_string(),
            shadow_rule: permit.shadow().map_or_else(String::new, |(rule, _)| rule.to_string()),
            ..self.common(facts, ends)
        }
    }

    fn common(&self, facts: v1::TunnelFacts, (source, destination): (SocketAddr, SocketAddr)) -> v1::Record {
        v1::Record {
            time: Some(SystemTime::now().into()),
            node: self.node.to_owned(),
            r#type: TUNNEL.to_owned(),
            revision: self.revision,
            hook: HOOK.to_owned(),
            source: Some(self.endpoint(source)),
            destination: Some(self.endpoint(destination)),
            protocol: "TCP".to_owned(),
            carriage: CARRIAGE.to_owned(),
            tunnel: Some(facts),
            ..v1::Record::default()
        }
    }

    fn facts(&self, facts: &Facts, event: &str, outcome: &Outcome) -> v1::TunnelFacts {
        let Facts { direction, hop, source, destination, trace, resumed, reused, cookie } = facts;
        v1::TunnelFacts {
            event: event.to_owned(),
            direction: direction.word().to_owned(),
            hop: (*hop).to_owned(),
            source_id: source.id.clone(),
            source_serial: source.serial.clone(),
            destination_id: destination.id.clone(),
            destination_serial: destination.serial.clone(),
            trace_id: trace.to_string(),
            bytes_forward: outcome.bytes_forward,
            bytes_back: outcome.bytes_back,
            end: outcome.end.to_owned(),
            resumed: *resumed,
            reused: *reused,
            cookie: *cookie,
            detail: outcome.detail.clone(),
        }
    }

    /// Who holds an address, as the policy says: what the certificates say stands beside it.
    pub(super) fn endpoint(&self, at: SocketAddr) -> v1::Endpoint {
        let (identity, workload) = self.holder(at.ip().to_canonical());
        v1::Endpoint {
            identity,
            workload: workload.map_or_else(String::new, |name| name.to_string()),
            address: at.ip().to_canonical().to_string(),
            port: u32::from(at.port()),
        }
    }

    fn holder(&self, address: IpAddr) -> (String, Option<&Name>) {
        let unknown = || ("unknown".to_owned(), None);
        match self.policy.index.holder.get(&address) {
            Some(Holder::Workload(name)) => match self.policy.workloads.get(name) {
                Some(workload) => (workload.tenant.to_string(), Some(name)),
                None => unknown(),
            },
            Some(Holder::Binding) => match self.policy.bindings.get(&address).map(|binding| &binding.bound) {
                Some(enforcer_core::policy::model::Bound::Tenant(name)) => (name.to_string(), None),
                Some(enforcer_core::policy::model::Bound::RemoteNode) => ("remote-node".to_owned(), None),
                Some(enforcer_core::policy::model::Bound::Host) => ("host".to_owned(), None),
                None => unknown(),
            },
            None => unknown(),
        }
    }
}
