//! The tunnels of a node: flows, budgets and ends.

pub(crate) mod facts;

use std::collections::BTreeMap;

use enforcer_proto::v1;
use serde::Serialize;

use crate::console::Show;
use crate::instant;
use crate::style::{Paint, Style};
use crate::table::{Cell, Table};
use crate::view::record::EndpointView;

use facts::FactsView;

/// What a node carries now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TunnelsView {
    tunnels: Vec<TunnelView>,
    budgets: Vec<BudgetView>,
    ends: Vec<EndView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct TunnelView {
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<EndpointView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<EndpointView>,
    rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<FactsView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opened: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct BudgetView {
    tenant: String,
    connections: u64,
    connections_max: u64,
    idle: u64,
    buffered_bytes: u64,
    buffered_bytes_max: u64,
    handshakes_per_second_max: u64,
    refused: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct EndView {
    workload: String,
    tenant: String,
    ready: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    serial: String,
}

impl From<v1::ListTunnelsResponse> for TunnelsView {
    fn from(response: v1::ListTunnelsResponse) -> Self {
        let v1::ListTunnelsResponse { tunnels, budgets, ends } = response;
        Self {
            tunnels: tunnels.into_iter().map(TunnelView::from).collect(),
            budgets: budgets.into_iter().map(BudgetView::from).collect(),
            ends: ends.into_iter().map(EndView::from).collect(),
        }
    }
}

impl From<v1::Tunnel> for TunnelView {
    fn from(tunnel: v1::Tunnel) -> Self {
        let v1::Tunnel { id, source, destination, rule, facts, opened, until } = tunnel;
        Self {
            id,
            source: source.map(EndpointView::from),
            destination: destination.map(EndpointView::from),
            rule,
            facts: facts.map(FactsView::from),
            opened: opened.as_ref().map(instant::rfc3339),
            until: until.as_ref().map(instant::rfc3339),
        }
    }
}

impl From<v1::TunnelBudget> for BudgetView {
    fn from(budget: v1::TunnelBudget) -> Self {
        let v1::TunnelBudget {
            tenant,
            connections,
            connections_max,
            idle,
            buffered_bytes,
            buffered_bytes_max,
            handshakes_per_second_max,
            refused,
        } = budget;
        Self {
            tenant,
            connections,
            connections_max,
            idle,
            buffered_bytes,
            buffered_bytes_max,
            handshakes_per_second_max,
            refused: refused.into_iter().collect(),
        }
    }
}

impl From<v1::TunnelEnd> for EndView {
    fn from(end: v1::TunnelEnd) -> Self {
        let v1::TunnelEnd { workload, tenant, ready, reason, serial } = end;
        Self { workload, tenant, ready, reason, serial }
    }
}

impl TunnelsView {
    /// What a person should look at.
    pub(crate) fn concerns(&self) -> Vec<String> {
        let absent = self.ends.iter().filter(|end| !end.ready);
        absent
            .map(|EndView { workload, reason, .. }| format!("workload {workload} has no tunnel: {reason}"))
            .collect()
    }

    /// True when nothing is carried.
    pub(crate) const fn is_idle(&self) -> bool {
        self.tunnels.is_empty()
    }

    fn flow_table(&self) -> Table {
        let mut table =
            Table::new(&["FROM", "TO", "RULE", "STATE", "WAY", "HOP", "FROM ID", "TO ID", "UNTIL"]);
        for tunnel in &self.tunnels {
            let end = |end: &Option<EndpointView>| end.as_ref().map(EndpointView::brief).unwrap_or_default();
            let fact = |of: fn(&FactsView) -> &str| tunnel.facts.as_ref().map(of).unwrap_or_default();
            table.row([
                Cell::or_absent(&end(&tunnel.source)),
                Cell::or_absent(&end(&tunnel.destination)),
                Cell::or_absent(&tunnel.rule),
                Cell::or_absent(fact(|facts| &facts.event)),
                Cell::or_absent(fact(|facts| &facts.direction)),
                Cell::or_absent(fact(|facts| &facts.hop)),
                Cell::or_absent(fact(|facts| &facts.source.spiffe_id)),
                Cell::or_absent(fact(|facts| &facts.destination.spiffe_id)),
                Cell::or_absent(tunnel.until.as_deref().unwrap_or_default()),
            ]);
        }
        table
    }

    fn budget_table(&self) -> Table {
        let mut table = Table::new(&["TENANT", "FLOWS", "OF", "IDLE", "BUFFERED", "OF", "REFUSED"]);
        for budget in &self.budgets {
            let refused = budget.refused.iter().filter(|(_, times)| **times > 0);
            let refused: Vec<String> = refused.map(|(bound, times)| format!("{bound} {times}")).collect();
            let paint = if refused.is_empty() { Paint::None } else { Paint::Warn };
            table.row([
                Cell::from(budget.tenant.as_str()),
                Cell::from(budget.connections),
                Cell::from(budget.connections_max),
                Cell::from(budget.idle),
                Cell::from(budget.buffered_bytes),
                Cell::from(budget.buffered_bytes_max),
                Cell::or_absent(&refused.join(", ")).painted(paint),
            ]);
        }
        table
    }
}

impl Show for TunnelsView {
    fn text(&self, style: Style) -> String {
        let tables =
            [(self.flow_table(), self.tunnels.is_empty()), (self.budget_table(), self.budgets.is_empty())];
        let shown = tables.iter().filter(|(_, is_empty)| !is_empty).map(|(table, _)| table.render(style));
        shown.collect::<Vec<_>>().join("\n")
    }
}
