//! What of a record a tenant may see. It must not know a policy: a record is read years later, by a program that has none,
//! so the record itself says which of its ends are tenants (`Endpoint.of_node`).

mod join;
mod packet;

use std::sync::Arc;

use enforcer_common::event::{HOOK_SOCKET_INGRESS, hook_name};
use enforcer_common::identity;
use enforcer_proto::v1;

use super::names::is_default_rule;
use super::record::TOTALS;

pub use join::{JoinError, join};

/// The identity of an end that is another tenant's. No tenant can have this name: names have no spaces.
pub const ANOTHER_TENANT: &str = "another tenant";

/// The tenants that a record concerns, each once: whoever is at one of its ends. None for what is the node's own.
pub fn viewers(record: &v1::Record) -> impl Iterator<Item = &str> {
    let source = tenant(record.source.as_ref());
    let destination = tenant(record.destination.as_ref()).filter(|name| Some(*name) != source);
    [source, destination].into_iter().flatten()
}

/// What `viewer` may see of a record: the whole where no other tenant is concerned, its half of what happened between
/// itself and another one, and nothing of what is not its own. A half that is redacted again stays as it is.
#[must_use]
pub fn redact(record: &v1::Record, viewer: &str) -> Option<v1::Record> {
    Some(match side(record, viewer)? {
        Part::Whole => record.clone(),
        Part::Half(side) => half(record, side),
    })
}

/// As [`redact`], and shares what is seen whole.
#[must_use]
pub fn share(record: &Arc<v1::Record>, viewer: &str) -> Option<Arc<v1::Record>> {
    Some(match side(record, viewer)? {
        Part::Whole => Arc::clone(record),
        Part::Half(side) => Arc::new(half(record, side)),
    })
}

/// How much of a record is the viewer's.
enum Part {
    Whole,
    Half(Side),
}

/// An end of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Destination,
}

fn side(record: &v1::Record, viewer: &str) -> Option<Part> {
    let is_viewer = |end| tenant(end) == Some(viewer);
    let is_other = |end| tenant(end).is_some_and(|name| name != viewer);
    let (source, destination) = (record.source.as_ref(), record.destination.as_ref());
    let side = match (is_viewer(source), is_viewer(destination)) {
        (false, false) => return None,
        (true, _) => Side::Source,
        (false, true) => Side::Destination,
    };
    let is_shared = is_other(source) || is_other(destination) || has_foreign_process(record);
    Some(if is_shared { Part::Half(side) } else { Part::Whole })
}

/// The tenant behind an end.
fn tenant(end: Option<&v1::Endpoint>) -> Option<&str> {
    let end = end?;
    let name = end.identity.as_str();
    (!end.of_node && !name.is_empty() && name != ANOTHER_TENANT && !is_reserved(name)).then_some(name)
}

fn is_reserved(name: &str) -> bool {
    [identity::UNKNOWN, identity::HOST, identity::WORLD, identity::REMOTE_NODE]
        .iter()
        .any(|number| identity::reserved_name(*number) == Some(name))
}

/// A process that is neither end's, nor the node's own.
fn has_foreign_process(record: &v1::Record) -> bool {
    let Some(process) = &record.process else { return false };
    let name = process.identity.as_str();
    let is_at = |end: &Option<v1::Endpoint>| end.as_ref().is_some_and(|end| end.identity == name);
    !name.is_empty() && !is_reserved(name) && !is_at(&record.source) && !is_at(&record.destination)
}

/// The side whose process, socket or device the record tells of. A process of the node itself that sends as a tenant, from
/// its network namespace, acts for that tenant.
fn acting(record: &v1::Record) -> Option<Side> {
    let is_named = |process: &&v1::Process| !process.identity.is_empty() && !is_reserved(&process.identity);
    if let Some(process) = record.process.as_ref().filter(is_named) {
        let is_at = |end: Option<&v1::Endpoint>| tenant(end).is_some_and(|name| name == process.identity);
        return match (is_at(record.source.as_ref()), is_at(record.destination.as_ref())) {
            (true, _) => Some(Side::Source),
            (false, true) => Some(Side::Destination),
            (false, false) => None,
        };
    }
    let is_inbound = record.tunnel.as_ref().is_some_and(|facts| facts.direction == "inbound");
    let is_receiver = record.hook == hook_name(HOOK_SOCKET_INGRESS);
    Some(if is_inbound || is_receiver { Side::Destination } else { Side::Source })
}

/// Every field is named, so that a new one is decided upon and not shown by accident.
fn half(record: &v1::Record, viewer: Side) -> v1::Record {
    let v1::Record {
        sequence,
        time,
        node,
        r#type,
        verdict,
        reason,
        rule,
        shadow_rule,
        revision,
        hook,
        source,
        destination,
        protocol,
        icmp_type,
        icmp_code,
        process,
        device,
        access,
        lost_before,
        carriage,
        tunnel,
        boot_ns,
        time_error_ns,
        cpu,
        cpu_sequence,
        cookie,
        packet,
        packet_length,
        flow,
        note,
        half: _,
        rule_owner,
    } = record;
    let words = Words::of(record, viewer);
    let is_acting = acting(record) == Some(viewer);
    let own_name = match viewer {
        Side::Source => source,
        Side::Destination => destination,
    };
    let own_name = own_name.as_ref().map_or("", |end| end.identity.as_str());
    let keeps_rule = if rule_owner.is_empty() { is_default_rule(rule) } else { rule_owner == own_name };
    // A rule between two tenants is stored with the destination, and so is one that is on trial.
    let keeps_shadow = is_default_rule(shadow_rule) || viewer == Side::Destination;
    v1::Record {
        sequence: *sequence,
        time: *time,
        node: node.clone(),
        r#type: r#type.clone(),
        verdict: verdict.clone(),
        reason: reason.clone(),
        rule: kept(keeps_rule, rule),
        shadow_rule: kept(keeps_shadow, shadow_rule),
        revision: *revision,
        hook: hook.clone(),
        source: source.as_ref().map(|end| seen(end, viewer == Side::Source, 0)),
        destination: destination.as_ref().map(|end| seen(end, viewer == Side::Destination, end.port)),
        protocol: protocol.clone(),
        icmp_type: *icmp_type,
        icmp_code: *icmp_code,
        process: process.clone().filter(|_| is_acting && !has_foreign_process(record)),
        device: device.clone().filter(|_| is_acting),
        access: kept(is_acting, access),
        lost_before: *lost_before,
        carriage: carriage.clone(),
        tunnel: tunnel.as_ref().map(|facts| of_tunnel(facts, viewer, is_acting, &words)),
        boot_ns: *boot_ns,
        time_error_ns: *time_error_ns,
        cpu: *cpu,
        cpu_sequence: *cpu_sequence,
        cookie: if is_acting { *cookie } else { 0 },
        packet: match viewer {
            Side::Source => packet::without_destination(packet),
            // What another tenant sent, and was not let through.
            Side::Destination => Vec::new(),
        },
        packet_length: *packet_length,
        flow: flow.as_ref().map(|facts| of_flow(facts, is_acting || r#type == TOTALS)),
        note: note.as_ref().map(|note| of_note(note, is_acting && !words.any_in_note(note))),
        half: true,
        rule_owner: kept(rule_owner == own_name, rule_owner),
    }
}

/// An end as the viewer sees it; of another tenant's end only `port`.
fn seen(end: &v1::Endpoint, is_own: bool, port: u32) -> v1::Endpoint {
    if is_own || tenant(Some(end)).is_none() {
        return end.clone();
    }
    v1::Endpoint { identity: ANOTHER_TENANT.to_owned(), port, ..v1::Endpoint::default() }
}

/// Bytes went through both, and the trace ID is there to be compared; names and certificates are each side's own.
fn of_tunnel(facts: &v1::TunnelFacts, viewer: Side, is_acting: bool, words: &Words<'_>) -> v1::TunnelFacts {
    let is_source = viewer == Side::Source;
    v1::TunnelFacts {
        source_id: kept(is_source, &facts.source_id),
        source_serial: kept(is_source, &facts.source_serial),
        destination_id: kept(!is_source, &facts.destination_id),
        destination_serial: kept(!is_source, &facts.destination_serial),
        cookie: if is_acting { facts.cookie } else { 0 },
        detail: kept(is_acting && !words.any_in(&facts.detail), &facts.detail),
        ..facts.clone()
    }
}

/// What a socket counted is its owner's.
fn of_flow(facts: &v1::FlowFacts, is_own: bool) -> v1::FlowFacts {
    if is_own {
        return facts.clone();
    }
    v1::FlowFacts { event: facts.event.clone(), tcp_flags: facts.tcp_flags, ..v1::FlowFacts::default() }
}

fn of_note(note: &v1::Note, is_own: bool) -> v1::Note {
    if is_own {
        return note.clone();
    }
    v1::Note { event: note.event.clone(), level: note.level.clone(), ..v1::Note::default() }
}

fn kept(is_kept: bool, word: &str) -> String {
    if is_kept { word.to_owned() } else { String::new() }
}

/// Words by which the other tenant could be known in a sentence.
struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    fn of(record: &'a v1::Record, viewer: Side) -> Self {
        let end = match viewer {
            Side::Source => &record.destination,
            Side::Destination => &record.source,
        };
        let of_end = end
            .iter()
            .flat_map(|end| [&end.identity, &end.workload, &end.address, &end.spiffe_id, &end.svid_serial]);
        let of_tunnel = record.tunnel.iter().flat_map(|facts| match viewer {
            Side::Source => [&facts.destination_id, &facts.destination_serial],
            Side::Destination => [&facts.source_id, &facts.source_serial],
        });
        let is_told = |word: &&str| !word.is_empty() && *word != ANOTHER_TENANT;
        Self(of_end.chain(of_tunnel).map(String::as_str).filter(is_told).collect())
    }

    fn any_in(&self, text: &str) -> bool {
        self.0.iter().any(|word| text.contains(word))
    }

    fn any_in_note(&self, note: &v1::Note) -> bool {
        let fields = note.fields.iter().flat_map(|field| [&field.name, &field.value]);
        [&note.subject, &note.actor, &note.message].into_iter().chain(fields).any(|text| self.any_in(text))
    }
}

#[cfg(test)]
mod tests;
