//! A directory whose files change all at once. `svid.pem` leads to `..data/svid.pem`, and `..data` to a generation;
//! one rename of `..data` is the whole change. Who resolves `..data` once and reads below it never sees the key
//! of one SVID and the certificate of another.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use super::files::{Files, NAMES};
use super::generation::{self, DIRECTORY_MODE};

const CURRENT: &str = "..data";
const NEXT: &str = "..data_tmp";
const GENERATION_PREFIX: &str = "..svid-";
/// Anybody else may write.
const FOREIGN_WRITE: u32 = 0o022;

/// A directory that is ours for as long as this lives.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Released when it is closed.
    _lock: File,
}

/// What a replacement came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The files are new.
    Written,
    /// The same files were there.
    Same,
}

/// Why a directory is not written to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirectoryError {
    /// The system said no; the files that were there are still there.
    #[error("cannot {action} {}: {error}", .path.display())]
    Io { action: &'static str, path: PathBuf, error: io::Error },
    /// Somebody else keeps things there.
    #[error(
        "{} holds {name:?}, which no enforcerctl wrote: name a directory that is empty or does not exist",
        .path.display()
    )]
    Foreign { path: PathBuf, name: OsString },
    /// Its owner could lead us anywhere.
    #[error("{} belongs to user {owner}, and we are user {we}: name a directory of our own", .path.display())]
    Owner { path: PathBuf, owner: u32, we: u32 },
    /// So could they.
    #[error("others may write to {}, its mode is {mode:o}: take that away", .path.display())]
    Mode { path: PathBuf, mode: u32 },
    /// Only a file is replaced by a file.
    #[error("{} is no file, but a link or something else: name a directory that nothing else keeps", .0.display())]
    NoFile(PathBuf),
    /// Two would remove each other's generations.
    #[error("another enforcerctl writes to {}", .0.display())]
    Busy(PathBuf),
}

impl Directory {
    /// Takes a directory that is empty, ours, or not there yet.
    pub(crate) fn open(path: &Path) -> Result<Self, DirectoryError> {
        let lock = claim(path)?;
        let directory = Self { path: path.to_owned(), _lock: lock };
        directory.check_entries()?;
        directory.close_to_others()?;
        Ok(directory)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// True when nothing can be read in it.
    pub(crate) fn is_empty(&self) -> Result<bool, DirectoryError> {
        self.current().map(|current| current.is_none())
    }

    /// Puts `files` in the place of what is there, all at once or not at all (W-3: replace, never merge).
    /// `stamp` names the generation.
    pub(crate) fn replace(&self, files: &Files, stamp: u64) -> Result<Change, DirectoryError> {
        let current = self.current()?;
        if let Some(current) = &current
            && generation::holds(&self.path.join(current), files).unwrap_or(false)
        {
            self.tidy(Some(current), files)?;
            return Ok(Change::Same);
        }
        self.sweep(current.as_deref())?;
        let name = format!("{GENERATION_PREFIX}{stamp}");
        let dir = self.path.join(&name);
        if let Err(error) = generation::write(&dir, files) {
            // A disk that is full has room again; what is left of it is swept by the next replacement.
            let _ = fs::remove_dir_all(&dir);
            return Err(io_error("write", &dir, error));
        }
        self.link(files)?;
        self.point_to(&name)?;
        self.tidy(Some(Path::new(&name)), files)?;
        Ok(Change::Written)
    }

    /// Takes everything away: at first, at once, out of the reach of whoever reads.
    pub(crate) fn clear(&self) -> Result<(), DirectoryError> {
        self.remove(CURRENT)?;
        self.sync()?;
        NAMES.iter().try_for_each(|name| self.remove(name))?;
        self.sweep(None)?;
        self.sync()
    }

    /// The name of the generation that is read now.
    fn current(&self) -> Result<Option<PathBuf>, DirectoryError> {
        match fs::read_link(self.path.join(CURRENT)) {
            Ok(name) => Ok(Some(name)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("read", &self.path.join(CURRENT), error)),
        }
    }

    /// Links lead nowhere until the generation is there, so that new files appear together.
    fn link(&self, files: &Files) -> Result<(), DirectoryError> {
        for name in files.names() {
            let link = self.path.join(name);
            match symlink(Path::new(CURRENT).join(name), &link) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(io_error("link", &link, error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        self.sync()
    }

    /// The change.
    fn point_to(&self, generation: &str) -> Result<(), DirectoryError> {
        let (next, current) = (self.path.join(NEXT), self.path.join(CURRENT));
        self.remove(NEXT)?;
        symlink(generation, &next).map_err(|error| io_error("link", &next, error))?;
        fs::rename(&next, &current).map_err(|error| io_error("replace", &current, error))?;
        self.sync()
    }

    /// Removes links that lead nowhere now, and generations that nobody is led to.
    fn tidy(&self, current: Option<&Path>, files: &Files) -> Result<(), DirectoryError> {
        let kept: Vec<&str> = files.names().collect();
        let gone = NAMES.iter().filter(|name| !kept.contains(*name));
        gone.copied().try_for_each(|name| self.remove(name))?;
        self.sweep(current)
    }

    fn sweep(&self, keep: Option<&Path>) -> Result<(), DirectoryError> {
        for name in self.entries()? {
            let is_kept = keep.is_some_and(|keep| keep.as_os_str() == name);
            if is_generation(&name) && !is_kept {
                let dir = self.path.join(&name);
                fs::remove_dir_all(&dir).map_err(|error| io_error("remove", &dir, error))?;
            }
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), DirectoryError> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &path, error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn sync(&self) -> Result<(), DirectoryError> {
        generation::sync(&self.path).map_err(|error| io_error("write", &self.path, error))
    }

    fn check_entries(&self) -> Result<(), DirectoryError> {
        match self.entries()?.into_iter().find(|name| !self.is_ours(name)) {
            Some(name) => Err(DirectoryError::Foreign { path: self.path.clone(), name }),
            None => Ok(()),
        }
    }

    fn close_to_others(&self) -> Result<(), DirectoryError> {
        let closed = fs::Permissions::from_mode(DIRECTORY_MODE);
        fs::set_permissions(&self.path, closed).map_err(|error| io_error("close", &self.path, error))
    }

    fn entries(&self) -> Result<Vec<OsString>, DirectoryError> {
        let entries = fs::read_dir(&self.path).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>()
        });
        entries.map_err(|error| io_error("read", &self.path, error))
    }

    /// A generation, or one of our links, leading where ours do.
    fn is_ours(&self, name: &OsString) -> bool {
        let leads_to = fs::read_link(self.path.join(name)).ok();
        match leads_to {
            None => is_generation(name) && self.path.join(name).is_dir(),
            Some(to) if *name == *CURRENT || *name == *NEXT => is_generation(to.as_os_str()),
            Some(to) => NAMES.iter().any(|known| *name == **known) && to == Path::new(CURRENT).join(name),
        }
    }
}

/// Opens a directory that nobody else may write to, or makes it, and keeps every other `enforcerctl` out of it until
/// what it returns is closed.
pub(crate) fn claim(path: &Path) -> Result<File, DirectoryError> {
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(io_error("create the directory", path, error));
        }
        Ok(()) | Err(_) => {}
    }
    let lock = File::open(path).map_err(|error| io_error("open", path, error))?;
    check_owner(path, &lock)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(DirectoryError::Busy(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(io_error("lock", path, error)),
    }
}

fn is_generation(name: &std::ffi::OsStr) -> bool {
    let stamp = name.to_str().and_then(|name| name.strip_prefix(GENERATION_PREFIX));
    stamp.is_some_and(|stamp| !stamp.is_empty() && stamp.bytes().all(|byte| byte.is_ascii_digit()))
}

fn check_owner(path: &Path, dir: &File) -> Result<(), DirectoryError> {
    let metadata = dir.metadata().map_err(|error| io_error("open", path, error))?;
    let (owner, we, mode) = (metadata.uid(), Uid::effective().as_raw(), metadata.mode() & 0o7777);
    if owner != we {
        return Err(DirectoryError::Owner { path: path.to_owned(), owner, we });
    }
    match mode & FOREIGN_WRITE {
        0 => Ok(()),
        _ => Err(DirectoryError::Mode { path: path.to_owned(), mode }),
    }
}

fn io_error(action: &'static str, path: &Path, error: io::Error) -> DirectoryError {
    DirectoryError::Io { action, path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svid::update::Update;
    use crate::tests::material::{Authority, now};

    fn files() -> Files {
        Files::of(&Update::parse(Authority::new("red.fleet.example").response("/a"), &now()).unwrap())
    }

    fn key(dir: &Path) -> String {
        fs::read_to_string(dir.join("svid_key.pem")).unwrap()
    }

    #[test]
    fn a_directory_of_somebody_elses_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        for (name, make) in [
            ("notes.txt", (|path| fs::write(path, "")) as fn(PathBuf) -> io::Result<()>),
            ("svid.pem", |path| fs::write(path, "")),
            ("..data", |path| symlink("/etc", path)),
            ("svid_key.pem", |path| symlink("/etc/shadow", path)),
            ("..svid-1", |path| symlink("/etc", path)),
            ("..svid-x", |path| fs::create_dir(path)),
            ("federated", |path| fs::create_dir(path)),
        ] {
            let path = dir.path().join("d");
            fs::create_dir(&path).unwrap();
            make(path.join(name)).unwrap();
            let error = Directory::open(&path).unwrap_err();
            assert!(matches!(error, DirectoryError::Foreign { .. }), "{name}: {error}");
            fs::remove_dir_all(&path).unwrap();
        }
    }

    #[test]
    fn who_could_lead_us_astray_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(Directory::open(dir.path()), Err(DirectoryError::Mode { mode: 0o770, .. })));
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(Directory::open(&file), Err(DirectoryError::Io { .. })));
        assert!(matches!(Directory::open(Path::new("/proc/self/none/here")), Err(DirectoryError::Io { .. })));
    }

    #[test]
    fn an_empty_directory_of_ours_is_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Directory::open(dir.path()).unwrap();
        assert_eq!(fs::metadata(dir.path()).unwrap().mode() & 0o7777, 0o700);
    }

    #[test]
    fn a_directory_has_one_writer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let first = Directory::open(&path).unwrap();
        assert!(matches!(Directory::open(&path), Err(DirectoryError::Busy(_))));
        drop(first);
        Directory::open(&path).unwrap();
    }

    #[test]
    fn what_a_crash_left_is_swept_and_what_was_good_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let (first, second) = (files(), files());
        Directory::open(&path).unwrap().replace(&first, 1).unwrap();
        // A crash while the second generation was written.
        generation::write(&path.join("..svid-2"), &second).unwrap();
        symlink("..svid-2", path.join(NEXT)).unwrap();
        assert_eq!(key(&path), *first.top["svid_key.pem"]);
        let directory = Directory::open(&path).unwrap();
        assert_eq!(directory.replace(&second, 3).unwrap(), Change::Written);
        assert_eq!(key(&path), *second.top["svid_key.pem"]);
        assert_eq!(directory.replace(&second, 4).unwrap(), Change::Same);
        let generations = directory.entries().unwrap().into_iter().filter(|name| is_generation(name));
        assert_eq!(generations.collect::<Vec<_>>(), ["..svid-3"]);
    }

    #[test]
    fn a_replacement_that_fails_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let directory = Directory::open(&path).unwrap();
        let (good, mut bad) = (files(), files());
        directory.replace(&good, 1).unwrap();
        // Longer than any file system takes: 255 bytes of a trust domain and an ending.
        bad.federated.insert(format!("{}.pem", "a".repeat(255)), zeroize::Zeroizing::new("x".to_owned()));
        assert!(matches!(directory.replace(&bad, 2), Err(DirectoryError::Io { action: "write", .. })));
        assert_eq!(key(&path), *good.top["svid_key.pem"]);
        assert!(!path.join("..svid-2").exists() && !path.join("federated").exists());
    }

    #[test]
    fn files_that_were_changed_by_hand_are_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let (directory, files) = (Directory::open(&path).unwrap(), files());
        directory.replace(&files, 1).unwrap();
        fs::write(path.join("bundle.pem"), "longer than nothing").unwrap();
        assert_eq!(directory.replace(&files, 2).unwrap(), Change::Written);
        directory.clear().unwrap();
        assert!(directory.is_empty().unwrap() && directory.entries().unwrap().is_empty());
    }

    /// Who resolves `..data` once never sees two generations.
    #[test]
    fn a_reader_never_sees_the_key_of_one_and_the_certificate_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let generations: Vec<Files> = (0..4).map(|_| files()).collect();
        let directory = Directory::open(&path).unwrap();
        directory.replace(&generations[0], 0).unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        let whole = std::thread::scope(|scope| {
            let reader = scope.spawn(|| read_until(&path, &generations, &done));
            for stamp in 1..200 {
                directory.replace(&generations[stamp % 4], stamp as u64).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            reader.join().unwrap()
        });
        assert!(whole > 0);
    }

    /// How often both files were read; a generation that was removed in between is tried again.
    fn read_until(path: &Path, generations: &[Files], done: &std::sync::atomic::AtomicBool) -> usize {
        let mut whole = 0;
        while whole == 0 || !done.load(std::sync::atomic::Ordering::Relaxed) {
            let now = path.join(fs::read_link(path.join(CURRENT)).unwrap());
            let read = |name: &str| fs::read_to_string(now.join(name));
            if let (Ok(svid), Ok(key)) = (read("svid.pem"), read("svid_key.pem")) {
                let of_one =
                    |files: &Files| *files.top["svid.pem"] == svid && *files.top["svid_key.pem"] == key;
                assert!(generations.iter().any(of_one));
                whole += 1;
            }
        }
        whole
    }
}
