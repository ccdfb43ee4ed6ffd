//! Tunnels of a node: what it carries now, what each tenant uses, whose listeners stand.

pub(crate) mod facts;

use std::collections::BTreeMap;

use enforcer_proto::v1;
use serde::Serialize;

use self::facts::FactsView;
use crate::console::Show;
use crate::instant;
use crate::style::{Paint, Style};
use crate::table::{Cell, Table};
use crate::view::record::EndpointView;

/// Tunnels of a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TunnelsView {
    tunnels: Vec<TunnelView>,
    budgets: Vec<BudgetView>,
    ends: Vec<EndView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
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
#[serde(rename_all = "camelCase")]
struct EndView {
    workload: String,
    tenant: String,
    ready: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
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

impl TunnelView {
    fn row(&self, table: &mut Table) {
        let end = |end: &Option<EndpointView>| end.as_ref().map(EndpointView::brief).unwrap_or_default();
        let of = |word: fn(&FactsView) -> &str| self.facts.as_ref().map(word).unwrap_or_default();
        let (forward, back) = self.facts.as_ref().map(FactsView::bytes).unwrap_or_default();
        table.row([
            Cell::from(self.id),
            Cell::or_absent(&end(&self.source)),
            Cell::or_absent(&end(&self.destination)),
            Cell::or_absent(&self.rule),
            Cell::or_absent(of(FactsView::direction)),
            Cell::or_absent(of(FactsView::hop)),
            Cell::or_absent(of(|facts| facts.ids().0)),
            Cell::or_absent(of(|facts| facts.ids().1)),
            Cell::from(format!("{forward}/{back}").as_str()),
            Cell::or_absent(self.until.as_deref().unwrap_or_default()),
        ]);
    }
}

impl Show for TunnelsView {
    fn text(&self, style: Style) -> String {
        let mut tunnels = Table::new(&[
            "ID",
            "SOURCE",
            "DESTINATION",
            "RULE",
            "DIRECTION",
            "HOP",
            "SOURCE ID",
            "DESTINATION ID",
            "BYTES",
            "UNTIL",
        ]);
        self.tunnels.iter().for_each(|tunnel| tunnel.row(&mut tunnels));
        let mut budgets = Table::new(&["TENANT", "CONNECTIONS", "IDLE", "BUFFERED", "REFUSED"]);
        for budget in &self.budgets {
            let refused: u64 = budget.refused.values().sum();
            let paint = if refused == 0 { Paint::None } else { Paint::Warn };
            budgets.row([
                Cell::from(budget.tenant.as_str()),
                Cell::from(format!("{}/{}", budget.connections, budget.connections_max).as_str()),
                Cell::from(budget.idle),
                Cell::from(format!("{}/{}", budget.buffered_bytes, budget.buffered_bytes_max).as_str()),
                Cell::from(refused).painted(paint),
            ]);
        }
        let mut ends = Table::new(&["WORKLOAD", "TENANT", "READY", "REASON"]);
        for end in &self.ends {
            let (word, paint) = if end.ready { ("yes", Paint::Good) } else { ("NO", Paint::Bad) };
            ends.row([
                Cell::from(end.workload.as_str()),
                Cell::or_absent(&end.tenant),
                Cell::from(word).painted(paint),
                Cell::or_absent(&end.reason),
            ]);
        }
        [tunnels, budgets, ends].map(|table| table.render(style)).join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_carried_what_is_used_and_whose_listeners_stand() {
        let response = v1::ListTunnelsResponse {
            tunnels: vec![v1::Tunnel { id: 7, rule: "r".to_owned(), ..v1::Tunnel::default() }],
            budgets: vec![v1::TunnelBudget {
                tenant: "red".to_owned(),
                connections: 1,
                connections_max: 9,
                refused: [("connections".to_owned(), 2)].into(),
                ..v1::TunnelBudget::default()
            }],
            ends: vec![v1::TunnelEnd { workload: "web".to_owned(), ready: true, ..v1::TunnelEnd::default() }],
        };
        let text = TunnelsView::from(response).text(Style::Plain);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["7", "-", "-", "r", "-", "-", "-", "-", "0/0", "-"]);
        assert_eq!(lines[4], ["red", "1/9", "0", "0/0", "2"]);
        assert_eq!(lines[7], ["web", "-", "yes", "-"]);
    }
}
