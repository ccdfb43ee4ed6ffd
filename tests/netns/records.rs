//! What is recorded, and what is said to be lost: together always everything.

use std::time::Duration;

use anyhow::{Result, ensure};
use enforcer_lab::evidence::{CounterKey, losses};
use enforcer_lab::mark::Mark;
use enforcer_lab::wait;
use enforcer_tests::net::Net;
use enforcer_tests::runner::Case;
use nix::sys::signal::Signal;

pub(crate) const CASES: &[Case<Net>] = &[
    Case { name: "records::a_flood_is_counted_and_its_losses_are_exact", reasons: NO_RULE, run: rate },
    Case { name: "records::a_full_ring_loses_exactly_what_it_says", reasons: NO_RULE, run: ring_full },
];

const NO_RULE: &[&str] = &["cross_tenant_no_rule"];
const LIMIT: Duration = Duration::from_secs(30);
/// At 2,000 events a second and tenant, with as many at once, three tenants fill 14,563 places in 1.5 s.
const FLOOD_MS: &str = "3000";

fn is_flood(key: &CounterKey) -> bool {
    key.reason == "cross_tenant_no_rule" && key.hook == "from_workload"
}

/// More refusals at once than a tenant may have recorded.
fn rate(net: &mut Net) -> Result<()> {
    const DATAGRAMS: u64 = 30_000;
    let ledger = Ledger::open(net)?;
    let to = std::net::SocketAddr::new(net.address("n1-t2-p1", false)?, 8080).to_string();
    let sent = net.outsider("n1-t1-p1")?.flood(&to, &["--count", &DATAGRAMS.to_string()])?;
    ledger.balances(net, sent, &["event_rate"])
}

/// Every tenant floods while nobody reads the ring, for long enough to be granted more than it holds.
fn ring_full(net: &mut Net) -> Result<()> {
    let ledger = Ledger::open(net)?;
    let agent = net.lab().agent_process("n1")?;
    let floods = [("n1-t1-p1", "n1-t2-p1"), ("n1-t2-p1", "n1-t3-p1"), ("n1-t3-p1", "n1-t1-p1")];
    agent.signal(Signal::SIGSTOP)?;
    let sent = std::thread::scope(|scope| -> Result<u64> {
        let start = |(from, to): (&str, &str)| -> Result<_> {
            let to = std::net::SocketAddr::new(net.address(to, false)?, 8080).to_string();
            let probe = net.outsider(from)?;
            Ok(scope.spawn(move || probe.flood(&to, &["--limit-ms", FLOOD_MS])))
        };
        let threads = floods.into_iter().map(start).collect::<Result<Vec<_>>>()?;
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<u64>>| {
            thread.join().unwrap_or_else(|_| anyhow::bail!("a flood panicked"))
        };
        threads.into_iter().map(join).sum()
    });
    agent.signal(Signal::SIGCONT)?;
    ledger.balances(net, sent?, &["event_rate", "event_full"])
}

/// What stood in the books before.
struct Ledger {
    evidence: Mark,
    lost: std::collections::BTreeMap<String, u64>,
}

impl Ledger {
    fn open(net: &Net) -> Result<Self> {
        Ok(Self { evidence: net.evidence("n1")?, lost: losses(&net.ctl("n1")?)? })
    }

    /// Every refusal was counted, and each was recorded or is among the losses, of which some have each cause.
    fn balances(&self, net: &Net, refused: u64, causes: &[&str]) -> Result<()> {
        let counted = self.evidence.counted()?.sum(is_flood);
        ensure!(counted == refused, "{refused} were refused, {counted} were counted");
        let mut said = String::new();
        wait::until_true("records and losses add up", LIMIT, || {
            let records = self.evidence.records()?;
            let recorded = records.iter().filter(|record| record["reason"] == "cross_tenant_no_rule").count();
            let lost = losses(&net.ctl("n1")?)?;
            let lost = |cause: &str| {
                lost.get(cause).copied().unwrap_or_default()
                    - self.lost.get(cause).copied().unwrap_or_default()
            };
            let total = u64::try_from(recorded)? + lost("event_rate") + lost("event_full");
            said = format!(
                "{recorded} records, {} over the rate, {} in a full ring",
                lost("event_rate"),
                lost("event_full")
            );
            Ok(total == refused && causes.iter().all(|cause| lost(cause) > 0))
        })
        .map_err(|error| error.context(format!("of {refused} refusals: {said}")))
    }
}
