//! The verbs of containment, each tried on a process of our own in a group of our own, and believed only for what it did.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use enforcer_proto::v1;

use crate::group::{Canary, GroupError, Groups};

/// How long a verb may take.
const WITHIN: Duration = Duration::from_secs(5);
/// How long it is watched whether a process that should stand still does.
const WATCHED: Duration = Duration::from_millis(50);
/// The canary: counts in a shell, without end and without a child of its own.
const CANARY: &str = "i=0; while :; do i=$((i+1)); done";

/// Tries freeze, thaw and kill.
pub(super) fn run(groups: &Groups) -> Vec<v1::Verb> {
    let begun = Instant::now();
    match Stage::set(groups) {
        Ok(mut stage) => vec![
            tried("freeze", || stage.freeze()),
            tried("thaw", || stage.thaw()),
            tried("kill", || stage.kill()),
        ],
        Err(why) => ["freeze", "thaw", "kill"].map(|name| absent(name, &why, begun.elapsed())).into(),
    }
}

fn tried(name: &str, verb: impl FnOnce() -> Result<(), String>) -> v1::Verb {
    let begun = Instant::now();
    let outcome = verb();
    match outcome {
        Ok(()) => v1::Verb {
            name: name.to_owned(),
            state: "verified".to_owned(),
            reason: String::new(),
            elapsed_us: micros(begun.elapsed()),
        },
        Err(why) => absent(name, &why, begun.elapsed()),
    }
}

fn absent(name: &str, why: &str, elapsed: Duration) -> v1::Verb {
    v1::Verb {
        name: name.to_owned(),
        state: "absent".to_owned(),
        reason: why.to_owned(),
        elapsed_us: micros(elapsed),
    }
}

fn micros(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

/// A process that is busy, in a group. The process ends before the group is removed.
struct Stage {
    canary: Canary,
    child: Busy,
}

impl Stage {
    fn set(groups: &Groups) -> Result<Self, String> {
        let name = format!("enforcer-drill-{}-{}", std::process::id(), unique());
        let canary = groups.canary(&name).map_err(|error| error.to_string())?;
        let child = Busy::start().map_err(|error| format!("no canary process: {error}"))?;
        canary.admit(child.0.id()).map_err(|error| error.to_string())?;
        let stage = Self { canary, child };
        if stage.advances()? { Ok(stage) } else { Err("the canary process does nothing".to_owned()) }
    }

    fn freeze(&self) -> Result<(), String> {
        self.canary.group().freeze(WITHIN).map_err(words)?;
        if self.advances()? { Err("the process goes on in a frozen group".to_owned()) } else { Ok(()) }
    }

    fn thaw(&self) -> Result<(), String> {
        self.canary.group().thaw(WITHIN).map_err(words)?;
        if self.advances()? { Ok(()) } else { Err("the process does not go on".to_owned()) }
    }

    fn kill(&mut self) -> Result<(), String> {
        self.canary.group().kill(WITHIN).map_err(words)?;
        let ended = self.child.0.try_wait().map_err(|error| error.to_string())?;
        match ended.map(|status| status.signal()) {
            Some(Some(libc::SIGKILL)) => Ok(()),
            Some(other) => Err(format!("the process ended by {other:?} and not by SIGKILL")),
            None => Err("the process goes on though its group is empty".to_owned()),
        }
    }

    /// Whether the process uses its processor: up to ten looks, since a busy machine may give it none for a while.
    fn advances(&self) -> Result<bool, String> {
        let before = self.child.ticks().map_err(|error| error.to_string())?;
        for _ in 0..10 {
            sleep(WATCHED);
            if self.child.ticks().map_err(|error| error.to_string())? != before {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

struct Busy(Child);

impl Busy {
    fn start() -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", CANARY]).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map(Self)
    }

    /// Processor time that it has had, in nanoseconds: the first number of `schedstat`.
    fn ticks(&self) -> io::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/schedstat", self.0.id()))?;
        let first = text.split_ascii_whitespace().next().and_then(|number| number.parse().ok());
        first.ok_or_else(|| io::Error::other("schedstat has no number"))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn words(error: GroupError) -> String {
    error.to_string()
}

fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
