//! One tenant holds as many streams as it is let, and another does not notice.

use anyhow::{Context as _, Result, bail, ensure};
use enforcer_lab::config::Config;
use enforcer_lab::wait;
use enforcer_tests::runner::Case;
use serde_json::json;

use crate::client::Said;
use crate::site::{LIMIT, Site};

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "crowd::ten_thousand_idle_streams_of_one_tenant_leave_another_alone", reasons: &[], run: idle },
    Case { name: "crowd::a_tenant_that_has_all_its_streams_is_refused_another", reasons: &[], run: limited },
];

const MANY: usize = 10_000;
/// Opening them is no measurement; it takes longer than any other thing here.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(180);

fn idle(site: &mut Site) -> Result<()> {
    // A thousand requests a second are a tenant's by default: this one is to open many streams, not fast.
    let words = json!({ "limits": { "requestsPerSecond": 100_000 } });
    site.again("n1", &Config::default().with_identity(&words))?;
    let crowd = site.client("n1-t1-p1")?.start(&["crowd", &MANY.to_string()])?;
    wait::until_true("ten thousand streams are open", PATIENCE, || Ok(!crowd.lines().is_empty() || crowd.has_ended()))?;
    let said = crowd.hears("how many", |_| true)?;
    ensure!(said == Said::Ready { count: MANY }, "{said:?}");
    let streams = site.identity("n1-t1-p1")?["streams"].as_u64().context("no count")?;
    ensure!(usize::try_from(streams)? >= MANY, "{streams} streams are counted");
    for name in ["n1-t2-p1", "n1-t3-p1", "n1-t1-p2"] {
        site.client(name)?.identity().with_context(|| format!("{name}, beside the crowd"))?;
    }
    crowd.kill()?;
    wait::until_true("every stream of the crowd is closed", LIMIT, || {
        Ok(site.identity("n1-t1-p1")?["streams"] == 0)
    })
}

fn limited(site: &mut Site) -> Result<()> {
    const MOST: usize = 50;
    let words = json!({ "limits": { "streamsPerTenant": MOST } });
    site.again("n1", &Config::default().with_identity(&words))?;
    let crowd = site.client("n1-t1-p1")?.start(&["crowd", "60"])?;
    let said = crowd.hears("it is refused", |said| matches!(said, Said::Refused { .. }))?;
    let Said::Refused { code, message } = &said else { bail!("{said:?}") };
    ensure!(code == "Unavailable" || code == "ResourceExhausted", "E-5: {code}: {message}");
    crowd.hears("the others are held", |said| *said == Said::Ready { count: MOST })?;
    // The limit is the tenant's, not the workload's.
    let said = site.client("n1-t1-p2")?.ask(&["watch"])?;
    ensure!(matches!(said, Said::Refused { .. }), "t1 has another stream: {said:?}");
    site.client("n1-t2-p1")?.identity()?;
    crowd.kill()?;
    let client = site.client("n1-t1-p2")?;
    wait::until_true("t1 is served again", LIMIT, || Ok(matches!(client.ask(&["fetch"])?, Said::Svid { .. })))
}
