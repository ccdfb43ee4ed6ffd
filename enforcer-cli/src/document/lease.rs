//! How long addresses are trusted across tenants.

use prost_types::{Duration, Timestamp};
use serde::Serialize;

use crate::instant;

/// At most one of the two; nothing means for ever.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LeaseSpec {
    /// `90s`, from receipt: what policy files say.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<String>,
    /// The point in time that a lease was turned into when it was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_until: Option<String>,
    #[serde(skip)]
    until: Option<Timestamp>,
}

impl LeaseSpec {
    /// As the agent says it.
    pub(crate) fn new(lease: Option<Duration>, until: Option<Timestamp>) -> Self {
        match (lease, until) {
            (_, Some(until)) => {
                Self { lease: None, lease_until: Some(instant::rfc3339(&until)), until: Some(until) }
            }
            (Some(lease), None) => Self { lease: Some(format!("{}s", lease.seconds)), ..Self::default() },
            (None, None) => Self::default(),
        }
    }

    /// What a policy file says to get the same end, when it is applied at once: what is left, in whole
    /// seconds. `None` when nothing is left, which no file can say.
    pub(crate) fn left(&self, now: &Timestamp) -> Option<Self> {
        match &self.until {
            None => Some(self.clone()),
            Some(until) => instant::seconds_between(now, until)
                .map(|seconds| Self { lease: Some(format!("{seconds}s")), ..Self::default() }),
        }
    }

    /// One word for a table.
    pub(crate) fn brief(&self) -> &str {
        self.lease_until.as_deref().or(self.lease.as_deref()).unwrap_or("")
    }
}
