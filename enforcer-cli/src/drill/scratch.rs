//! The second part: a wall of its own beside the live one, disturbed in every way while canaries attack it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use enforcer_proto::v1;
use serde_json::Value;
use tokio::time::sleep;

use super::agent::{self, Agent};
use super::canary::{Attack, Job, Side};
use super::names::SCRATCH;
use super::place::{self, Place};
use super::policy::Tag;
use super::report::{Row, State};
use super::tally::Tally;
use super::trouble::Trouble;
use super::{disturb, policy};

/// How a wall is made that does not hold: for the test that a drill notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Weak {
    /// The device gate only looks on.
    Device,
    /// The network wall only looks on.
    Network,
}

/// What is to be drilled.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The agent's program.
    pub(crate) agent: PathBuf,
    /// Where the scratch wall's groups are made; the cgroup2 mount without.
    pub(crate) cgroup_root: Option<PathBuf>,
    /// How long the attacks go on in each state.
    pub(crate) span: Duration,
    /// Where in the packet mark its tags travel.
    pub(crate) tag: Tag,
    /// The node's clock may be set.
    pub(crate) clock: bool,
    /// A wall that does not hold.
    pub(crate) weak: Option<Weak>,
}

/// The scratch wall. What is dropped first is named first: the agent and the canaries before their place.
#[derive(Debug)]
pub(super) struct Scratch {
    agent: Option<Agent>,
    attackers: Vec<Attacker>,
    pub(super) place: Place,
    pub(super) plan: Plan,
}

/// Does what is chosen by name, and tells each row as it comes.
pub(crate) async fn run(plan: Plan, chosen: impl Fn(&str) -> bool, mut tell: impl FnMut(Row)) {
    let start = Instant::now();
    let mut scratch = match Scratch::build(plan).await {
        Ok(scratch) => scratch,
        Err(trouble) => return tell(row_of("scratch", Err(trouble), start.elapsed(), Tally::default())),
    };
    for (name, _) in SCRATCH.into_iter().filter(|(name, _)| chosen(name)) {
        tell(scratch.drill(name).await);
        if let Err(trouble) = scratch.restore().await {
            let trouble = Trouble::Wrong(format!("after {name}: {trouble}"));
            return tell(row_of("scratch", Err(trouble), Duration::ZERO, Tally::default()));
        }
    }
}

fn row_of(name: &str, end: Result<String, Trouble>, elapsed: Duration, ways: Tally) -> Row {
    match end {
        Err(Trouble::Absent(why)) => Row::new(name, State::Absent, why, elapsed),
        Err(trouble) => Row::attacked(name, State::Failed, trouble.to_string(), elapsed, ways),
        Ok(seen) => match ways.objection() {
            Some(objection) => Row::attacked(name, State::Failed, objection, elapsed, ways),
            None => Row::attacked(name, State::Verified, seen, elapsed, ways),
        },
    }
}

impl Scratch {
    async fn build(plan: Plan) -> Result<Self, Trouble> {
        let root = plan.cgroup_root.clone().map_or_else(place::cgroup_mount, Ok)?;
        let place = Place::make(&root)?;
        let gate = if plan.weak == Some(Weak::Device) { "audit" } else { "enforce" };
        let config = policy::config(&place, plan.tag, gate);
        let path = agent::config(&place);
        fs::write(&path, config.to_string()).map_err(Trouble::at(&path))?;
        Agent::init(&plan.agent, &place)?;
        let mut scratch = Self { agent: None, attackers: Vec::new(), place, plan };
        scratch.start_agent().await?;
        scratch.apply(&scratch.base()).await?;
        for side in Side::BOTH {
            let attacker = Attacker::start(&scratch.place, side)?;
            scratch.attackers.push(attacker);
        }
        scratch.warm_up().await?;
        Ok(scratch)
    }

    /// Until both listen; what came of attempts before that says nothing.
    async fn warm_up(&mut self) -> Result<(), Trouble> {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut before = self.tally()?;
        while Instant::now() < deadline {
            sleep(Duration::from_millis(200)).await;
            let now = self.tally()?;
            let since = now.since(&before);
            if since.0.values().all(|count| count.attempts > 0 && count.unclear + count.broken == 0) {
                return Ok(());
            }
            before = now;
        }
        // Whatever is wrong with them, the first row tells it with its numbers.
        Ok(())
    }

    async fn drill(&mut self, name: &str) -> Row {
        let start = Instant::now();
        let before = self.tally();
        let end = disturb::run(name, self).await;
        let ways = before.and_then(|before| Ok(self.tally()?.since(&before)));
        match ways {
            Ok(ways) => row_of(name, end, start.elapsed(), ways),
            Err(trouble) => row_of(name, Err(trouble), start.elapsed(), Tally::default()),
        }
    }

    /// As it was before a disturbance, also after one that failed.
    async fn restore(&mut self) -> Result<(), Trouble> {
        if self.agent.is_none() {
            self.start_agent().await?;
        }
        self.apply(&self.base()).await.map(drop)
    }

    /// The policy that keeps the two apart.
    pub(super) fn base(&self) -> Vec<Value> {
        policy::base(self.plan.weak == Some(Weak::Network))
    }

    /// Puts a policy in force.
    pub(super) async fn apply(&self, documents: &[Value]) -> Result<v1::Ack, Trouble> {
        let session = agent::session(&self.place).await?;
        let response = session.answer(session.policy().apply(policy::request(documents))).await?;
        Ok(response.ack.unwrap_or_default())
    }

    pub(super) async fn start_agent(&mut self) -> Result<(), Trouble> {
        self.agent = Some(Agent::start(&self.plan.agent, &self.place).await?);
        Ok(())
    }

    pub(super) fn kill_agent(&mut self) -> Result<(), Trouble> {
        self.agent.take().map_or_else(|| Err(Trouble::Wrong("there is no agent".to_owned())), Agent::kill)
    }

    /// Lets the attacks go on for a while.
    pub(super) async fn under_attack(&self) {
        sleep(self.plan.span).await;
    }

    /// What came of all attacks so far.
    fn tally(&mut self) -> Result<Tally, Trouble> {
        self.attackers.iter_mut().try_fold(Tally::default(), |sum, attacker| Ok(sum.plus(&attacker.tally()?)))
    }
}

/// A canary that attacks. Its end comes with its standard input's, at the latest when it is dropped.
#[derive(Debug)]
struct Attacker {
    child: Child,
    asks: ChildStdin,
    says: BufReader<ChildStdout>,
}

impl Attacker {
    fn start(place: &Place, side: Side) -> Result<Self, Trouble> {
        let attack = Attack { side, nodes: place.base.clone(), major: place.major };
        let group = place.cgroup.join(side.cgroup().trim_start_matches('/'));
        let mut command = agent::canary(&group, &Job::Attack(attack))?;
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(Trouble::on("start a canary"))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (asks, says) = pipes.ok_or_else(|| Trouble::Wrong("a canary has no pipes".to_owned()))?;
        Ok(Self { child, asks, says: BufReader::new(says) })
    }

    /// What came of everything so far.
    fn tally(&mut self) -> Result<Tally, Trouble> {
        self.asks.write_all(b"\n").map_err(Trouble::on("ask a canary"))?;
        let mut line = String::new();
        self.says.read_line(&mut line).map_err(Trouble::on("hear a canary"))?;
        serde_json::from_str(&line)
            .map_err(|error| Trouble::Wrong(format!("a canary said {line:?}: {error}")))
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::tally::{Count, Way};

    fn tally(crossed: u64) -> Tally {
        let count = Count { attempts: 5, crossed, unclear: 0, controls: 5, broken: 0 };
        Tally(Way::ALL.into_iter().map(|way| (way, count)).collect())
    }

    #[test]
    fn a_disturbance_that_was_survived_is_verified_only_if_nothing_crossed() {
        let end = || Ok("as before".to_owned());
        assert_eq!(row_of("x", end(), Duration::ZERO, tally(0)).state, State::Verified);
        assert_eq!(row_of("x", end(), Duration::ZERO, tally(1)).state, State::Failed);
        assert_eq!(row_of("x", end(), Duration::ZERO, Tally::default()).state, State::Failed);
    }

    #[test]
    fn what_failed_keeps_its_numbers_and_what_is_absent_says_why() {
        let failed = row_of("x", Err(Trouble::Wrong("no".to_owned())), Duration::ZERO, tally(2));
        assert_eq!((failed.state, failed.crossed, failed.reason.as_str()), (State::Failed, 8, "no"));
        let absent = row_of("x", Err(Trouble::Absent("why".to_owned())), Duration::ZERO, Tally::default());
        assert_eq!((absent.state, absent.reason.as_str()), (State::Absent, "why"));
    }
}
