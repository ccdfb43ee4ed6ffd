//! What `/proc` says of a process. It goes by number, so whoever asks makes sure, before and after, that the
//! number still is that process's.

use std::io::{self, Read as _};

use nix::time::{ClockId, clock_gettime};

/// Bytes of one of these files; the longest is a path of a control group.
const FILE_MAX_BYTES: u64 = 16 << 10;
/// Fields of `stat` after the name of the program, from proc_pid_stat(5), where the state is number 3.
const STARTED_FIELD: usize = 22 - 3;

/// Two things that `/proc/PID/stat` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// `R`, `S`, `Z` and so on, of the main thread.
    pub(super) state: char,
    /// When it started, in clock ticks since boot.
    pub(super) started: u64,
}

/// Reads `/proc/PID/stat`.
pub(super) fn stat(pid: i32) -> io::Result<Stat> {
    parse_stat(&read(&format!("/proc/{pid}/stat"))?).ok_or_else(|| wrong("/proc/PID/stat"))
}

/// The path of the process's control group in the cgroup2 hierarchy.
pub(super) fn group_path(pid: i32) -> io::Result<String> {
    parse_group(&read(&format!("/proc/{pid}/cgroup"))?).ok_or_else(|| wrong("/proc/PID/cgroup"))
}

/// The number of the process that a descriptor is of; `None` when it has ended, or is of another namespace.
pub(super) fn pid_of(pidfd: i32) -> io::Result<Option<i32>> {
    let pid = parse_pid(&read(&format!("/proc/self/fdinfo/{pidfd}"))?);
    Ok(pid.filter(|pid| *pid > 0))
}

/// Now, in clock ticks since boot: what [`Stat::started`] can be compared with.
pub(super) fn ticks_since_boot() -> io::Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME)?;
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.unwrap_or(100);
    let part = i128::from(now.tv_nsec()) * i128::from(ticks) / 1_000_000_000;
    let whole = i128::from(now.tv_sec()) * i128::from(ticks);
    u64::try_from(whole + part).map_err(io::Error::other)
}

fn read(path: &str) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} is not as it should be"))
}

/// The name of the program is the caller's to choose, with spaces and brackets: only what follows the last
/// bracket counts.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some(Stat { state, started: fields.nth(STARTED_FIELD - 1)?.parse().ok()? })
}

fn parse_group(text: &str) -> Option<String> {
    text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

fn parse_pid(text: &str) -> Option<i32> {
    text.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_name_cannot_pass_for_other_fields() {
        let text = "7 (a) R 1) S 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4242 9 9";
        assert_eq!(parse_stat(text), Some(Stat { state: 'S', started: 4242 }));
        assert_eq!(parse_stat("7 (a) S 1"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn only_the_unified_hierarchy_counts() {
        assert_eq!(parse_group("4:memory:/a\n0::/b/c\n"), Some("/b/c".to_owned()));
        assert_eq!(parse_group("4:memory:/a\n"), None);
    }

    #[test]
    fn a_process_that_ended_has_no_number() {
        assert_eq!(parse_pid("pos:\t0\nPid:\t-1\n"), Some(-1));
        assert_eq!(parse_pid("pos:\t0\n"), None);
    }

    #[test]
    fn this_process_started_before_now() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(stat(pid).unwrap().started <= ticks_since_boot().unwrap());
    }
}
