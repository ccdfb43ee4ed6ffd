//! Who a caller is, is what the kernel says now: of children, of processes that move, of connections that change
//! hands, of callers that are no more.

use anyhow::{Result, bail, ensure};
use enforcer_lab::cgroup;
use enforcer_lab::wait;
use enforcer_tests::runner::Case;

use crate::client::Said;
use crate::openssl::text;
use crate::site::{LIMIT, Site, id_of};

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "attestation::a_forked_child_is_its_workload", reasons: &[], run: forked },
    Case { name: "attestation::a_nested_group_is_its_workload", reasons: &[], run: nested },
    Case {
        name: "attestation::a_process_that_moves_is_given_nothing_more_of_its_old_workload",
        reasons: &[],
        run: moved,
    },
    Case {
        name: "attestation::a_connection_that_is_handed_over_stays_its_makers",
        reasons: &[],
        run: handed_over,
    },
    Case { name: "attestation::a_connection_of_a_dead_process_is_nobodys", reasons: &[], run: orphaned },
    Case { name: "attestation::a_caller_that_is_killed_leaves_nothing_open", reasons: &[], run: killed },
];

fn forked(site: &mut Site) -> Result<()> {
    let client = site.client("n1-t1-p1")?;
    let program = text(&std::env::current_exe()?)?;
    let mut shell = client.command("sh")?;
    // Two processes further down, and one that its parent has left.
    shell.args(["-c", &format!("(sh -c '{program} client fetch & wait')")]);
    let said = crate::outside::run(&mut shell, "")?;
    ensure!(said.contains(&id_of(site.workload("n1-t1-p1")?)), "{said}");
    Ok(())
}

fn nested(site: &mut Site) -> Result<()> {
    for (name, tenant) in [("n1-t1-p1", "t1"), ("n1-t2-p1", "t2")] {
        cgroup::make(&format!("{}/kubelet/inner", site.workload(name)?.cgroup))?;
        let (id, _) = site.client(name)?.below("kubelet/inner").identity()?;
        ensure!(id == id_of(site.workload(name)?), "{tenant}: {id}");
    }
    Ok(())
}

fn moved(site: &mut Site) -> Result<()> {
    let (from, to) = (site.workload("n1-t1-p1")?, site.workload("n1-t2-p1")?);
    let (old, new, group) = (id_of(from), id_of(to), cgroup::dir(&to.cgroup)?);
    let mut wanderer = site.client("n1-t1-p1")?.start(&["move", &text(&group)?])?;
    let said = wanderer.svid_other_than(&[])?;
    ensure!(matches!(&said, Said::Svid { id, .. } if *id == old), "before: {said:?}");
    wanderer.tell("go")?;
    wanderer.hears("it has asked again", |said| matches!(said, Said::Ready { .. }))?;
    let said = wanderer.said()?;
    let asked = said.get(1..3).unwrap_or_default();
    let is_new =
        |said: &Said| matches!(said, Said::Svid { id, .. } if *id == new) || crate::heard::is_denial(said);
    ensure!(asked.len() == 2 && asked.iter().all(is_new), "in t2's group it is given {asked:?}");
    // Its stream of before must not bring it what t1 is given from now on.
    site.ctl("n1")?.run(&["identity", "rotate", "n1-t1-p1"], "")?;
    wanderer.hears("its old stream ends", |said| matches!(said, Said::Refused { .. }))?;
    let leaked =
        wanderer.said()?.into_iter().skip(1).find(|said| matches!(said, Said::Svid { id, .. } if *id == old));
    ensure!(leaked.is_none(), "after it moved it was given {leaked:?}");
    Ok(())
}

fn handed_over(site: &mut Site) -> Result<()> {
    let (from, to) = (site.workload("n1-t1-p1")?, site.workload("n1-t2-p1")?);
    let group = text(&cgroup::dir(&to.cgroup)?)?;
    let said = site.client("n1-t1-p1")?.ask(&["hand-over", &group])?;
    let Said::Svid { id, .. } = &said else { bail!("{said:?}") };
    ensure!(*id == id_of(from), "a connection of t1's, in t2's hands, is {id}");
    // From outside of all workloads nothing can be handed in.
    let said = site.client("n1")?.ask(&["hand-over", &group])?;
    ensure!(crate::heard::is_denial(&said), "a connection of nobody's, in t2's hands: {said:?}");
    Ok(())
}

fn orphaned(site: &mut Site) -> Result<()> {
    for to in ["n1-t1-p2", "n1-t2-p1"] {
        let group = text(&cgroup::dir(&site.workload(to)?.cgroup)?)?;
        let said = site.client("n1-t1-p1")?.ask(&["hand-over", &group, "--orphan"])?;
        ensure!(matches!(said, Said::Refused { .. }), "its maker is dead, and {to} is given {said:?}");
    }
    Ok(())
}

fn killed(site: &mut Site) -> Result<()> {
    let client = site.client("n1-t1-p1")?;
    for round in 0..20 {
        let watch = client.start(&["watch"])?;
        // Some are killed before they have asked, some while they ask, some while they are served.
        if round % 3 == 0 {
            watch.svid_other_than(&[])?;
        }
        watch.kill()?;
    }
    wait::until_true("no stream of a dead process is open", LIMIT, || {
        Ok(site.identity("n1-t1-p1")?["streams"] == 0)
    })?;
    client.identity().map(drop)
}
