//! What a monitoring system reads, as OpenMetrics text. Labels are tenants of the policy and words of ours.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use enforcer_common::reason;
use enforcer_core::policy::model::Name;

use super::counts::Counts;
use super::flow::{Direction, Hop};
use super::{Registry, State};
use crate::proxy::budget::{Over, Use};

/// Name and help of a metric, and its value.
type Used = (&'static str, &'static str, fn(&Use) -> u64);

/// What the table says of a tenant now.
#[derive(Default)]
struct Now {
    half_open: u64,
    carried: BTreeMap<(Direction, Option<Hop>), u64>,
    bytes: [u64; 2],
}

impl Registry {
    /// Every metric of the tunnel.
    #[must_use]
    pub fn metrics(&self) -> String {
        let (now, counts) = self.snapshot();
        let budgets = self.budgets().list();
        let mut text = String::new();
        write_flows(&mut text, &now, &counts);
        write_handshakes(&mut text, &counts);
        write_bytes(&mut text, &now, &counts);
        write_budgets(&mut text, &budgets, self.budgets().limits());
        text.push_str("# EOF\n");
        text
    }

    /// The table and the counts at one moment, so that no byte is in both or in neither.
    fn snapshot(&self) -> (BTreeMap<Name, Now>, BTreeMap<Name, Counts>) {
        let inner = self.inner();
        let mut tenants: BTreeMap<Name, Now> = BTreeMap::new();
        for entry in inner.flows.values() {
            let now = tenants.entry(Name::clone(entry.flow.tenant())).or_default();
            match entry.state {
                State::Registered | State::HalfOpen(_) => now.half_open += 1,
                State::Carried(_) => {
                    let hop = entry.flow.met.as_ref().map(|met| met.hop);
                    *now.carried.entry((entry.flow.direction(), hop)).or_default() += 1;
                }
            }
            for (sum, bytes) in now.bytes.iter_mut().zip(entry.live.bytes()) {
                *sum += bytes;
            }
        }
        let counts = self.counts().clone();
        (tenants, counts)
    }
}

fn write_flows(text: &mut String, now: &BTreeMap<Name, Now>, counts: &BTreeMap<Name, Counts>) {
    gauge(text, "flows", "Flows that are carried now.");
    for (tenant, now) in now {
        for ((direction, hop), flows) in &now.carried {
            let hop = hop.map_or("", Hop::word);
            let labels = format!("direction=\"{}\",hop=\"{hop}\"", direction.word());
            sample(text, "flows", tenant, &labels, flows);
        }
    }
    gauge(text, "flows_half_open", "Flows that the other end has not taken yet.");
    for (tenant, now) in now {
        sample(text, "flows_half_open", tenant, "", now.half_open);
    }
    counter(text, "flows_opened", "Flows that were carried.");
    for (tenant, counts) in counts {
        for ((direction, hop), flows) in &counts.opened {
            let labels = format!("direction=\"{}\",hop=\"{}\"", direction.word(), hop.word());
            sample(text, "flows_opened_total", tenant, &labels, flows);
        }
    }
    counter(text, "flows_refused", "Flows that were not let through.");
    for (tenant, counts) in counts {
        for ((direction, number), flows) in &counts.refused {
            let labels = format!("direction=\"{}\",reason=\"{}\"", direction.word(), reason::name(*number));
            sample(text, "flows_refused_total", tenant, &labels, flows);
        }
    }
    counter(text, "flows_ended", "Flows that were told to end before they did.");
    for (tenant, counts) in counts {
        for (end, flows) in &counts.ended {
            sample(text, "flows_ended_total", tenant, &format!("reason=\"{}\"", end.word()), flows);
        }
    }
}

fn write_handshakes(text: &mut String, counts: &BTreeMap<Name, Counts>) {
    counter(text, "handshakes", "TLS handshakes.");
    for (tenant, counts) in counts {
        for ((direction, handshake), number) in &counts.handshakes {
            let labels = format!("direction=\"{}\",kind=\"{}\"", direction.word(), handshake.word());
            sample(text, "handshakes_total", tenant, &labels, number);
        }
    }
    counter(text, "connections_reused", "Flows in a connection that had carried an earlier one.");
    for (tenant, counts) in counts {
        sample(text, "connections_reused_total", tenant, "", counts.reused);
    }
}

fn write_bytes(text: &mut String, now: &BTreeMap<Name, Now>, counts: &BTreeMap<Name, Counts>) {
    counter(text, "bytes", "Bytes of flows, from initiator to responder and back.");
    let mut sums: BTreeMap<&Name, [u64; 2]> = BTreeMap::new();
    let carried = now.iter().map(|(tenant, now)| (tenant, now.bytes));
    for (tenant, bytes) in carried.chain(counts.iter().map(|(tenant, counts)| (tenant, counts.bytes))) {
        let sum = sums.entry(tenant).or_default();
        sum.iter_mut().zip(bytes).for_each(|(sum, bytes)| *sum = sum.saturating_add(bytes));
    }
    for (tenant, [forward, back]) in sums {
        sample(text, "bytes_total", tenant, "way=\"forward\"", forward);
        sample(text, "bytes_total", tenant, "way=\"back\"", back);
    }
}

fn write_budgets(
    text: &mut String,
    budgets: &BTreeMap<Name, Use>,
    limits: &crate::config::settings::TunnelLimits,
) {
    let used: [Used; 3] = [
        ("budget_connections", "Flows that count against their tenant's bound.", |used| used.connections),
        ("budget_buffered_bytes", "Bytes in the agent's buffers.", |used| used.buffered_bytes),
        ("connections_idle", "Connections that wait for the next flow of their pair.", |used| used.idle),
    ];
    for (name, help, of) in used {
        gauge(text, name, help);
        for (tenant, used) in budgets {
            sample(text, name, tenant, "", of(used));
        }
    }
    counter(text, "budget_refused", "How often a tenant's bound was met.");
    for (tenant, used) in budgets {
        for (over, times) in Over::ALL.iter().zip(used.refused) {
            sample(text, "budget_refused_total", tenant, &format!("bound=\"{}\"", over.word()), times);
        }
    }
    gauge(text, "budget_max", "What each tenant may use.");
    for (over, bound) in [
        (Over::Connections, limits.connections),
        (Over::Handshakes, limits.handshakes_per_second.into()),
        (Over::Buffers, limits.buffered_bytes),
    ] {
        let _ = writeln!(text, "enforcer_tunnel_budget_max{{bound=\"{}\"}} {bound}", over.word());
    }
}

fn gauge(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(text, "# TYPE enforcer_tunnel_{name} gauge\n# HELP enforcer_tunnel_{name} {help}");
}

fn counter(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(text, "# TYPE enforcer_tunnel_{name} counter\n# HELP enforcer_tunnel_{name} {help}");
}

/// Names of the policy hold nothing that would have to be escaped.
fn sample(text: &mut String, name: &str, tenant: &Name, labels: &str, value: impl Display) {
    let comma = if labels.is_empty() { "" } else { "," };
    let _ = writeln!(text, "enforcer_tunnel_{name}{{tenant=\"{tenant}\"{comma}{labels}}} {value}");
}
