//! What `/proc` says of a process that holds something. A label for people, no ground for a decision.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;

use enforcer_proto::v1;
use nix::unistd::{SysconfVar, sysconf};

/// Bytes of a file below `/proc/PID` that are read.
const READ_MAX: u64 = 4_096;
/// Processes that are looked at.
pub(super) const LOOKED_MAX: usize = 16_384;

/// Each with its control group's id.
pub(super) fn describe(processes: &BTreeMap<u32, u64>) -> BTreeMap<u32, v1::Process> {
    let looked = processes.iter().take(LOOKED_MAX);
    looked.map(|(pid, cgroup)| (*pid, describe_one(*pid, *cgroup))).collect()
}

fn describe_one(pid: u32, cgroup_id: u64) -> v1::Process {
    let mut process = v1::Process { pid, cgroup_id, ..v1::Process::default() };
    let Ok(directory) = fs::metadata(format!("/proc/{pid}")) else {
        process.gap = "gone before it was looked at".to_owned();
        return process;
    };
    process.uid = directory.uid();
    process.command = read(pid, "comm").trim_end().to_owned();
    process.executable = fs::read_link(format!("/proc/{pid}/exe"))
        .map(|path| path.to_string_lossy().into_owned())
        .unwrap_or_default();
    process.cgroup = cgroup_path(&read(pid, "cgroup")).unwrap_or_default().to_owned();
    process.start_boot_ns = start_ticks(&read(pid, "stat")).map(boot_ns).unwrap_or_default();
    process
}

fn read(pid: u32, file: &str) -> String {
    let mut bytes = Vec::new();
    let opened = fs::File::open(format!("/proc/{pid}/{file}"));
    let read = opened.and_then(|file| file.take(READ_MAX).read_to_end(&mut bytes));
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

/// Its path in cgroup2, whose hierarchy has number 0.
fn cgroup_path(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

/// Field 22 of `stat`, counted behind the command's name, which may hold anything.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_ascii_whitespace().nth(19)?.parse().ok()
}

fn boot_ns(ticks: u64) -> u64 {
    let second = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    let second = second.and_then(|ticks| u64::try_from(ticks).ok()).filter(|ticks| *ticks > 0).unwrap_or(100);
    ticks.saturating_mul(1_000_000_000 / second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_move_the_fields() {
        let stat = "4711 (a) b ) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 12345 20 21";
        assert_eq!(start_ticks(stat), Some(12_345));
        assert_eq!(start_ticks(""), None);
    }

    #[test]
    fn only_the_unified_hierarchy_counts() {
        assert_eq!(cgroup_path("4:cpu:/a\n0::/tenants/red\n"), Some("/tenants/red"));
        assert_eq!(cgroup_path("4:cpu:/a\n"), None);
    }

    #[test]
    fn this_process_is_described() {
        let pid = std::process::id();
        let described = describe(&[(pid, 7), (u32::MAX, 8)].into());
        assert!(described[&pid].gap.is_empty() && described[&pid].start_boot_ns > 0);
        assert!(described[&u32::MAX].gap.contains("gone"));
    }
}
