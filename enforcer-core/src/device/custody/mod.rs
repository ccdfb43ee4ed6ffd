//! Where a device is on its way from one tenant to the next. Pure: what happened comes in, the next state and what is to
//! be done come out. The gate is open in one state only, and no path leads from one tenant's use into another's past a
//! verified scrub, but for a person's word or the same tenant by policy.

pub mod hands;
pub mod receipt;
mod step;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use step::{Event, Refused, Word, step};

/// States that a device is remembered to have been in.
pub const HISTORY_MAX: usize = 16;

/// A device by what it is called: its number in the kernel may be another after the driver was loaded again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceKey {
    /// Class name.
    pub class: String,
    /// The number within the class.
    pub number: u32,
}

impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.class, self.number)
    }
}

/// Where a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Clean, and nobody's.
    Available,
    /// Open to its tenants: the only state in which the gate is open.
    InUse,
    /// Taken from its tenants, who may still hold it.
    Draining,
    /// Closed; it waits for proof that nobody holds it, or for a person.
    Quarantined,
    /// Being scrubbed, and read back.
    Sanitizing,
    /// Scrubbed and read back; its receipt is not written yet.
    Verified,
    /// Closed until a person says otherwise.
    Failed,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Available,
        Self::InUse,
        Self::Draining,
        Self::Quarantined,
        Self::Sanitizing,
        Self::Verified,
        Self::Failed,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::InUse => "in_use",
            Self::Draining => "draining",
            Self::Quarantined => "quarantined",
            Self::Sanitizing => "sanitizing",
            Self::Verified => "verified",
            Self::Failed => "failed",
        }
    }
}

/// One device: what is kept of it on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Custody {
    /// Where it is.
    pub state: State,
    /// Tenants to whom it is open, or was last.
    pub tenants: BTreeSet<String>,
    /// Everybody to whom it was open since it was clean: whose memory may be in it.
    pub past: BTreeSet<String>,
    /// Since when it is in this state, nanoseconds since 1970.
    pub since_ns: u64,
    /// Why.
    pub reason: String,
    /// It waits for a person.
    pub held: bool,
    /// No policy lets the next scrub be skipped: what is in it is not known, or a person asked.
    pub must_scrub: bool,
    /// SHA-256 of the latest receipt, hexadecimal; empty before the first.
    pub receipt: String,
    /// Its latest states and when they began, oldest first.
    pub history: Vec<(State, u64)>,
}

impl Custody {
    /// A device of which nothing is known: nobody knows what is left in it.
    #[must_use]
    pub fn first_sight(now_ns: u64) -> Self {
        Self {
            state: State::Quarantined,
            tenants: BTreeSet::new(),
            past: BTreeSet::new(),
            since_ns: now_ns,
            reason: "first sight: nobody knows what is left in it".to_owned(),
            held: false,
            must_scrub: true,
            receipt: String::new(),
            history: vec![(State::Quarantined, now_ns)],
        }
    }

    /// One of which something was written that cannot be read.
    #[must_use]
    pub fn unreadable(reason: &str, now_ns: u64) -> Self {
        let reason = format!("what was written of it cannot be used: {reason}");
        let history = vec![(State::Failed, now_ns)];
        Self { state: State::Failed, reason, history, ..Self::first_sight(now_ns) }
    }

    /// Those to whom the gate must be open; nobody in every state but one.
    #[must_use]
    pub fn open_to(&self) -> Option<&BTreeSet<String>> {
        (self.state == State::InUse).then_some(&self.tenants)
    }

    /// What is to be done next.
    #[must_use]
    pub fn plan(&self, granted: &Granted, rules: &Rules) -> Plan {
        match self.state {
            State::Available | State::InUse | State::Failed => Plan::Wait,
            State::Draining | State::Quarantined if self.may_skip(granted, rules) => Plan::Skip,
            State::Draining => Plan::Prove { until_ns: Some(self.since_ns.saturating_add(rules.drain_ns)) },
            State::Quarantined if self.held || !rules.has_scrubber => Plan::Wait,
            State::Quarantined => Plan::Prove { until_ns: None },
            State::Sanitizing => Plan::Scrub,
            State::Verified => Plan::Receipt,
        }
    }

    /// Whether the same tenant gets it again, as it is, by the node's own policy.
    fn may_skip(&self, granted: &Granted, rules: &Rules) -> bool {
        rules.reuse == Reuse::SameTenant
            && !self.held
            && !self.must_scrub
            && !self.past.is_empty()
            && granted.tenants == self.past
    }
}

/// To whom the policy in force grants a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// Every tenant.
    pub tenants: BTreeSet<String>,
    /// All of them are of the tier that shares accelerators.
    pub all_share: bool,
}

impl Granted {
    /// Whether they may have it together.
    #[must_use]
    pub fn is_fit(&self) -> bool {
        self.tenants.len() == 1 || (self.all_share && !self.tenants.is_empty())
    }
}

/// Whether a tenant gets its own device again without a scrub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// Never.
    #[default]
    Never,
    /// Yes, and the receipt says so.
    SameTenant,
}

impl Reuse {
    /// The word in the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::SameTenant => "sameTenant",
        }
    }
}

/// What the node's configuration says of handing a device over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// How long a tenant from whom it was taken may take to let go, nanoseconds.
    pub drain_ns: u64,
    /// Whether the same tenant again is a handover.
    pub reuse: Reuse,
    /// Something is configured that scrubs it.
    pub has_scrubber: bool,
}

/// What is to be done about a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing, until something happens.
    Wait,
    /// Look whether anybody still holds it, again and again; until this time where there is one.
    Prove {
        /// Nanoseconds since 1970.
        until_ns: Option<u64>,
    },
    /// Write a receipt that says that the scrub was skipped.
    Skip,
    /// Run the scrubber, then read samples back.
    Scrub,
    /// Write the receipt.
    Receipt,
}
