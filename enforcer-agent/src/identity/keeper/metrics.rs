//! What a monitoring system reads, as OpenMetrics text.

use std::fmt::Write as _;

use enforcer_proto::v1;

use super::answer::state_word;
use super::run::Keeper;

impl Keeper {
    /// Every metric of the identity wall.
    pub(super) fn metrics(&self) -> String {
        let now = (self.clock)();
        let listed = self.list(None);
        let mut text = String::new();
        family(&mut text, "enforcer_svid_expiry_seconds", "Seconds until the served certificate ends.");
        for identity in &listed.identities {
            if let Some(left) = identity.seconds_to_expiry {
                let labels = labels(identity);
                let _ = writeln!(text, "enforcer_svid_expiry_seconds{{{labels}}} {left}");
            }
        }
        family(&mut text, "enforcer_svid_state", "1 for the state that the identity is in.");
        for identity in &listed.identities {
            let (labels, state) = (labels(identity), state_word(identity.state()));
            let _ = writeln!(text, "enforcer_svid_state{{{labels},state=\"{state}\"}} 1");
        }
        family(&mut text, "enforcer_svid_failures", "Attempts that failed since the last certificate.");
        for identity in &listed.identities {
            let _ = writeln!(text, "enforcer_svid_failures{{{}}} {}", labels(identity), identity.failures);
        }
        let _ = writeln!(text, "# TYPE enforcer_svid_issued counter");
        let _ = writeln!(text, "# HELP enforcer_svid_issued Certificates issued since the agent started.");
        for identity in &listed.identities {
            let _ = writeln!(text, "enforcer_svid_issued_total{{{}}} {}", labels(identity), identity.issued);
        }
        family(
            &mut text,
            "enforcer_node_ca_expiry_seconds",
            "Seconds until this node's CA for a tenant ends.",
        );
        for (name, domain) in &self.domains {
            if let Some(term) = domain.term() {
                let left = term.not_after.saturating_sub(now).as_secs();
                let _ = writeln!(text, "enforcer_node_ca_expiry_seconds{{trust_domain=\"{name}\"}} {left}");
            }
        }
        family(&mut text, "enforcer_identity_ready", "0 when something is late.");
        let _ = writeln!(text, "enforcer_identity_ready {}", i32::from(self.health.borrow().ready));
        text.push_str("# EOF\n");
        text
    }
}

fn family(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(text, "# TYPE {name} gauge\n# HELP {name} {help}");
}

/// Names of the policy hold nothing that would have to be escaped.
fn labels(identity: &v1::Identity) -> String {
    format!("tenant=\"{}\",workload=\"{}\"", identity.tenant, identity.workload)
}
