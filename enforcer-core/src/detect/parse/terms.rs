//! Window, threshold and response: of a rule, and of a tenant's override, which states only what differs.

use super::hours;
use crate::detect::hours::Hours;
use crate::detect::limits::{
    COOLDOWN_SECONDS, DISTINCT_MAX, EXPIRY_SECONDS, FACTOR_MAX, HISTORY, RATE_MAX, SAMPLES_DEFAULT,
    SAMPLES_MIN, THRESHOLD_MAX, WINDOW_SECONDS,
};
use crate::detect::rule::{Action, Level, Pattern, Terms};
use crate::duration::parse_seconds;
use crate::policy::parse::yaml::fields::{Fields, Reader};
use crate::policy::parse::yaml::node::Node;
use crate::policy::problem::shown;

const MINUTE: u64 = 60;
const RATE_DEFAULT: u32 = 10;
const EXPIRY_DEFAULT: u64 = 10 * MINUTE;
const HISTORY_MAX: u64 = HISTORY as u64;

/// What was written, field by field.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    window_s: Option<u64>,
    threshold: Option<u64>,
    factor: Option<u64>,
    samples_min: Option<u64>,
    /// One value: an override that has its own takes nothing of the rule's.
    response: Option<Response>,
    cooldown_s: Option<u64>,
    level: Option<Level>,
    usual: Option<Hours>,
}

#[derive(Clone, Copy, Debug)]
struct Response {
    action: Action,
    dry_run: bool,
    expires_after_s: u64,
}

/// A response before its rate is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Record,
    Alert,
    RateLimit,
    DenyNew,
    Revoke,
}

/// `None` when something is wrong, which is said.
pub(super) fn read(reader: &mut Reader, fields: &mut Fields) -> Option<Draft> {
    let before = reader.problems.count();
    let mut number = |field: &'static str, range| self::number(reader, fields, field, range);
    let threshold = number("threshold", (1, THRESHOLD_MAX));
    let factor = number("factor", (1, FACTOR_MAX));
    let samples_min = number("minimumSamples", (SAMPLES_MIN, HISTORY_MAX));
    let mut span = |field: &'static str, range| self::span(reader, fields, field, range);
    let window_s = span("window", WINDOW_SECONDS);
    let cooldown_s = span("cooldown", COOLDOWN_SECONDS);
    let response = fields.take(reader, "response").and_then(|(path, node)| response(reader, path, node));
    let level = fields.take(reader, "level").and_then(|(path, node)| level(reader, &path, node));
    let usual = fields.take(reader, "usual").and_then(|(path, node)| hours::read(reader, path, node));
    let draft = Draft { window_s, threshold, factor, samples_min, response, cooldown_s, level, usual };
    (reader.problems.count() == before).then_some(draft)
}

impl Draft {
    /// What is not said here is as in `base`.
    pub(super) fn over(self, base: &Self) -> Self {
        Self {
            window_s: self.window_s.or(base.window_s),
            threshold: self.threshold.or(base.threshold),
            factor: self.factor.or(base.factor),
            samples_min: self.samples_min.or(base.samples_min),
            response: self.response.or(base.response),
            cooldown_s: self.cooldown_s.or(base.cooldown_s),
            level: self.level.or(base.level),
            usual: self.usual.or(base.usual),
        }
    }

    /// What is needed is there, and the rest has its default.
    pub(super) fn settle(
        self,
        reader: &mut Reader,
        path: &str,
        line: u32,
        pattern: Pattern,
    ) -> Option<Terms> {
        let mut refuse = |code, field: &str, message: String| {
            reader.refuse(code, &format!("{path}{field}"), line, message);
        };
        let distinct_max = u64::try_from(DISTINCT_MAX).unwrap_or(u64::MAX);
        if self.threshold.is_none() {
            refuse("missing_field", ".threshold", "is missing; state how many are too many".to_owned());
        }
        if pattern.is_distinct() && self.threshold.is_some_and(|threshold| threshold > distinct_max) {
            let message = format!("is more than {distinct_max}: so many are told apart, and no more");
            refuse("out_of_range", ".threshold", message);
            return None;
        }
        if (pattern == Pattern::UnusualHours) != self.usual.is_some() {
            let message =
                "unusual-hours needs `usual`, the hours that are usual, and no other pattern has it";
            refuse("senseless", ".usual", message.to_owned());
            return None;
        }
        if self.samples_min.is_some() && self.factor.is_none() {
            refuse("senseless", ".minimumSamples", "is for rules with a `factor` alone".to_owned());
            return None;
        }
        let Response { action, dry_run, expires_after_s } = self.response.unwrap_or(Response {
            action: Action::Alert,
            dry_run: false,
            expires_after_s: EXPIRY_DEFAULT,
        });
        Some(Terms {
            window_s: self.window_s.unwrap_or(60 * MINUTE),
            threshold: self.threshold?,
            factor: self.factor,
            samples_min: self.samples_min.unwrap_or(SAMPLES_DEFAULT),
            action,
            dry_run,
            expires_after_s,
            cooldown_s: self.cooldown_s.unwrap_or(10 * MINUTE),
            level: self.level.unwrap_or(Level::Medium),
            usual: self.usual,
        })
    }
}

fn number(reader: &mut Reader, fields: &mut Fields, field: &'static str, range: (u64, u64)) -> Option<u64> {
    let (path, node) = fields.take(reader, field)?;
    let number = reader.number(&path, node)?;
    bounded(reader, &path, node, number, range)
}

fn span(reader: &mut Reader, fields: &mut Fields, field: &'static str, range: (u64, u64)) -> Option<u64> {
    let (path, node) = fields.take(reader, field)?;
    let text = reader.text(&path, node)?;
    let seconds = parse_seconds(&text).and_then(|seconds| u64::try_from(seconds).ok());
    if seconds.is_none() {
        let message = format!("'{}' is no duration: write 90s, 5m or 1h30m", shown(&text));
        reader.refuse("invalid_duration", &path, node.line, message);
    }
    bounded(reader, &path, node, seconds?, range)
}

/// `response: {kind, rate, dryRun, expires}`.
fn response(reader: &mut Reader, path: String, node: &Node) -> Option<Response> {
    let line = node.line;
    let mut fields = reader.map(path.clone(), node)?;
    let word = fields.require(reader, "kind", "what is done");
    let word = word.and_then(|(path, node)| kind(reader, &path, node));
    let has_rate = fields.take(reader, "rate").is_some();
    let rate = number(reader, &mut fields, "rate", (1, u64::from(RATE_MAX)));
    let expires = span(reader, &mut fields, "expires", EXPIRY_SECONDS);
    let dry_run = super::spec::truth(reader, &mut fields, "dryRun", false);
    fields.finish(reader);
    let word = word?;
    if has_rate && word != Word::RateLimit {
        reader.refuse("senseless", &format!("{path}.rate"), line, "is for `kind: rate-limit` alone");
        return None;
    }
    let rate = rate.map_or(RATE_DEFAULT, |rate| u32::try_from(rate).unwrap_or(RATE_MAX));
    let action = match word {
        Word::Record => Action::Record,
        Word::Alert => Action::Alert,
        Word::RateLimit => Action::RateLimit(rate),
        Word::DenyNew => Action::DenyNew,
        Word::Revoke => Action::Revoke,
    };
    Some(Response { action, dry_run: dry_run?, expires_after_s: expires.unwrap_or(EXPIRY_DEFAULT) })
}

fn bounded(
    reader: &mut Reader,
    path: &str,
    node: &Node,
    number: u64,
    (low, high): (u64, u64),
) -> Option<u64> {
    let is_within = (low..=high).contains(&number);
    if !is_within {
        let message = format!("is {number}, and can be {low} to {high}");
        reader.refuse("out_of_range", path, node.line, message);
    }
    is_within.then_some(number)
}

fn kind(reader: &mut Reader, path: &str, node: &Node) -> Option<Word> {
    let text = reader.text(path, node)?;
    let word = match text.as_str() {
        "record" => Some(Word::Record),
        "alert" => Some(Word::Alert),
        "rate-limit" => Some(Word::RateLimit),
        "deny-new" => Some(Word::DenyNew),
        "revoke" => Some(Word::Revoke),
        _ => None,
    };
    if word.is_none() {
        let message = format!(
            "'{}' is no response; use one of record, alert, rate-limit, deny-new, revoke",
            shown(&text)
        );
        reader.refuse("unknown_value", path, node.line, message);
    }
    word
}

fn level(reader: &mut Reader, path: &str, node: &Node) -> Option<Level> {
    let text = reader.text(path, node)?;
    let level = Level::ALL.into_iter().find(|(_, word)| *word == text).map(|(level, _)| level);
    if level.is_none() {
        let message = format!("'{}' is no level; use low, medium or high", shown(&text));
        reader.refuse("unknown_value", path, node.line, message);
    }
    level
}
