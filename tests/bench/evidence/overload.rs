//! More events than one core can take: how many are stored, what becomes of the others, and whether the account is exact.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use enforcer_lab::ctl::Ctl;
use enforcer_lab::evidence::Counters;
use enforcer_lab::wait;
use serde_json::Value;

use super::field::{Field, RECORDING, cpu_seconds, number, resident_mib};
use crate::figure::{Figure, Goal};
use crate::suite::Effort;

const TENANT: &str = "t2";
const LIMIT: Duration = Duration::from_secs(120);

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let millis = match effort {
        Effort::Full => "8000",
        Effort::Quick => "500",
    };
    let field = Field::up()?;
    let (ctl, agent) = (field.ctl(RECORDING)?, field.agent(RECORDING)?);
    let idle = resident_mib(agent)?;
    field.hold_to_one_core(RECORDING)?;
    let (prober, to) = field.refused()?;
    let (before, cpu, start) = (Account::of(&ctl)?, cpu_seconds(agent)?, Instant::now());
    let _refused_at_once = prober.flood(&to.to_string(), &["--limit-ms", millis]);
    let flooded = start.elapsed().as_secs_f64();
    let mut last = Account::default();
    let mut stored = 0.0;
    let settled = wait::until_true("every event is stored or counted as lost", LIMIT, || {
        last = Account::of(&ctl)?.since(&before);
        stored = start.elapsed().as_secs_f64();
        Ok(last.produced > 0.0 && last.difference() == 0.0)
    });
    let cpu = cpu_seconds(agent)? - cpu;
    let loaded = resident_mib(agent)?;
    // What does not add up is a figure like any other.
    if let Err(error) = settled {
        eprintln!("evidence: {error:#}");
    }
    ctl.run(&["trace", "seal"], "")?;
    let status = ctl.json(&["trace", "status"])?;
    let at_rest = of_tenant(&status);
    Ok(vec![
        Figure::once("overload/produced", "events/s", last.produced / flooded)
            .note("refusals a second that the kernel made and counted, by one core that does nothing else"),
        Figure::once("overload/stored", "events/s", last.stored / stored)
            .note("decoded, named, joined, sealed into the log and synced, until the last was on disk; the agent on one core"),
        Figure::once("overload/per-core-second", "events", last.stored / cpu.max(0.01))
            .goal(Goal::AtLeast(500_000.0))
            .note("the same over the agent's own processor time"),
        Figure::once("overload/lost", "%", 100.0 * last.lost / last.produced.max(1.0))
            .note("refused by a full ring, and counted there"),
        Figure::once("overload/unaccounted", "events", last.difference().abs())
            .goal(Goal::AtMost(0.0))
            .note("produced - stored - counted as lost"),
        Figure::once("at-rest/bytes", "B/event", number(&at_rest["bytes"]) / number(&at_rest["records"]).max(1.0))
            .goal(Goal::AtMost(10.0))
            .note("sealed, encrypted files of the tenant that was refused; its half of each record"),
        Figure::once("memory/idle", "MiB", idle).note("the agent, resident, before"),
        Figure::once("memory/loaded", "MiB", loaded).note("and right after the flood"),
    ])
}

fn of_tenant(status: &Value) -> Value {
    let tenants = status["tenants"].as_array().cloned().unwrap_or_default();
    tenants.into_iter().find(|one| one["tenant"] == TENANT).unwrap_or_default()
}

/// What was produced, and what became of it.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    produced: f64,
    stored: f64,
    lost: f64,
}

impl Account {
    fn of(ctl: &Ctl) -> Result<Self> {
        let counters = Counters::read(ctl)?;
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 events")]
        let produced =
            counters.sum(|key| key.source == TENANT && key.reason == "cross_tenant_no_rule") as f64;
        let status = ctl.json(&["status"])?;
        let losses = status["losses"].as_array().context("no losses")?;
        let lost =
            losses.iter().filter(|loss| loss["source"] == TENANT).map(|loss| number(&loss["count"])).sum();
        let summary =
            ctl.json(&["trace", "summary", "talks", "--tenant", TENANT, "--reason", "cross_tenant_no_rule"])?;
        let talks = summary["talks"].as_array().context("no talks")?;
        let stored = talks.iter().map(|talk| number(&talk["refused"])).sum();
        Ok(Self { produced, stored, lost })
    }

    fn since(self, before: &Self) -> Self {
        Self {
            produced: self.produced - before.produced,
            stored: self.stored - before.stored,
            lost: self.lost - before.lost,
        }
    }

    fn difference(&self) -> f64 {
        self.produced - self.stored - self.lost
    }
}
