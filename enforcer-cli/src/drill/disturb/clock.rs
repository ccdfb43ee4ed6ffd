//! The node's clock jumps. It is everybody's clock: only a machine that is there for this should be asked for it.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime, clock_settime};

use super::super::agent::status;
use super::super::scratch::Scratch;
use super::super::trouble::{Trouble, errno, must};
use super::certificate;
use super::life::same;

/// How far it jumps: beyond the life of every certificate of a drill.
const JUMP: Duration = Duration::from_secs(24 * 3600);

/// A day ahead, and back.
pub(super) async fn skewed(scratch: &Scratch) -> Result<String, Trouble> {
    if !scratch.plan.clock {
        let why = "it would change the node's clock; --clock allows it, on a machine that is there for it";
        return Err(Trouble::Absent(why.to_owned()));
    }
    let before = status(&scratch.place).await?;
    let first = certificate::valid(scratch).await?;
    let jump = Jump::ahead()?;
    scratch.under_attack().await;
    let there = certificate::identity(scratch).await;
    let in_force = status(&scratch.place).await;
    drop(jump);
    scratch.under_attack().await;
    let there = there?;
    must(there.serial != first.serial, || format!("{} is served a day past its end", first.serial))?;
    same(&before, &in_force?)?;
    same(&before, &status(&scratch.place).await?)?;
    certificate::valid(scratch).await?;
    Ok("the policy stayed in force, and no certificate was served past its end".to_owned())
}

/// A clock that is ahead until this is dropped.
struct Jump(Instant, Duration);

impl Jump {
    fn ahead() -> Result<Self, Trouble> {
        let now = clock_gettime(ClockId::CLOCK_REALTIME).map_err(errno("the clock"))?;
        let jump = Self(Instant::now(), now.into());
        set(Duration::from(now) + JUMP)?;
        Ok(jump)
    }
}

impl Drop for Jump {
    fn drop(&mut self) {
        let _set = set(self.1 + self.0.elapsed());
    }
}

fn set(time: Duration) -> Result<(), Trouble> {
    clock_settime(ClockId::CLOCK_REALTIME, time.into()).map_err(errno("set the clock"))
}
