//! Verbs on control groups, for every room that contains workloads: find, populated, processes, freeze, thaw, kill. A group
//! can be acted upon only as a [`Group`], and that is only had of one that lies in a group which the caller names.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Directories that are walked over to find groups, at most.
const WALK_MAX: usize = 262_144;
/// Processes of one group and everything below it, at most.
const PROCESSES_MAX: usize = 262_144;
/// How often it is looked whether a group has come to rest.
const POLL: Duration = Duration::from_millis(2);

/// What became of a verb.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// Nobody said that it may be touched.
    #[error("control group {0} lies in no group that may be touched")]
    Foreign(String),
    /// More groups than anybody walks over.
    #[error("more than {WALK_MAX} control groups below {0}")]
    TooMany(PathBuf),
    /// More processes than are looked at.
    #[error("control group {0} has more than {PROCESSES_MAX} processes")]
    Crowded(PathBuf),
    /// The kernel has no such verb.
    #[error("this kernel has no {0}")]
    Absent(&'static str),
    /// It was asked, and did not happen in time.
    #[error("control group {group}: not {what} within {after:?}")]
    Late {
        /// Which.
        group: PathBuf,
        /// What it should have become.
        what: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// A file could not be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// How it failed.
        error: io::Error,
    },
}

/// The hierarchy below the configured root.
#[derive(Clone, Debug)]
pub struct Groups {
    root: PathBuf,
}

impl Groups {
    /// Below `root`, which is a directory of cgroup2.
    #[must_use]
    pub const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where the groups of these ids are; one that is gone is not among them. The root itself is never found: it is
    /// nobody's.
    ///
    /// # Errors
    /// The hierarchy cannot be read, or is larger than anybody walks over.
    pub fn find(&self, ids: &BTreeSet<u64>) -> Result<Vec<Found>, GroupError> {
        let mut found = Vec::new();
        // With the groups it lies in, from the outside in, the root left out.
        let mut waiting: Vec<(PathBuf, Vec<u64>)> = vec![(self.root.clone(), Vec::new())];
        let mut walked = 0_usize;
        while let Some((path, lineage)) = waiting.pop() {
            if found.len() == ids.len() {
                break;
            }
            for (child, id) in children(&path)? {
                walked = walked.saturating_add(1);
                if walked > WALK_MAX {
                    return Err(GroupError::TooMany(self.root.clone()));
                }
                let mut lineage = lineage.clone();
                lineage.push(id);
                if ids.contains(&id) {
                    found.push(Found { id, path: child.clone(), lineage: lineage.clone() });
                }
                waiting.push((child, lineage));
            }
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }

    /// A new group directly below the root, for a canary: removed when it is dropped.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn canary(&self, name: &str) -> Result<Canary, GroupError> {
        let path = self.root.join(name);
        fs::create_dir(&path).map_err(|error| GroupError::File { path: path.clone(), error })?;
        Ok(Canary(Group { path }))
    }
}

/// A group that is there. To look at it is free; to touch it, see [`Found::claim`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub id: u64,
    path: PathBuf,
    lineage: Vec<u64>,
}

impl Found {
    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The ids of the groups that it lies in and of itself, from the outside in.
    #[must_use]
    pub fn lineage(&self) -> &[u64] {
        &self.lineage
    }

    /// Whether it, or a group below it, has processes. One that is gone has none.
    ///
    /// # Errors
    /// The kernel would not say.
    pub fn is_populated(&self) -> Result<bool, GroupError> {
        event(&self.path, "populated")
    }

    /// The group as something that may be acted upon: it is one of these, or lies in one.
    ///
    /// # Errors
    /// It does not.
    pub fn claim(&self, allowed: &BTreeSet<u64>) -> Result<Group, GroupError> {
        if self.lineage.iter().any(|id| allowed.contains(id)) {
            return Ok(Group { path: self.path.clone() });
        }
        Err(GroupError::Foreign(self.path.display().to_string()))
    }
}

/// A group that may be acted upon.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    path: PathBuf,
}

impl Group {
    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it, or a group below it, has processes. One that is gone has none.
    ///
    /// # Errors
    /// The kernel would not say.
    pub fn is_populated(&self) -> Result<bool, GroupError> {
        event(&self.path, "populated")
    }

    /// The processes of it and of every group below it.
    ///
    /// # Errors
    /// The kernel would not say, or they are too many.
    pub fn processes(&self) -> Result<BTreeSet<u32>, GroupError> {
        let mut processes = BTreeSet::new();
        let mut waiting = vec![self.path.clone()];
        while let Some(path) = waiting.pop() {
            let listed = match read(&path, "cgroup.procs") {
                // A group of threads: the processes are in the group that it belongs to.
                Err(GroupError::File { error, .. }) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => None,
                listed => listed?,
            };
            let numbers =
                listed.iter().flat_map(|text| text.lines()).filter_map(|line| line.parse::<u32>().ok());
            // 0 is a process of another PID namespace: one that we could not name.
            processes.extend(numbers.filter(|number| *number != 0));
            if processes.len() > PROCESSES_MAX {
                return Err(GroupError::Crowded(self.path.clone()));
            }
            waiting.extend(children(&path)?.into_iter().map(|(child, _)| child));
        }
        Ok(processes)
    }

    /// Stops every process of it, and returns when the kernel says that all of them stand still. A group that is gone
    /// stands still.
    ///
    /// # Errors
    /// The kernel has no freezer for it, or they do not all stand still in time; then some may.
    pub fn freeze(&self, within: Duration) -> Result<(), GroupError> {
        if !self.write("cgroup.freeze", "1")? {
            return Ok(());
        }
        self.until("frozen", within, || Ok(event(&self.path, "frozen")? || !self.path.exists()))
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// As [`Self::freeze`].
    pub fn thaw(&self, within: Duration) -> Result<(), GroupError> {
        if !self.write("cgroup.freeze", "0")? {
            return Ok(());
        }
        self.until("thawed", within, || Ok(!event(&self.path, "frozen")?))
    }

    /// Ends every process of it and below it, and returns when the kernel says that nobody is left.
    ///
    /// # Errors
    /// Somebody is left when the time is over: one that waits for a driver, which no signal ends.
    pub fn kill(&self, within: Duration) -> Result<(), GroupError> {
        match self.write("cgroup.kill", "1") {
            Ok(false) => Ok(()),
            Ok(true) => self.until("empty", within, || Ok(!self.is_populated()?)),
            // Before Linux 5.14.
            Err(GroupError::Absent(_)) => self.kill_each(within),
            Err(error) => Err(error),
        }
    }

    /// One after the other, again and again, until no new ones appear: in a frozen group nobody forks, and a number is
    /// nobody else's.
    fn kill_each(&self, within: Duration) -> Result<(), GroupError> {
        let _without_it_they_may_fork = self.freeze(within);
        let ended = self.until("empty", within, || {
            for process in self.processes()? {
                if let Ok(process) = i32::try_from(process) {
                    let _gone_already = kill(Pid::from_raw(process), Signal::SIGKILL);
                }
            }
            Ok(!self.is_populated()?)
        });
        let _gone_already = self.write("cgroup.freeze", "0");
        ended
    }

    fn until(
        &self,
        what: &'static str,
        within: Duration,
        is_so: impl Fn() -> Result<bool, GroupError>,
    ) -> Result<(), GroupError> {
        let begun = Instant::now();
        loop {
            if is_so()? {
                return Ok(());
            }
            if begun.elapsed() >= within {
                return Err(GroupError::Late { group: self.path.clone(), what, after: within });
            }
            sleep(POLL);
        }
    }

    /// False: the group is gone.
    fn write(&self, file: &'static str, word: &str) -> Result<bool, GroupError> {
        let path = self.path.join(file);
        let written = fs::OpenOptions::new().write(true).open(&path);
        let written = written.and_then(|mut file| io::Write::write_all(&mut file, word.as_bytes()));
        match written {
            Ok(()) => Ok(true),
            Err(error) if is_gone(&error) && !self.path.exists() => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(GroupError::Absent(file)),
            Err(error) => Err(GroupError::File { path, error }),
        }
    }
}

/// A group of our own. Dropping it ends who is in it, and removes it.
#[derive(Debug)]
pub struct Canary(Group);

impl Canary {
    /// It, to act upon.
    #[must_use]
    pub const fn group(&self) -> &Group {
        &self.0
    }

    /// Puts a process of our own into it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn admit(&self, process: u32) -> Result<(), GroupError> {
        let path = self.0.path.join("cgroup.procs");
        fs::write(&path, process.to_string()).map_err(|error| GroupError::File { path, error })
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        const END: Duration = Duration::from_secs(2);
        let _left = self.0.kill(END);
        let begun = Instant::now();
        // What was just killed may still be seen for a moment.
        while fs::remove_dir(&self.0.path).is_err() && self.0.path.exists() && begun.elapsed() < END {
            sleep(POLL);
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

/// A file of a group; `None` when the group is gone.
fn read(group: &Path, file: &str) -> Result<Option<String>, GroupError> {
    let path = group.join(file);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_gone(&error) && !group.exists() => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(GroupError::File { path, error }),
    }
}

/// A word of `cgroup.events`; of a group that is gone, none is so.
fn event(group: &Path, word: &str) -> Result<bool, GroupError> {
    let Some(text) = read(group, "cgroup.events")? else { return Ok(false) };
    let value = text.lines().filter_map(|line| line.split_once(' ')).find(|(name, _)| *name == word);
    match value {
        Some((_, value)) => Ok(value.trim() == "1"),
        None => Err(GroupError::Absent("such word in cgroup.events")),
    }
}

/// Groups directly below one, with their ids; none of one that is gone.
fn children(group: &Path) -> Result<Vec<(PathBuf, u64)>, GroupError> {
    let failed = |error| GroupError::File { path: group.to_owned(), error };
    let entries = match fs::read_dir(group) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut children = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        match fs::symlink_metadata(entry.path()) {
            // The inode number of a cgroup2 directory is the group's id on 64-bit machines (kernfs, since Linux 5.5).
            Ok(data) => children.push((entry.path(), data.ino())),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(children)
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
