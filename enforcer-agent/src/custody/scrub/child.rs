//! A scrubber's process: a cleared environment, a process group and a control group of its own, bounded time, bounded
//! output. Whoever lets go of it ends it with everything that it has started.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use super::ScrubError;

/// Bytes of output that are listened to, of each stream.
const OUTPUT_MAX: usize = 64 << 10;
/// Characters of the last words that are told.
const TAIL_MAX: usize = 256;
/// All that is in the environment: where programs are.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs a program to its end; answers with what it printed.
pub(super) async fn run(
    argv: &[String],
    group: Option<&Path>,
    limit: Duration,
) -> Result<String, ScrubError> {
    let (program, arguments) =
        argv.split_first().ok_or_else(|| ScrubError::Report("no program is named".to_owned()))?;
    let group = group.map(Group::make).transpose().map_err(ScrubError::io("its control group"))?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", PATH).current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    if let Some(group) = &group {
        let procs = group.procs.as_raw_fd();
        // SAFETY: between fork and exec the child makes one system call, on a descriptor that stays open until then; it
        // allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(move || match libc::write(procs, b"0".as_ptr().cast(), 1) {
                1 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
    }
    let mut child = command.spawn().map_err(ScrubError::io(program.clone()))?;
    let ending = Ending { leader: child.id().and_then(|id| i32::try_from(id).ok()), group };
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let talk = async {
        let (out, err) = tokio::try_join!(listen(out), listen(err))?;
        let status = child.wait().await.map_err(ScrubError::io("wait for it"))?;
        Ok::<_, ScrubError>((status, out, err))
    };
    let ended = timeout(limit, talk).await;
    drop(ending);
    let (status, out, err) = ended.map_err(|_| ScrubError::Timeout(limit.as_secs()))??;
    if status.success() {
        return Ok(out);
    }
    let said = if err.trim().is_empty() { &out } else { &err };
    let tail: Vec<char> = said.trim().chars().rev().take(TAIL_MAX).collect();
    let tail = tail.into_iter().rev().filter(|c| !c.is_control()).collect();
    Err(ScrubError::Status { status: status.to_string(), tail })
}

async fn listen(stream: Option<impl AsyncRead + Unpin>) -> Result<String, ScrubError> {
    let Some(stream) = stream else { return Ok(String::new()) };
    let mut bytes = Vec::new();
    let most = u64::try_from(OUTPUT_MAX + 1).unwrap_or(u64::MAX);
    stream.take(most).read_to_end(&mut bytes).await.map_err(ScrubError::io("listen to it"))?;
    if bytes.len() > OUTPUT_MAX {
        return Err(ScrubError::Flood(OUTPUT_MAX));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A control group of its own, so that nothing that it starts gets away.
struct Group {
    path: PathBuf,
    procs: File,
}

impl Group {
    fn make(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let procs = OpenOptions::new().write(true).open(path.join("cgroup.procs"))?;
        Ok(Self { path: path.to_owned(), procs })
    }
}

/// Ends everything when it is dropped.
struct Ending {
    leader: Option<i32>,
    group: Option<Group>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            let _none_is_left = killpg(Pid::from_raw(leader), Signal::SIGKILL);
        }
        if let Some(group) = &self.group {
            let _none_is_left = std::fs::write(group.path.join("cgroup.kill"), "1");
            // Busy while the last one ends: the next scrub finds it, and uses it.
            let _stays = std::fs::remove_dir(&group.path);
        }
    }
}
