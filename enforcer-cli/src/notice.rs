//! Telling a process that its files are new, by a signal to whoever a file names. A file can only lead a signal to
//! a process of the file's own owner.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use nix::sys::signal::Signal;

use crate::pidfd::PidFd;

/// More than any number has.
const MAX_PID_FILE_BYTES: u64 = 64;
/// Anybody else may write.
const FOREIGN_WRITE: u32 = 0o022;

/// Whom to tell, and how.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    /// Holds the number of the process.
    pub(crate) pid_file: PathBuf,
    /// Says it.
    pub(crate) signal: Signal,
}

/// Why nobody was told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoticeError {
    /// No file yet, or one that is not for us.
    #[error("cannot read {}: {error}", .path.display())]
    File { path: PathBuf, error: io::Error },
    /// Anybody could choose the process.
    #[error("others may write to {}, its mode is {mode:o}: take that away", .path.display())]
    Mode { path: PathBuf, mode: u32 },
    /// Not the number of a process: 0 and 1 are none that may be told.
    #[error("{} holds {text:?}, and not the number of a process", .path.display())]
    Number { path: PathBuf, text: String },
    /// The file is old, or we may not.
    #[error("cannot tell process {pid}: {error}")]
    Process { pid: libc::pid_t, error: io::Error },
    /// The number was given to a process of somebody else, or the file lies.
    #[error("process {pid} belongs to user {process}, and the file that names it to user {file}")]
    Owner { pid: libc::pid_t, process: u32, file: u32 },
}

/// A signal by its name, with or without SIG.
pub(crate) fn parse_signal(name: &str) -> Result<Signal, String> {
    let name = name.to_ascii_uppercase();
    let long = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    match Signal::from_str(&long) {
        Ok(Signal::SIGKILL | Signal::SIGSTOP) => Err("that one cannot be listened to".to_owned()),
        Ok(signal) => Ok(signal),
        Err(_) => Err("no such signal: write HUP or USR1".to_owned()),
    }
}

impl Notice {
    /// Sends the signal.
    pub(crate) fn tell(&self) -> Result<(), NoticeError> {
        let (pid, owner) = self.named()?;
        let failed = |error| NoticeError::Process { pid, error };
        let process = PidFd::open(pid).map_err(failed)?;
        let user = fs::metadata(format!("/proc/{pid}")).map_err(failed)?.uid();
        // It is still there, so its number was its own when its owner was looked up.
        process.send(None).map_err(failed)?;
        check_owner(pid, user, owner)?;
        process.send(Some(self.signal)).map_err(failed)
    }

    /// The number that the file holds, and the file's owner.
    fn named(&self) -> Result<(libc::pid_t, u32), NoticeError> {
        let path = || self.pid_file.clone();
        let (text, metadata) =
            read(&self.pid_file).map_err(|error| NoticeError::File { path: path(), error })?;
        let mode = metadata.mode() & 0o7777;
        if mode & FOREIGN_WRITE != 0 {
            return Err(NoticeError::Mode { path: path(), mode });
        }
        match text.trim().parse() {
            Ok(pid) if pid > 1 => Ok((pid, metadata.uid())),
            Ok(_) | Err(_) => Err(NoticeError::Number { path: path(), text }),
        }
    }
}

/// Root's file may name anybody's process: most services give root up after they wrote it.
fn check_owner(pid: libc::pid_t, process: libc::uid_t, file: libc::uid_t) -> Result<(), NoticeError> {
    if file == 0 || file == process { Ok(()) } else { Err(NoticeError::Owner { pid, process, file }) }
}

fn read(path: &Path) -> io::Result<(String, fs::Metadata)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut text = String::new();
    file.take(MAX_PID_FILE_BYTES).read_to_string(&mut text)?;
    Ok((text, metadata))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::sleeper::Sleeper;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    fn notice(dir: &tempfile::TempDir, text: &str) -> Notice {
        let pid_file = dir.path().join("pid");
        fs::write(&pid_file, text).unwrap();
        fs::set_permissions(&pid_file, Permissions::from_mode(0o644)).unwrap();
        Notice { pid_file, signal: Signal::SIGUSR1 }
    }

    #[test]
    fn the_process_that_the_file_names_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut sleeper = Sleeper::start();
        let notice = notice(&dir, &format!("{}\n", sleeper.pid()));
        fs::set_permissions(&notice.pid_file, Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(notice.tell(), Err(NoticeError::Mode { mode: 0o666, .. })));
        fs::set_permissions(&notice.pid_file, Permissions::from_mode(0o644)).unwrap();
        notice.tell().unwrap();
        assert_eq!(sleeper.ended_by(), Some(libc::SIGUSR1));
        assert!(matches!(notice.tell(), Err(NoticeError::Process { .. })));
    }

    #[test]
    fn a_file_that_names_no_process_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "1", "0", "-5", "web", "99999999999", "12 13"] {
            assert!(matches!(notice(&dir, text).tell(), Err(NoticeError::Number { .. })), "{text:?}");
        }
        let missing = Notice { pid_file: dir.path().join("none"), signal: Signal::SIGHUP };
        assert!(matches!(missing.tell(), Err(NoticeError::File { .. })));
    }

    #[test]
    fn a_file_leads_to_a_process_of_its_owner_unless_it_is_roots() {
        assert!(check_owner(7, 1000, 1000).is_ok());
        assert!(check_owner(7, 33, 0).is_ok());
        assert!(matches!(
            check_owner(7, 0, 1000),
            Err(NoticeError::Owner { pid: 7, process: 0, file: 1000 })
        ));
    }

    #[test]
    fn signals_have_names() {
        assert_eq!(parse_signal("HUP"), Ok(Signal::SIGHUP));
        assert_eq!(parse_signal("sigusr2"), Ok(Signal::SIGUSR2));
        assert!(parse_signal("KILL").is_err() && parse_signal("9").is_err() && parse_signal("").is_err());
    }
}
