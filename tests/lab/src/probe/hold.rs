//! Holding a device, and using it when told.

use std::fs::File;
use std::io::BufRead as _;
use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use enforcer_lab::verdict::Verdict;

use crate::attack::stage;
use crate::attack::touch::{self, Mapping};
use crate::attack::uring::Ring;

/// By what a device is held.
struct Held {
    device: Option<File>,
    mapping: Option<Mapping>,
    ring: Option<Ring>,
}

/// Opens a device and says `ready`; then takes a word a line, and says what came of it.
pub(crate) fn hold(node: &Path) -> Result<()> {
    let device = stage::open(node).with_context(|| format!("{}", node.display()))?;
    let mut held = Held { device: Some(device), mapping: None, ring: None };
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let verdict = match line?.trim() {
            "open" => Verdict::from(stage::open(node)),
            word => held.obey(word)?,
        };
        println!("{}", serde_json::to_string(&verdict)?);
    }
    Ok(())
}

impl Held {
    fn obey(&mut self, word: &str) -> Result<Verdict> {
        Ok(match word {
            "look" => {
                let _byte = self.mapping.as_ref().context("nothing is mapped")?.first_byte();
                Verdict::Done
            }
            "fetch" => Verdict::from(self.ring.as_mut().context("nothing is registered")?.read_registered()?),
            "close" => {
                self.device = None;
                Verdict::Done
            }
            word => self.use_descriptor(word)?,
        })
    }

    fn use_descriptor(&mut self, word: &str) -> Result<Verdict> {
        let device = self.device.as_ref().context("the descriptor is closed")?;
        Ok(match word {
            "read" => touch::read(device),
            "write" => touch::write(device),
            "ioctl" => Verdict::from(touch::ioctl(device)),
            "map" => match Mapping::of(device) {
                Ok(mapped) => {
                    self.mapping = Some(mapped);
                    Verdict::Done
                }
                Err(error) => Verdict::refused(&error),
            },
            "register" => {
                let Some(mut ring) = Ring::new()? else { return Ok(Ring::absent()) };
                ring.register(device.as_fd())?;
                self.ring = Some(ring);
                Verdict::Done
            }
            other => bail!("no such word: {other}"),
        })
    }
}
