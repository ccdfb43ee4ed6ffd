//! Objects of the policy: rows for people, documents for programs.

use serde::Serialize;

use crate::console::Show;
use crate::document::binding::BindingSpec;
use crate::document::rule::{RuleSpec, ports_brief};
use crate::document::tenant::{EgressSpec, GrantSpec, TenantSpec};
use crate::document::workload::WorkloadSpec;
use crate::document::{Document, Kind, Spec};
use crate::style::{Paint, Style};
use crate::table::{Cell, Table};

/// Objects of one revision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PolicyView {
    pub(crate) revision: u64,
    pub(crate) digest: String,
    pub(crate) items: Vec<Document>,
    #[serde(skip)]
    pub(crate) kinds: Vec<Kind>,
}

impl Show for PolicyView {
    fn text(&self, style: Style) -> String {
        let tables: Vec<String> = self.kinds.iter().map(|kind| self.table(*kind).render(style)).collect();
        tables.join("\n")
    }
}

impl PolicyView {
    fn table(&self, kind: Kind) -> Table {
        let mut table = Table::new(headings(kind));
        for document in &self.items {
            match (kind, &document.spec) {
                (Kind::Tenant, Spec::Tenant(spec)) => tenant_row(&mut table, &document.metadata.name, spec),
                (Kind::Workload, Spec::Workload(spec)) => {
                    workload_row(&mut table, &document.metadata.name, spec);
                }
                (Kind::Rule, Spec::Rule(spec)) => rule_row(&mut table, &document.metadata.name, spec),
                (Kind::Binding, Spec::Binding(spec)) => binding_row(&mut table, spec),
                (Kind::Tenant | Kind::Workload | Kind::Rule | Kind::Binding, _) => {}
            }
        }
        table
    }
}

const fn headings(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Tenant => &["TENANT", "ID", "TIER", "CLASSIFICATION", "MODE", "PLATFORM", "EGRESS", "DEVICES"],
        Kind::Workload => &["WORKLOAD", "TENANT", "NODE", "ADDRESSES", "INTERFACE", "CGROUP", "LEASE"],
        Kind::Rule => &["RULE", "FROM", "TO", "PORTS", "ACTION", "MODE", "MTLS", "CARRIED BY"],
        Kind::Binding => &["ADDRESS", "HOLDER", "GENERATION", "LEASE"],
    }
}

fn tenant_row(table: &mut Table, name: &str, spec: &TenantSpec) {
    table.row([
        Cell::from(name),
        Cell::from(spec.id),
        Cell::from(spec.tier),
        Cell::from(spec.data_classification),
        mode(spec.mode),
        flag(spec.platform_service),
        Cell::or_absent(&joined(&spec.egress, egress)),
        Cell::or_absent(&joined(&spec.devices, grant)),
    ]);
}

fn workload_row(table: &mut Table, name: &str, spec: &WorkloadSpec) {
    let addresses = if spec.host_network { "(host network)".to_owned() } else { spec.addresses.join(",") };
    let interface = spec.interface.as_deref().or(spec.network_namespace.as_deref());
    table.row([
        Cell::from(name),
        Cell::from(spec.tenant.as_str()),
        Cell::or_absent(spec.node.as_deref().unwrap_or_default()),
        Cell::or_absent(&addresses),
        Cell::or_absent(interface.unwrap_or_default()),
        Cell::or_absent(spec.cgroup.as_deref().unwrap_or_default()),
        Cell::or_absent(spec.lease.brief()),
    ]);
}

fn rule_row(table: &mut Table, name: &str, spec: &RuleSpec) {
    let paint = if spec.action == "allow" { Paint::Good } else { Paint::Bad };
    table.row([
        Cell::from(name),
        Cell::from(spec.from.brief()),
        Cell::from(spec.to.brief()),
        Cell::from(ports_brief(spec.ports.as_deref())),
        Cell::from(spec.action).painted(paint),
        mode(spec.mode),
        mtls(spec),
        Cell::or_absent(&spec.carried_by.join(",")),
    ]);
}

fn mtls(spec: &RuleSpec) -> Cell {
    if spec.mtls_always { Cell::from("always") } else { flag(spec.mtls_required) }
}

fn binding_row(table: &mut Table, spec: &BindingSpec) {
    table.row([
        Cell::from(spec.address.as_str()),
        Cell::from(spec.holder.brief()),
        Cell::from(spec.generation),
        Cell::or_absent(spec.lease.brief()),
    ]);
}

fn mode(word: &str) -> Cell {
    Cell::from(word).painted(if word == "audit" { Paint::Warn } else { Paint::None })
}

fn flag(is_set: bool) -> Cell {
    if is_set { Cell::from("yes") } else { Cell::absent() }
}

fn joined<T>(items: &[T], one: impl Fn(&T) -> String) -> String {
    items.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn egress(rule: &EgressSpec) -> String {
    match &rule.ports {
        None => rule.ip_block.brief(),
        ports => format!("{}:{}", rule.ip_block.brief(), ports_brief(ports.as_deref())),
    }
}

fn grant(grant: &GrantSpec) -> String {
    match &grant.minors {
        None => grant.class.clone(),
        Some(minors) => {
            let minors: Vec<String> = minors.iter().map(ToString::to_string).collect();
            format!("{}:{}", grant.class, minors.join(","))
        }
    }
}
