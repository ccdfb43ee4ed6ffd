//! What a packet is: addresses, fragments, options, encapsulations, neighbours, errors.

use anyhow::{Result, ensure};
use enforcer_common::reason;
use enforcer_common::wall::tagged;
use enforcer_tests::runner::Case;

use crate::fixture::{DROPPED, Node, Outcome, PASSED, TAG, address};
use crate::frame::{
    ACK, ICMP, ICMPV6, SYN, TCP, UDP, arp, ethernet, icmp, icmp_error, ip, neighbour, neighbour_to, tcp, udp,
    v4, v6,
};

pub(crate) const CASES: &[Case<Node>] = &[
    case("packets::a_source_that_is_not_its_own_is_dropped", spoofed),
    case("packets::every_address_of_a_workload_is_its_own", own_addresses),
    case("packets::arp_and_neighbour_discovery_claim_own_addresses_only", neighbours),
    case("packets::options_routing_headers_and_nonsense_are_dropped", malformed),
    case("packets::fragments_follow_their_first_and_never_overlap", fragments),
    case("packets::extension_headers_are_walked", extensions),
    case("packets::encapsulation_needs_a_grant", encapsulation),
    case("packets::icmp_errors_need_a_flow_of_the_receiver", errors),
    case("packets::the_tag_is_written_and_believed", tags),
    case("packets::an_interface_that_nobody_owns_passes_nothing", unknown_interface),
];

const fn case(name: &'static str, run: fn(&mut Node) -> Result<()>) -> Case<Node> {
    Case { name, reasons: &[], run }
}

/// Exactly this verdict, exactly one counter, and a record of every refusal.
pub(crate) fn expect(outcome: &Outcome, what: &str, reason: u16) -> Result<()> {
    let action = if reason == reason::NONE { PASSED } else { DROPPED };
    ensure!(
        outcome.action == action,
        "{what}: action {} where {action} ({}) was expected; {outcome:?}",
        outcome.action,
        reason::name(reason)
    );
    let [(key, moved)] = outcome.counters.as_slice() else {
        anyhow::bail!("{what}: not one counter moved: {outcome:?}");
    };
    ensure!(
        key.reason == reason && moved.packets == 1 && moved.bytes > 0,
        "{what}: counted as {key:?} {moved:?}"
    );
    if reason != reason::NONE {
        let [event] = outcome.events.as_slice() else {
            anyhow::bail!("{what}: not one event: {outcome:?}");
        };
        ensure!(event.reason == reason && event.source_identity == key.source, "{what}: told as {event:?}");
    }
    Ok(())
}

fn red_to(destination: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let source = if destination.contains(':') { "fd00::1" } else { "10.0.0.1" };
    ip(address(source), address(destination), protocol, payload)
}

fn spoofed(node: &mut Node) -> Result<()> {
    for source in ["10.0.0.3", "10.0.0.99", "10.0.0.254", "127.0.0.1"] {
        let frame = ip(address(source), address("10.0.0.2"), UDP, &udp(1, 2, b""));
        expect(&node.send("red-a", &frame)?, source, reason::SOURCE_NOT_OWN)?;
    }
    for source in ["fd00::3", "fe80::1", "::"] {
        let frame = ip(address(source), address("fd00::2"), UDP, &udp(1, 2, b""));
        expect(&node.send("red-a", &frame)?, source, reason::SOURCE_NOT_OWN)?;
    }
    let untagged = ip(address("10.0.0.1"), address("10.0.0.2"), UDP, &udp(1, 2, b""));
    expect(&node.deliver("red-b", 0, &untagged)?, "own node's address from the wire", reason::SOURCE_NOT_OWN)
}

fn own_addresses(node: &mut Node) -> Result<()> {
    for source in ["10.0.0.2", "10.0.0.22"] {
        let frame = ip(address(source), address("10.0.0.1"), UDP, &udp(1, 2, b""));
        expect(&node.send("red-b", &frame)?, source, reason::NONE)?;
    }
    let foreign = ip(address("10.1.0.1"), address("10.0.0.3"), UDP, &udp(1, 2, b""));
    expect(&node.deliver("red-b", 0, &foreign)?, "somebody else's packet", reason::DESTINATION_NOT_OWN)
}

fn neighbours(node: &mut Node) -> Result<()> {
    expect(&node.send("red-a", &arp("10.0.0.1".parse()?))?, "own ARP", reason::NONE)?;
    expect(&node.send("red-a", &arp("0.0.0.0".parse()?))?, "an ARP probe", reason::NONE)?;
    expect(&node.send("red-a", &arp("10.0.0.3".parse()?))?, "a foreign ARP", reason::ARP_FOREIGN)?;
    let (own, foreign, link) = ("fd00::1".parse()?, "fd00::3".parse()?, "fe80::5".parse()?);
    expect(&node.send("red-a", &neighbour(135, link, foreign))?, "asking for anybody", reason::NONE)?;
    expect(&node.send("red-a", &neighbour(136, own, own))?, "answering for itself", reason::NONE)?;
    expect(
        &node.send("red-a", &neighbour(136, link, foreign))?,
        "answering for another",
        reason::ND_FOREIGN,
    )?;
    expect(&node.send("red-a", &neighbour(134, link, own))?, "playing the router", reason::ND_FOREIGN)?;
    expect(&node.send("red-a", &neighbour(135, foreign, own))?, "asking as another", reason::ND_FOREIGN)?;
    let (peer, hop_limit) = ("fd00::2".parse()?, 14 + 7);
    expect(&node.send("red-a", &neighbour_to(135, own, peer, peer))?, "asking its own tenant", reason::NONE)?;
    expect(
        &node.send("red-a", &neighbour_to(135, own, foreign, foreign))?,
        "asking another",
        reason::ND_FOREIGN,
    )?;
    let mut routed = neighbour_to(135, own, peer, peer);
    routed[hop_limit] = 254;
    expect(&node.send("red-a", &routed)?, "past a router", reason::ND_FOREIGN)?;
    expect(&node.deliver("red-b", 0, &routed)?, "from past a router", reason::ND_FOREIGN)?;
    expect(&node.deliver("red-b", 0, &neighbour(134, link, own))?, "the link's router", reason::NONE)?;
    let blue = tagged(&TAG, 0, 200);
    expect(
        &node.deliver("red-b", blue, &neighbour(134, link, own))?,
        "a tenant as router",
        reason::ND_FOREIGN,
    )
}

fn malformed(node: &mut Node) -> Result<()> {
    let good = red_to("10.0.0.2", TCP, &tcp(1, 2, SYN));
    expect(&node.send("red-a", &good[..40])?, "a cut transport header", reason::MALFORMED)?;
    let mut version = good.clone();
    version[14] = 0x55;
    expect(&node.send("red-a", &version)?, "IP version 5", reason::MALFORMED)?;
    let mut options = good.clone();
    options[14] = 0x46;
    expect(&node.send("red-a", &options)?, "IPv4 options", reason::IPV4_OPTIONS)?;
    expect(&node.send("red-a", &ethernet(0x88cc, &[0; 40]))?, "LLDP", reason::ETHERTYPE_UNKNOWN)?;
    let routing = [&[59, 0, 4, 0, 0, 0, 0, 0][..], &tcp(1, 2, SYN)].concat();
    let frame = red_to("fd00::2", 43, &routing);
    expect(&node.send("red-a", &frame)?, "a routing header", reason::IPV6_EXTENSIONS)
}

fn fragments(node: &mut Node) -> Result<()> {
    let (red, ops) = ("10.0.0.1".parse()?, "10.0.0.4".parse()?);
    let first = ethernet(0x0800, &v4(red, ops, UDP, 0x2000, &udp(9, 53, &[0; 16])));
    let later = |offset: u16| ethernet(0x0800, &v4(red, ops, UDP, 0x2000 | offset, &[0; 24]));
    expect(&node.send("red-a", &later(3))?, "a fragment without its first", reason::FRAGMENT_UNTRACKED)?;
    expect(&node.send("red-a", &first)?, "a first fragment", reason::NONE)?;
    expect(&node.send("red-a", &later(3))?, "the next fragment", reason::NONE)?;
    expect(&node.send("red-a", &later(3))?, "the same once more", reason::FRAGMENT_OVERLAP)?;
    expect(&node.send("red-a", &later(1))?, "one over the header", reason::FRAGMENT_OVERLAP)?;
    let tiny = ethernet(0x0800, &v4(red, ops, TCP, 0x2000, &tcp(9, 8000, SYN)[..8]));
    expect(&node.send("red-a", &tiny)?, "too short for its header", reason::FRAGMENT_TINY)?;
    let refused = ethernet(0x0800, &v4(red, ops, UDP, 0x2000, &udp(9, 54, &[0; 16])));
    expect(&node.send("red-a", &refused)?, "a refused first fragment", reason::CROSS_TENANT_NO_RULE)
}

fn extensions(node: &mut Node) -> Result<()> {
    let option = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let walked = [&option(60)[..], &option(TCP), &tcp(7, 8001, SYN)].concat();
    let frame = ip(address("fd00::1"), address("fd00::4"), 0, &walked);
    expect(&node.send("red-a", &frame)?, "two extension headers", reason::NONE)?;
    let hidden = [&option(TCP)[..], &tcp(7, 8080, SYN)].concat();
    let frame = ip(address("fd00::1"), address("fd00::4"), 60, &hidden);
    expect(&node.send("red-a", &frame)?, "a denied port behind one", reason::RULE_DENIED)?;
    let many = [&option(60)[..]; 7].concat();
    let frame = red_to("fd00::2", 60, &many);
    expect(&node.send("red-a", &frame)?, "more than are walked", reason::IPV6_EXTENSIONS)
}

fn encapsulation(node: &mut Node) -> Result<()> {
    let inner = v4("10.0.0.1".parse()?, "10.0.0.2".parse()?, TCP, 0, &tcp(1, 2, SYN));
    for (protocol, what) in [(4, "IP in IP"), (41, "IPv6 in IP"), (47, "GRE")] {
        let frame = red_to("10.0.0.2", protocol, &inner);
        expect(&node.send("red-a", &frame)?, what, reason::TUNNEL_NOT_GRANTED)?;
    }
    let tagged = ethernet(0x8100, &[&[0, 5, 8, 0][..], &inner].concat());
    expect(&node.send("red-a", &tagged)?, "a VLAN tag", reason::VLAN_NOT_GRANTED)?;
    let inner = v4("10.0.0.4".parse()?, "10.0.0.1".parse()?, TCP, 0, &tcp(1, 2, SYN));
    let granted = ethernet(0x8100, &[&[0, 5, 8, 0][..], &inner].concat());
    expect(&node.send("ops-a", &granted)?, "a granted tag is looked behind", reason::CROSS_TENANT_NO_RULE)?;
    let twice = ethernet(0x8100, &[&[0, 5, 0x81, 0, 0, 6, 8, 0][..], &inner].concat());
    expect(&node.send("ops-a", &twice)?, "two VLAN tags", reason::VLAN_NOT_GRANTED)
}

fn errors(node: &mut Node) -> Result<()> {
    let opening = v4("10.0.0.1".parse()?, "10.0.0.4".parse()?, UDP, 0, &udp(700, 53, b""));
    expect(&node.send("red-a", &ethernet(0x0800, &opening))?, "the flow", reason::NONE)?;
    let mark = tagged(&TAG, 0, 300);
    let error = ip(address("10.0.0.4"), address("10.0.0.1"), ICMP, &icmp_error(3, &opening));
    expect(&node.deliver("red-a", mark, &error)?, "an error about it", reason::NONE)?;
    let other = v4("10.0.0.1".parse()?, "10.0.0.4".parse()?, UDP, 0, &udp(701, 53, b""));
    let error = ip(address("10.0.0.4"), address("10.0.0.1"), ICMP, &icmp_error(3, &other));
    expect(&node.deliver("red-a", mark, &error)?, "an error about nothing", reason::ICMP_ERROR_UNRELATED)?;
    let error = ip(address("10.0.0.4"), address("10.0.0.2"), ICMP, &icmp_error(3, &opening));
    expect(&node.deliver("red-b", mark, &error)?, "an error for another", reason::ICMP_ERROR_UNRELATED)?;
    let error = ip(
        address("10.0.0.3"),
        address("10.0.0.1"),
        ICMP,
        &icmp_error(3, &v4("10.0.0.1".parse()?, "10.0.0.4".parse()?, UDP, 0, &udp(700, 53, b""))),
    );
    let blue = tagged(&TAG, 0, 200);
    expect(
        &node.deliver("red-a", blue, &error)?,
        "an error by a third tenant",
        reason::ICMP_ERROR_UNRELATED,
    )?;
    let opening = v6("fd00::1".parse()?, "fd00::4".parse()?, UDP, &udp(702, 53, b""));
    expect(&node.send("red-a", &ethernet(0x86dd, &opening))?, "an IPv6 flow", reason::NONE)?;
    let error = ip(address("fd00::4"), address("fd00::1"), ICMPV6, &icmp_error(1, &opening));
    expect(&node.deliver("red-a", mark, &error)?, "an IPv6 error about it", reason::NONE)
}

fn tags(node: &mut Node) -> Result<()> {
    let frame = red_to("10.0.0.4", TCP, &tcp(5, 8000, SYN));
    let sent = node.send("red-a", &frame)?;
    ensure!(sent.mark == tagged(&TAG, 0, 100), "the mark is {:#x}", sent.mark);
    expect(&node.deliver("ops-a", sent.mark, &frame)?, "with its tag", reason::NONE)?;
    let blue = tagged(&TAG, 0, 200);
    expect(&node.deliver("ops-a", blue, &frame)?, "with another's tag", reason::CROSS_TENANT_NO_RULE)?;
    let kept = node.run("from_workload", node.interface("red-a"), 0x4000, &frame)?;
    ensure!(kept.mark == tagged(&TAG, 0x4000, 100), "other bits of the mark are lost: {:#x}", kept.mark);
    let reply = ip(address("10.0.0.4"), address("10.0.0.1"), TCP, &tcp(8000, 5, SYN | ACK));
    expect(&node.send("ops-a", &reply)?, "the reply", reason::NONE)?;
    expect(
        &node.send("ops-a", &ip(address("10.0.0.4"), address("10.0.0.1"), TCP, &tcp(8000, 5, SYN)))?,
        "a new connection over the reply's ports",
        reason::CROSS_TENANT_NO_RULE,
    )?;
    let echo = red_to("10.0.0.4", ICMP, &icmp(8, 0, 77));
    expect(&node.send("red-a", &echo)?, "an echo request", reason::NONE)?;
    let answer = ip(address("10.0.0.4"), address("10.0.0.1"), ICMP, &icmp(0, 0, 77));
    expect(&node.send("ops-a", &answer)?, "its answer", reason::NONE)?;
    let alien = ip(address("10.0.0.4"), address("10.0.0.1"), ICMP, &icmp(0, 0, 78));
    expect(&node.send("ops-a", &alien)?, "an answer to nothing", reason::CROSS_TENANT_NO_RULE)
}

fn unknown_interface(node: &mut Node) -> Result<()> {
    let lo = nix::net::if_::if_nametoindex("lo")?;
    let frame = red_to("10.0.0.2", TCP, &tcp(1, 2, SYN));
    for program in ["from_workload", "to_workload"] {
        expect(&node.run(program, lo, 0, &frame)?, program, reason::INTERFACE_UNKNOWN)?;
    }
    Ok(())
}
