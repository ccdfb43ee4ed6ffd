//! `spec` of a rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::terms::{self, Draft};
use super::{name, names};
use crate::detect::limits::TENANTS_OF_RULE_MAX;
use crate::detect::rule::{Action, Pattern, Per, Rule, Terms};
use crate::policy::model::Name;
use crate::policy::parse::yaml::fields::{Fields, Reader};
use crate::policy::parse::yaml::node::Node;
use crate::policy::problem::shown;

/// The outer `None`: something is wrong. The inner: the rule is off.
pub(super) fn read(
    reader: &mut Reader,
    path: String,
    node: &Node,
    rule_name: Option<&Name>,
) -> Option<Option<Rule>> {
    let line = node.line;
    let mut fields = reader.map(path.clone(), node)?;
    let is_on = truth(reader, &mut fields, "enabled", true)?;
    if !is_on {
        // Off is off: what else it says is not asked.
        return Some(None);
    }
    let pattern = pattern(reader, &mut fields);
    let per = per(reader, &mut fields);
    let platform = truth(reader, &mut fields, "platform", false);
    let tenants = match fields.take(reader, "tenants") {
        Some((path, node)) => names(reader, &path, node, TENANTS_OF_RULE_MAX),
        None => BTreeSet::new(),
    };
    let draft = terms::read(reader, &mut fields);
    let overrides = fields.take(reader, "overrides");
    fields.finish(reader);
    let (pattern, per) = (pattern?, per?);
    let per = self::per_of(reader, &path, line, pattern, per)?;
    let draft = draft?;
    let settled = draft.clone().settle(reader, &path, line, pattern);
    let overrides = match overrides {
        Some((path, node)) => self::overrides(reader, &path, node, pattern, &draft, &tenants)?,
        None => BTreeMap::new(),
    };
    let terms = settled?;
    for terms in std::iter::once(&terms).chain(overrides.values().map(AsRef::as_ref)) {
        suits(reader, &path, line, pattern, per, terms)?;
    }
    let name = Arc::clone(rule_name?);
    Some(Some(Rule { name, pattern, per, tenants, platform: platform?, terms: Arc::new(terms), overrides }))
}

fn pattern(reader: &mut Reader, fields: &mut Fields) -> Option<Pattern> {
    let (path, node) = fields.require(reader, "pattern", "what to look for")?;
    let word = reader.text(&path, node)?;
    let pattern = Pattern::of(&word);
    if pattern.is_none() {
        let known: Vec<&str> = Pattern::ALL.iter().map(|(_, word)| *word).collect();
        let message = format!("'{}' is no pattern; use one of {}", shown(&word), known.join(", "));
        reader.refuse("unknown_value", &path, node.line, message);
    }
    pattern
}

/// What the field says; the inner `None` when it is absent.
fn per(reader: &mut Reader, fields: &mut Fields) -> Option<Option<Per>> {
    let Some((path, node)) = fields.take(reader, "per") else { return Some(None) };
    match reader.text(&path, node)?.as_str() {
        "tenant" => Some(Some(Per::Tenant)),
        "workload" => Some(Some(Per::Workload)),
        other => {
            let message = format!("'{}' is not known; use tenant or workload", shown(other));
            reader.refuse("unknown_value", &path, node.line, message);
            None
        }
    }
}

fn per_of(reader: &mut Reader, path: &str, line: u32, pattern: Pattern, per: Option<Per>) -> Option<Per> {
    if per.is_some() && !pattern.has_choice() {
        let message = format!("makes no sense for {}: it says itself whom it counts", pattern.word());
        reader.refuse("senseless", &format!("{path}.per"), line, message);
        return None;
    }
    Some(per.unwrap_or(Per::Tenant))
}

fn overrides(
    reader: &mut Reader,
    path: &str,
    node: &Node,
    pattern: Pattern,
    base: &Draft,
    tenants: &BTreeSet<Name>,
) -> Option<BTreeMap<Name, Arc<Terms>>> {
    let items = reader.list(path, node);
    if items.is_empty() {
        return None;
    }
    if items.len() > TENANTS_OF_RULE_MAX {
        let message = format!("has {} items where {TENANTS_OF_RULE_MAX} are the most", items.len());
        reader.refuse("too_many", path, node.line, message);
        return None;
    }
    let mut all = Some(BTreeMap::new());
    for (path, item) in items {
        let one = one_override(reader, path.clone(), item, pattern, base);
        let Some((tenant, terms)) = one else {
            all = None;
            continue;
        };
        if !tenants.is_empty() && !tenants.contains(&tenant) {
            reader.refuse("senseless", &path, item.line, "is for a tenant that `tenants` leaves out");
            all = None;
        } else if all.as_mut().is_some_and(|all| all.insert(tenant, Arc::new(terms)).is_some()) {
            reader.refuse("duplicate_name", &path, item.line, "names a tenant that another override names");
            all = None;
        }
    }
    all
}

fn one_override(
    reader: &mut Reader,
    path: String,
    node: &Node,
    pattern: Pattern,
    base: &Draft,
) -> Option<(Name, Terms)> {
    let mut fields = reader.map(path.clone(), node)?;
    let tenant = fields.require(reader, "tenant", "whom it is for");
    let tenant = tenant.and_then(|(path, node)| name(reader, &path, node));
    let own = terms::read(reader, &mut fields);
    fields.finish(reader);
    let terms = own?.over(base).settle(reader, &path, node.line, pattern)?;
    Some((tenant?, terms))
}

/// What goes together.
fn suits(
    reader: &mut Reader,
    path: &str,
    line: u32,
    pattern: Pattern,
    per: Per,
    terms: &Terms,
) -> Option<()> {
    let by_tenant = pattern.has_choice() && per == Per::Tenant;
    if terms.action == Action::Revoke && by_tenant {
        let message = "revoke takes one workload's certificates: state `per: workload`, or another response";
        reader.refuse("senseless", &format!("{path}.response"), line, message);
        return None;
    }
    if terms.factor.is_some() && !(pattern.may_learn() && by_tenant) {
        let message = "what is usual is learned by tenant, of operations-per-hour, failed-accesses, device-churn and \
                       volume; leave `factor` out";
        reader.refuse("senseless", &format!("{path}.factor"), line, message);
        return None;
    }
    Some(())
}

pub(super) fn truth(
    reader: &mut Reader,
    fields: &mut Fields,
    field: &'static str,
    absent: bool,
) -> Option<bool> {
    match fields.take(reader, field) {
        Some((path, node)) => reader.truth(&path, node),
        None => Some(absent),
    }
}
