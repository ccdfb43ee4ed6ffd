//! Where the programs under test are: beside the program that asks.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Directory of the programs, when they are not beside the one that asks.
pub const BIN_DIR: &str = "ENFORCER_BIN_DIR";

/// The programs that a lab starts.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// `enforcer-agent`
    pub agent: PathBuf,
    /// `enforcerctl`
    pub ctl: PathBuf,
    /// `enforcer-probe`
    pub probe: PathBuf,
}

impl Binaries {
    /// In `ENFORCER_BIN_DIR`, or where this program is, or one directory above (where cargo puts tests).
    ///
    /// # Errors
    /// One is missing.
    pub fn find() -> Result<Self> {
        let places = match std::env::var_os(BIN_DIR) {
            Some(dir) => vec![PathBuf::from(dir)],
            None => beside_this()?,
        };
        let find = |name: &str| {
            let found = places.iter().map(|place| place.join(name)).find(|path| path.is_file());
            found.with_context(|| format!("{name} is not built: run `cargo xtask build` first"))
        };
        Ok(Self { agent: find("enforcer-agent")?, ctl: find("enforcerctl")?, probe: find("enforcer-probe")? })
    }
}

fn beside_this() -> Result<Vec<PathBuf>> {
    let own = std::env::current_exe().context("path of this program")?;
    let dirs: Vec<PathBuf> = own.ancestors().skip(1).take(2).map(Path::to_path_buf).collect();
    if dirs.is_empty() {
        bail!("{} is in no directory", own.display());
    }
    Ok(dirs)
}
