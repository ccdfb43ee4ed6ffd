//! What is usual for tenants, with stable field names.

use enforcer_proto::v1;
use serde::Serialize;

use crate::console::Show;
use crate::style::{Paint, Style};
use crate::table::{Cell, Table};

/// Baselines of tenants.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct BaselinesView {
    baselines: Vec<BaselineView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct BaselineView {
    tenant: String,
    rule: String,
    frozen: bool,
    samples: u64,
    samples_min: u64,
    median: f64,
    deviation: f64,
    latest: f64,
    /// Absent while it still learns.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<f64>,
    explanation: String,
}

impl From<Vec<v1::Baseline>> for BaselinesView {
    fn from(baselines: Vec<v1::Baseline>) -> Self {
        Self { baselines: baselines.into_iter().map(BaselineView::from).collect() }
    }
}

impl From<v1::Baseline> for BaselineView {
    fn from(baseline: v1::Baseline) -> Self {
        let v1::Baseline {
            tenant,
            rule,
            frozen,
            samples,
            median,
            deviation,
            latest,
            limit,
            explanation,
            samples_min,
        } = baseline;
        let limit = (limit > 0.0).then_some(limit);
        Self { tenant, rule, frozen, samples, samples_min, median, deviation, latest, limit, explanation }
    }
}

impl BaselinesView {
    /// True when nothing was learned.
    pub(crate) const fn is_empty(&self) -> bool {
        self.baselines.is_empty()
    }
}

impl BaselineView {
    fn state(&self) -> Cell {
        match (self.frozen, self.limit) {
            (true, _) => Cell::from("frozen").painted(Paint::Warn),
            (false, None) => Cell::from("learning").painted(Paint::Dim),
            (false, Some(limit)) if self.latest > limit => Cell::from("above").painted(Paint::Bad),
            (false, Some(_)) => Cell::from("usual").painted(Paint::Good),
        }
    }
}

impl Show for BaselinesView {
    fn text(&self, style: Style) -> String {
        if self.is_empty() {
            return String::new();
        }
        let mut table =
            Table::new(&["TENANT", "RULE", "STATE", "WINDOWS", "MEDIAN", "LATEST", "LIMIT", "WHY"]);
        for one in &self.baselines {
            table.row([
                Cell::from(one.tenant.as_str()),
                Cell::from(one.rule.as_str()),
                one.state(),
                Cell::from(one.samples),
                Cell::from(one.median.to_string()),
                Cell::from(one.latest.to_string()),
                one.limit.map_or_else(Cell::absent, |limit| Cell::from(limit.to_string())),
                Cell::from(one.explanation.as_str()),
            ]);
        }
        table.render(style)
    }
}
