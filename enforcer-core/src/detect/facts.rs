//! What a record says that detection counts: who acted, and how. What the agent tells of itself is none of it, nor what
//! a response refused: a response must not be the reason for the next one.

use std::net::IpAddr;

use enforcer_common::event::{
    HOOK_FROM_WORKLOAD, HOOK_SOCKET_EGRESS, HOOK_SOCKET_INGRESS, HOOK_TO_WORKLOAD, hook_name,
};
use enforcer_proto::v1;

use super::rule::{Pattern, Per};
use super::window::Value;

const FROM_WORKLOAD: &str = hook_name(HOOK_FROM_WORKLOAD);
const TO_WORKLOAD: &str = hook_name(HOOK_TO_WORKLOAD);
const SOCKET_EGRESS: &str = hook_name(HOOK_SOCKET_EGRESS);
const SOCKET_INGRESS: &str = hook_name(HOOK_SOCKET_INGRESS);
/// Refusals by a response have reasons that begin so.
const OF_RESPONSE: &str = "response_";
/// Longest name that is kept of a record.
const NAME_MAX: usize = 253;

/// Who somebody is to detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// A tenant of the policy.
    Tenant,
    /// The host, its services, other nodes.
    Platform,
    /// The world, and whoever is not known.
    Outside,
}

/// Somebody did something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fact<'r> {
    pub(super) record: &'r v1::Record,
    /// A host service: its name may be a tenant's too.
    pub(super) of_node: bool,
    pub(super) identity: &'r str,
    pub(super) workload: &'r str,
    pub(super) spiffe_id: &'r str,
    pub(super) address: Option<IpAddr>,
    /// Tried something: opened a flow or a device, entered a service, executed a program.
    is_operation: bool,
    is_refused: bool,
    is_device: bool,
    /// Where to, for flows.
    target: Option<(IpAddr, u32)>,
    /// Who is spoken to, for flows.
    pub(super) toward: &'r str,
    bytes: u64,
}

/// About whom a count is, within a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// All of it.
    Whole,
    /// A workload, or a SPIFFE ID.
    Member(Box<str>),
    /// A process: number and start.
    Process(u32, u64),
    /// Who tries, and which address or port stays the same.
    Pair(Box<str>, Value),
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tick {
    Count(u64),
    Value(Value),
}

impl<'r> Fact<'r> {
    /// `None` for records that say nothing of anybody.
    pub(super) fn of(record: &'r v1::Record) -> Option<Self> {
        if record.reason.starts_with(OF_RESPONSE) {
            return None;
        }
        let event = record.note.as_ref().map_or("", |note| note.event.as_str());
        let flow = record.flow.as_ref();
        let base = Self::base(record)?;
        let is_refused = record.verdict == "deny";
        match record.r#type.as_str() {
            "flow" => {
                let is_new = flow.is_none_or(|flow| matches!(flow.event.as_str(), "" | "opened"));
                Some(Self { is_operation: is_new, is_refused, target: target(record), ..base })
            }
            "device" => Some(Self { is_operation: true, is_refused, is_device: true, ..base }),
            "service" | "guard" => Some(Self { is_operation: true, is_refused, ..base }),
            // The kernel's record of the flow stands for it; here are only the refusals of the tunnel.
            "tunnel" => is_refused.then_some(Self { is_refused, ..base }),
            "process" => (event == "exec").then_some(Self { is_operation: true, ..base }),
            "identity" => (event == "denied").then_some(Self { is_refused: true, ..base }),
            "totals" => Some(Self { bytes: bytes_sent(record), ..base }),
            _ => None,
        }
    }

    fn base(record: &'r v1::Record) -> Option<Self> {
        let source = record.source.as_ref();
        let process = record.process.as_ref();
        let identity = source.map(|source| source.identity.as_str()).filter(|identity| !identity.is_empty());
        let identity = identity.or_else(|| process.map(|process| process.identity.as_str()))?;
        let text = |of: fn(&v1::Endpoint) -> &String| source.map_or("", |source| short(of(source)));
        Some(Self {
            record,
            of_node: source.is_some_and(|source| source.of_node),
            identity: short(identity),
            workload: text(|end| &end.workload),
            spiffe_id: text(|end| &end.spiffe_id),
            address: source.and_then(|source| source.address.parse().ok()),
            is_operation: false,
            is_refused: false,
            is_device: false,
            target: None,
            toward: record.destination.as_ref().map_or("", |end| short(&end.identity)),
            bytes: 0,
        })
    }

    /// Who acts, as finely as it is known.
    pub(super) fn member(&self) -> Option<Box<str>> {
        let known = [self.workload, self.spiffe_id].into_iter().find(|name| !name.is_empty());
        known.map(Box::from)
    }

    /// What a pattern counts of it, and about whom.
    pub(super) fn count(&self, pattern: Pattern, per: Per) -> Option<(Subject, Tick)> {
        let one = |is_it: bool| is_it.then_some(Tick::Count(1));
        match pattern {
            Pattern::OperationsPerHour | Pattern::UnusualHours => self.whole(per, one(self.is_operation)?),
            Pattern::FailedAccesses => self.whole(per, one(self.is_refused)?),
            Pattern::DeviceChurn => self.whole(per, one(self.is_device)?),
            Pattern::Volume => self.whole(per, Tick::Count(Some(self.bytes).filter(|bytes| *bytes > 0)?)),
            Pattern::SourceAddresses => {
                let who = [self.spiffe_id, self.workload].into_iter().find(|name| !name.is_empty())?;
                self.target?;
                Some((Subject::Member(who.into()), Tick::Value(Value::Address(self.address?))))
            }
            Pattern::RefusalsPerProcess => {
                let process = self.process()?;
                Some((Subject::Process(process.pid, process.start_boot_ns), one(self.is_refused)?))
            }
            Pattern::PortScan => {
                let (address, port) = self.attempt()?;
                let pair = Subject::Pair(self.label()?, Value::Address(address));
                Some((pair, Tick::Value(Value::Port(port))))
            }
            Pattern::HostScan => {
                let (address, port) = self.attempt()?;
                let pair = Subject::Pair(self.label()?, Value::Port(port));
                Some((pair, Tick::Value(Value::Address(address))))
            }
        }
    }

    /// The process, where it is the one who acts and not the one who was spoken to.
    fn process(&self) -> Option<&'r v1::Process> {
        let process = self.record.process.as_ref().filter(|process| process.pid != 0)?;
        let is_actor = match process.identity.as_str() {
            "" => !matches!(self.record.hook.as_str(), TO_WORKLOAD | SOCKET_INGRESS),
            identity => identity == self.identity,
        };
        is_actor.then_some(process)
    }

    fn whole(&self, per: Per, tick: Tick) -> Option<(Subject, Tick)> {
        match per {
            Per::Tenant => Some((Subject::Whole, tick)),
            Per::Workload => Some((Subject::Member(self.member()?), tick)),
        }
    }

    /// An attempt to reach a port.
    fn attempt(&self) -> Option<(IpAddr, u32)> {
        self.target.filter(|(_, port)| self.is_operation && *port != 0)
    }

    fn label(&self) -> Option<Box<str>> {
        self.member().or_else(|| self.address.map(|address| address.to_string().into()))
    }
}

/// What left the sender. Of the hooks that a packet passes, one counts it: its interface's, or its socket's where the
/// workload has no interface of its own.
fn bytes_sent(record: &v1::Record) -> u64 {
    let is_sent = record.verdict != "deny" && matches!(record.hook.as_str(), FROM_WORKLOAD | SOCKET_EGRESS);
    record.flow.as_ref().filter(|_| is_sent).map_or(0, |flow| flow.bytes_sent)
}

fn target(record: &v1::Record) -> Option<(IpAddr, u32)> {
    let end = record.destination.as_ref()?;
    Some((end.address.parse().ok()?, end.port))
}

/// Names of records are bounded where they are made; what is longer is no name.
fn short(text: &str) -> &str {
    if text.len() <= NAME_MAX { text } else { "" }
}
