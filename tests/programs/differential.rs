//! The kernel against the host: the same code on both sides of the compiler, the same packets, the same answers.
//! What differs would be a map that behaves otherwise, a verifier's rewrite, or a stack that overflowed.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use enforcer_common::maps::{ACTION_TUNNEL, SETTING_DEFER_TO_SOCKETS, Settings, TUNNEL_PORT};
use enforcer_common::packet::Headers;
use enforcer_common::verdict::Verdict;
use enforcer_common::wall::{self, Arrival, Judgement};
use enforcer_core::policy::tables::ImageTables;
use enforcer_lab::wait;
use enforcer_tests::runner::Case;

use crate::fixture::{Node, PASSED, TAG, WORKLOADS, address};
use crate::frame::{ICMP, ICMPV6, TCP, UDP, ethernet, icmp, icmp_error, ip, tcp, udp, v4};
use crate::tunnel;

pub(crate) const CASES: &[Case<Node>] = &[
    case("differential::kernel_and_host_agree_on_generated_packets", agree),
    case("differential::kernel_and_host_agree_where_rules_ask_for_the_tunnel", agree_on_tunnels),
];

const fn case(name: &'static str, run: fn(&mut Node) -> Result<()>) -> Case<Node> {
    Case { name, reasons: &[], run }
}

/// Packets tried: enough for every branch, and a few seconds.
const PACKETS: u32 = 6_000;
const SEED: u64 = 0x656e_666f_7263_6572;

/// A small generator (xorshift, Marsaglia 2003): the same packets in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or(0) % sides
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())]
    }
}

const V4: [&str; 10] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.3",
    "10.0.0.4",
    "10.0.0.254",
    "10.1.0.1",
    "10.1.0.3",
    "10.1.0.254",
    "198.51.100.7",
    "198.51.100.200",
];
const V6: [&str; 6] = ["fd00::1", "fd00::2", "fd00::3", "fd00::4", "fe80::1", "2001:db8::1"];

/// A packet at the workload of this number (its own addresses have the same place in the lists); three in four
/// have its own address where it belongs.
fn frame(dice: &mut Dice, workload: usize, inward: bool) -> Vec<u8> {
    let family: &[&str] = if dice.roll(3) == 0 { &V6 } else { &V4 };
    let own = if dice.roll(4) == 0 { dice.pick(family) } else { family[workload] };
    let other = if dice.roll(2) == 0 { family[dice.pick(&[0, 1, 3])] } else { dice.pick(family) };
    let (source, destination) =
        if inward { (address(other), address(own)) } else { (address(own), address(other)) };
    let ports = [53, 443, 4000, 7999, 8000, 8080, 8100, 8101, TUNNEL_PORT];
    let (from, to) = (dice.pick(&ports), dice.pick(&ports));
    let payload = match dice.roll(6) {
        0 | 1 => (TCP, tcp(from, to, dice.pick(&[2, 16, 18, 17, 4]))),
        2 | 3 => (UDP, udp(from, to, &[0; 24])),
        4 => (
            if source.is_ipv4() { ICMP } else { ICMPV6 },
            icmp(dice.pick(&[0, 8, 3, 13, 128, 129, 134, 135, 136]), 0, dice.pick(&[1, 2])),
        ),
        _ => (ICMP, error(dice, from, to)),
    };
    let mut bytes = match (dice.roll(8), source, destination) {
        (0, IpAddr::V4(source), IpAddr::V4(destination)) => {
            let fragment = dice.pick(&[0x2000, 0x2001, 0x2003, 0x2004, 3, 0x4000]);
            ethernet(0x0800, &v4(source, destination, payload.0, fragment, &payload.1))
        }
        _ => ip(source, destination, payload.0, &payload.1),
    };
    match dice.roll(12) {
        0 => {
            let at = dice.roll(bytes.len().min(60));
            bytes[at] ^= 1 << dice.roll(8);
        }
        // The test runner takes no frame that is shorter than its network header.
        1 => bytes.truncate(bytes.len().min(54 + dice.roll(20))),
        _ => {}
    }
    bytes
}

fn error(dice: &mut Dice, from: u16, to: u16) -> Vec<u8> {
    let (a, b) = (dice.pick(&V4), dice.pick(&V4));
    let (IpAddr::V4(a), IpAddr::V4(b)) = (address(a), address(b)) else { return Vec::new() };
    icmp_error(dice.pick(&[3, 11]), &v4(a, b, UDP, 0, &udp(from, to, b"")))
}

fn agree_on_tunnels(node: &mut Node) -> Result<()> {
    tunnel::ask(node, ACTION_TUNNEL)?;
    agree(node)
}

fn agree(node: &mut Node) -> Result<()> {
    let mut dice = Dice(SEED);
    let image = node.image.clone();
    let tables = ImageTables::new(&image);
    let mut refused = 0;
    let packets = wait::rounds(PACKETS);
    for number in 0..packets {
        let place = dice.roll(WORKLOADS.len());
        let workload = WORKLOADS[place];
        let inward = dice.roll(2) == 0;
        let bytes = frame(&mut dice, place, inward);
        let mark = wall::tagged(&TAG, 0, dice.pick(&[0, 100, 200, 300]));
        let host = on_host(node, &tables, workload, inward, mark, &bytes);
        let kernel =
            if inward { node.deliver(workload, mark, &bytes)? } else { node.send(workload, &bytes)? };
        let what = || format!("packet {number} at {workload}, inward {inward}, mark {mark:#x}: {bytes:02x?}");
        let passed = kernel.action == PASSED;
        ensure!(passed == host.verdict.passes(), "{}\nkernel {kernel:?}\nhost {host:?}", what());
        let [(key, _)] = kernel.counters.as_slice() else { anyhow::bail!("{}: {kernel:?}", what()) };
        ensure!(
            (key.source, key.destination, key.reason) == (host.source, host.destination, host.verdict.reason),
            "{}\nkernel {kernel:?}\nhost {host:?}",
            what()
        );
        refused += u32::from(!passed);
    }
    ensure!(
        refused > packets / 10 && refused < packets * 19 / 20,
        "{refused} of {packets} refused: too one-sided"
    );
    Ok(())
}

/// The same packet through the same functions over the compiled image. The test kernel starts without flows, and
/// so do the tables here; both keep them from then on.
fn on_host(
    node: &Node,
    tables: &ImageTables<'_>,
    workload: &str,
    inward: bool,
    mark: u32,
    bytes: &[u8],
) -> Judgement {
    let Some(interface) = node.image.interfaces.get(&node.interface(workload)) else {
        return Judgement::settled(0, 0, Verdict::deny(0, 0));
    };
    // The canary proved the socket hooks when the wall was opened, so TCP to the node is left to them.
    let settings = Settings { flags: SETTING_DEFER_TO_SOCKETS, ..TAG };
    let mut headers = Headers::default();
    let now_ns = 1;
    if inward {
        let arrival = Arrival { tag: wall::tag_of(&TAG, mark), forwarded: 0 };
        wall::to_workload(tables, interface, bytes, &arrival, now_ns, &mut headers)
    } else {
        wall::from_workload(tables, &settings, interface, bytes, now_ns, &mut headers)
    }
}
