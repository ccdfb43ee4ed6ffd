//! What the kernel tells under load: nothing is lost without a count, and nobody is blinded by another.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use enforcer_lab::evidence::Counters;
use enforcer_lab::wait;
use enforcer_tests::runner::Case;
use serde_json::Value;

use crate::site::{INTRUDER, LIMIT, OWNER, Site};

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "kernel::a_flood_is_accounted_for_to_the_last_packet", reasons: &[], run: flood },
    Case { name: "kernel::a_tenants_flood_takes_no_record_of_another", reasons: &[], run: blinded },
];

const DATAGRAMS: &str = "60000";
/// No other case tries this port.
const MARK: u16 = 7;
const REASON: &str = "cross_tenant_no_rule";

/// Refusals of a tenant, as the exact counters have them.
fn counted(site: &Site, tenant: &str) -> Result<u64> {
    Ok(Counters::read(&site.ctl()?)?.sum(|key| key.source == tenant && key.reason == REASON && !key.audited))
}

/// What status says was lost on a tenant's behalf.
fn lost(site: &Site, tenant: &str) -> Result<u64> {
    let status = site.ctl()?.json(&["status"])?;
    let losses = status["losses"].as_array().cloned().unwrap_or_default();
    let is_of = |loss: &&Value| loss["source"] == tenant;
    Ok(losses.iter().filter(is_of).filter_map(|loss| loss["count"].as_u64()).sum())
}

/// Refusals of a tenant that are stored.
fn stored(site: &Site, tenant: &str) -> Result<u64> {
    let filter = ["trace", "query", "--tenant", tenant, "--reason", REASON];
    // A loss is told whatever is asked for.
    let of = |record: &&Value| record["type"] != "loss" && record["source"]["identity"] == tenant;
    Ok(u64::try_from(site.ctl()?.json_lines(&filter)?.iter().filter(of).count())?)
}

/// Everything that was refused so far is stored: one more refusal, which can be told from all others, is behind it.
fn settle(site: &Site) -> Result<()> {
    let to = SocketAddr::new(site.address(OWNER)?.ip(), MARK);
    site.lab().probe(INTRUDER)?.run(&["tcp", &to.to_string(), "--timeout-ms", "100"])?;
    site.stored(&["--tenant", "t2", "--port", &MARK.to_string()], 1).map(drop)
}

fn flood(site: &mut Site) -> Result<()> {
    settle(site)?;
    let before = (counted(site, "t2")?, lost(site, "t2")?, stored(site, "t2")?);
    let to: SocketAddr = site.address(OWNER)?;
    // Past the socket hooks, which would refuse before a packet is made.
    let sent =
        site.lab().probe(INTRUDER)?.flood(&to.to_string(), &["--count", DATAGRAMS, "--limit-ms", "5000"]);
    let _refused_at_once = sent;
    let mut last = (0, 0, 0);
    wait::until_true("produced = stored + counted as lost", LIMIT, || {
        last = (
            counted(site, "t2")? - before.0,
            lost(site, "t2")? - before.1,
            stored(site, "t2")?.saturating_sub(before.2),
        );
        Ok(last.0 > 0 && last.0 == last.1 + last.2)
    })
    .map_err(|error| error.context(format!("counted, lost, stored: {last:?}")))?;
    ensure!(last.1 > 0, "nothing was lost, so nothing was tried: {last:?}");
    Ok(())
}

fn blinded(site: &mut Site) -> Result<()> {
    let to: SocketAddr = site.address(OWNER)?;
    let prober = site.lab().probe(INTRUDER)?;
    let noise = std::thread::spawn(move || prober.flood(&to.to_string(), &["--limit-ms", "3000"]));
    let before = (counted(site, "t3")?, stored(site, "t3")?);
    for _ in 0..5 {
        site.dial("n1-t3-p1", OWNER)?;
    }
    let _noise = noise.join();
    wait::until_true("every refusal of t3 is stored", LIMIT, || {
        let (counted, stored) = (counted(site, "t3")? - before.0, stored(site, "t3")? - before.1);
        Ok(counted >= 5 && stored == counted)
    })?;
    ensure!(lost(site, "t3")? == 0, "records of t3 were lost in the noise of t2");
    Ok(())
}
