//! Responses to alerts: no new flow, or only so many a second, for a time; what is open goes on.

use std::num::NonZeroU32;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use enforcer_common::event::KIND_FLOW_ALLOWED;
use enforcer_common::maps::CgroupValue;
use enforcer_common::reason;
use enforcer_core::enforce::{Enforcement as _, Response, ResponseMode};
use enforcer_tests::runner::Case;
use nix::errno::Errno;

use crate::fixture::{DROPPED, Node, PASSED, address};
use crate::frame::{ACK, SYN, TCP, UDP, ip, tcp, udp};
use crate::packets::expect;
use crate::play::{Groups, bound, connect_to, id, join, play};
use crate::tunnel::alter;

pub(crate) const CASES: &[Case<Node>] = &[
    case("responses::a_new_flow_is_denied_and_an_old_one_goes_on", denied),
    case("responses::a_refused_flow_leaves_no_entry", no_entry),
    case("responses::it_ends_by_itself", expires),
    case("responses::a_limit_lets_so_many_through", limited),
    case("responses::connect_is_told_at_once", connecting),
];

const fn case(name: &'static str, run: fn(&mut Node) -> Result<()>) -> Case<Node> {
    Case { name, reasons: &[], run }
}

const RED: u32 = 100;
const DENY: Response = Response { mode: ResponseMode::DenyNew, lasts: Duration::from_secs(60) };

fn segment(from: u16, flags: u8) -> Vec<u8> {
    ip(address("10.0.0.1"), address("10.0.0.2"), TCP, &tcp(from, 80, flags))
}

fn datagram(from: u16) -> Vec<u8> {
    ip(address("10.0.0.1"), address("10.0.0.2"), UDP, &udp(from, 53, b"x"))
}

/// Ends a response also when the case fails.
fn under(node: &mut Node, response: &Response, act: impl FnOnce(&mut Node) -> Result<()>) -> Result<()> {
    node.wall.set_response(RED, Some(response))?;
    let outcome = act(node);
    node.wall.set_response(RED, None)?;
    outcome
}

fn denied(node: &mut Node) -> Result<()> {
    expect(&node.send("red-a", &segment(4_000, SYN))?, "before", reason::NONE)?;
    expect(&node.send("red-a", &datagram(4_000))?, "before", reason::NONE)?;
    under(node, &DENY, |node| {
        expect(&node.send("red-a", &segment(4_000, ACK))?, "an open connection", reason::NONE)?;
        expect(&node.send("red-a", &datagram(4_000))?, "an open flow", reason::NONE)?;
        expect(&node.send("red-a", &segment(4_001, SYN))?, "a new connection", reason::RESPONSE_DENIED)?;
        expect(&node.send("red-a", &datagram(4_001))?, "a new flow", reason::RESPONSE_DENIED)?;
        // A connection that begins anew on the ports of an old one is new.
        expect(
            &node.send("red-a", &segment(4_000, SYN))?,
            "a new one on old ports",
            reason::RESPONSE_DENIED,
        )?;
        // Blue is no part of it, and what red may not do anyway keeps its own reason.
        let foreign = ip(address("10.0.0.1"), address("10.0.0.3"), TCP, &tcp(4_002, 80, SYN));
        expect(&node.send("red-a", &foreign)?, "not allowed anyway", reason::CROSS_TENANT_NO_RULE)?;
        let other = ip(address("10.0.0.4"), address("10.0.0.4"), UDP, &udp(1, 2, b"x"));
        ensure!(node.send("ops-a", &other)?.action == PASSED, "another tenant is held back");
        Ok(())
    })?;
    expect(&node.send("red-a", &segment(4_001, SYN))?, "afterwards", reason::NONE)
}

fn no_entry(node: &mut Node) -> Result<()> {
    under(node, &DENY, |node| {
        for _ in 0..3 {
            expect(&node.send("red-a", &datagram(4_100))?, "still new", reason::RESPONSE_DENIED)?;
        }
        // Nothing gives an answer its way back either.
        let answer = ip(address("10.0.0.2"), address("10.0.0.1"), UDP, &udp(53, 4_100, b"x"));
        expect(&node.send("red-b", &answer)?, "an answer to nothing", reason::RESPONSE_DENIED)
    })?;
    let outcome = node.send("red-a", &datagram(4_100))?;
    expect(&outcome, "afterwards", reason::NONE)?;
    ensure!(outcome.events[0].header.kind == KIND_FLOW_ALLOWED, "it was known: {outcome:?}");
    Ok(())
}

fn expires(node: &mut Node) -> Result<()> {
    let short = Response { lasts: Duration::from_millis(100), ..DENY };
    under(node, &short, |node| {
        expect(&node.send("red-a", &datagram(4_200))?, "while it lasts", reason::RESPONSE_DENIED)?;
        sleep(Duration::from_millis(150));
        expect(&node.send("red-a", &datagram(4_200))?, "its time is up", reason::NONE)
    })
}

fn limited(node: &mut Node) -> Result<()> {
    node.full_buckets()?;
    let flows_per_second = NonZeroU32::MIN.saturating_add(4);
    let limit = Response { mode: ResponseMode::Limit { flows_per_second }, ..DENY };
    under(node, &limit, |node| {
        let mut passed = 0;
        for port in 4_300..4_350 {
            let outcome = node.send("red-a", &datagram(port))?;
            if outcome.action == PASSED {
                passed += 1;
                expect(&node.send("red-a", &datagram(port))?, "an open flow takes no token", reason::NONE)?;
            } else {
                ensure!(outcome.action == DROPPED, "{outcome:?}");
                expect(&outcome, "too many", reason::RESPONSE_LIMITED)?;
            }
        }
        ensure!((5..40).contains(&passed), "{passed} of fifty at five a second");
        Ok(())
    })
}

fn connecting(node: &mut Node) -> Result<()> {
    let groups = Groups::make(node.cgroup())?;
    let red = id(&groups.red)?;
    let value = CgroupValue { identity: RED, workload: 1, ..CgroupValue::default() };
    alter(node, |image| image.cgroups.extend([(red, value)]))?;
    let attempt = |expected: Errno| {
        play(|| {
            join(&groups.red)?;
            let socket = bound("127.0.0.1:0", 0)?;
            let outcome = connect_to(&socket, "127.0.0.1:9");
            ensure!(outcome == Err(expected), "{outcome:?}");
            Ok(())
        })
    };
    attempt(Errno::ECONNREFUSED)?;
    under(node, &DENY, |_| attempt(Errno::EPERM))?;
    attempt(Errno::ECONNREFUSED)
}
