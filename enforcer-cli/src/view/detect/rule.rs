//! Rules of detection, with stable field names.

use enforcer_proto::v1;
use serde::Serialize;

use crate::console::Show;
use crate::duration;
use crate::style::{Paint, Style};
use crate::table::{Cell, Table};

/// Rules in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct RulesView {
    rules: Vec<RuleView>,
    warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleView {
    name: String,
    pattern: String,
    per: String,
    platform: bool,
    tenants: Vec<String>,
    window_seconds: u64,
    threshold: u64,
    factor: f64,
    level: String,
    cooldown_seconds: u64,
    response: ResponseView,
    raised: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    overrides: Vec<Self>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseView {
    kind: String,
    rate: u32,
    dry_run: bool,
    expires_after_seconds: u64,
}

impl RulesView {
    /// Rules, and what a person should know of detection.
    pub(crate) fn new(rules: Vec<v1::DetectionRule>, warnings: Vec<String>) -> Self {
        Self { rules: rules.into_iter().map(RuleView::from).collect(), warnings }
    }
}

impl From<v1::DetectionRule> for RuleView {
    fn from(rule: v1::DetectionRule) -> Self {
        let v1::DetectionRule {
            name,
            pattern,
            window_seconds,
            threshold,
            factor,
            response,
            dry_run,
            expires_after_seconds,
            tenants,
            raised,
            level,
            cooldown_seconds,
            rate,
            per,
            platform,
            overrides,
        } = rule;
        Self {
            name,
            pattern,
            per,
            platform,
            tenants,
            window_seconds,
            threshold,
            factor,
            level,
            cooldown_seconds,
            response: ResponseView { kind: response, rate, dry_run, expires_after_seconds },
            raised,
            overrides: overrides.into_iter().map(Self::from).collect(),
        }
    }
}

impl RuleView {
    fn row(&self, table: &mut Table) {
        let Self { name, pattern, window_seconds, threshold, factor, level, response, raised, .. } = self;
        let limit =
            if *factor > 0.0 { format!("{threshold}, learned x{factor}") } else { threshold.to_string() };
        let response = format!("{}{}", response.kind, if response.dry_run { " (dry run)" } else { "" });
        table.row([
            Cell::from(name.as_str()),
            Cell::from(pattern.as_str()),
            Cell::or_absent(&self.tenants.join(",")),
            Cell::from(duration::words(*window_seconds)),
            Cell::from(limit),
            Cell::from(level.as_str()),
            Cell::from(response),
            Cell::from(*raised).painted(if *raised > 0 { Paint::Warn } else { Paint::None }),
        ]);
    }
}

impl Show for RulesView {
    fn text(&self, style: Style) -> String {
        let mut table =
            Table::new(&["RULE", "PATTERN", "TENANTS", "WINDOW", "LIMIT", "LEVEL", "RESPONSE", "RAISED"]);
        for rule in &self.rules {
            rule.row(&mut table);
            rule.overrides.iter().for_each(|own| own.row(&mut table));
        }
        table.render(style)
    }
}
