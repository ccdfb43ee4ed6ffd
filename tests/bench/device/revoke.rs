//! From the moment at which a device is taken away until its tenant is refused.

use anyhow::{Context as _, Result};
use enforcer_core::device::class::Kind;
use enforcer_core::device::holding::GateCustody;
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::enforce::Enforcement as _;
use enforcer_lab::enter::Place;

use super::ground::{POD, gated};
use crate::figure::Figure;
use crate::ground;
use crate::peer::{Trying, monotonic};
use crate::sample::Sample;
use crate::suite::Effort;

/// `/dev/zero`.
const ZERO: DeviceNumber = DeviceNumber { kind: Kind::Char, major: 1, minor: 5 };

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let rounds = match effort {
        Effort::Full => 200,
        Effort::Quick => 20,
    };
    ground::apart(|| {
        let mut site = gated("revoke", true)?;
        let place = Place {
            netns: ground::THIS_NETNS.to_owned(),
            cgroup: Some(format!("{}{POD}", site.ground.group)),
        };
        let mut micros = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            site.wall.set_custody(ZERO, None)?;
            let trying = Trying::start(&place, "/dev/zero")?;
            let asked = monotonic()?;
            site.wall.set_custody(ZERO, Some(GateCustody::Closed))?;
            let refused = trying.refused()?;
            let taken = refused.checked_sub(asked).context("refused before it was asked for")?;
            micros.push(crate::device::count(usize::try_from(taken)?) / 1e3);
        }
        let sample = Sample::from(micros);
        let figure = |name: &str| Figure::of(format!("device/revoke-to-refused/{name}"), "us", &sample);
        Ok(vec![
            figure("median")
                .note("from the write of the table to the end of the first open that was refused"),
            figure("p99").percentile(&sample, 99.0).note("the floor: one map update and one open"),
        ])
    })
}
