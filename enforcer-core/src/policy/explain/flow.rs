//! Flows: who the two ends are, what `decide()` says, and why.

use std::net::{IpAddr, Ipv6Addr};

use enforcer_common::address::Address;
use enforcer_common::maps::{RULE_NEIGHBOUR, RULE_NO_MATCH, RULE_TUNNEL};
use enforcer_common::packet::{Headers, PROTOCOL_TCP};
use enforcer_common::policy::{Question, decide};
use enforcer_common::verdict::{ALLOW, Verdict};
use enforcer_common::{identity, reason};

use crate::enforce::ProofRequest;
use crate::node::NodeFacts;
use crate::policy::carriage::Carriage;
use crate::policy::compile::{asks_for_tunnel, compile_tenant, node};
use crate::policy::image::Image;
use crate::policy::model::{Mode, Policy, Protocol, UnixNanos};
use crate::policy::tables::ImageTables;

use super::frame::{Packet, frame};
use super::party::Party;
use super::steps::flow_steps;
use super::{ExplainError, Explanation, explained};

/// Multicast listener and neighbour discovery (RFC 2710, RFC 4861): the wall asks who owns what is claimed,
/// and no rule.
const NEIGHBOUR_FIRST: u8 = 130;
const NEIGHBOUR_LAST: u8 = 137;
const MLD_REPORT: u8 = 143;

/// A flow to explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRequest {
    /// A workload name, a tenant name or an address.
    pub source: String,
    /// The same.
    pub destination: String,
    /// The protocol.
    pub protocol: Protocol,
    /// Destination port, of protocols that have ports.
    pub port: Option<u16>,
    /// ICMP type, of ICMP and ICMPv6; the code is 0.
    pub icmp_type: Option<u8>,
    /// The time, which decides about leases.
    pub now: UnixNanos,
}

/// The verdict on a flow, and the way to it.
///
/// # Errors
/// The request does not say which flow.
pub fn explain_flow(
    policy: &Policy,
    facts: &NodeFacts,
    request: &FlowRequest,
) -> Result<Explanation, ExplainError> {
    let service = service(request)?;
    let source = Party::find(policy, facts, &request.source)?;
    let destination = Party::find(policy, facts, &request.destination)?;
    let addresses = one_family(&source, &destination, request.protocol)?;
    let image = focus(policy, facts, &source, &destination);
    let tables = ImageTables::new(&image);
    let question = Question {
        source: source.identity,
        destination: destination.identity,
        expired: expired(policy, facts, request.now, addresses),
        same_node: u32::from(source.is_here && destination.is_here),
        remote: remote(&source, addresses),
        protocol: request.protocol.number(),
        service,
    };
    let headers = Headers { protocol: question.protocol, service, ..Headers::default() };
    let verdict = match (headers.is_icmp_error(), request.protocol, request.icmp_type) {
        (true, ..) => Verdict::deny(RULE_NO_MATCH, reason::ICMP_ERROR_UNRELATED),
        (false, Protocol::Icmpv6, Some(NEIGHBOUR_FIRST..=NEIGHBOUR_LAST | MLD_REPORT)) => {
            Verdict::allow(RULE_NEIGHBOUR)
        }
        _ => arrived(policy, decide(&tables, &question), &destination),
    };
    let mut explanation = explained(policy, &verdict, source.name.clone(), destination.name.clone());
    explanation.steps = flow_steps(policy, &question, &verdict, &source, &destination);
    explanation.carriage = carriage(policy, &question, &verdict);
    explanation.proof = proof(&source, &destination, packet(addresses, request.protocol, service));
    Ok(explanation)
}

/// The wall lets a tunnel's connection in only where somebody checks what it carries.
fn arrived(policy: &Policy, verdict: Verdict, destination: &Party) -> Verdict {
    if verdict.rule != RULE_TUNNEL || !destination.is_unattended {
        return verdict;
    }
    let refused = Verdict::deny(RULE_TUNNEL, reason::MTLS_REQUIRED).under(verdict.owner, verdict.generation);
    let owner = policy.tenants.get(destination.name.as_str());
    if owner.is_some_and(|owner| owner.mode == Mode::Audit) { refused.audited() } else { refused }
}

/// The tunnel carries TCP alone; between two workloads of this node every protocol goes as it is.
fn carriage(policy: &Policy, question: &Question, verdict: &Verdict) -> Carriage {
    match verdict.action {
        _ if !asks_for_tunnel(policy, verdict.rule) => Carriage::Plain,
        ALLOW => Carriage::OneNode,
        _ if verdict.asks_for_tunnel() && question.protocol == PROTOCOL_TCP => Carriage::Tunnel,
        _ => Carriage::Plain,
    }
}

fn service(request: &FlowRequest) -> Result<u16, ExplainError> {
    let name = request.protocol.name();
    match request.protocol {
        Protocol::Tcp | Protocol::Udp | Protocol::Sctp => request.port.ok_or(ExplainError::PortMissing(name)),
        Protocol::Icmp | Protocol::Icmpv6 => {
            let kind = request.icmp_type.ok_or(ExplainError::TypeMissing(name))?;
            Ok(u16::from_be_bytes([kind, 0]))
        }
    }
}

/// The addresses that the flow would have: the first pair of one family that the protocol runs over. An end
/// without addresses leaves the choice to the other.
fn one_family(source: &Party, destination: &Party, protocol: Protocol) -> Result<Addresses, ExplainError> {
    let fits = |address: &&IpAddr| match protocol {
        Protocol::Icmp => address.is_ipv4(),
        Protocol::Icmpv6 => address.is_ipv6(),
        Protocol::Tcp | Protocol::Udp | Protocol::Sctp => true,
    };
    let first = |party: &Party| party.addresses.iter().find(fits).copied();
    let (from, to) = (first(source), first(destination));
    if source.addresses.is_empty() || destination.addresses.is_empty() {
        return Ok(Addresses { from, to });
    }
    let from_all = source.addresses.iter().filter(fits);
    let mut pairs = from_all.flat_map(|from| destination.addresses.iter().map(move |to| (*from, *to)));
    let (from, to) = pairs
        .find(|(from, to)| from.is_ipv4() == to.is_ipv4())
        .ok_or_else(|| ExplainError::Family(protocol.name(), source.how.clone(), destination.how.clone()))?;
    Ok(Addresses { from: Some(from), to: Some(to) })
}

#[derive(Clone, Copy)]
struct Addresses {
    from: Option<IpAddr>,
    to: Option<IpAddr>,
}

/// An image of the two tenants alone: nobody else has a say.
fn focus(policy: &Policy, facts: &NodeFacts, source: &Party, destination: &Party) -> Image {
    let mut image = Image::default();
    for identity in [source.identity, destination.identity] {
        let name = policy.index.tenant_by_id.get(&identity);
        if let Some(tenant) = name.and_then(|name| policy.tenants.get(name)) {
            image.tenants.insert(tenant.id, compile_tenant(policy, tenant, facts));
        }
    }
    image
}

/// 1 when the lease of an end's address has lapsed.
fn expired(policy: &Policy, facts: &NodeFacts, now: UnixNanos, addresses: Addresses) -> u32 {
    let kernel_now = u64::try_from(i128::from(now) - i128::from(facts.clock_offset_ns)).unwrap_or(0);
    let lapsed = |address: Option<IpAddr>| {
        let value = address.and_then(|address| node::address(policy, facts, address));
        value.is_some_and(|value| value.lease_until_ns != 0 && value.lease_until_ns < kernel_now)
    };
    u32::from(lapsed(addresses.from) || lapsed(addresses.to))
}

fn remote(source: &Party, addresses: Addresses) -> Address {
    let outside = if identity::is_tenant(source.identity) { addresses.to } else { addresses.from };
    outside.map_or_else(|| Ipv6Addr::UNSPECIFIED.octets(), node::mapped)
}

fn packet(addresses: Addresses, protocol: Protocol, service: u16) -> Option<Vec<u8>> {
    let (source, destination) = addresses.from.zip(addresses.to)?;
    frame(&Packet { source, destination, protocol, service })
}

fn proof(source: &Party, destination: &Party, frame: Option<Vec<u8>>) -> Result<ProofRequest, &'static str> {
    let Some(frame) = frame else { return Err("an end has no address, so there is no packet of this flow") };
    if source.interface.is_none() && destination.interface.is_none() {
        return Err("neither end is a workload behind an interface of this node");
    }
    Ok(ProofRequest { from_interface: source.interface, to_interface: destination.interface, frame })
}
