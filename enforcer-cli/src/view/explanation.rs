//! The verdict on a flow or a device, and the way to it.

use enforcer_proto::v1;
use serde::Serialize;

use crate::console::Show;
use crate::fields::Fields;
use crate::style::{self, Paint, Style};

/// The verdict and the way to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExplanationView {
    verdict: String,
    rule: String,
    reason: String,
    reason_text: String,
    revision: u64,
    source_identity: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    destination_identity: String,
    /// "tunnel", "one-node", or nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    carriage: String,
    steps: Vec<String>,
    proof: String,
}

impl From<v1::ExplainResponse> for ExplanationView {
    fn from(response: v1::ExplainResponse) -> Self {
        let v1::ExplainResponse {
            verdict,
            rule,
            reason,
            reason_text,
            revision,
            source_identity,
            destination_identity,
            steps,
            proof,
            carriage,
        } = response;
        Self {
            verdict,
            rule,
            reason,
            reason_text,
            revision,
            source_identity,
            destination_identity,
            carriage,
            steps,
            proof,
        }
    }
}

impl ExplanationView {
    /// "allow", "deny" or "audit".
    pub(crate) fn verdict(&self) -> &str {
        &self.verdict
    }

    /// What the kernel's program answered, when it answered otherwise.
    pub(crate) fn disagreement(&self) -> Option<&str> {
        let rest = self.proof.strip_prefix("disagrees")?;
        Some(rest.trim_start_matches(':').trim_start())
    }

    /// The word as a sentence; a word of a newer agent as it is.
    fn carriage_text(&self) -> &str {
        match self.carriage.as_str() {
            "tunnel" => "tunnel: allowed over mutual TLS; plaintext is refused",
            "one-node" => "one-node: allowed as it is, both ends are on this node",
            other => other,
        }
    }

    fn proof_paint(&self) -> Paint {
        match self.proof.as_str() {
            "agrees" => Paint::Good,
            "" | "not asked" => Paint::Dim,
            _ if self.disagreement().is_some() => Paint::Bad,
            _ => Paint::Warn,
        }
    }
}

impl Show for ExplanationView {
    fn text(&self, style: Style) -> String {
        let mut fields = Fields::new(style, 12);
        let mut field = |name: &str, value: &str, paint: Paint| fields.add(name, value, paint);
        field("verdict", &self.verdict, style::of_verdict(&self.verdict));
        field("rule", &self.rule, Paint::None);
        let reason = match (self.reason.as_str(), self.reason_text.as_str()) {
            ("" | "none", _) => String::new(),
            (word, "") => word.to_owned(),
            (word, why) => format!("{word}: {why}"),
        };
        field("reason", &reason, Paint::None);
        field("carriage", self.carriage_text(), Paint::None);
        field("revision", &self.revision.to_string(), Paint::None);
        field("source", &self.source_identity, Paint::None);
        field("destination", &self.destination_identity, Paint::None);
        field("proof", &self.proof, self.proof_paint());
        for (number, step) in (1_usize..).zip(&self.steps) {
            field(if number == 1 { "steps" } else { "" }, &format!("{number}. {step}"), Paint::None);
        }
        fields.into_text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response() -> v1::ExplainResponse {
        v1::ExplainResponse {
            verdict: "deny".to_owned(),
            rule: "no-rule-matched".to_owned(),
            reason: "cross_tenant_no_rule".to_owned(),
            reason_text: "No rule of b allows it.".to_owned(),
            revision: 7,
            source_identity: "a".to_owned(),
            destination_identity: "b".to_owned(),
            steps: vec!["10.0.0.1 is workload web of a".to_owned(), "b has no rule for a".to_owned()],
            proof: "agrees".to_owned(),
            carriage: String::new(),
        }
    }

    #[test]
    fn an_explanation_tells_the_verdict_first_and_then_the_way() {
        assert_eq!(
            ExplanationView::from(response()).text(Style::Plain),
            "verdict      deny\n\
             rule         no-rule-matched\n\
             reason       cross_tenant_no_rule: No rule of b allows it.\n\
             revision     7\n\
             source       a\n\
             destination  b\n\
             proof        agrees\n\
             steps        1. 10.0.0.1 is workload web of a\n             2. b has no rule for a\n"
        );
    }

    #[test]
    fn how_a_flow_is_carried_has_a_line_of_its_own() {
        let text = |carriage: &str| {
            let response = v1::ExplainResponse { carriage: carriage.to_owned(), ..response() };
            ExplanationView::from(response).text(Style::Plain)
        };
        let tunnel = "\ncarriage     tunnel: allowed over mutual TLS; plaintext is refused\nrevision";
        assert!(text("tunnel").contains(tunnel), "{}", text("tunnel"));
        let one_node = "\ncarriage     one-node: allowed as it is, both ends are on this node\nrevision";
        assert!(text("one-node").contains(one_node), "{}", text("one-node"));
        assert!(text("by-pigeon").contains("\ncarriage     by-pigeon\n"));
        let json = |response| serde_json::to_value(ExplanationView::from(response)).unwrap();
        let tunnel = v1::ExplainResponse { carriage: "tunnel".to_owned(), ..response() };
        assert_eq!(json(tunnel)["carriage"], "tunnel");
        assert_eq!(json(response()).get("carriage"), None);
    }

    #[test]
    fn a_disagreement_is_noticed() {
        let with = |proof: &str| {
            ExplanationView::from(v1::ExplainResponse { proof: proof.to_owned(), ..response() })
        };
        assert_eq!(with("disagrees: it passed").disagreement(), Some("it passed"));
        for proof in ["agrees", "not asked", "cannot: no interface"] {
            assert_eq!(with(proof).disagreement(), None, "{proof}");
        }
    }
}
