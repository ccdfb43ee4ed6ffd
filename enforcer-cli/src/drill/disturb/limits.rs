//! What is full: a change is taken whole or not at all, and what was in force stays.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use super::super::agent::status;
use super::super::policy;
use super::super::scratch::Scratch;
use super::super::trouble::{Trouble, must};
use super::life::{refused, same};

/// Rules that need more than what is left of a block on disk, and fit into the tables.
const SOME_RULES: u16 = 60;
/// Rules that need more entries than the tables have.
const TOO_MANY_RULES: u16 = 600;
/// What a full disk is called (`ENOSPC`).
const NO_SPACE: &str = "No space left on device";
/// Where the problem of a full table is.
const TABLE: &str = "capacities.ports";
const BLOCK: [u8; 4096] = [0; 4096];

/// The agent's disk is full, and then it is not.
pub(super) async fn disk(scratch: &Scratch) -> Result<String, Trouble> {
    let before = status(&scratch.place).await?;
    let more = [scratch.base(), policy::bulk(SOME_RULES)].concat();
    let filler = scratch.place.state().join("filler");
    fill(&filler)?;
    let end = scratch.apply(&more).await;
    scratch.under_attack().await;
    let after = status(&scratch.place).await;
    fs::remove_file(&filler).map_err(Trouble::at(&filler))?;
    refused(end, NO_SPACE)?;
    same(&before, &after?)?;
    let ack = scratch.apply(&more).await?;
    must(ack.revision > before.revision, || "with room again, the change was not taken".to_owned())?;
    Ok(format!("a push was refused, and taken as revision {} when there was room", ack.revision))
}

fn fill(path: &Path) -> Result<(), Trouble> {
    let mut file = File::create(path).map_err(Trouble::at(path))?;
    loop {
        match file.write_all(&BLOCK) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(Trouble::at(path)(error)),
        }
    }
}

/// A change needs more entries than the kernel's tables have.
pub(super) async fn map(scratch: &Scratch) -> Result<String, Trouble> {
    let before = status(&scratch.place).await?;
    let end = scratch.apply(&[scratch.base(), policy::bulk(TOO_MANY_RULES)].concat()).await;
    scratch.under_attack().await;
    refused(end, TABLE)?;
    same(&before, &status(&scratch.place).await?)?;
    Ok(format!("a push was refused, and revision {} stayed in force", before.revision))
}
