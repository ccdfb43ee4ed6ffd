//! What is told of tunnelled flows: a record when a flow opens, one when it ends, one when it is refused.

use std::net::SocketAddr;
use std::time::SystemTime;

use enforcer_common::{reason, verdict};
use enforcer_core::proxy::authorize::{Permit, Refusal};
use enforcer_proto::v1;

/// `Record.type`, `Record.hook` and `Record.carriage`.
const TUNNEL: &str = "tunnel";

/// How a flow ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// A word.
    pub(super) end: &'static str,
    /// For operators: what exactly happened.
    pub(super) detail: String,
}

impl Outcome {
    pub(super) fn plain(end: &'static str) -> Self {
        Self { end, detail: String::new() }
    }

    pub(super) fn because(end: &'static str, detail: impl ToString) -> Self {
        Self { end, detail: detail.to_string() }
    }
}

/// A flow that is carried from now on.
pub(super) fn opened(node: &str, tunnel: v1::Tunnel, permit: &Permit) -> v1::Record {
    permitted(common(node, permit.revision(), tunnel, "opened", None), permit)
}

/// A flow that is no more.
pub(super) fn closed(node: &str, tunnel: v1::Tunnel, permit: &Permit, outcome: Outcome) -> v1::Record {
    permitted(common(node, permit.revision(), tunnel, "closed", Some(outcome)), permit)
}

/// A flow that was not carried.
pub(super) fn refused(node: &str, revision: u64, tunnel: v1::Tunnel, refusal: &Refusal) -> v1::Record {
    let outcome = Outcome::because("refused", &refusal.detail);
    v1::Record {
        verdict: verdict::action_name(verdict::DENY).to_owned(),
        reason: reason::name(refusal.reason).to_owned(),
        rule: refusal.rule.as_deref().unwrap_or_default().to_owned(),
        ..common(node, revision, tunnel, "refused", Some(outcome))
    }
}

/// A flow of which nothing more is known than where it came from and where it went.
pub(super) fn unknown(direction: &str, source: SocketAddr, destination: SocketAddr) -> v1::Tunnel {
    let end = |at: SocketAddr| v1::Endpoint {
        identity: "unknown".to_owned(),
        address: at.ip().to_canonical().to_string(),
        port: at.port().into(),
        ..v1::Endpoint::default()
    };
    v1::Tunnel {
        source: Some(end(source)),
        destination: Some(end(destination)),
        facts: Some(v1::TunnelFacts { direction: direction.to_owned(), ..v1::TunnelFacts::default() }),
        ..v1::Tunnel::default()
    }
}

fn permitted(record: v1::Record, permit: &Permit) -> v1::Record {
    let action = if permit.audited().is_some() { verdict::AUDIT } else { verdict::ALLOW };
    v1::Record {
        verdict: verdict::action_name(action).to_owned(),
        reason: permit.audited().map_or_else(String::new, |reason| reason::name(reason).to_owned()),
        rule: permit.rule_name().to_string(),
        shadow_rule: permit.shadow().map_or_else(String::new, |(rule, _)| rule.to_string()),
        ..record
    }
}

fn common(
    node: &str,
    revision: u64,
    tunnel: v1::Tunnel,
    event: &str,
    outcome: Option<Outcome>,
) -> v1::Record {
    let v1::Tunnel { id: _, source, destination, rule: _, facts, opened: _, until: _ } = tunnel;
    let Outcome { end, detail } = outcome.unwrap_or_default();
    let facts =
        v1::TunnelFacts { event: event.to_owned(), end: end.to_owned(), detail, ..facts.unwrap_or_default() };
    v1::Record {
        time: Some(SystemTime::now().into()),
        node: node.to_owned(),
        r#type: TUNNEL.to_owned(),
        revision,
        hook: TUNNEL.to_owned(),
        source,
        destination,
        protocol: "TCP".to_owned(),
        carriage: TUNNEL.to_owned(),
        tunnel: Some(facts),
        ..v1::Record::default()
    }
}
