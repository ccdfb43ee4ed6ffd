//! A tunnelled connection is a TCP connection: it ends as the other side ended it, waits as long as the other side
//! waits, and says what happened.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use enforcer_tests::runner::Case;
use serde_json::json;

use crate::pair::{Pair, ends, is_reset, reset, says};
use crate::site::{LIMIT, PORT, Site, WAYS, ports};

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "faithful::either_side_may_end_first_and_the_other_goes_on", reasons: &[], run: half_close },
    Case { name: "faithful::a_reset_is_a_reset", reasons: &[], run: resets },
    Case { name: "faithful::half_a_connection_ends_when_nothing_flows", reasons: &[], run: half_close_limit },
    Case { name: "faithful::a_slow_reader_costs_a_bounded_amount", reasons: &[], run: slow_reader },
    Case { name: "faithful::nobody_listens_behind_the_tunnel", reasons: &[], run: refused_behind },
    Case { name: "faithful::nobody_answers_behind_the_tunnel", reasons: &[], run: silent_behind },
    Case { name: "faithful::nobody_is_at_the_other_end", reasons: &[], run: nobody },
    Case { name: "faithful::a_tenant_that_has_all_it_may_is_refused_more", reasons: LATE, run: budget },
    Case { name: "faithful::handshakes_are_counted_too", reasons: LATE, run: handshakes },
];

/// What an earlier case allowed, and what its connections say to each other when that is over: an agent that was
/// started anew has no record of it.
const LATE: &[&str] = &["cross_tenant_no_rule", "mtls_required"];

fn each(site: &Site, holds: impl Fn(Pair) -> Result<()>) -> Result<()> {
    site.apply(&site.carried())?;
    for way in &WAYS {
        let mut pair = site.pair(way.from, way.to, false)?;
        pair.speaks()?;
        holds(pair).with_context(|| format!("{way:?}"))?;
    }
    Ok(())
}

fn half_close(site: &mut Site) -> Result<()> {
    each(site, |mut pair| {
        pair.client.shutdown(Shutdown::Write)?;
        ends(&mut pair.server).context("the client ends first")?;
        for _ in 0..3 {
            says(&mut pair.server, &mut pair.client, b"and yet it speaks")?;
            thread::sleep(Duration::from_millis(100));
        }
        pair.server.shutdown(Shutdown::Write)?;
        ends(&mut pair.client)
    })?;
    each(site, |mut pair| {
        pair.server.shutdown(Shutdown::Write)?;
        ends(&mut pair.client).context("the server ends first")?;
        for _ in 0..3 {
            says(&mut pair.client, &mut pair.server, b"and yet it speaks")?;
            thread::sleep(Duration::from_millis(100));
        }
        pair.client.shutdown(Shutdown::Write)?;
        ends(&mut pair.server)
    })
}

fn resets(site: &mut Site) -> Result<()> {
    each(site, |mut pair| {
        reset(pair.client)?;
        is_reset(&mut pair.server).context("the client breaks off")
    })?;
    each(site, |mut pair| {
        reset(pair.server)?;
        is_reset(&mut pair.client).context("the server breaks off")
    })?;
    // And what is in order is none.
    each(site, Pair::ends)
}

fn half_close_limit(site: &mut Site) -> Result<()> {
    let mark = site.mark("n1")?;
    each(site, |mut pair| {
        pair.client.shutdown(Shutdown::Write)?;
        ends(&mut pair.server)?;
        // As long as something flows it may.
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(3) {
            says(&mut pair.server, &mut pair.client, b"still here")?;
            thread::sleep(Duration::from_millis(500));
        }
        pair.client.set_read_timeout(Some(LIMIT))?;
        let quiet = Instant::now();
        let outcome = pair.client.read(&mut [0; 16]);
        ensure!(!matches!(outcome, Ok(length) if length > 0), "{outcome:?}");
        let after = quiet.elapsed();
        ensure!(after > Duration::from_secs(1) && after < Duration::from_secs(10), "after {after:?}");
        Ok(())
    })?;
    site.told(&mark, "closed", |record| record["tunnel"]["end"] == "half_close_timeout").map(drop)
}

/// What a writer gets rid of while nobody reads is bounded, and is there when somebody does.
fn slow_reader(site: &mut Site) -> Result<()> {
    const MOST_BYTES: usize = 48 << 20;
    const MORE_KIB: u64 = 32 << 10;
    site.apply(&site.carried())?;
    for way in &WAYS {
        let (near, far) = (site.node_of(way.from), site.node_of(way.to));
        let mut pair = site.pair(way.from, way.to, false)?;
        pair.speaks()?;
        let before = [site.resident_kib(&near)?, site.resident_kib(&far)?];
        pair.client.set_write_timeout(Some(Duration::from_secs(1)))?;
        let chunk = vec![0x5a; 64 << 10];
        let mut written = 0;
        loop {
            match pair.client.write(&chunk) {
                Ok(length) => written += length,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    break;
                }
                Err(error) => return Err(error).with_context(|| format!("{way:?}")),
            }
            ensure!(written <= MOST_BYTES, "{way:?}: {written} bytes were taken, and nobody reads");
        }
        let after = [site.resident_kib(&near)?, site.resident_kib(&far)?];
        for (before, after) in before.iter().zip(&after) {
            ensure!(*after <= before + MORE_KIB, "{way:?}: from {before} to {after} KiB for {written} bytes");
        }
        // Everybody else is served meanwhile.
        let listener = site.listen("n2-t2-p2", false, PORT)?;
        let mut other = Pair::connect(site, "n1-t1-p2", "n2-t2-p2", false, &listener)?;
        other.speaks()?;
        other.ends()?;
        pair.client.shutdown(Shutdown::Write)?;
        let mut read = 0;
        let mut buffer = vec![0; 256 << 10];
        loop {
            match pair.server.read(&mut buffer)? {
                0 => break,
                length => read += length,
            }
        }
        ensure!(read == written, "{way:?}: {written} bytes were taken, {read} arrived");
    }
    Ok(())
}

fn refused_behind(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    for way in &WAYS {
        let (near, far) = (site.mark(way.from)?, site.mark(way.to)?);
        let dialled = site.dial(way.from, site.at(way.to, false, PORT)?)?;
        if let Ok(mut client) = dialled {
            is_reset(&mut client).with_context(|| format!("{way:?}"))?;
        }
        for mark in [&near, &far] {
            let record = site.told_refused(mark, "tunnel_unreachable")?;
            let detail = record["tunnel"]["detail"].as_str().unwrap_or_default();
            // HBONE has one status for all of it.
            let is_known = way.hop == "native" || record["tunnel"]["direction"] == "inbound";
            ensure!(!is_known || detail.contains("refused"), "{way:?}: {record}");
        }
    }
    Ok(())
}

/// A listener whose queue is full drops what comes: no answer at all.
fn silent_behind(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    let (from, to) = ("n1-t1-p1", "n2-t2-p1");
    let listener = site.listen(to, false, PORT)?;
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0)?)?;
    let own = site.outside(to)?;
    let at = site.at(to, false, PORT)?;
    let mut filling = Vec::new();
    while let Ok(stream) =
        own.inside(|| Ok(std::net::TcpStream::connect_timeout(&at, Duration::from_millis(300))?))
    {
        filling.push(stream);
        ensure!(filling.len() < 64, "the queue does not fill");
    }
    let (near, far) = (site.mark(from)?, site.mark(to)?);
    let start = Instant::now();
    if let Ok(mut client) = site.dial(from, at)? {
        let outcome = client.read(&mut [0; 16]);
        ensure!(!matches!(outcome, Ok(length) if length > 0), "{outcome:?}");
    }
    ensure!(start.elapsed() < Duration::from_secs(8), "after {:?}", start.elapsed());
    for mark in [&near, &far] {
        let record = site.told_refused(mark, "tunnel_unreachable")?;
        let detail = record["tunnel"]["detail"].as_str().unwrap_or_default();
        ensure!(!detail.contains("refused"), "it was silent: {record}");
    }
    Ok(())
}

fn nobody(site: &mut Site) -> Result<()> {
    site.expect_errors();
    site.apply(&site.carried())?;
    site.lab_mut().take_agent("n2")?.kill()?;
    let mark = site.mark("n1")?;
    site.is_refused("n1-t1-p1", "n2-t2-p1", false)?;
    site.told_refused(&mark, "tunnel_unreachable")?;
    site.start("n2")
}

/// One tenant's share is its own.
fn budget(site: &mut Site) -> Result<()> {
    const MOST: usize = 4;
    site.again_with("n1", &json!({ "limits": { "connections": MOST } }), &json!({}))?;
    let policy = site.carried().with_tunnel("other", "t3", "t2", &ports(&[PORT]));
    site.apply(&policy)?;
    let listener = site.listen("n2-t2-p1", false, PORT)?;
    let pair = |from: &str| Pair::connect(site, from, "n2-t2-p1", false, &listener);
    let mut held = Vec::new();
    for _ in 0..MOST {
        held.push(pair("n1-t1-p1")?);
    }
    let mark = site.mark("n1")?;
    for workload in ["n1-t1-p1", "n1-t1-p2"] {
        if let Ok(mut client) = site.dial(workload, site.at("n2-t2-p1", false, PORT)?)? {
            let outcome = client.read(&mut [0; 16]);
            ensure!(!matches!(outcome, Ok(length) if length > 0), "{outcome:?}");
        }
        site.told_refused(&mark, "tunnel_budget")?;
    }
    // The listener would have what was carried all the same.
    ensure!(crate::site::accept_within(&listener, Duration::from_millis(100)).is_err(), "one too many");
    pair("n1-t3-p1")?.speaks().context("another tenant")?;
    for pair in &mut held {
        pair.speaks().context("those that were there")?;
    }
    held.pop().context("one")?.ends()?;
    enforcer_lab::wait::until_true("there is room again", LIMIT, || Ok(pair("n1-t1-p1").is_ok()))
}

fn handshakes(site: &mut Site) -> Result<()> {
    site.again_with("n1", &json!({ "limits": { "handshakesPerSecond": 1 } }), &json!({}))?;
    site.apply(&site.carried())?;
    let mark = site.mark("n1")?;
    let to = site.at("n2-t2-p1", false, PORT)?;
    let _listener = site.listen("n2-t2-p1", false, PORT)?;
    // Each needs a connection of its own, because those before are in use.
    let mut held = Vec::new();
    for _ in 0..12 {
        held.push(site.dial("n1-t1-p1", to)?);
    }
    site.told_refused(&mark, "tunnel_budget").map(drop)
}
