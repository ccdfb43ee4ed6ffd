//! A node full of workloads through one rotation.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use enforcer_lab::process::ProcessId;
use enforcer_proto::v1;
use nix::unistd::{SysconfVar, sysconf};
use serde_json::json;

use super::wall::{Wall, memory, ticks};
use crate::figure::Figure;
use crate::sample::Sample;
use crate::suite::Effort;

/// Over which the largest use of the processor is looked for.
const WINDOW: Duration = Duration::from_secs(1);
/// After the last is due.
const GRACE: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let (workloads, lifetime) = match effort {
        Effort::Full => (10_000, Duration::from_secs(240)),
        Effort::Quick => (100, Duration::from_secs(30)),
    };
    let words = json!({ "lifetimes": { "svid": format!("{}s", lifetime.as_secs()) } });
    let wall = Wall::with(workloads, &words)?;
    let agent = wall.agent()?;
    let (idle, _) = memory(agent)?;
    let natural = through(&wall, lifetime)?;
    let burst = at_once(&wall)?;
    let (_, most) = memory(agent)?;
    let mebibytes = |bytes: f64| bytes / f64::from(1 << 20);
    Ok(vec![
        Figure::of("rotation/delay/median", "s", &natural.delays),
        Figure::of("rotation/delay/largest", "s", &natural.delays).percentile(&natural.delays, 100.0).note(format!(
            "{workloads} workloads, lifetime {} s: from when each was due until its successor was issued; in \
                 whole seconds, as certificates are",
            lifetime.as_secs()
        )),
        Figure::once("rotation/processor", "cores", natural.processor).note(
            "the busiest second of the agent; the limit is what issuing costs a core, see issue/svids",
        ),
        Figure::once("rotation/memory", "MiB", mebibytes(most))
            .over(most / idle, "before it")
            .note("resident at its largest, from the start to the end"),
        Figure::once("rotation/burst", "s", burst)
            .note("everybody at once, by hand: until the last one has its successor"),
    ])
}

struct Natural {
    delays: Sample,
    processor: f64,
}

/// Waits for everybody's half life.
fn through(wall: &Wall, lifetime: Duration) -> Result<Natural> {
    let agent = wall.agent()?;
    let before = by_name(wall.list()?);
    let due = before.values().filter_map(|one| one.renew_at).filter_map(seconds).fold(0.0, f64::max);
    let wait = Duration::try_from_secs_f64(due - now()).unwrap_or_default() + GRACE;
    let over = AtomicBool::new(false);
    let processor = std::thread::scope(|scope| {
        let busiest = scope.spawn(|| busiest(agent, &over));
        std::thread::sleep(wait);
        over.store(true, Ordering::Relaxed);
        busiest.join().map_err(|_| anyhow::anyhow!("the sampler panicked"))?
    })?;
    let after = by_name(wall.list()?);
    let mut delays = Vec::with_capacity(after.len());
    for (name, old) in &before {
        let new = after.get(name).with_context(|| format!("{name} is gone"))?;
        ensure!(new.serial != old.serial, "{name} was due and has no successor");
        let ended = new.not_after.and_then(seconds).context("no end")?;
        let due = old.renew_at.and_then(seconds).context("not due")?;
        delays.push((ended - lifetime.as_secs_f64() - due).max(0.0));
    }
    Ok(Natural { delays: Sample::from(delays), processor })
}

/// Largest part of a core that a process used for a second.
fn busiest(process: ProcessId, over: &AtomicBool) -> Result<f64> {
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("no clock ticks")?;
    let mut most = 0.0_f64;
    while !over.load(Ordering::Relaxed) {
        let (start, before) = (Instant::now(), ticks(process)?);
        std::thread::sleep(WINDOW);
        let used = ticks(process)?.saturating_sub(before);
        #[expect(clippy::cast_precision_loss, reason = "ticks of a second")]
        let cores = used as f64 / per_second as f64 / start.elapsed().as_secs_f64();
        most = most.max(cores);
    }
    Ok(most)
}

/// Seconds until everybody has another certificate.
fn at_once(wall: &Wall) -> Result<f64> {
    let before = by_name(wall.list()?);
    let start = Instant::now();
    wall.rotate()?;
    loop {
        let after = by_name(wall.list()?);
        let has_new = |(name, old): (&String, &v1::Identity)| {
            after.get(name).is_some_and(|new| new.serial != old.serial)
        };
        if before.iter().all(has_new) {
            return Ok(start.elapsed().as_secs_f64());
        }
        ensure!(start.elapsed() < PATIENCE, "not everybody has a successor");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn by_name(identities: Vec<v1::Identity>) -> BTreeMap<String, v1::Identity> {
    identities.into_iter().map(|one| (one.workload.clone(), one)).collect()
}

fn seconds(time: prost_types::Timestamp) -> Option<f64> {
    let nanos = u32::try_from(time.nanos).ok()?;
    Some(Duration::new(u64::try_from(time.seconds).ok()?, nanos).as_secs_f64())
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
