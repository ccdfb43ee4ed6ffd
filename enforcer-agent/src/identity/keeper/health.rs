//! Whether the identity wall is well: it says no before an expiry does harm, and what is late.

use std::time::Duration;

use enforcer_core::identity::lifecycle::State;

use super::run::Keeper;
use crate::door::identity::Health;

/// Sentences that are told; more are counted.
const WARNINGS_MAX: usize = 32;

impl Keeper {
    /// Looks at everything, and says so when something changed.
    pub(super) fn report_health(&self, now: Duration) {
        let health = self.look_at_health(now);
        self.health.send_if_modified(|known| {
            let is_news = *known != health;
            *known = health;
            is_news
        });
    }

    fn look_at_health(&self, now: Duration) -> Health {
        let late = self.members.iter().filter(|(_, member)| member.state.is_late(now));
        let mut warnings: Vec<String> = late
            .map(|(name, member)| match &member.state {
                State::Expired(_) => {
                    format!("workload {name}: its certificate has expired, and no successor came")
                }
                _ => format!("workload {name}: its certificate is about to expire, and no successor came"),
            })
            .collect();
        for (name, domain) in &self.domains {
            if domain.term().is_some_and(|term| term.is_late(now)) {
                warnings.push(format!("{name}: the node CA is about to end, and no successor came"));
            }
        }
        if self.own.state.is_late(now) {
            warnings.push("the node's own certificate is about to expire, and no successor came".to_owned());
        }
        let ready = warnings.is_empty();
        for (name, domain) in &self.domains {
            if let Some(trouble) = &domain.trouble {
                warnings.push(format!(
                    "{name}: no node CA after {} attempts: {}",
                    trouble.failures, trouble.error
                ));
            }
        }
        warnings.extend(self.upstream.trouble().map(|trouble| format!("the authority: {trouble}")));
        warnings.extend(self.weaknesses.iter().cloned());
        let untold = warnings.len().saturating_sub(WARNINGS_MAX);
        warnings.truncate(WARNINGS_MAX);
        if untold > 0 {
            warnings.push(format!("and {untold} more"));
        }
        Health { ready, warnings }
    }
}
