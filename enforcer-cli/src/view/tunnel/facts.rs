//! What a node knows of a flow that it carries over mutual TLS.

use enforcer_proto::v1;
use serde::Serialize;

/// What a node knows of a tunnelled flow.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FactsView {
    event: String,
    direction: String,
    hop: String,
    source_id: String,
    source_serial: String,
    destination_id: String,
    destination_serial: String,
    trace_id: String,
    bytes_forward: u64,
    bytes_back: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    end: String,
    resumed: bool,
    reused: bool,
    cookie: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
}

impl From<v1::TunnelFacts> for FactsView {
    fn from(facts: v1::TunnelFacts) -> Self {
        let v1::TunnelFacts {
            event,
            direction,
            hop,
            source_id,
            source_serial,
            destination_id,
            destination_serial,
            trace_id,
            bytes_forward,
            bytes_back,
            end,
            resumed,
            reused,
            cookie,
            detail,
        } = facts;
        Self {
            event,
            direction,
            hop,
            source_id,
            source_serial,
            destination_id,
            destination_serial,
            trace_id,
            bytes_forward,
            bytes_back,
            end,
            resumed,
            reused,
            cookie,
            detail,
        }
    }
}

impl FactsView {
    /// The hop; nothing before one was chosen.
    pub(crate) fn hop(&self) -> &str {
        &self.hop
    }

    /// `outbound` or `inbound`.
    pub(crate) fn direction(&self) -> &str {
        &self.direction
    }

    /// SPIFFE IDs of both ends, as far as they are known.
    pub(crate) fn ids(&self) -> (&str, &str) {
        (&self.source_id, &self.destination_id)
    }

    /// From source to destination, and back.
    pub(crate) const fn bytes(&self) -> (u64, u64) {
        (self.bytes_forward, self.bytes_back)
    }

    /// For a line of a record: `closed outbound native clean 12/34 bytes`.
    pub(crate) fn brief(&self) -> String {
        let bytes = format!("{}/{} bytes", self.bytes_forward, self.bytes_back);
        let bytes = if self.event == "closed" { bytes.as_str() } else { "" };
        let words = [self.event.as_str(), &self.direction, &self.hop, &self.end, bytes, &self.detail];
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_known_and_no_more() {
        let facts = v1::TunnelFacts {
            event: "closed".to_owned(),
            direction: "outbound".to_owned(),
            hop: "native".to_owned(),
            end: "clean".to_owned(),
            bytes_forward: 12,
            bytes_back: 34,
            ..v1::TunnelFacts::default()
        };
        assert_eq!(FactsView::from(facts).brief(), "closed outbound native clean 12/34 bytes");
        let refused = v1::TunnelFacts { event: "refused".to_owned(), ..v1::TunnelFacts::default() };
        assert_eq!(FactsView::from(refused).brief(), "refused");
    }
}
