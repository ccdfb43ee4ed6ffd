//! Debian's archive, asked with a private state: nothing of this machine's apt is read but its mirror, its proxy and
//! its keys, and nothing is installed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::sources;
use crate::shell;

/// Pulls in the newest image of its suite.
const META: &str = "linux-image-cloud-amd64";

/// An archive whose lists are in a directory of ours.
pub(super) struct Archive {
    home: PathBuf,
}

impl Archive {
    /// Fetches the lists.
    ///
    /// # Errors
    /// There is no apt, no mirror, or no way to it.
    pub(super) fn open(home: PathBuf) -> Result<Self> {
        for part in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(home.join(part)).with_context(|| format!("{}", home.display()))?;
        }
        fs::write(home.join("sources.list"), sources::list()?).context("sources.list")?;
        let archive = Self { home };
        // A suite that is gone makes this fail, though the others were fetched: what is missing shows later.
        shell::status(archive.apt("apt-get").args(["update", "-q=2"]))?;
        Ok(archive)
    }

    /// Every version of the cloud kernel, as the archive writes them.
    pub(super) fn versions(&self) -> Result<Vec<String>> {
        let table = said(self.apt("apt-cache").args(["madison", META]))?;
        // linux-image-cloud-amd64 | 6.12.1-1 | MIRROR SUITE/main amd64 Packages
        let column = table.lines().filter_map(|line| line.split('|').nth(1));
        Ok(column.map(|version| version.trim().to_owned()).collect())
    }

    /// Fetches the packages of a version into an empty directory.
    pub(super) fn fetch(&self, version: &str, into: &Path) -> Result<()> {
        let names = self.parts(version)?;
        let wanted = names.iter().map(|name| format!("{name}={version}"));
        let mut command = self.apt("apt-get");
        shell::run(command.args(["download", "-q=2"]).args(wanted).current_dir(into))
    }

    /// The packages that make up a version: those of the very same version that its meta package leads to. How many
    /// there are has changed over the years.
    fn parts(&self, version: &str) -> Result<BTreeSet<String>> {
        let mut known = BTreeSet::from([META.to_owned()]);
        let mut open = vec![META.to_owned()];
        while let Some(name) = open.pop() {
            let record = said(self.apt("apt-cache").args(["show", &format!("{name}={version}")]))?;
            for next in same_version(&record, version) {
                if known.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        known.remove(META);
        if known.is_empty() {
            bail!("{META} {version} leads to no kernel");
        }
        Ok(known)
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let home = self.home.display();
        let options = [
            format!("Dir::State={home}/state"),
            format!("Dir::Cache={home}/cache"),
            format!("Dir::Etc::SourceList={home}/sources.list"),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            // The archive's user may not write where we do; every package is checked against its list.
            "APT::Sandbox::User=root".to_owned(),
        ];
        command.args(options.iter().flat_map(|option| ["-o", option]));
        command.env("LC_ALL", "C");
        command
    }
}

/// Unpacks packages, without what they would run.
pub(super) fn unpack(packages: &Path, into: &Path) -> Result<()> {
    for entry in fs::read_dir(packages)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            shell::run(Command::new("dpkg-deb").arg("--extract").arg(path).arg(into))?;
        }
    }
    Ok(())
}

/// Packages that a record depends on in its own version.
fn same_version(record: &str, version: &str) -> Vec<String> {
    let depends = record.lines().filter_map(|line| line.strip_prefix("Depends: "));
    let each = depends.flat_map(|line| line.split([',', '|'])).filter_map(|one| one.trim().split_once(' '));
    let same = each.filter(|(_, which)| *which == format!("(= {version})"));
    same.map(|(name, _)| name.to_owned()).collect()
}

fn said(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| shell::line(command))?;
    if !output.status.success() {
        bail!("`{}`: {}", shell::line(command), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parts_of_the_same_version_belong_to_it() {
        let record =
            "Package: a\nDepends: linux-base (>= 4), linux-binary-7 (= 7.3-1), dracut | other (= 7.3-2)\n";
        assert_eq!(same_version(record, "7.3-1"), ["linux-binary-7"]);
    }
}
