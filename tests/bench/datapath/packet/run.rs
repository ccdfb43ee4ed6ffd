//! One run of every case over one wall.

use std::net::SocketAddrV4;

use anyhow::Result;

use super::super::frame::{ACK, SYN};
use super::super::runner::{FROM_WORKLOAD, LOOK_UPS, NOTHING, Seen};
use super::case::Case;
use super::crowded::{Crowded, SERVICE, own};
use crate::crowd;
use crate::sample::Sample;

/// Addresses of a run of repeated packets.
const ADDRESSES: usize = 64;
/// Flows of a run of single packets; their records fit the ring.
const FLOWS: u16 = 4_096;
/// Where the ports of the repeated packets begin, and those of the single ones.
const PORT: u16 = 1_025;
const SPREAD_PORT: u16 = 10_000;

/// Nanoseconds, the runner's own cost taken off.
#[derive(Debug)]
pub(super) struct Run {
    /// What the runner costs, once for repeated and once for single packets.
    pub(super) runner: f64,
    pub(super) runner_single: f64,
    /// In the order of [`LOOK_UPS`].
    pub(super) look_ups: [f64; 3],
    /// In the order of [`Case::ALL`].
    pub(super) cases: [f64; 5],
    /// The first packet of each of many flows, and the second.
    pub(super) new: f64,
    pub(super) spread: f64,
}

pub(super) fn one(crowd: &mut Crowded, round: u16, repeat: u32) -> Result<Run> {
    let runner = nothing(crowd, repeat)?;
    let mut look_ups = [0.0; 3];
    for (ns, (_, program)) in look_ups.iter_mut().zip(LOOK_UPS) {
        *ns = look_up(crowd, program, repeat)? - runner;
    }
    let mut cases = [0.0; 5];
    for (ns, case) in cases.iter_mut().zip(Case::ALL) {
        *ns = repeated(crowd, case, repeat)? - runner;
    }
    let (runner_single, new, spread) = single(crowd, round)?;
    crowd.drain();
    Ok(Run {
        runner,
        runner_single,
        look_ups,
        cases,
        new: new - runner_single,
        spread: spread - runner_single,
    })
}

fn nothing(crowd: &mut Crowded, repeat: u32) -> Result<f64> {
    let seen = Case::ForwardOut.packet(crowd, crowd::address(0), PORT);
    let runs: Result<Vec<f64>> =
        (0..ADDRESSES).map(|_| Ok(crowd.runner.run(NOTHING, &seen, repeat)?.ns)).collect();
    Ok(Sample::from(runs?).median())
}

/// The mark names what is looked up: the address of a peer, which for the tenants is a number that none has.
fn look_up(crowd: &mut Crowded, program: &str, repeat: u32) -> Result<f64> {
    let mut runs = Vec::new();
    for peer in crowd.peers(ADDRESSES) {
        let seen = Seen { mark: u32::from(peer), ..Case::ForwardOut.packet(crowd, peer, PORT) };
        runs.push(crowd.runner.run(program, &seen, repeat)?.ns);
    }
    Ok(Sample::from(runs).median())
}

fn repeated(crowd: &mut Crowded, case: Case, repeat: u32) -> Result<f64> {
    let mut runs = Vec::new();
    for (port, peer) in (PORT..).zip(crowd.peers(ADDRESSES)) {
        if let Some((program, seen)) = case.opening(crowd, peer, port) {
            crowd.runner.expect(program, &seen, false)?;
        }
        let seen = case.packet(crowd, peer, port);
        crowd.runner.expect(case.program(), &seen, case.is_denied())?;
        runs.push(crowd.runner.run(case.program(), &seen, repeat)?.ns);
    }
    crowd.drain();
    Ok(Sample::from(runs).median())
}

/// Many flows, a packet each: nothing, the first, the second.
fn single(crowd: &mut Crowded, round: u16) -> Result<(f64, f64, f64)> {
    let peers = crowd.peers(FLOWS.into());
    let flow = |index: u16, peer, flags, crowd: &Crowded| {
        // Other flows in every round, also where few addresses have to do for all of them.
        let port = SPREAD_PORT + FLOWS * (round % 12) + index;
        crowd.seen(own(port), SocketAddrV4::new(peer, SERVICE), flags)
    };
    let (mut nothing, mut first, mut second) = (Vec::new(), Vec::new(), Vec::new());
    for (index, peer) in (0..).zip(&peers) {
        let seen = flow(index, *peer, SYN, crowd);
        nothing.push(crowd.runner.run(NOTHING, &seen, 1)?.ns);
        first.push(crowd.runner.expect(FROM_WORKLOAD, &seen, false)?.ns);
    }
    for (index, peer) in (0..).zip(&peers) {
        let seen = flow(index, *peer, ACK, crowd);
        second.push(crowd.runner.expect(FROM_WORKLOAD, &seen, false)?.ns);
    }
    Ok((Sample::from(nothing).median(), Sample::from(first).median(), Sample::from(second).median()))
}
