//! What a node knows of a flow that it carries, with stable field names.

use enforcer_proto::v1;
use serde::Serialize;

/// How a flow is carried: in listings and in records.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FactsView {
    pub(crate) event: String,
    pub(crate) direction: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) hop: String,
    pub(crate) source: CertificateView,
    pub(crate) destination: CertificateView,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) trace_id: String,
    pub(crate) bytes_forward: u64,
    pub(crate) bytes_back: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) end: String,
    pub(crate) resumed: bool,
    pub(crate) reused: bool,
    pub(crate) cookie: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) detail: String,
}

/// A certificate that was shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CertificateView {
    pub(crate) spiffe_id: String,
    pub(crate) serial: String,
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
            source: CertificateView { spiffe_id: source_id, serial: source_serial },
            destination: CertificateView { spiffe_id: destination_id, serial: destination_serial },
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
    /// `opened inbound native`, `spiffe://…#0a -> spiffe://…#0b`, `end=policy`: what is known, in the order in which
    /// one reads it.
    pub(crate) fn parts(&self) -> Vec<String> {
        let words = [&self.event, &self.direction, &self.hop].map(String::as_str);
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let bytes = if self.event == "closed" {
            format!("bytes={}/{}", self.bytes_forward, self.bytes_back)
        } else {
            String::new()
        };
        let end = if self.end.is_empty() { String::new() } else { format!("end={}", self.end) };
        let trace = if self.trace_id.is_empty() { String::new() } else { format!("trace={}", self.trace_id) };
        let parts = [words.join(" "), self.certificates(), bytes, end, self.detail.clone(), trace];
        parts.into_iter().filter(|part| !part.is_empty()).collect()
    }

    fn certificates(&self) -> String {
        match (self.source.brief(), self.destination.brief()) {
            (source, destination) if source.is_empty() && destination.is_empty() => String::new(),
            (source, destination) => format!("{} -> {}", or_unknown(&source), or_unknown(&destination)),
        }
    }
}

impl CertificateView {
    /// The ID, and behind `#` the serial number.
    pub(crate) fn brief(&self) -> String {
        let Self { spiffe_id, serial } = self;
        if serial.is_empty() { spiffe_id.clone() } else { format!("{spiffe_id}#{serial}") }
    }
}

fn or_unknown(text: &str) -> &str {
    if text.is_empty() { "?" } else { text }
}
