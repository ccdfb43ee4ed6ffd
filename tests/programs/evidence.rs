//! What the programs tell, and what they lose: all that was worth telling has a number, and each number was read or is
//! counted as lost, on behalf of its own tenant.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use enforcer_common::event::{Header, PacketEvent, RING_EVENTS, RING_SAMPLES};
use enforcer_common::maps::{LOST_EVENT_FULL, LOST_EVENT_RATE, LOST_SAMPLE_RATE};
use enforcer_common::reason;
use enforcer_core::enforce::Inspection as _;
use enforcer_core::event::decode::Decoded;
use enforcer_tests::runner::Case;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::fixture::{DROPPED, Node, PASSED, address};
use crate::frame::{SYN, TCP, UDP, arp, ip, tcp, udp};
use crate::packets::expect;

pub(crate) const CASES: &[Case<Node>] = &[
    case("evidence::a_refused_packet_has_its_first_bytes", bytes),
    case("evidence::a_full_ring_is_accounted_exactly", full),
    case("evidence::one_tenants_flood_takes_no_token_of_another", floods),
    case("evidence::samples_have_tokens_of_their_own", samples),
    case("evidence::numbers_are_dense_by_processor_and_ring", dense),
];

const fn case(name: &'static str, run: fn(&mut Node) -> Result<()>) -> Case<Node> {
    Case { name, reasons: &[], run }
}

const RED: u32 = 100;
const BLUE: u32 = 200;

fn datagram(source: &str, destination: &str, payload: usize) -> Vec<u8> {
    ip(address(source), address(destination), UDP, &udp(4000, 9, &vec![0xa5; payload]))
}

fn syn(source: &str, destination: &str, from: u16) -> Vec<u8> {
    ip(address(source), address(destination), TCP, &tcp(from, 80, SYN))
}

/// What was told of packets: somebody runs something on every node.
fn of_packets(told: &[Decoded]) -> Vec<Decoded> {
    told.iter().filter(|decoded| decoded.header().ring == RING_EVENTS).copied().collect()
}

fn packet_of(told: &[Decoded]) -> Result<PacketEvent> {
    match of_packets(told).as_slice() {
        [Decoded::Packet(packet)] => Ok(*packet),
        other => anyhow::bail!("not one packet: {other:?}"),
    }
}

fn bytes(node: &mut Node) -> Result<()> {
    for (payload, captured) in [(10, 38), (100, 128), (1_000, 128)] {
        let frame = datagram("10.0.0.1", "10.0.0.3", payload);
        let outcome = node.send("red-a", &frame)?;
        expect(&outcome, "cross tenant", reason::CROSS_TENANT_NO_RULE)?;
        let packet = packet_of(&outcome.told)?;
        ensure!(packet.captured == captured && packet.length == u32::try_from(payload)? + 28, "{packet:?}");
        ensure!(packet.packet() == &frame[14..14 + packet.packet().len()], "{:x?}", packet.packet());
        ensure!(packet.bytes[packet.packet().len()..].iter().all(|byte| *byte == 0), "{packet:?}");
    }
    let claimed = arp("10.0.0.3".parse()?);
    let packet = packet_of(&node.send("red-a", &claimed)?.told)?;
    ensure!(packet.event.reason == reason::ARP_FOREIGN && packet.packet() == &claimed[14..], "{packet:?}");
    node.tell(|telling| telling.packet_bytes = 20)?;
    let packet = packet_of(&node.send("red-a", &datagram("10.0.0.1", "10.0.0.3", 50))?.told)?;
    ensure!(packet.captured == 20 && packet.length == 78, "{packet:?}");
    node.tell(|telling| telling.packet_bytes = 0)?;
    let told = of_packets(&node.send("red-a", &datagram("10.0.0.1", "10.0.0.3", 50))?.told);
    ensure!(matches!(told.as_slice(), [Decoded::Decision(_)]), "{told:?}");
    node.tell(|telling| telling.packet_bytes = 4_000_000_000)?;
    let packet = packet_of(&node.send("red-a", &datagram("10.0.0.1", "10.0.0.3", 500))?.told)?;
    ensure!(packet.captured == 128, "{packet:?}");
    Ok(())
}

/// This thread stays on one processor until it is dropped.
struct Pinned(CpuSet);

impl Pinned {
    fn new() -> Result<Self> {
        let before = sched_getaffinity(Pid::from_raw(0))?;
        let first = (0..CpuSet::count()).find(|cpu| before.is_set(*cpu).unwrap_or(false));
        let mut one = CpuSet::new();
        one.set(first.context("no processor")?)?;
        sched_setaffinity(Pid::from_raw(0), &one)?;
        Ok(Self(before))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = sched_setaffinity(Pid::from_raw(0), &self.0);
    }
}

/// What was lost of a source for a cause.
fn lost(node: &Node, source: u32, cause: u32) -> Result<u64> {
    let losses = node.wall.losses()?;
    let of = losses.iter().filter(|loss| (loss.source, loss.cause) == (source, cause));
    Ok(of.map(|loss| loss.count).sum())
}

/// What was lost of everybody else.
fn lost_of_others(node: &Node, source: u32) -> Result<u64> {
    let losses = node.wall.losses()?;
    let security = |cause| [LOST_EVENT_FULL, LOST_EVENT_RATE].contains(&cause);
    Ok(losses
        .iter()
        .filter(|loss| loss.source != source && security(loss.cause))
        .map(|loss| loss.count)
        .sum())
}

fn headers(told: &[Decoded], ring: u16) -> Vec<Header> {
    told.iter().map(|decoded| *decoded.header()).filter(|header| header.ring == ring).collect()
}

fn full(node: &mut Node) -> Result<()> {
    const PRODUCED: u32 = 60_000;
    let _pinned = Pinned::new()?;
    node.tell(|telling| (telling.security_rate, telling.packet_bytes) = (0, 0))?;
    node.told();
    let (before, others) = (lost(node, RED, LOST_EVENT_FULL)?, lost_of_others(node, RED)?);
    let frame = datagram("10.0.0.1", "10.0.0.3", 1);
    ensure!(node.repeat("red-a", &frame, PRODUCED)? == DROPPED, "it passed");
    let mut told = headers(&node.told(), RING_EVENTS);
    let lost_now = lost(node, RED, LOST_EVENT_FULL)? - before;
    ensure!(lost_now > 0, "the ring was never full: {} events", told.len());
    let read = u64::try_from(told.len())?;
    ensure!(read + lost_now == u64::from(PRODUCED), "{read} read, {lost_now} lost, {PRODUCED} produced");
    ensure!(lost_of_others(node, RED)? == others, "another's loss moved");
    // The gap before the next event is as long as what was lost.
    node.repeat("red-a", &frame, 1)?;
    told.extend(headers(&node.told(), RING_EVENTS));
    let numbers: Vec<u64> = told.iter().map(|header| header.sequence).collect();
    let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { anyhow::bail!("nothing told") };
    ensure!(last - first + 1 == read + 1 + lost_now, "from {first} to {last}");
    Ok(())
}

fn floods(node: &mut Node) -> Result<()> {
    node.tell(|telling| (telling.security_rate, telling.security_burst) = (10, 10))?;
    node.full_buckets()?;
    node.told();
    let before = lost(node, RED, LOST_EVENT_RATE)?;
    node.repeat("red-a", &datagram("10.0.0.1", "10.0.0.3", 1), 1_000)?;
    let told = u64::try_from(headers(&node.told(), RING_EVENTS).len())?;
    ensure!((10..20).contains(&told), "{told} told of a thousand at ten a second");
    ensure!(lost(node, RED, LOST_EVENT_RATE)? - before == 1_000 - told, "the rest is not counted");
    for _ in 0..5 {
        let outcome = node.send("blue-a", &datagram("10.0.0.3", "10.0.0.1", 1))?;
        expect(&outcome, "another tenant", reason::CROSS_TENANT_NO_RULE)?;
        ensure!(outcome.events[0].source_identity == BLUE, "{outcome:?}");
    }
    Ok(())
}

fn samples(node: &mut Node) -> Result<()> {
    node.tell(|telling| (telling.sample_rate, telling.sample_burst) = (10, 10))?;
    node.full_buckets()?;
    let before = lost(node, RED, LOST_SAMPLE_RATE)?;
    let mut told = 0;
    for port in 5_000..5_100 {
        let outcome = node.send("red-a", &syn("10.0.0.1", "10.0.0.2", port))?;
        ensure!(outcome.action == PASSED, "{outcome:?}");
        told += u64::try_from(outcome.events.len())?;
    }
    ensure!((10..60).contains(&told), "{told} told of a hundred at ten a second");
    ensure!(lost(node, RED, LOST_SAMPLE_RATE)? - before == 100 - told, "the rest is not counted");
    expect(
        &node.send("red-a", &datagram("10.0.0.1", "10.0.0.3", 1))?,
        "a refusal has tokens of its own",
        reason::CROSS_TENANT_NO_RULE,
    )
}

fn dense(node: &mut Node) -> Result<()> {
    let mut next: BTreeMap<(u16, u16), u64> = BTreeMap::new();
    for port in 6_000..6_050 {
        for frame in [syn("10.0.0.1", "10.0.0.2", port), syn("10.0.0.1", "10.0.0.3", port)] {
            for decoded in node.send("red-a", &frame)?.told {
                let header = *decoded.header();
                if ![RING_EVENTS, RING_SAMPLES].contains(&header.ring) {
                    continue;
                }
                let expected = next.insert((header.cpu, header.ring), header.sequence + 1);
                ensure!(
                    expected.is_none_or(|expected| expected == header.sequence),
                    "{header:?} after {expected:?}"
                );
            }
        }
    }
    ensure!(next.keys().any(|(_, ring)| *ring == RING_SAMPLES), "{next:?}");
    Ok(())
}
