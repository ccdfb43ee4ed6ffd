//! Two halves, one record again: for an operator, who may see both.

use enforcer_proto::v1;

use super::{ANOTHER_TENANT, packet};

/// Why two records are not the halves of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// They have different numbers.
    #[error("records {0} and {1} are not the same one")]
    Numbers(u64, u64),
    /// One of them is no half.
    #[error("record {0} is whole")]
    Whole(u64),
    /// Both are the same end's.
    #[error("both halves of record {0} are the same tenant's")]
    SameSide(u64),
}

/// The record that was redacted into these two, but for what belonged to neither tenant: sums over a packet's content, a
/// sentence that names both, the process of a third.
///
/// # Errors
/// They are not the two halves of one record.
pub fn join(one: &v1::Record, other: &v1::Record) -> Result<v1::Record, JoinError> {
    let (source, destination) = match (is_sources(one), is_sources(other)) {
        _ if one.sequence != other.sequence => return Err(JoinError::Numbers(one.sequence, other.sequence)),
        _ if !one.half || !other.half => return Err(JoinError::Whole(one.sequence)),
        (true, false) => (one, other),
        (false, true) => (other, one),
        (true, true) | (false, false) => return Err(JoinError::SameSide(one.sequence)),
    };
    let destination_end = destination.destination.clone();
    let address = destination_end.as_ref().map_or("", |end| end.address.as_str());
    Ok(v1::Record {
        source: source.source.clone(),
        destination: destination_end.clone(),
        rule: either(&source.rule, &destination.rule),
        shadow_rule: either(&source.shadow_rule, &destination.shadow_rule),
        rule_owner: either(&source.rule_owner, &destination.rule_owner),
        process: source.process.clone().or_else(|| destination.process.clone()),
        device: source.device.clone().or_else(|| destination.device.clone()),
        access: either(&source.access, &destination.access),
        tunnel: of_tunnel(source.tunnel.as_ref(), destination.tunnel.as_ref()),
        cookie: source.cookie.max(destination.cookie),
        packet: packet::with_destination(source.packet.clone(), address),
        flow: of_flow(source.flow.as_ref(), destination.flow.as_ref()),
        note: of_note(source.note.as_ref(), destination.note.as_ref()),
        half: false,
        ..source.clone()
    })
}

fn is_sources(half: &v1::Record) -> bool {
    half.destination.as_ref().is_some_and(|end| end.identity == ANOTHER_TENANT)
}

fn either(one: &str, other: &str) -> String {
    if one.is_empty() { other.to_owned() } else { one.to_owned() }
}

fn of_tunnel(
    source: Option<&v1::TunnelFacts>,
    destination: Option<&v1::TunnelFacts>,
) -> Option<v1::TunnelFacts> {
    let (Some(source), Some(destination)) = (source, destination) else {
        return source.or(destination).cloned();
    };
    Some(v1::TunnelFacts {
        destination_id: destination.destination_id.clone(),
        destination_serial: destination.destination_serial.clone(),
        cookie: source.cookie.max(destination.cookie),
        detail: either(&source.detail, &destination.detail),
        ..source.clone()
    })
}

/// The half that was let keep the numbers has them; the other has none.
fn of_flow(source: Option<&v1::FlowFacts>, destination: Option<&v1::FlowFacts>) -> Option<v1::FlowFacts> {
    let is_bare = |facts: &&v1::FlowFacts| {
        let v1::FlowFacts { event, tcp_flags, .. } = facts;
        let bare = v1::FlowFacts { event: event.clone(), tcp_flags: *tcp_flags, ..v1::FlowFacts::default() };
        bare == **facts
    };
    source.filter(|facts| !is_bare(facts)).or(destination).or(source).cloned()
}

fn of_note(source: Option<&v1::Note>, destination: Option<&v1::Note>) -> Option<v1::Note> {
    let is_bare = |note: &&v1::Note| {
        let v1::Note { event: _, level: _, subject, actor, message, fields } = note;
        subject.is_empty() && actor.is_empty() && message.is_empty() && fields.is_empty()
    };
    source.filter(|note| !is_bare(note)).or(destination).or(source).cloned()
}
