//! The kernels that the programs must run on, and the files of one: resolved, fetched once, kept.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use super::archive::{self, Archive};
use crate::root;

/// After so long the archive is asked whether there is a newer one.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A kernel, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kernel {
    /// The oldest that nodes run: no tcx.
    #[value(name = "6.1")]
    V6_1,
    /// The long-term one of the current stable release.
    #[value(name = "6.12")]
    V6_12,
    /// Whatever is newest.
    Newest,
}

/// The files of a kernel.
pub(super) struct Files {
    /// As the archive writes it.
    pub(super) version: String,
    /// The image that a machine boots.
    pub(super) image: PathBuf,
    /// The directory of its modules.
    pub(super) modules: PathBuf,
}

impl Kernel {
    /// Every one.
    pub(crate) const ALL: [Self; 3] = [Self::V6_1, Self::V6_12, Self::Newest];

    /// What the versions of this kernel begin with.
    const fn prefix(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1.",
            Self::V6_12 => "6.12.",
            Self::Newest => "",
        }
    }

    /// How much longer things take where every instruction is emulated. The oldest verifier needs minutes to refuse what it
    /// does not take.
    pub(super) const fn patience(self) -> u32 {
        match self {
            Self::V6_1 => 18,
            Self::V6_12 | Self::Newest => 6,
        }
    }

    /// Its files: those that are kept, unless they are old and the archive has newer ones.
    ///
    /// # Errors
    /// None are kept, and the archive cannot be reached or lacks them.
    pub(super) fn files(self, update: bool) -> Result<Files> {
        let kept = self.kept();
        if let Ok(files) = &kept
            && !update
            && !self.is_old()
        {
            return Files::of(&files.version);
        }
        match self.fetch() {
            Ok(files) => Ok(files),
            Err(error) => {
                let files = kept.map_err(|_| error)?;
                eprintln!("the archive cannot be asked: taking the kernel {} that is kept", files.version);
                Ok(files)
            }
        }
    }

    fn kept(self) -> Result<Files> {
        Files::of(fs::read_to_string(self.note())?.trim())
    }

    fn is_old(self) -> bool {
        let written = fs::metadata(self.note()).and_then(|note| note.modified());
        let age = written.ok().and_then(|written| SystemTime::now().duration_since(written).ok());
        age.is_none_or(|age| age > KEPT)
    }

    /// The file that says which version this kernel is.
    fn note(self) -> PathBuf {
        home().join(format!("{self}.version"))
    }

    fn fetch(self) -> Result<Files> {
        let archive = Archive::open(root::workspace().join("target/vm/apt"))?;
        let versions = archive.versions()?;
        let ours = versions.into_iter().filter(|version| version.starts_with(self.prefix()));
        let newest = ours.max_by_key(|version| numbers(version));
        let version = newest.with_context(|| format!("the archive has no kernel {self}"))?;
        let files = match Files::of(&version) {
            Ok(files) => files,
            Err(_) => download(&archive, &version)?,
        };
        fs::write(self.note(), format!("{version}\n")).context("note of the version")?;
        Ok(files)
    }
}

impl Files {
    /// The files of a version that is there, whole.
    fn of(version: &str) -> Result<Self> {
        let dir = home().join(version);
        let modules = [dir.join("usr/lib/modules"), dir.join("lib/modules")];
        let modules = modules.iter().find_map(|dir| fs::read_dir(dir).ok()?.next()?.ok());
        let modules = modules.with_context(|| format!("no modules in {}", dir.display()))?.path();
        let boot = fs::read_dir(dir.join("boot")).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut images = boot.chain([modules.join("vmlinuz")]);
        let image =
            images.find(|path| is_image(path)).with_context(|| format!("no image in {}", dir.display()))?;
        Ok(Self { version: version.to_owned(), image, modules })
    }
}

fn is_image(path: &Path) -> bool {
    path.is_file() && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
}

/// Fetches a version beside those that are there; it appears whole or not at all.
fn download(archive: &Archive, version: &str) -> Result<Files> {
    let new = tempfile::tempdir_in(home()).context("room for a kernel")?;
    let (packages, files) = (new.path().join("packages"), new.path().join("files"));
    fs::create_dir(&packages)?;
    archive.fetch(version, &packages)?;
    archive::unpack(&packages, &files)?;
    fs::rename(&files, home().join(version)).with_context(|| format!("keep kernel {version}"))?;
    Files::of(version)
}

/// Where kernels are kept.
fn home() -> PathBuf {
    let home = root::workspace().join("target/vm/kernels");
    // Whatever needs it says so when it is not there.
    let _made = fs::create_dir_all(&home);
    home
}

/// The numbers of a version, to compare: 6.12.117-1 is newer than 6.12.95-1.
fn numbers(version: &str) -> Vec<u64> {
    version.split(|sign: char| !sign.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::Newest => "newest",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let newest = ["6.12.95-1~bpo12+1", "6.12.117-1", "6.12.9-1"].into_iter().max_by_key(|v| numbers(v));
        assert_eq!(newest, Some("6.12.117-1"));
        assert!(
            "6.12.117-1".starts_with(Kernel::V6_12.prefix()) && !"6.12.1".starts_with(Kernel::V6_1.prefix())
        );
    }
}
