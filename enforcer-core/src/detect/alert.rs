//! What a rule says: of whom, how much, from when on that is too much, and why.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use enforcer_proto::v1;

use super::baseline::Usual;
use super::facts::{Fact, Party, Subject};
use super::page::Over;
use super::rule::{Action, Rule, Terms};
use super::window::Value;
use crate::policy::model::{Name, UnixNanos};

/// `Record.type` of alerts.
pub const ALERT: &str = "alert";
/// Who makes the records of detection.
pub const ACTOR: &str = "agent";

/// A rule has spoken.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Which.
    pub rule: Arc<Rule>,
    /// Its terms for this tenant.
    pub terms: Arc<Terms>,
    /// Whom it concerns.
    pub tenant: Name,
    /// Who acted: a tenant, the platform, or somebody outside who acts upon the tenant.
    pub party: Party,
    /// A host service, whose name may be a tenant's too.
    pub of_node: bool,
    /// The one who acted, as the last of the records has it.
    pub workload: Option<Name>,
    /// Its SPIFFE ID.
    pub spiffe_id: String,
    /// Its address.
    pub address: String,
    /// The process, where the rule follows processes.
    pub process: Option<v1::Process>,
    /// Who, and what of: `red/web -> 10.0.0.2`.
    pub subject: String,
    /// How much.
    pub value: u64,
    /// There are more than can be told apart.
    pub at_least: bool,
    /// From when on it is too much.
    pub limit: u64,
    /// What is usual, and from how many windows that was learned.
    pub usual: Option<(Usual, u64)>,
    /// How often it was too much since the last alert.
    pub held_back: u64,
    /// Number of the record that made it too much.
    pub sequence: u64,
    /// When.
    pub at: UnixNanos,
}

impl Alert {
    pub(super) fn new(
        (rule, terms): (&Arc<Rule>, &Arc<Terms>),
        (tenant, party): (&Name, Party),
        (fact, subject): (&Fact<'_>, &Subject),
        over: Over,
        at: UnixNanos,
    ) -> Self {
        let Over { value, at_least, limit, usual, held_back } = over;
        let is_of_process = matches!(subject, Subject::Process(..));
        Self {
            rule: Arc::clone(rule),
            terms: Arc::clone(terms),
            tenant: Arc::clone(tenant),
            party,
            of_node: fact.of_node,
            workload: (!fact.workload.is_empty()).then(|| fact.workload.into()),
            spiffe_id: fact.spiffe_id.to_owned(),
            address: fact.address.map(|address| address.to_string()).unwrap_or_default(),
            process: fact.record.process.clone().filter(|_| is_of_process),
            subject: subject_text(tenant, party, fact, subject),
            value,
            at_least,
            limit,
            usual,
            held_back,
            sequence: fact.record.sequence,
            at,
        }
    }

    /// The workload that a count was of, and not only the last who added to it.
    #[must_use]
    pub fn culprit(&self) -> Option<&Name> {
        let is_of_one = !self.rule.pattern.has_choice() || self.rule.per == super::rule::Per::Workload;
        self.workload.as_ref().filter(|_| is_of_one)
    }

    /// A sentence with numbers.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { subject, value, limit, held_back, .. } = self;
        let least = if self.at_least { "at least " } else { "" };
        let unit = self.rule.pattern.unit();
        let window = seconds(self.terms.window_s);
        let mut text = format!("{subject}: {least}{value} {unit} within {window}; ");
        let written = match self.usual {
            Some((Usual { median, deviation }, samples)) => write!(
                text,
                "usual are {median} (median of {samples} windows, deviation {deviation}), and the limit is {limit}"
            ),
            None => write!(text, "the threshold is {limit}"),
        };
        let told = if *held_back > 0 {
            write!(text, "; {held_back} more times since the last alert")
        } else {
            Ok(())
        };
        debug_assert!(written.is_ok() && told.is_ok());
        text
    }

    /// Its record, without a number.
    #[must_use]
    pub fn record(&self, node: &str) -> v1::Record {
        let Self { rule, terms, tenant, party, value, limit, held_back, sequence, .. } = self;
        let is_quiet = terms.action == Action::Record;
        let fields = [
            ("pattern", rule.pattern.word().to_owned()),
            ("subject", self.subject.clone()),
            ("value", value.to_string()),
            ("limit", limit.to_string()),
            ("windowSeconds", terms.window_s.to_string()),
            ("heldBack", held_back.to_string()),
            ("sequence", sequence.to_string()),
            ("response", terms.action.word().to_owned()),
        ];
        let actor = v1::Endpoint {
            identity: match party {
                Party::Tenant | Party::Platform => tenant.to_string(),
                Party::Outside => "world".to_owned(),
            },
            workload: self.workload.as_deref().unwrap_or_default().to_owned(),
            address: self.address.clone(),
            spiffe_id: self.spiffe_id.clone(),
            of_node: self.of_node,
            ..v1::Endpoint::default()
        };
        let victim = (*party == Party::Outside)
            .then(|| v1::Endpoint { identity: tenant.to_string(), ..v1::Endpoint::default() });
        v1::Record {
            time: Some(timestamp(self.at)),
            node: node.to_owned(),
            r#type: ALERT.to_owned(),
            source: Some(actor),
            destination: victim,
            process: self.process.clone(),
            note: Some(v1::Note {
                event: if is_quiet { "noticed" } else { "raised" }.to_owned(),
                subject: rule.name.to_string(),
                actor: ACTOR.to_owned(),
                level: terms.level.word().to_owned(),
                message: self.sentence(),
                fields: fields.into_iter().map(|(name, value)| field(name, value)).collect(),
            }),
            ..v1::Record::default()
        }
    }
}

pub(super) fn field(name: &str, value: String) -> v1::Field {
    v1::Field { name: name.to_owned(), value }
}

pub(super) fn timestamp(at: UnixNanos) -> prost_types::Timestamp {
    prost_types::Timestamp::from(UNIX_EPOCH + Duration::from_nanos(at))
}

/// Seconds as configurations write them.
#[must_use]
pub fn seconds(seconds: u64) -> String {
    let parts = [(seconds / 3_600, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    let text: String =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

fn subject_text(tenant: &str, party: Party, fact: &Fact<'_>, subject: &Subject) -> String {
    let home = |name: &str| match party {
        Party::Tenant | Party::Platform => format!("{tenant}/{name}"),
        Party::Outside => format!("{name} (outside, upon {tenant})"),
    };
    match subject {
        Subject::Whole => tenant.to_owned(),
        Subject::Member(name) => home(name),
        Subject::Process(pid, _) => {
            let who = if fact.workload.is_empty() { tenant.to_owned() } else { home(fact.workload) };
            format!("{who} process {pid}{}", command(fact))
        }
        Subject::Pair(name, Value::Address(address)) => format!("{} -> {address}", home(name)),
        Subject::Pair(name, Value::Port(port)) => format!("{} -> port {port}", home(name)),
    }
}

fn command(fact: &Fact<'_>) -> String {
    let process = fact.record.process.as_ref();
    let named = process.map(|process| {
        if process.executable.is_empty() { process.command.as_str() } else { process.executable.as_str() }
    });
    named.filter(|name| !name.is_empty()).map(|name| format!(" ({name})")).unwrap_or_default()
}
