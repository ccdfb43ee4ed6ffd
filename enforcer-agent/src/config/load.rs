//! From flags and a path to settings: reads the file, hands the words to [`super::resolve`].

use std::fs;
use std::path::Path;

use super::flags::RunFlags;
use super::host::Host;
use super::raw::{self, RawConfig};
use super::{ConfigProblem, Settings, resolve};

/// Larger than any sensible configuration.
const MAX_BYTES: u64 = 1 << 20;

/// Where the configuration is looked for when no flag says so; it need not exist.
pub const DEFAULT_PATH: &str = "/etc/enforcer/agent.yaml";

/// Reads and resolves. Flags and environment win over the file.
///
/// # Errors
/// Everything that is wrong.
pub fn load(flags: &RunFlags) -> Result<Settings, Vec<ConfigProblem>> {
    let raw = match &flags.config {
        Some(path) => read(path).map_err(|problem| vec![problem])?,
        None if Path::new(DEFAULT_PATH).exists() => {
            read(Path::new(DEFAULT_PATH)).map_err(|problem| vec![problem])?
        }
        None => RawConfig::default(),
    };
    resolve::resolve(flags.over(raw), &Host::read())
}

fn read(path: &Path) -> Result<RawConfig, ConfigProblem> {
    let unreadable = |error| ConfigProblem::Unreadable { path: path.to_owned(), error };
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > MAX_BYTES {
        return Err(ConfigProblem::TooLarge { path: path.to_owned(), bytes, limit: MAX_BYTES });
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    raw::parse(&text).map_err(|error| {
        // The parser gives no place for the very beginning.
        let line = error.location().map_or(1, |place| place.line());
        ConfigProblem::Syntax { path: path.to_owned(), line, error }
    })
}
