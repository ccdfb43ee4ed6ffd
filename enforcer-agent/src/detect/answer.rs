//! What operators are told: rules, baselines and responses as messages.

use enforcer_core::detect::alert::seconds;
use enforcer_core::detect::baseline::Usual;
use enforcer_core::detect::engine::Learned;
use enforcer_core::detect::rule::{Action, Per, Rule, Terms};
use enforcer_core::policy::model::Name;
use enforcer_proto::v1;

/// A rule, and how often it has spoken.
pub(super) fn rule(rule: &Rule, raised: u64) -> v1::DetectionRule {
    let overrides = rule.overrides.iter().map(|(tenant, own)| {
        let base = terms(rule, own);
        v1::DetectionRule { tenants: vec![tenant.to_string()], ..base }
    });
    v1::DetectionRule {
        tenants: rule.tenants.iter().map(ToString::to_string).collect(),
        raised,
        overrides: overrides.collect(),
        ..terms(rule, &rule.terms)
    }
}

fn terms(rule: &Rule, terms: &Terms) -> v1::DetectionRule {
    v1::DetectionRule {
        name: rule.name.to_string(),
        pattern: rule.pattern.word().to_owned(),
        window_seconds: terms.window_s,
        threshold: terms.threshold,
        factor: number(terms.factor.unwrap_or(0)),
        response: terms.action.word().to_owned(),
        dry_run: terms.dry_run,
        expires_after_seconds: terms.expires_after_s,
        tenants: Vec::new(),
        raised: 0,
        level: terms.level.word().to_owned(),
        cooldown_seconds: terms.cooldown_s,
        rate: if let Action::RateLimit(rate) = terms.action { rate } else { 0 },
        per: match rule.per {
            Per::Tenant => "tenant".to_owned(),
            Per::Workload => "workload".to_owned(),
        },
        platform: rule.platform,
        overrides: Vec::new(),
    }
}

/// Whether a rule is for a tenant.
pub(super) fn concerns(rule: &Rule, tenant: Option<&Name>) -> bool {
    tenant.is_none_or(|tenant| rule.terms_for(tenant).is_some())
}

/// What is usual.
pub(super) fn baseline(learned: &Learned) -> v1::Baseline {
    let Learned { tenant, rule, baseline, latest, limit, samples_min } = learned;
    let Usual { median, deviation } = baseline.usual().unwrap_or(Usual { median: 0, deviation: 0 });
    v1::Baseline {
        tenant: tenant.to_string(),
        rule: rule.name.to_string(),
        frozen: baseline.is_frozen(),
        samples: baseline.samples(),
        median: number(median),
        deviation: number(deviation),
        latest: number(*latest),
        limit: number(limit.unwrap_or(0)),
        explanation: explanation(learned),
        samples_min: *samples_min,
    }
}

/// A sentence with the numbers, and how the limit comes of them.
fn explanation(learned: &Learned) -> String {
    let Learned { tenant, rule, baseline, latest, limit, samples_min } = learned;
    let Some(terms) = rule.terms_for(tenant) else { return String::new() };
    let (unit, window, samples) = (rule.pattern.unit(), seconds(terms.window_s), baseline.samples());
    let now = format!("{latest} {unit} in the last {window}");
    let frozen = if baseline.is_frozen() { "; frozen: nothing is learned" } else { "" };
    match (baseline.usual(), limit) {
        (Some(Usual { median, deviation }), Some(limit)) => format!(
            "{now}; usual are {median} (median of {samples} windows, deviation {deviation}); more than {limit} is too \
             much: {} deviations above it, each at least a tenth of it, and no less than {}{frozen}",
            terms.factor.unwrap_or(0),
            terms.threshold,
        ),
        _ => format!("{now}; still learning: {samples} of {samples_min} windows{frozen}"),
    }
}

/// A count as messages have it; beyond 2^53 it is rounded.
#[expect(clippy::cast_precision_loss, reason = "a double holds every count that is shown")]
const fn number(count: u64) -> f64 {
    count as f64
}
