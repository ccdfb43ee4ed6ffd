//! What the room reaches the world by: the kernel's gate, who holds a device, the settings that isolation rests on.

use std::sync::Arc;
use std::time::Duration;

use enforcer_core::device::holding::{GateCustody, Vacancy};
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::policy::model::UnixNanos;
use tokio::time::timeout;

use super::sign::Sign;
use crate::door::device::{Door, HandleCommand, PostureCommand};
use crate::door::policy::PolicyDoor;
use crate::door::records::Tell;
use crate::hex::hex;

/// How long an answer about holders or settings may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The agent was killed here: only tests kill it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("killed on purpose")]
pub struct Crash;

/// Asked between any two steps that outlive the agent; the word is the step that was done.
pub type Step = Arc<dyn Fn(&'static str) -> Result<(), Crash> + Send + Sync>;

/// What the room is joined to.
#[derive(Clone)]
pub struct Edges {
    /// This node's name.
    pub node: String,
    /// The kernel's gate.
    pub policy: PolicyDoor,
    /// Who holds a device. Without it nothing is ever proven to be free.
    pub handles: Option<Door<HandleCommand>>,
    /// What isolation rests on.
    pub posture: Option<Door<PostureCommand>>,
    /// Who signs.
    pub sign: Arc<dyn Sign>,
    /// Where records go.
    pub tell: Tell,
    /// Time of day.
    pub clock: fn() -> UnixNanos,
    /// How often it is looked whether somebody let go.
    pub poll: Duration,
    /// The agent's SPIFFE ID, where it has one.
    pub agent: String,
    /// Does nothing outside of tests.
    pub step: Step,
}

impl Edges {
    /// Closes, opens or forgets a device in the kernel.
    pub(super) async fn gate(
        &self,
        device: DeviceNumber,
        custody: Option<GateCustody>,
    ) -> Result<(), String> {
        self.policy.set_custody(device, custody).await.map_err(|closed| closed.to_string())?
    }

    /// Proof that nobody holds a device, or who does and what could not be looked at.
    pub(super) async fn vacancy(&self, device: DeviceNumber) -> Result<(), Occupied> {
        let Some(door) = &self.handles else {
            return Err(Occupied::unknown("who holds devices is not watched on this node"));
        };
        let asked = timeout(ANSWER_MAX, door.ask(|reply| HandleCommand::Vacancy(device, reply))).await;
        let vacancy = match asked {
            Ok(Ok(Ok(vacancy))) => vacancy,
            Ok(Ok(Err(why))) => return Err(Occupied::unknown(&why)),
            Ok(Err(closed)) => return Err(Occupied::unknown(&closed.to_string())),
            Err(_) => return Err(Occupied::unknown("who holds it was not said in time")),
        };
        if vacancy.is_proven() { Ok(()) } else { Err(Occupied::by(&vacancy)) }
    }

    /// SHA-256 over the settings that isolation rests on, hexadecimal; empty where nobody reads them.
    pub(super) async fn settings(&self) -> String {
        let Some(door) = &self.posture else { return String::new() };
        match timeout(ANSWER_MAX, door.ask(PostureCommand::Read)).await {
            Ok(Ok(Ok(posture))) => hex(&posture.digest),
            _ => String::new(),
        }
    }
}

/// Why nothing is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Occupied {
    /// In a sentence.
    pub(super) why: String,
    /// Somebody is known to hold it.
    pub(super) is_held: bool,
}

impl Occupied {
    fn unknown(why: &str) -> Self {
        Self { why: format!("not proven to be free: {why}"), is_held: false }
    }

    fn by(vacancy: &Vacancy) -> Self {
        let mut words = Vec::new();
        let Vacancy { populated, holders, files, driver, lacking } = vacancy;
        if !holders.is_empty() {
            words.push(format!("processes {} hold it", some(holders)));
        }
        if !populated.is_empty() {
            words.push(format!("{} control groups that held it have processes", populated.len()));
        }
        if let Some(files) = files.filter(|files| *files > 0) {
            words.push(format!("{files} open files of it are referred to"));
        }
        if let Some(driver) = driver.as_ref().filter(|driver| !driver.is_empty()) {
            words.push(format!("its driver lists processes {}", some(driver)));
        }
        let is_held = !words.is_empty();
        words.extend(lacking.iter().cloned());
        Self { why: words.join("; "), is_held }
    }
}

/// The first few.
fn some(processes: &[u32]) -> String {
    const SHOWN: usize = 8;
    let mut words: Vec<String> = processes.iter().take(SHOWN).map(ToString::to_string).collect();
    if processes.len() > SHOWN {
        words.push(format!("and {} more", processes.len() - SHOWN));
    }
    words.join(", ")
}
