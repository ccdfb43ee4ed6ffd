//! The reference: what a policy says of a flow or a device, found by walking over every object. Slow and
//! obvious on purpose. It must share no code with `compile` or `decide()`, which are checked against it.

mod device;
mod flow;

pub use device::{DeviceAsker, DeviceQuestion, device};
pub use flow::{Flow, verdict};

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It passes.
    Allow,
    /// It is refused.
    Deny,
    /// It would be refused, but its tenant is in audit mode.
    Audit,
}

/// An answer with its grounds, all in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OracleVerdict {
    /// The answer.
    pub answer: Answer,
    /// The word of the drop reason; `none` when allowed.
    pub reason: &'static str,
    /// Name of the rule, or of the default.
    pub rule: String,
    /// Refused as it is, allowed over mutual TLS.
    pub tunnel: bool,
    /// An audit rule that would change the answer, and to what.
    pub shadow: Option<(String, Answer)>,
}

impl OracleVerdict {
    fn allow(rule: &str) -> Self {
        Self { answer: Answer::Allow, reason: "none", rule: rule.to_owned(), tunnel: false, shadow: None }
    }

    fn deny(reason: &'static str) -> Self {
        let rule = "no-rule-matched".to_owned();
        Self { answer: Answer::Deny, reason, rule, tunnel: false, shadow: None }
    }
}
