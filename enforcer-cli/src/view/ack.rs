//! A change that is in force.

use enforcer_proto::v1;
use serde::Serialize;

use crate::console::Show;
use crate::style::{Paint, Style};
use crate::{hex, instant};

/// What the kernel holds now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AckView {
    revision: u64,
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_to_enforcement_ns: Option<i128>,
    warnings: Vec<String>,
    #[serde(skip)]
    elapsed: Option<String>,
}

impl From<v1::Ack> for AckView {
    fn from(ack: v1::Ack) -> Self {
        let v1::Ack { revision, digest, time_to_enforcement, warnings } = ack;
        Self {
            revision,
            digest: hex::encode(&digest),
            time_to_enforcement_ns: time_to_enforcement.as_ref().map(instant::nanoseconds),
            warnings,
            elapsed: time_to_enforcement.as_ref().map(instant::milliseconds),
        }
    }
}

impl AckView {
    /// What is in force but perhaps not what was meant.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl Show for AckView {
    fn text(&self, style: Style) -> String {
        let revision = style.paint(Paint::Good, &format!("revision {}", self.revision));
        let elapsed = self.elapsed.as_ref().map(|elapsed| format!(" after {elapsed}")).unwrap_or_default();
        format!("{revision} is in force{elapsed}, digest {}\n", self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack() -> AckView {
        AckView::from(v1::Ack {
            revision: 8,
            digest: vec![0xab; 4],
            time_to_enforcement: Some(prost_types::Duration { seconds: 0, nanos: 1_234_567 }),
            warnings: vec!["rule a is carried by one tenant only".to_owned()],
        })
    }

    #[test]
    fn an_acknowledgement_reads_as_a_sentence() {
        assert_eq!(ack().text(Style::Plain), "revision 8 is in force after 1.234 ms, digest abababab\n");
    }

    #[test]
    fn its_fields_are_stable() {
        let json = serde_json::to_string(&ack()).unwrap();
        assert_eq!(
            json,
            r#"{"revision":8,"digest":"abababab","timeToEnforcementNs":1234567,"warnings":["rule a is carried by one tenant only"]}"#
        );
    }
}
