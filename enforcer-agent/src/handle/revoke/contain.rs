//! Freezing and killing: the control groups that hold or ever held a device, as far as they are a tenant's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::device::holding::{HandleSweep, Vacancy};
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::policy::compile::node::is_local;
use tokio::time::{Instant, sleep};

use super::ladder::Outcome;
use super::wish::Wish;
use crate::door::policy::InForce;
use crate::group::{Group, Groups};
use crate::handle::desk::{Desk, blocking};
use crate::handle::vacancy::{self, Whose};

/// Looks after which the holders have to stand still: a file may go to another group between a look and a freeze.
const LOOKS: usize = 4;
/// How often it is looked whether a device is free.
const POLL: Duration = Duration::from_millis(50);
/// How long a group that was killed may take to be thawed, so that it can be used again.
const THAW: Duration = Duration::from_secs(1);
/// Groups and processes that a sentence names.
const NAMED: usize = 8;

/// Stops everybody who has a device.
pub(super) async fn freeze(desk: &Arc<Desk>, wish: &Wish, until: Instant) -> Outcome {
    let mut frozen: BTreeSet<Group> = BTreeSet::new();
    for _ in 0..LOOKS {
        let holders = match holders(desk, wish).await {
            Ok(holders) => holders,
            Err(why) => return Outcome::Failed(why),
        };
        let news: BTreeSet<Group> = holders.groups.difference(&frozen).cloned().collect();
        if news.is_empty() {
            return frozen_words(&frozen, &holders);
        }
        if let Err(why) = each(news.clone(), until, |group, within| group.freeze(within)).await {
            return Outcome::Failed(why);
        }
        frozen.extend(news);
    }
    Outcome::Failed(format!("after {LOOKS} looks the device still went from group to group"))
}

fn frozen_words(frozen: &BTreeSet<Group>, holders: &Holders) -> Outcome {
    if let Some(why) = holders.unseen() {
        return Outcome::Failed(why);
    }
    match frozen.len() {
        0 => Outcome::Ok("nobody holds it, and no group that ever did is left".to_owned()),
        _ => Outcome::Ok(format!("stand still until cgroup.freeze is 0 again: {}", paths(frozen))),
    }
}

/// Ends everybody who has a device, and waits for the proof that nobody has it.
pub(super) async fn kill(desk: &Arc<Desk>, wish: &Wish, until: Instant) -> Outcome {
    let mut killed: BTreeSet<Group> = BTreeSet::new();
    let mut last = "it was not looked at".to_owned();
    while Instant::now() < until {
        match round(desk, wish, until, &mut killed).await {
            Ok(None) => {
                thaw(killed.clone()).await;
                let groups = if killed.is_empty() { "nobody".to_owned() } else { paths(&killed) };
                return Outcome::Ok(format!("proven free; ended: {groups}"));
            }
            Ok(Some(why)) | Err(why) => last = why,
        }
        // So that the last word says who is left, and not only that time is over.
        if until.saturating_duration_since(Instant::now()) <= POLL * 2 {
            break;
        }
        sleep(POLL).await;
    }
    thaw(killed).await;
    Outcome::Failed(last)
}

/// `None`: nobody is left.
async fn round(
    desk: &Arc<Desk>,
    wish: &Wish,
    until: Instant,
    killed: &mut BTreeSet<Group>,
) -> Result<Option<String>, String> {
    let holders = holders(desk, wish).await?;
    killed.extend(holders.groups.iter().cloned());
    each(holders.groups.clone(), until, |group, within| group.kill(within)).await?;
    for device in &wish.devices {
        let vacancy = vacancy::look(desk, *device, wish.whose).await?;
        if !vacancy.is_proven() {
            return Ok(Some(occupied(&vacancy)));
        }
    }
    Ok(None)
}

fn occupied(vacancy: &Vacancy) -> String {
    let Vacancy { populated, holders, files, driver, lacking } = vacancy;
    let mut why = Vec::new();
    if !holders.is_empty() {
        why.push(format!("held by {}", numbers("process", holders)));
    }
    if !populated.is_empty() {
        why.push(format!("{} control groups that had it have processes", populated.len()));
    }
    if files.is_some_and(|files| files > 0) {
        why.push(format!("{} open files are referred to", files.unwrap_or_default()));
    }
    if let Some(listed) = driver.as_ref().filter(|listed| !listed.is_empty()) {
        why.push(format!("the driver lists {}", numbers("process", listed)));
    }
    why.extend(lacking.iter().map(|lacking| format!("not looked at: {lacking}")));
    why.join("; ")
}

/// Who has, or had, one of the devices.
struct Holders {
    /// A tenant's groups.
    groups: BTreeSet<Group>,
    /// Processes that hold one and are in none of them: they are left alone.
    strangers: BTreeSet<u32>,
    lacking: Option<String>,
}

impl Holders {
    fn unseen(&self) -> Option<String> {
        let strangers = (!self.strangers.is_empty()).then(|| {
            let list: Vec<u32> = self.strangers.iter().copied().collect();
            format!("{} belong to no workload in question, and were not touched", numbers("process", &list))
        });
        let lacking = self.lacking.as_ref().map(|why| format!("not everybody was seen: {why}"));
        let all: Vec<String> = strangers.into_iter().chain(lacking).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

async fn holders(desk: &Arc<Desk>, wish: &Wish) -> Result<Holders, String> {
    let sweep = desk.sweep().await?;
    let allowed = allowed(&desk.parts.policy.in_force(), wish.whose);
    let (groups, devices, whose) = (desk.groups.clone(), wish.devices.clone(), wish.whose);
    blocking(move || sort(&groups, &sweep, &devices, whose, &allowed)).await
}

/// The groups of workloads: below these, and nowhere else, something may be frozen or killed.
fn allowed(in_force: &InForce, whose: Whose) -> BTreeSet<u64> {
    let policy = &in_force.current.policy;
    let is_in_question = |tenant: &str| match whose {
        Whose::Anybody => true,
        Whose::Tenant(number) => policy.tenants.get(tenant).is_some_and(|tenant| tenant.id == number),
    };
    let places = in_force.facts.attachments.iter();
    let theirs = places.filter(|(name, _)| {
        let workload = policy.workloads.get(*name);
        workload
            .is_some_and(|workload| is_local(&in_force.facts, workload) && is_in_question(&workload.tenant))
    });
    theirs.filter_map(|(_, place)| place.cgroup).collect()
}

fn sort(
    groups: &Groups,
    sweep: &HandleSweep,
    devices: &BTreeSet<DeviceNumber>,
    whose: Whose,
    allowed: &BTreeSet<u64>,
) -> Result<Holders, String> {
    let holdings =
        sweep.holdings.iter().filter(|one| devices.contains(&one.device) && whose.counts(one.identity));
    let touched =
        sweep.touched.iter().filter(|one| devices.contains(&one.device) && whose.counts(one.identity));
    let mut processes: BTreeMap<u64, BTreeSet<u32>> =
        touched.map(|touched| (touched.cgroup, BTreeSet::new())).collect();
    for holding in holdings {
        processes.entry(holding.cgroup).or_default().insert(holding.process);
    }
    let ids: BTreeSet<u64> = processes.keys().copied().collect();
    let mut claimed = BTreeSet::new();
    for found in groups.find(&ids).map_err(|error| error.to_string())? {
        if let Ok(group) = found.claim(allowed) {
            claimed.insert(group);
            processes.remove(&found.id);
        }
    }
    let strangers = processes.into_values().flatten().collect();
    Ok(Holders { groups: claimed, strangers, lacking: sweep.lacking.clone() })
}

/// All at once, so that none of them sees another stop.
async fn each(
    groups: BTreeSet<Group>,
    until: Instant,
    verb: fn(&Group, Duration) -> Result<(), crate::group::GroupError>,
) -> Result<(), String> {
    // A little before the deadline, so that the group that is late is named, and not only that it is late.
    let within = until.saturating_duration_since(Instant::now()).saturating_sub(POLL);
    let mut tasks = tokio::task::JoinSet::new();
    for group in groups {
        tasks.spawn(blocking(move || verb(&group, within).map_err(|error| error.to_string())));
    }
    let mut failed = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        if let Err(why) = ended.unwrap_or_else(|error| Err(error.to_string())) {
            failed.push(why);
        }
    }
    failed.sort_unstable();
    failed.truncate(NAMED);
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

/// A group that stays frozen would stop whoever is put into it next.
async fn thaw(groups: BTreeSet<Group>) {
    let _gone_or_late = each(groups, Instant::now() + THAW, |group, within| group.thaw(within)).await;
}

fn paths(groups: &BTreeSet<Group>) -> String {
    let named: Vec<String> =
        groups.iter().take(NAMED).map(|group| group.path().display().to_string()).collect();
    let more = groups.len().saturating_sub(named.len());
    if more > 0 { format!("{}, and {more} more", named.join(", ")) } else { named.join(", ") }
}

fn numbers(word: &str, all: &[u32]) -> String {
    let named: Vec<String> = all.iter().take(NAMED).map(ToString::to_string).collect();
    let more = all.len().saturating_sub(named.len());
    if more > 0 {
        format!("{word} {}, and {more} more", named.join(", "))
    } else {
        format!("{word} {}", named.join(", "))
    }
}
