//! One job: started, waited for, and everything it left running ended.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use enforcer_vm::{End, Job};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, setsid};

const POLL: Duration = Duration::from_millis(5);
const EVERYBODY: Pid = Pid::from_raw(-1);

/// Runs a job to its end or to its limit. Nothing of it runs afterwards.
///
/// # Errors
/// It could not be started.
pub(crate) fn run(job: &Job) -> Result<(End, Duration)> {
    let began = Instant::now();
    let pid = start(job)?;
    let end = wait(pid, began + job.limit())?;
    end_everybody()?;
    Ok((end, began.elapsed()))
}

fn start(job: &Job) -> Result<Pid> {
    let (program, arguments) = job.argv.split_first().context("no program is named")?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&job.environment).current_dir("/");
    let interactive = job.interactive;
    if !interactive {
        command.stdin(Stdio::null());
    }
    // SAFETY: two system calls between fork and exec, which allocate nothing and take no lock.
    unsafe {
        command.pre_exec(move || {
            setsid()?;
            if interactive {
                own_terminal()?;
            }
            Ok(())
        });
    }
    let child = command.spawn().with_context(|| program.clone())?;
    Ok(Pid::from_raw(i32::try_from(child.id())?))
}

/// Makes standard input the terminal of our session, so that a key can interrupt what runs.
fn own_terminal() -> std::io::Result<()> {
    // SAFETY: the request takes a number and touches no memory of ours.
    match unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Waits for a process, and buries every orphan meanwhile, as is a first process's duty.
fn wait(pid: Pid, deadline: Instant) -> Result<End> {
    loop {
        match waitpid(EVERYBODY, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(ended, code)) if ended == pid => return Ok(End::Code(code)),
            Ok(WaitStatus::Signaled(ended, signal, _)) if ended == pid => {
                return Ok(End::Signal(signal.as_str().to_owned()));
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => std::thread::sleep(POLL),
            Ok(_) => {}
            Err(errno) => return Err(errno).context("wait"),
        }
        if Instant::now() >= deadline {
            return Ok(End::TimeOver);
        }
    }
}

fn end_everybody() -> Result<()> {
    match kill(EVERYBODY, Signal::SIGKILL) {
        // Nobody but us.
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => return Err(errno).context("end what the job left running"),
    }
    loop {
        match waitpid(EVERYBODY, None) {
            Err(Errno::ECHILD) => return Ok(()),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("wait for what the job left running"),
        }
    }
}
