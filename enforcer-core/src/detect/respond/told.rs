//! What goes on record of responses.

use enforcer_proto::v1;

use super::entry::{Kind, Response};
use crate::detect::alert::{ACTOR, field, timestamp};
use crate::policy::model::UnixNanos;

/// `Record.type` of responses.
pub const RESPONSE: &str = "response";

/// What became of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It was done.
    Started,
    /// It was done before the agent was started anew, and goes on.
    Resumed,
    /// It lasts longer.
    Extended,
    /// It was undone.
    Ended,
    /// It was asked for, and may not be done.
    Withheld,
    /// Something about it could not be done.
    Failed,
    /// In a dry run: it would be done.
    WouldStart,
    /// In a dry run: it would last longer.
    WouldExtend,
    /// In a dry run: it would be undone.
    WouldEnd,
}

impl Word {
    /// `Note.event`.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Resumed => "resumed",
            Self::Extended => "extended",
            Self::Ended => "ended",
            Self::Withheld => "withheld",
            Self::Failed => "failed",
            Self::WouldStart => "would-start",
            Self::WouldExtend => "would-extend",
            Self::WouldEnd => "would-end",
        }
    }
}

/// Something to be put on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What became of it.
    pub word: Word,
    /// Of what.
    pub response: Response,
    /// Why, where there is more to say than the alert's sentence.
    pub why: String,
    /// An operator, where it was one.
    pub actor: Option<String>,
}

impl Told {
    pub(super) const fn new(word: Word, response: Response, why: String) -> Self {
        Self { word, response, why, actor: None }
    }

    /// A sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Response { tenant, workload, kind, explanation, .. } = &self.response;
        let who = workload.as_ref().map_or_else(|| tenant.to_string(), |name| format!("{tenant}/{name}"));
        let why = if self.why.is_empty() { String::new() } else { format!("{}; ", self.why) };
        format!("{} of {who} {}: {why}{explanation}", kind.word(), self.word.text())
    }

    /// The record, without a number.
    #[must_use]
    pub fn record(&self, node: &str, now: UnixNanos) -> v1::Record {
        let Response { id, tenant, workload, kind, rule, dry_run, started, expires, .. } = &self.response;
        let mut fields = vec![
            field("id", id.clone()),
            field("response", kind.word().to_owned()),
            field("dryRun", dry_run.to_string()),
            field("started", timestamp(*started).to_string()),
            field("expires", timestamp(*expires).to_string()),
        ];
        if let Kind::RateLimit(rate) = kind {
            fields.push(field("rate", rate.to_string()));
        }
        v1::Record {
            time: Some(timestamp(now)),
            node: node.to_owned(),
            r#type: RESPONSE.to_owned(),
            source: Some(v1::Endpoint {
                identity: tenant.to_string(),
                workload: workload.as_deref().unwrap_or_default().to_owned(),
                ..v1::Endpoint::default()
            }),
            note: Some(v1::Note {
                event: self.word.text().to_owned(),
                subject: rule.to_string(),
                actor: self.actor.clone().unwrap_or_else(|| ACTOR.to_owned()),
                level: String::new(),
                message: self.sentence(),
                fields,
            }),
            ..v1::Record::default()
        }
    }
}
