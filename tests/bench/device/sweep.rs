//! One walk over every process of a node that has ten thousand more than it had.

use std::time::Instant;

use anyhow::{Result, ensure};
use enforcer_core::enforce::Inspection as _;
use enforcer_lab::enter::Place;

use super::ground::{POD, gated};
use crate::figure::Figure;
use crate::ground;
use crate::peer::Serving;
use crate::sample::Sample;
use crate::suite::Effort;

/// Of them, one in so many holds the device.
const HOLDERS_OF: usize = 100;

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let (processes, rounds) = match effort {
        Effort::Full => (10_000, 15),
        Effort::Quick => (500, 5),
    };
    ground::apart(|| {
        let site = gated("sweep", true)?;
        let place = Place {
            netns: ground::THIS_NETNS.to_owned(),
            cgroup: Some(format!("{}{POD}", site.ground.group)),
        };
        let holders = processes / HOLDERS_OF;
        let walk = |least: usize| -> Result<Sample> {
            let mut millis = Vec::with_capacity(rounds);
            for _ in 0..rounds {
                let start = Instant::now();
                let seen = site.wall.handles()?;
                millis.push(start.elapsed().as_secs_f64() * 1e3);
                ensure!(seen.lacking.is_none(), "the walk saw less than all: {:?}", seen.lacking);
                let found = seen.holdings.len();
                ensure!(found >= least, "{found} holders were found, of {least}");
            }
            Ok(Sample::from(millis))
        };
        let before = walk(0)?;
        let counts = [processes.to_string(), holders.to_string()];
        let _crowd = Serving::start(&place, &["crowd", "/dev/zero", &counts[0], &counts[1]])?;
        let with = walk(holders)?;
        let each = (with.median() - before.median()) * 1e3 / crate::device::count(processes);
        Ok(vec![
            Figure::of("device/sweep/as-it-was", "ms", &before).note("the processes that this machine has"),
            Figure::of("device/sweep/with-crowd", "ms", &with)
                .note(format!("{processes} processes more, {holders} of which hold the device")),
            Figure::once("device/sweep/each-process", "us", each)
                .note("the floor: the kernel visits every descriptor and mapping of every process"),
        ])
    })
}
