//! Responses as they are kept over a restart. What was begun is remembered before it is done.

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Kind, Phase, Response};
use super::{Effect, Responses};
use crate::detect::limits::RESPONSES_MAX;
use crate::policy::model::UnixNanos;

const VERSION: u32 = 1;

/// Everything that has to be ended some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    version: u32,
    made: u64,
    responses: Vec<SavedResponse>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedResponse {
    id: String,
    tenant: String,
    workload: Option<String>,
    kind: Kind,
    rule: String,
    dry_run: bool,
    started: UnixNanos,
    expires: UnixNanos,
    explanation: String,
    ending: bool,
}

/// Why saved responses cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SavedError {
    /// Written by another version.
    #[error("it has version {0}, and {VERSION} is read here")]
    Version(u32),
    /// More than were ever in force.
    #[error("it holds {0} responses, and at most {RESPONSES_MAX} are ever in force")]
    TooMany(usize),
    /// The same number twice, or none, or nobody whose certificates are withdrawn.
    #[error("response {0:?} makes no sense")]
    Senseless(String),
}

impl Responses {
    /// Everything, to be kept.
    #[must_use]
    pub fn save(&self) -> Saved {
        let responses = self.entries.values().map(|entry| {
            let Response { id, tenant, workload, kind, rule, dry_run, started, expires, explanation } =
                entry.response.clone();
            let is_ending = matches!(entry.phase, Phase::Ending { .. } | Phase::Unended { .. });
            SavedResponse {
                id,
                tenant: tenant.to_string(),
                workload: workload.map(|workload| workload.to_string()),
                kind,
                rule: rule.to_string(),
                dry_run,
                started,
                expires,
                explanation,
                ending: is_ending || entry.ended_by.is_some(),
            }
        });
        Saved { version: VERSION, made: self.made, responses: responses.collect() }
    }

    /// Goes on with what an earlier run of the agent began. What has expired meanwhile ends now.
    ///
    /// # Errors
    /// It was not written by [`Self::save`] of this version; nothing is taken.
    pub fn resume(&mut self, saved: Saved, now: UnixNanos) -> Result<Vec<Effect>, SavedError> {
        let Saved { version, made, responses } = saved;
        if version != VERSION {
            return Err(SavedError::Version(version));
        }
        if responses.len() > RESPONSES_MAX {
            return Err(SavedError::TooMany(responses.len()));
        }
        let mut ids = std::collections::BTreeSet::new();
        let is_senseless = |one: &&SavedResponse| {
            let is_nobody = one.kind == Kind::Revoke && one.workload.is_none();
            one.id.is_empty() || is_nobody || !ids.insert(one.id.clone())
        };
        if let Some(wrong) = responses.iter().find(is_senseless) {
            return Err(SavedError::Senseless(wrong.id.clone()));
        }
        self.step_clock(now);
        self.made = self.made.max(made);
        let mut effects = Vec::new();
        for one in responses {
            effects.extend(self.take_up(one));
        }
        Ok(effects)
    }

    fn take_up(&mut self, saved: SavedResponse) -> Option<Effect> {
        let SavedResponse {
            id,
            tenant,
            workload,
            kind,
            rule,
            dry_run,
            started,
            expires,
            explanation,
            ending,
        } = saved;
        // A file from a day to come must not make anything last longer than it was begun for.
        let lasts = expires.saturating_sub(started);
        let started = started.min(self.now);
        let expires = expires.min(started.saturating_add(lasts));
        let phase = match () {
            () if dry_run => Phase::Active,
            () if ending || expires <= self.now => Phase::Ending { again: false },
            () => Phase::Starting { resumed: true },
        };
        let response = Response {
            id: id.clone(),
            tenant: tenant.into(),
            workload: workload.map(Into::into),
            kind,
            rule: rule.into(),
            dry_run,
            started,
            expires,
            explanation,
        };
        self.entries.insert(id.clone(), Entry { response, phase, ended_by: None });
        if dry_run { None } else { self.act(&id) }
    }
}
