//! Tunnels that are open while something changes: the policy, a certificate, the agent.

use std::io::{Read as _, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use enforcer_lab::policy::Kind;
use enforcer_lab::wait;
use enforcer_tests::runner::Case;
use serde_json::json;

use crate::pair::Pair;
use crate::site::{LIMIT, PORT, Site, WAYS, ports};

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "live::a_rule_that_goes_ends_what_it_allowed", reasons: NO_RULE, run: rule_goes },
    Case { name: "live::a_push_elsewhere_leaves_a_tunnel_alone", reasons: &[], run: push_elsewhere },
    Case { name: "live::a_workload_that_goes_ends_its_tunnels", reasons: GONE, run: workload_goes },
    Case { name: "live::a_revocation_ends_a_tunnel_at_either_end", reasons: MTLS, run: revoked },
    Case { name: "live::a_rotation_breaks_no_tunnel", reasons: &[], run: rotated },
    Case {
        name: "live::nothing_outlives_its_certificate",
        reasons: &["cross_tenant_no_rule", "mtls_required"],
        run: expired,
    },
    Case { name: "live::a_restart_drains_and_nothing_passes_meanwhile", reasons: MTLS, run: restarted },
    Case { name: "live::without_its_agent_nothing_passes", reasons: MTLS, run: killed },
];

const NO_RULE: &[&str] = &["cross_tenant_no_rule"];
const MTLS: &[&str] = &["mtls_required", "tunnel_not_ready", "cross_tenant_no_rule"];
const GONE: &[&str] =
    &["cross_tenant_no_rule", "destination_unbound", "source_unbound", "tenant_unknown", "interface_unknown"];
const FROM: &str = "n1-t1-p1";
const TO: &str = "n2-t2-p1";
const MARKER: &[u8] = b"a marker of the tests of live tunnels: 55ad0c31";

/// Both ends notice, however it ends.
fn is_over(pair: &mut Pair) -> Result<()> {
    for (what, stream) in [("client", &mut pair.client), ("server", &mut pair.server)] {
        wait::until_true(&format!("the {what}'s end is over"), LIMIT, || {
            let mut buffer = [0; 64];
            match stream.read(&mut buffer) {
                Ok(length) => Ok(length == 0),
                Err(error) => {
                    Ok(!matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut))
                }
            }
        })?;
    }
    Ok(())
}

fn rule_goes(site: &mut Site) -> Result<()> {
    for way in &WAYS {
        site.apply(&site.carried())?;
        let mut pair = site.pair(way.from, way.to, false)?;
        pair.speaks()?;
        let (near, far) = (site.mark(way.from)?, site.mark(way.to)?);
        site.apply(&site.policy())?;
        is_over(&mut pair).with_context(|| format!("{way:?}"))?;
        let (near, far) = (site.told(&near, "closed", |_| true)?, site.told(&far, "closed", |_| true)?);
        let ends = [&near, &far].map(|record| record["tunnel"]["end"].clone());
        ensure!(ends.contains(&json!("policy")), "{way:?} ended because of {ends:?}");
        site.is_refused(way.from, way.to, false)?;
    }
    Ok(())
}

fn push_elsewhere(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    let mut pairs = Vec::new();
    for way in &WAYS {
        let mut pair = site.pair(way.from, way.to, false)?;
        pair.speaks()?;
        pairs.push(pair);
    }
    for round in 0..3_u16 {
        site.apply(&site.carried().with_rule("churn", "t2", "t3", "allow", &ports(&[8000 + round])))?;
        for pair in &mut pairs {
            pair.speaks()?;
        }
    }
    pairs.into_iter().try_for_each(Pair::ends)
}

fn workload_goes(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    let mut pair = site.pair(FROM, TO, false)?;
    let mut other = site.pair("n1-t1-p2", "n2-t2-p2", false)?;
    pair.speaks()?;
    site.apply(&site.carried().without(Kind::Workload, FROM))?;
    is_over(&mut pair)?;
    other.speaks().context("its neighbour")
}

fn revoked(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    for (revoked, node) in [(FROM, "n1"), (TO, "n2")] {
        let mut pair = site.pair(FROM, TO, false)?;
        let mut other = site.pair("n1-t1-p2", "n2-t2-p2", false)?;
        pair.speaks()?;
        let mark = site.mark(node)?;
        site.ctl(node)?.run(&["identity", "revoke", revoked, "--reason", "a test", "--yes"], "")?;
        is_over(&mut pair).with_context(|| format!("{revoked} is revoked"))?;
        let record = site.told(&mark, "closed", |_| true)?;
        ensure!(record["tunnel"]["end"] == "revoked", "{record}");
        other.speaks().context("its neighbour")?;
        site.is_refused(FROM, TO, false).with_context(|| format!("{revoked} is revoked"))?;
        site.ctl(node)?.run(&["identity", "restore", revoked], "")?;
        carried_again(site).with_context(|| format!("{revoked} is restored"))?;
    }
    Ok(())
}

/// Until a new connection goes through.
fn carried_again(site: &Site) -> Result<()> {
    let mut last = String::new();
    let waited =
        wait::until_true("a new connection is carried", LIMIT, || match site.pair(FROM, TO, false) {
            Ok(mut pair) => Ok(pair.speaks().is_ok()),
            Err(error) => {
                last = format!("{error:#}");
                Ok(false)
            }
        });
    waited.with_context(|| last)
}

fn rotated(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    for (rotated, word) in [(FROM, "source"), (TO, "destination")] {
        let mut pair = site.pair(FROM, TO, false)?;
        pair.speaks()?;
        let before = site.identity(rotated)?["serial"].clone();
        site.ctl(rotated)?.run(&["identity", "rotate", rotated], "")?;
        wait::until_true("another certificate", LIMIT, || {
            let now = site.identity(rotated)?;
            Ok(now["serial"] != before && now["state"] == "valid")
        })?;
        let serial = site.identity(rotated)?["serial"].clone();
        for _ in 0..5 {
            pair.speaks().with_context(|| format!("{rotated} has another certificate"))?;
            thread::sleep(Duration::from_millis(100));
        }
        let mark = site.mark(rotated)?;
        wait::until_true("new connections show the new certificate", LIMIT, || {
            let mut next = site.pair(FROM, TO, false)?;
            next.speaks()?;
            next.ends()?;
            Ok(mark.records()?.iter().any(|record| record["tunnel"][word]["serial"] == serial))
        })?;
        pair.ends()?;
    }
    Ok(())
}

/// Certificates of seconds: a tunnel goes on under a successor, or ends for that reason, and nothing else happens.
fn expired(site: &mut Site) -> Result<()> {
    const LIFETIME: Duration = Duration::from_secs(16);
    let short = json!({ "lifetimes": { "svid": format!("{}s", LIFETIME.as_secs()) } });
    site.again_with("n1", &json!({}), &short)?;
    site.apply(&site.carried())?;
    site.ctl("n1")?.run(&["identity", "rotate", FROM], "")?;
    carried_again(site)?;
    let mark = site.mark(FROM)?;
    let mut pair = site.pair(FROM, TO, false)?;
    pair.speaks()?;
    let opened = site.told(&mark, "opened", |_| true)?;
    let serial = opened["tunnel"]["source"]["serial"].clone();
    let start = Instant::now();
    let mut is_alive = true;
    while is_alive && start.elapsed() < LIFETIME + Duration::from_secs(4) {
        is_alive = pair.speaks().is_ok();
        thread::sleep(Duration::from_millis(250));
    }
    let lived = start.elapsed();
    if is_alive {
        // Then somebody has looked at it again, and said so.
        let list = site.ctl("n1")?.json(&["tunnel", "list"])?;
        let known = list["tunnels"].as_array().context("no list")?;
        let still_old = known.iter().any(|tunnel| tunnel["facts"]["source"]["serial"] == serial);
        ensure!(!still_old, "after {lived:?} it goes on under a certificate that has ended: {list}");
    } else {
        let record = site.told(&mark, "closed", |record| record["tunnel"]["source"]["serial"] == serial)?;
        ensure!(record["tunnel"]["end"] == "expired", "after {lived:?}: {record}");
        ensure!(lived > LIFETIME / 4, "it ended long before its certificate: after {lived:?}");
    }
    carried_again(site)
}

/// Tries to get a marker across, again and again, until told to stop; says how often it arrived.
fn hammer(site: &Site, until: Instant) -> Result<usize> {
    let listener = site.listen(TO, false, PORT)?;
    let to = site.at(TO, false, PORT)?;
    let mut arrived = 0;
    while Instant::now() < until {
        if let Ok(mut client) = site.dial(FROM, to)? {
            client.set_read_timeout(Some(Duration::from_millis(300)))?;
            let _lost = client.write_all(MARKER);
            if let Ok((mut server, _)) = crate::site::accept_within(&listener, Duration::from_millis(300)) {
                let mut heard = vec![0; MARKER.len()];
                arrived += usize::from(server.read_exact(&mut heard).is_ok() && heard == MARKER);
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(arrived)
}

fn restarted(site: &mut Site) -> Result<()> {
    site.expect_errors();
    site.apply(&site.carried())?;
    let mut pair = site.pair(FROM, TO, false)?;
    pair.speaks()?;
    let wire = [site.capture("n1")?, site.capture("n2")?];
    let mark = site.mark(TO)?;
    let agent = site.lab_mut().take_agent("n1")?;
    let (stopped, spoke) = thread::scope(|scope| {
        let stopping = scope.spawn(|| {
            let start = Instant::now();
            agent.stop().map(|()| start.elapsed())
        });
        // What was open may go on for a while.
        let spoke = pair.speaks();
        let hammered = hammer(site, Instant::now() + Duration::from_secs(1));
        (stopping.join(), spoke.and(hammered.map(drop)))
    });
    let drained = stopped.map_err(|_| anyhow::anyhow!("the thread panicked"))??;
    spoke.context("while it drains")?;
    ensure!(drained < Duration::from_secs(10), "it took {drained:?} to stop");
    is_over(&mut pair)?;
    site.told(&mark, "closed", |_| true)?;
    let between = hammer(site, Instant::now() + Duration::from_secs(1))?;
    ensure!(between == 0, "without an agent, {between} markers arrived");
    site.start("n1")?;
    carried_again(site)?;
    for capture in wire {
        ensure!(!capture.stop()?.shows(MARKER), "a marker is on the wire");
    }
    Ok(())
}

fn killed(site: &mut Site) -> Result<()> {
    site.expect_errors();
    site.apply(&site.carried())?;
    for node in ["n1", "n2"] {
        let mut pair = site.pair(FROM, TO, false)?;
        pair.speaks()?;
        let wire = [site.capture("n1")?, site.capture("n2")?];
        site.lab_mut().take_agent(node)?.kill()?;
        is_over(&mut pair).with_context(|| format!("the agent of {node} is dead"))?;
        let arrived = hammer(site, Instant::now() + Duration::from_secs(1))?;
        ensure!(arrived == 0, "the agent of {node} is dead, and {arrived} markers arrived");
        for capture in wire {
            let captured = capture.stop()?;
            ensure!(!captured.shows(MARKER), "the agent of {node} is dead, and a marker is on the wire");
        }
        site.start(node)?;
        carried_again(site).with_context(|| format!("the agent of {node} is back"))?;
    }
    Ok(())
}
