//! Nanoseconds a packet, through the test runner, as the tables grow.
//!
//! Each run puts 64 frames to 64 addresses of other tenants, spread over the whole table, through a program, a few
//! thousand times each: what a frame needs is then in the processor's caches. The `spread` cases put thousands of
//! different flows through once each: there the caches help as far as they would on a node.

mod case;
mod crowded;
mod figures;
mod run;

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::rounds;
use crate::figure::Figure;
use crate::ground;
use crate::suite::Effort;
use crowded::Crowded;

/// Bindings and tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    bindings: u32,
    tenants: u32,
}

const FULL: [Size; 6] = [
    Size { bindings: 10, tenants: 10 },
    Size { bindings: 1_000, tenants: 10 },
    Size { bindings: 100_000, tenants: 10 },
    Size { bindings: 1_000_000, tenants: 10 },
    Size { bindings: 1_000_000, tenants: 1_000 },
    Size { bindings: 1_000_000, tenants: 10_000 },
];
const QUICK: [Size; 2] = [Size { bindings: 10, tenants: 10 }, Size { bindings: 10_000, tenants: 100 }];

/// Each address a few thousand times: 200,000 packets a run.
const REPEAT: u32 = 3_125;
const REPEAT_QUICK: u32 = 100;

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    ground::apart(|| {
        undisturbed()?;
        let (sizes, repeat) = match effort {
            Effort::Full => (FULL.as_slice(), REPEAT),
            Effort::Quick => (QUICK.as_slice(), REPEAT_QUICK),
        };
        let mut crowds = sizes.iter().map(|size| Crowded::open(*size)).collect::<Result<Vec<_>>>()?;
        let mut all = Vec::new();
        for round in 0..rounds(effort) {
            let round = u16::try_from(round)?;
            let runs: Result<Vec<_>> =
                crowds.iter_mut().map(|crowd| run::one(crowd, round, repeat)).collect();
            all.push(runs?);
        }
        Ok(figures::of(sizes, &all))
    })
}

/// On one processor, before everybody else who wants it.
fn undisturbed() -> Result<()> {
    let mut processors = CpuSet::new();
    processors.set(std::thread::available_parallelism()?.get() - 1)?;
    sched_setaffinity(Pid::from_raw(0), &processors).context("stay on one processor")?;
    // SAFETY: the call takes numbers; 0 stands for the calling thread.
    let refused = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
    if refused != 0 {
        eprintln!("bench: the priority stays as it is: {}", std::io::Error::last_os_error());
    }
    Ok(())
}
