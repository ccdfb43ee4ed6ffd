//! How the identity wall is as a whole.

use enforcer_proto::v1;
use serde::Serialize;

/// How the identity wall is as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HealthView {
    enabled: bool,
    ready: bool,
    warnings: Vec<String>,
    trust_domain: String,
    upstream: String,
    key_encryption_key: String,
    key_encryption_key_id: String,
    sealed_with_older_keys: u32,
}

impl From<v1::IdentityHealth> for HealthView {
    fn from(health: v1::IdentityHealth) -> Self {
        let v1::IdentityHealth {
            enabled,
            ready,
            warnings,
            trust_domain,
            upstream,
            key_encryption_key,
            key_encryption_key_id,
            sealed_with_older_keys,
        } = health;
        Self {
            enabled,
            ready,
            warnings,
            trust_domain,
            upstream,
            key_encryption_key,
            key_encryption_key_id,
            sealed_with_older_keys,
        }
    }
}

impl HealthView {
    /// What a person should look at.
    pub(crate) fn concerns(&self) -> Vec<String> {
        if !self.enabled {
            return vec!["the agent's configuration turns identities off".to_owned()];
        }
        let late = (!self.ready).then(|| "not ready: an identity is late".to_owned());
        late.into_iter().chain(self.warnings.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_or_late_is_said_without_a_warning_of_the_agents() {
        let health = |enabled, ready| HealthView { enabled, ready, ..HealthView::default() };
        assert_eq!(health(true, true).concerns(), Vec::<String>::new());
        assert_eq!(health(true, false).concerns(), ["not ready: an identity is late"]);
        assert_eq!(health(false, false).concerns().len(), 1);
        let warned = HealthView { warnings: vec!["the root ends soon".to_owned()], ..health(true, true) };
        assert_eq!(warned.concerns(), ["the root ends soon"]);
    }
}
