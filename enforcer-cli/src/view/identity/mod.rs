//! Identities of a node, and the trust domains that vouch for them.

pub(crate) mod bundle;
pub(crate) mod changed;
pub(crate) mod detail;
pub(crate) mod domain;
pub(crate) mod enrolled;
pub(crate) mod health;
pub(crate) mod list;

use enforcer_proto::v1;
use serde::Serialize;

use crate::style::Paint;
use crate::{duration, instant};

/// One identity.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IdentityView {
    workload: String,
    tenant: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    spiffe_id: String,
    state: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    serial: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renew_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_to_expiry: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_to_renewal: Option<i64>,
    failures: u32,
    issued: u64,
    federates_with: Vec<String>,
    streams: u32,
}

impl From<v1::Identity> for IdentityView {
    fn from(identity: v1::Identity) -> Self {
        let seconds_to_renewal = seconds_to_renewal(&identity);
        let v1::Identity {
            workload,
            tenant,
            spiffe_id,
            state,
            reason,
            serial,
            not_before,
            not_after,
            renew_at,
            seconds_to_expiry,
            failures,
            issued,
            federates_with,
            streams,
        } = identity;
        Self {
            workload,
            tenant,
            spiffe_id,
            state: state_word(state),
            reason,
            serial,
            not_before: not_before.as_ref().map(instant::rfc3339),
            not_after: not_after.as_ref().map(instant::rfc3339),
            renew_at: renew_at.as_ref().map(instant::rfc3339),
            seconds_to_expiry,
            seconds_to_renewal,
            failures,
            issued,
            federates_with,
            streams,
        }
    }
}

impl IdentityView {
    const fn paint(&self) -> Paint {
        match self.state.as_bytes() {
            b"valid" | b"renewing" if self.failures == 0 => Paint::Good,
            b"valid" | b"renewing" | b"requesting" => Paint::Warn,
            b"absent" => Paint::Dim,
            _ => Paint::Bad,
        }
    }
}

/// By the agent's clock, whatever ours says.
fn seconds_to_renewal(identity: &v1::Identity) -> Option<i64> {
    let (end, renewal) = (identity.not_after.as_ref()?, identity.renew_at.as_ref()?);
    let between = end.seconds.checked_sub(renewal.seconds)?;
    identity.seconds_to_expiry?.checked_sub(between)
}

fn state_word(state: i32) -> &'static str {
    match v1::IdentityState::try_from(state) {
        Ok(v1::IdentityState::Absent) => "absent",
        Ok(v1::IdentityState::Requesting) => "requesting",
        Ok(v1::IdentityState::Valid) => "valid",
        Ok(v1::IdentityState::Renewing) => "renewing",
        Ok(v1::IdentityState::Expired) => "expired",
        Ok(v1::IdentityState::Denied) => "denied",
        Ok(v1::IdentityState::Revoked) => "revoked",
        Ok(v1::IdentityState::Unspecified) | Err(_) => "unknown",
    }
}

/// What is left, for people; `now` when nothing is, and nothing when it is not known.
fn left(seconds: Option<i64>) -> String {
    match seconds.map(u64::try_from) {
        None => String::new(),
        Some(Ok(seconds)) if seconds > 0 => duration::words(seconds),
        Some(Ok(_) | Err(_)) => "now".to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use prost_types::Timestamp;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds: 1_793_700_000 + seconds, nanos: 0 })
    }

    /// A workload that has a certificate for an hour, ten minutes of which are over.
    pub(in crate::view) fn valid() -> v1::Identity {
        v1::Identity {
            workload: "web".to_owned(),
            tenant: "red".to_owned(),
            spiffe_id: "spiffe://red.fleet.example/ns/a/sa/web".to_owned(),
            state: v1::IdentityState::Valid.into(),
            serial: "0badcafe".to_owned(),
            not_before: at(0),
            not_after: at(3_600),
            renew_at: at(1_800),
            seconds_to_expiry: Some(3_000),
            issued: 2,
            federates_with: vec!["blue.fleet.example".to_owned()],
            streams: 1,
            ..v1::Identity::default()
        }
    }

    /// One that gets none.
    pub(in crate::view) fn denied() -> v1::Identity {
        v1::Identity {
            workload: "old".to_owned(),
            tenant: "red".to_owned(),
            state: v1::IdentityState::Denied.into(),
            reason: "the policy gives it no identity".to_owned(),
            failures: 3,
            ..v1::Identity::default()
        }
    }

    #[test]
    fn a_state_of_the_future_is_not_called_valid() {
        let view = IdentityView::from(v1::Identity { state: 77, ..valid() });
        assert_eq!((view.state, view.paint()), ("unknown", Paint::Bad));
    }

    #[test]
    fn failures_show_before_the_certificate_ends() {
        assert_eq!(IdentityView::from(valid()).paint(), Paint::Good);
        assert_eq!(IdentityView::from(v1::Identity { failures: 1, ..valid() }).paint(), Paint::Warn);
    }

    #[test]
    fn what_is_left_is_by_the_agents_clock() {
        let view = IdentityView::from(valid());
        assert_eq!(
            (left(view.seconds_to_expiry).as_str(), left(view.seconds_to_renewal).as_str()),
            ("50m", "20m")
        );
        assert_eq!(left(Some(0)), "now");
        assert_eq!(left(Some(-5)), "now");
        assert_eq!(left(None), "");
    }
}
