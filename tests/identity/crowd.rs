//! One tenant holds as many streams as it is let, and another does not notice.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use enforcer_lab::cgroup;
use enforcer_lab::config::Config;
use enforcer_lab::enter::Place;
use enforcer_lab::policy::Kind;
use enforcer_lab::wait;
use enforcer_tests::runner::Case;
use serde_json::{Value, json};

use crate::client::Said;
use crate::heard::{Client, Heard};
use crate::site::{LIMIT, Site};

pub(crate) const CASES: &[Case<Site>] = &[
    Case {
        name: "crowd::ten_thousand_idle_streams_of_one_tenant_leave_another_alone",
        reasons: &[],
        run: idle,
    },
    Case { name: "crowd::a_tenant_that_has_all_its_streams_is_refused_another", reasons: &[], run: limited },
];

/// More than one workload may hold, so that a whole tenant takes part: some workloads, each with fewer streams
/// than the agent's fixed bound.
const WORKLOADS: usize = 50;
const STREAMS: usize = 200;
/// Opening them is no measurement; it takes longer than any other thing here.
const PATIENCE: Duration = Duration::from_secs(120);

/// A workload of t1 beside those of the lab: a control group on the node's network.
fn extra(site: &Site, number: usize) -> Result<(String, Place, Value)> {
    let (node, name) = (site.node("n1")?, format!("crowd-{number}"));
    let group = format!("{}/{name}", node.cgroup);
    cgroup::make(&group)?;
    let spec = json!({
        "tenant": "t1", "node": "n1", "cgroup": format!("/{name}"), "hostNetwork": true,
        "serviceAccount": name,
    });
    Ok((name, Place { netns: node.netns.clone(), cgroup: Some(group) }, spec))
}

fn idle(site: &mut Site) -> Result<()> {
    let (mut policy, mut places) = (site.policy(), Vec::new());
    for number in 0..WORKLOADS {
        let (name, place, spec) = extra(site, number)?;
        policy.put(Kind::Workload, &name, spec);
        places.push(place);
    }
    site.apply(&policy)?;
    site.settle("n1")?;
    let socket = site.socket("n1")?;
    let streams = STREAMS.to_string();
    let start = |place: &Place| Client::new(place.clone(), &socket).start(&["crowd", &streams]);
    let crowd = places.iter().map(start).collect::<Result<Vec<Heard>>>()?;
    wait::until_true("ten thousand streams are open", PATIENCE, || {
        Ok(crowd.iter().all(|one| !one.lines().is_empty() || one.has_ended()))
    })?;
    for one in &crowd {
        let said = one.hears("how many", |_| true)?;
        ensure!(said == Said::Ready { count: STREAMS }, "{said:?}");
    }
    let open = |site: &Site| -> Result<u64> {
        let list = site.list("n1")?;
        let all = list["identities"].as_array().context("no identities")?;
        Ok(all.iter().filter_map(|one| one["streams"].as_u64()).sum())
    };
    ensure!(usize::try_from(open(site)?)? >= WORKLOADS * STREAMS, "{} streams are counted", open(site)?);
    for name in ["n1-t2-p1", "n1-t3-p1", "n1-t1-p2"] {
        site.client(name)?.identity().with_context(|| format!("{name}, beside the crowd"))?;
    }
    crowd.into_iter().try_for_each(Heard::kill)?;
    wait::until_true("every stream of the crowd is closed", LIMIT, || Ok(open(site)? == 0))
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
