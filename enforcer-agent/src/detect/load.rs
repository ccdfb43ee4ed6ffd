//! The operator's rules, from a file or a directory.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use enforcer_core::detect::parse;
use enforcer_core::detect::rule::Rules;
use enforcer_core::policy::parse::limits::{MAX_DOCUMENT_BYTES, MAX_FILES};
use enforcer_core::policy::problem::Problem;

/// Why the rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// A file could not be read.
    #[error("cannot read {path}: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Something in them is wrong.
    #[error("{}", lines(.0))]
    Problems(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The rules in force: the operator's over those that are there from the first day.
///
/// # Errors
/// A file could not be read, or something in it is wrong; all of it at once.
pub fn load(path: Option<&Path>) -> Result<Rules, RulesError> {
    let files = match path {
        None => Vec::new(),
        Some(path) => read(path).map_err(|(path, error)| RulesError::Io { path, error })?,
    };
    parse::rules(&files).map_err(RulesError::Problems)
}

type Failed = (PathBuf, io::Error);

fn read(path: &Path) -> Result<Vec<(String, String)>, Failed> {
    let failed = |error| (path.to_owned(), error);
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![read_file(path)?]);
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)?.take(MAX_FILES) {
        let path = entry.map_err(failed)?.path();
        let is_hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_yaml = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        if !is_hidden && is_yaml {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| read_file(path)).collect()
}

/// One byte more than is taken, so that the parser says that it is too much.
fn read_file(path: &Path) -> Result<(String, String), Failed> {
    let failed = |error| (path.to_owned(), error);
    let limit = u64::try_from(MAX_DOCUMENT_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = String::new();
    File::open(path).map_err(failed)?.take(limit).read_to_string(&mut text).map_err(failed)?;
    Ok((path.display().to_string(), text))
}
