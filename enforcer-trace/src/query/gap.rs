//! What is missing from an answer, as records: a loss without a number, in the place where records would have been.

use enforcer_core::event::record::LOSS;
use enforcer_proto::v1;

use crate::keys::KeyError;
use crate::parquet::from_nanoseconds;
use crate::split::NODE;

/// Records that are not in an answer and would have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// Whose they were; empty where nobody can tell.
    pub(super) tenant: String,
    /// One word for why.
    pub(super) cause: &'static str,
    /// The sequence numbers between which they lie.
    pub(super) first: u64,
    pub(super) last: u64,
    /// How many; 0 where that is not known.
    pub(super) records: u64,
    /// Of the earliest, or of its loss, nanoseconds since 1970.
    pub(super) time_ns: u64,
    /// Which file.
    pub(super) subject: String,
    /// A sentence.
    pub(super) message: String,
}

impl Gap {
    /// As a record. Its source says whose loss it is; the node's own has none.
    pub(super) fn record(self) -> v1::Record {
        let field = |name: &str, value: u64| v1::Field { name: name.to_owned(), value: value.to_string() };
        let is_tenants = !self.tenant.is_empty() && self.tenant != NODE;
        v1::Record {
            time: Some(from_nanoseconds(i64::try_from(self.time_ns).unwrap_or(i64::MAX))),
            r#type: LOSS.to_owned(),
            reason: self.cause.to_owned(),
            lost_before: self.records,
            source: is_tenants.then(|| v1::Endpoint { identity: self.tenant, ..v1::Endpoint::default() }),
            note: Some(v1::Note {
                event: "missing".to_owned(),
                subject: self.subject,
                level: "warn".to_owned(),
                message: self.message,
                fields: vec![field("first", self.first), field("last", self.last)],
                ..v1::Note::default()
            }),
            ..v1::Record::default()
        }
    }
}

/// One word for why a key opened nothing.
pub(super) const fn cause(error: &KeyError) -> &'static str {
    match error {
        KeyError::Destroyed(_) => "key_destroyed",
        KeyError::Unknown(_) | KeyError::Unavailable { .. } => "key_unavailable",
        KeyError::Wrong(_) => "key_wrong",
        KeyError::Id(_) | KeyError::Material(_) => "damaged",
        KeyError::Cipher(_) => "unreadable",
    }
}
