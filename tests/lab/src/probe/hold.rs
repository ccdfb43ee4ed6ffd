//! Holding a device, and using it when told.

use std::io::BufRead as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use enforcer_lab::verdict::Verdict;

use crate::attack::stage;
use crate::attack::touch::{self, Mapping};

/// Opens a device and says `ready`; then takes a word a line, and says what came of it.
pub(crate) fn hold(node: &Path) -> Result<()> {
    let device = stage::open(node).with_context(|| format!("{}", node.display()))?;
    println!("ready");
    let mut mapping = None;
    for line in std::io::stdin().lock().lines() {
        let verdict = match line?.trim() {
            "open" => Verdict::from(stage::open(node)),
            "read" => touch::read(&device),
            "write" => touch::write(&device),
            "ioctl" => Verdict::from(touch::ioctl(&device)),
            "map" => match Mapping::of(&device) {
                Ok(mapped) => {
                    mapping = Some(mapped);
                    Verdict::Done
                }
                Err(error) => Verdict::refused(&error),
            },
            "look" => match &mapping {
                Some(mapped) => {
                    let _byte = mapped.first_byte();
                    Verdict::Done
                }
                None => bail!("nothing is mapped"),
            },
            other => bail!("no such word: {other}"),
        };
        println!("{}", serde_json::to_string(&verdict)?);
    }
    Ok(())
}
