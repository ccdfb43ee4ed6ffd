//! Attacks with a device that was opened where it was allowed: before the process came to the attacker's group.

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};
use enforcer_lab::verdict::Verdict;

use super::stage::{self, Stage, join, within};
use super::touch::{self, Mapping};
use super::uring::Ring;

pub(super) fn read(stage: &Stage) -> Result<Verdict> {
    stage.held(&stage.node, |device| Ok(touch::read(device)))
}

pub(super) fn write(stage: &Stage) -> Result<Verdict> {
    stage.held(&stage.node, |device| Ok(touch::write(device)))
}

pub(super) fn ioctl(stage: &Stage) -> Result<Verdict> {
    stage.held(&stage.node, |device| Ok(Verdict::from(touch::ioctl(device))))
}

pub(super) fn mmap(stage: &Stage) -> Result<Verdict> {
    stage.held(&stage.mapped, |device| Ok(touch::map(device)))
}

pub(super) fn duplicated(stage: &Stage) -> Result<Verdict> {
    stage.held(&stage.node, |device| Ok(touch::read(&device.try_clone()?)))
}

pub(super) fn io_uring_read(stage: &Stage) -> Result<Verdict> {
    stage.held(&stage.node, |device| {
        let Some(mut ring) = Ring::new()? else { return Ok(Ring::absent()) };
        Ok(Verdict::from(ring.read(device.as_fd())?))
    })
}

/// The ring was made, and knows the device, where it was allowed; the descriptor itself is closed.
pub(super) fn io_uring_registered(stage: &Stage) -> Result<Verdict> {
    within(&stage.owner, || {
        let Some(mut ring) = Ring::new()? else { return Ok(Ring::absent()) };
        ring.register(stage.open().context("the owner opens its device")?.as_fd())?;
        stage::fork_off(|| {
            join(&stage.other)?;
            Ok(Verdict::from(ring.read_registered()?))
        })?
        .end()
    })
}

pub(super) fn io_uring_command(stage: &Stage) -> Result<Verdict> {
    stage.held(&stage.mapped, |device| {
        let Some(mut ring) = Ring::new()? else { return Ok(Ring::absent()) };
        let commanded = ring.discard(device.as_fd())?;
        Ok(match commanded.as_ref().map_err(std::io::Error::raw_os_error) {
            Err(Some(libc::EOPNOTSUPP | libc::EINVAL)) => {
                Verdict::Absent("no driver here takes commands by way of io_uring".to_owned())
            }
            _ => Verdict::from(commanded),
        })
    })
}

pub(super) fn mapping(stage: &Stage) -> Result<Verdict> {
    within(&stage.owner, || {
        let device = stage::open(&stage.mapped).context("the owner opens its device")?;
        let mapping = Mapping::of(&device).context("the owner maps its device")?;
        join(&stage.other)?;
        let _byte = mapping.first_byte();
        Ok(Verdict::Done)
    })
}
