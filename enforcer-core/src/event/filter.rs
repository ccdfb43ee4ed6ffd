//! What of the records an observer asked for.

use enforcer_common::{reason, verdict};
use enforcer_proto::v1;

use super::record::{DEVICE, FLOW, LOSS, SERVICE, TUNNEL};

/// A filter that no record could ever pass, and that would look like silence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Not a verdict.
    #[error("verdict \"{0}\" is none of allow, deny, audit")]
    Verdict(String),
    /// Not a drop reason.
    #[error("reason \"{0}\" is no drop reason")]
    Reason(String),
    /// Not a type of record.
    #[error("type \"{0}\" is none of flow, tunnel, device, service, loss")]
    Type(String),
    /// Present and empty.
    #[error("tenant is empty; leave it out for every tenant")]
    Tenant,
}

/// Which records to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    tenant: Option<String>,
    verdict: Option<String>,
    reason: Option<String>,
    kind: Option<String>,
}

impl Filter {
    /// From a request.
    ///
    /// # Errors
    /// Every word that means nothing.
    pub fn parse(request: &v1::ObserveRequest) -> Result<Self, Vec<FilterError>> {
        let mut errors = Vec::new();
        if let Some(word) = &request.verdict
            && ![verdict::ALLOW, verdict::DENY, verdict::AUDIT]
                .map(verdict::action_name)
                .contains(&word.as_str())
        {
            errors.push(FilterError::Verdict(shown(word)));
        }
        if let Some(word) = &request.reason
            && !reason::ALL.iter().any(|(number, name, _)| *number != reason::NONE && name == word)
        {
            errors.push(FilterError::Reason(shown(word)));
        }
        if let Some(word) = &request.r#type
            && ![FLOW, TUNNEL, DEVICE, SERVICE, LOSS].contains(&word.as_str())
        {
            errors.push(FilterError::Type(shown(word)));
        }
        if request.tenant.as_deref() == Some("") {
            errors.push(FilterError::Tenant);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            tenant: request.tenant.clone(),
            verdict: request.verdict.clone(),
            reason: request.reason.clone(),
            kind: request.r#type.clone(),
        })
    }

    /// True for a record to show. A loss is shown whatever else was asked for, unless another type was:
    /// who looks for refusals must know that some may be missing.
    #[must_use]
    pub fn passes(&self, record: &v1::Record) -> bool {
        let is = |wanted: &Option<String>, word: &str| wanted.as_deref().is_none_or(|wanted| wanted == word);
        if !is(&self.kind, &record.r#type) {
            return false;
        }
        if record.r#type == LOSS {
            return true;
        }
        is(&self.verdict, &record.verdict) && is(&self.reason, &record.reason) && self.concerns(record)
    }

    /// The tenant is at either end.
    fn concerns(&self, record: &v1::Record) -> bool {
        let Some(tenant) = &self.tenant else { return true };
        [&record.source, &record.destination].into_iter().flatten().any(|end| end.identity == *tenant)
    }
}

fn shown(word: &str) -> String {
    word.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(source: &str, destination: &str, verdict: &str, reason: &str) -> v1::Record {
        let end =
            |identity: &str| Some(v1::Endpoint { identity: identity.to_owned(), ..v1::Endpoint::default() });
        v1::Record {
            r#type: FLOW.to_owned(),
            verdict: verdict.to_owned(),
            reason: reason.to_owned(),
            source: end(source),
            destination: end(destination),
            ..v1::Record::default()
        }
    }

    fn filter(change: impl FnOnce(&mut v1::ObserveRequest)) -> Filter {
        let mut request = v1::ObserveRequest::default();
        change(&mut request);
        Filter::parse(&request).unwrap()
    }

    #[test]
    fn a_tenant_is_found_at_either_end_and_nowhere_else() {
        let red = filter(|request| request.tenant = Some("red".to_owned()));
        assert!(red.passes(&flow("red", "blue", "deny", "")));
        assert!(red.passes(&flow("blue", "red", "deny", "")));
        assert!(!red.passes(&flow("blue", "green", "deny", "")));
        assert!(!red.passes(&v1::Record { r#type: DEVICE.to_owned(), ..v1::Record::default() }));
    }

    #[test]
    fn every_word_must_agree() {
        let denied = filter(|request| {
            request.verdict = Some("deny".to_owned());
            request.reason = Some("cross_tenant_no_rule".to_owned());
        });
        assert!(denied.passes(&flow("a", "b", "deny", "cross_tenant_no_rule")));
        assert!(!denied.passes(&flow("a", "b", "audit", "cross_tenant_no_rule")));
        assert!(!denied.passes(&flow("a", "b", "deny", "rule_denied")));
    }

    #[test]
    fn a_loss_passes_unless_another_type_was_asked_for() {
        let loss = v1::Record { r#type: LOSS.to_owned(), ..v1::Record::default() };
        assert!(filter(|request| request.verdict = Some("deny".to_owned())).passes(&loss));
        assert!(filter(|request| request.tenant = Some("red".to_owned())).passes(&loss));
        assert!(filter(|request| request.r#type = Some("loss".to_owned())).passes(&loss));
        assert!(!filter(|request| request.r#type = Some("flow".to_owned())).passes(&loss));
    }

    #[test]
    fn tunnels_are_a_type_of_their_own() {
        let tunnels = filter(|request| request.r#type = Some("tunnel".to_owned()));
        let tunnel = v1::Record { r#type: TUNNEL.to_owned(), ..flow("red", "blue", "allow", "none") };
        assert!(tunnels.passes(&tunnel));
        assert!(!tunnels.passes(&flow("red", "blue", "allow", "none")));
    }

    #[test]
    fn every_word_without_meaning_is_an_error() {
        let request = v1::ObserveRequest {
            tenant: Some(String::new()),
            verdict: Some("drop".to_owned()),
            reason: Some("none".to_owned()),
            r#type: Some("packet".to_owned()),
            ..v1::ObserveRequest::default()
        };
        assert_eq!(
            Filter::parse(&request).unwrap_err(),
            [
                FilterError::Verdict("drop".to_owned()),
                FilterError::Reason("none".to_owned()),
                FilterError::Type("packet".to_owned()),
                FilterError::Tenant,
            ]
        );
    }
}
