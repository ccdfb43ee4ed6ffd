//! Packets that no honest stack sends.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, bail, ensure};
use enforcer_lab::frame::{self, Datagram};
use enforcer_lab::mark::Refusal;
use enforcer_lab::outcome::Outcome;
use enforcer_tests::net::Net;
use enforcer_tests::runner::Case;
use serde_json::Value;

pub(crate) const CASES: &[Case<Net>] = &[
    Case { name: "packets::a_spoofed_source_is_dropped", reasons: &["source_not_own"], run: spoofed },
    Case { name: "packets::an_honest_frame_passes", reasons: &[], run: honest },
    Case {
        name: "packets::arp_for_a_foreign_address_is_dropped",
        reasons: &["arp_foreign"],
        run: foreign_arp,
    },
    Case { name: "packets::a_vlan_tag_is_dropped", reasons: &["vlan_not_granted"], run: vlan },
    Case {
        name: "packets::a_fragment_without_its_first_is_dropped",
        reasons: &["fragment_untracked"],
        run: orphan,
    },
    Case { name: "packets::overlapping_fragments_are_dropped", reasons: &["fragment_overlap"], run: overlap },
];

const FROM: &str = "n1-t1-p1";
const SIBLING: &str = "n1-t1-p2";
const CUT: usize = 64;

fn v4(net: &Net, place: &str) -> Result<Ipv4Addr> {
    match net.address(place, false)? {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(address) => bail!("{address} is not IPv4"),
    }
}

fn datagram(net: &Net, id: u16) -> Result<Datagram> {
    Ok(Datagram { from: v4(net, FROM)?, to: v4(net, SIBLING)?, port: 8080, id })
}

fn send(net: &Net, frames: &[Vec<u8>]) -> Result<()> {
    let hex: Vec<String> = frames.iter().map(|frame| frame::to_hex(frame)).collect();
    let mut arguments = vec!["frame", "eth0"];
    arguments.extend(hex.iter().map(String::as_str));
    let outcome = net.lab().probe(FROM)?.run(&arguments)?;
    ensure!(outcome == Outcome::Ok, "the frame did not leave: {outcome}");
    Ok(())
}

/// Sends frames that must be dropped for a reason, by the workload's tenant towards `destination`.
fn dropped(
    net: &Net,
    frames: &[Vec<u8>],
    reason: &str,
    destination: &str,
    also: impl Fn(&Value) -> bool,
) -> Result<()> {
    let evidence = net.evidence("n1")?;
    send(net, frames)?;
    evidence.tells(Refusal { source: "t1", destination, reason, rule: "no-rule-matched" }, also)
}

fn spoofed(net: &mut Net) -> Result<()> {
    let victim = v4(net, "n1-t2-p1")?;
    for (id, from) in [(1, victim), (2, Ipv4Addr::new(203, 0, 113, 10)), (3, Ipv4Addr::new(10, 0, 0, 1))] {
        let frame = Datagram { from, to: v4(net, "n1-t2-p2")?, ..datagram(net, id)? }.frame(b"not me");
        let from = from.to_string();
        dropped(net, &[frame], "source_not_own", "unknown", |record| {
            record["source"]["address"] == from.as_str()
        })?;
    }
    Ok(())
}

/// The frames of these tests are sound but for what each case does to them.
fn honest(net: &mut Net) -> Result<()> {
    let evidence = net.evidence("n1")?;
    send(net, &[datagram(net, 4)?.frame(b"it is me")])?;
    evidence.record("the datagram", |record| {
        record["verdict"] == "allow"
            && record["source"]["port"] == 40_000
            && record["destination"]["port"] == 8080
    })?;
    Ok(())
}

fn foreign_arp(net: &mut Net) -> Result<()> {
    let claimed = v4(net, "n1-t2-p1")?;
    dropped(net, &[frame::arp_reply(claimed, v4(net, FROM)?)], "arp_foreign", "unknown", |_| true)
}

fn vlan(net: &mut Net) -> Result<()> {
    dropped(net, &[datagram(net, 5)?.tagged(7, b"tagged")], "vlan_not_granted", "unknown", |_| true)
}

fn orphan(net: &mut Net) -> Result<()> {
    let fragments = datagram(net, 6)?.fragments(&[1; 3 * CUT], CUT);
    dropped(net, &fragments[1..2], "fragment_untracked", "t1", |_| true)
}

/// The second fragment is said again with other content: the receiver could take either.
fn overlap(net: &mut Net) -> Result<()> {
    let datagram = datagram(net, 7)?;
    let first = datagram.fragments(&[1; 3 * CUT], CUT);
    let second = datagram.fragments(&[2; 3 * CUT], CUT);
    let frames = [first[0].clone(), first[1].clone(), second[1].clone()];
    dropped(net, &frames, "fragment_overlap", "t1", |_| true)
}
