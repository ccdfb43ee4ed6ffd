//! A rule: what is looked for, from when on it is too much, and what is done then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::hours::Hours;
use crate::policy::model::Name;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// Flows opened, devices opened, services entered, programs executed.
    OperationsPerHour,
    /// Operations that were refused.
    FailedAccesses,
    /// Different addresses from which one identity speaks.
    SourceAddresses,
    /// Operations outside of the hours that are usual.
    UnusualHours,
    /// Different ports of one address that one party tries.
    PortScan,
    /// Different addresses that one party tries at one port.
    HostScan,
    /// Refusals of one process.
    RefusalsPerProcess,
    /// Opens of gated devices.
    DeviceChurn,
    /// Bytes sent.
    Volume,
}

impl Pattern {
    /// Every pattern with its word.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::OperationsPerHour, "operations-per-hour"),
        (Self::FailedAccesses, "failed-accesses"),
        (Self::SourceAddresses, "source-addresses"),
        (Self::UnusualHours, "unusual-hours"),
        (Self::PortScan, "port-scan"),
        (Self::HostScan, "host-scan"),
        (Self::RefusalsPerProcess, "refusals-per-process"),
        (Self::DeviceChurn, "device-churn"),
        (Self::Volume, "volume"),
    ];

    /// The pattern of a word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == word).map(|(pattern, _)| pattern)
    }

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL.into_iter().find(|(pattern, _)| *pattern == self).map_or("", |(_, word)| word)
    }

    /// True when different values are counted, and not how often something happens.
    #[must_use]
    pub const fn is_distinct(self) -> bool {
        matches!(self, Self::SourceAddresses | Self::PortScan | Self::HostScan)
    }

    /// True when what is usual for a tenant can be learned: one number for each window of a tenant.
    #[must_use]
    pub const fn may_learn(self) -> bool {
        matches!(self, Self::OperationsPerHour | Self::FailedAccesses | Self::DeviceChurn | Self::Volume)
    }

    /// True when a tenant can be counted as a whole or by its workloads.
    #[must_use]
    pub const fn has_choice(self) -> bool {
        self.may_learn() || matches!(self, Self::UnusualHours)
    }

    /// What is counted, for sentences.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::OperationsPerHour => "operations",
            Self::FailedAccesses => "refused operations",
            Self::SourceAddresses => "source addresses",
            Self::UnusualHours => "operations outside of the usual hours",
            Self::PortScan => "ports",
            Self::HostScan => "addresses",
            Self::RefusalsPerProcess => "refusals",
            Self::DeviceChurn => "device opens",
            Self::Volume => "bytes",
        }
    }
}

/// What is done when a rule speaks, from the mildest up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// A record, and no noise.
    Record,
    /// A record and a log line that a person should look at.
    Alert,
    /// The tenant opens only so many new flows a second.
    RateLimit(u32),
    /// The tenant opens no new flow.
    DenyNew,
    /// The workload's certificates are withdrawn.
    Revoke,
}

impl Action {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Alert => "alert",
            Self::RateLimit(_) => "rate-limit",
            Self::DenyNew => "deny-new",
            Self::Revoke => "revoke",
        }
    }

    /// True when something is done to somebody.
    #[must_use]
    pub const fn acts(self) -> bool {
        matches!(self, Self::RateLimit(_) | Self::DenyNew | Self::Revoke)
    }
}

/// Whose doings are added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// All of a tenant's.
    Tenant,
    /// Those of one workload.
    Workload,
}

/// How loud an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For the record.
    Low,
    /// Somebody should look.
    Medium,
    /// Somebody should look now.
    High,
}

impl Level {
    /// Every level with its word.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Low, "low"), (Self::Medium, "medium"), (Self::High, "high")];

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL.into_iter().find(|(level, _)| *level == self).map_or("", |(_, word)| word)
    }
}

/// From when on it is too much, and what is done then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Seconds of the window.
    pub window_s: u64,
    /// So many, and it is too much. Where something is learned, the limit is never below this.
    pub threshold: u64,
    /// Learn what is usual, and call too much what is so many deviations above the median.
    pub factor: Option<u64>,
    /// Windows that must have been seen before what was learned speaks.
    pub samples_min: u64,
    /// What is done.
    pub action: Action,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// Seconds that a response lasts.
    pub expires_after_s: u64,
    /// Seconds without another alert for the same.
    pub cooldown_s: u64,
    /// How loud.
    pub level: Level,
    /// What is usual, for `unusual-hours`.
    pub usual: Option<Hours>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: Name,
    /// What is looked for.
    pub pattern: Pattern,
    /// Whose doings are added up.
    pub per: Per,
    /// Tenants it is for; all when empty.
    pub tenants: BTreeSet<Name>,
    /// Also for the host and its services.
    pub platform: bool,
    /// For everybody without terms of their own.
    pub terms: Arc<Terms>,
    /// By tenant.
    pub overrides: BTreeMap<Name, Arc<Terms>>,
}

impl Rule {
    /// The terms for a tenant; `None` where the rule is for others.
    #[must_use]
    pub fn terms_for(&self, tenant: &str) -> Option<&Arc<Terms>> {
        if !self.tenants.is_empty() && !self.tenants.contains(tenant) {
            return None;
        }
        Some(self.overrides.get(tenant).unwrap_or(&self.terms))
    }
}

/// Rules in force, in the order of their names, which differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Vec<Arc<Rule>>);

impl Rules {
    pub(super) fn new(rules: BTreeMap<Name, Rule>) -> Self {
        Self(rules.into_values().map(Arc::new).collect())
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.0.iter()
    }

    /// One by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Rule>> {
        self.0.iter().find(|rule| &*rule.name == name)
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when nothing is looked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
