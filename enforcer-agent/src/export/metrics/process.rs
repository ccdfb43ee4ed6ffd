//! The agent as a process, under the names that every client library has for it.

use std::fs;
use std::time::{Duration, SystemTime};

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{SysconfVar, sysconf};

use super::Family;

/// What the kernel says of this process; what it does not say is left out.
pub(super) fn families(started: SystemTime) -> Vec<Family> {
    let mut families = Vec::new();
    if let Some([utime, stime, threads, virtual_bytes, resident_pages]) = stat() {
        let unit = |what| sysconf(what).ok().flatten().and_then(|value| u64::try_from(value).ok());
        if let Some(ticks) = unit(SysconfVar::CLK_TCK).filter(|ticks| *ticks > 0) {
            let help = "Seconds of processors that the agent took.";
            families
                .push(Family::counter("process_cpu_seconds", help).with_real(seconds(utime + stime, ticks)));
        }
        let help = "Memory that the agent holds.";
        let resident = unit(SysconfVar::PAGE_SIZE).map(|page| resident_pages.saturating_mul(page));
        families.extend(resident.map(|bytes| gauge("process_resident_memory_bytes", help, bytes)));
        families.push(gauge("process_virtual_memory_bytes", "Addresses that the agent has.", virtual_bytes));
        families.push(gauge("process_threads", "Threads of the agent.", threads));
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        let open = u64::try_from(open.count()).unwrap_or(u64::MAX);
        families.push(gauge("process_open_fds", "Descriptors that are open.", open));
    }
    if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        families.push(gauge("process_max_fds", "Descriptors that may be open.", soft));
    }
    let since = started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let help = "When the agent started, in seconds since the Unix epoch.";
    families.push(Family::gauge("process_start_time_seconds", help).with_real(since.as_secs_f64()));
    families
}

fn gauge(name: &'static str, help: &'static str, value: u64) -> Family {
    Family::gauge(name, help).with(&[], value)
}

/// User and system time in ticks, threads, bytes of addresses, pages of memory: fields 14, 15, 20, 23 and 24 of
/// proc_pid_stat(5), counted behind the name, which may hold anything.
fn stat() -> Option<[u64; 5]> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse().ok();
    Some([field(14)?, field(15)?, field(20)?, field(23)?, field(24)?])
}

fn seconds(ticks: u64, in_a_second: u64) -> f64 {
    let nanoseconds = (ticks % in_a_second).saturating_mul(1_000_000_000) / in_a_second;
    Duration::new(ticks / in_a_second, u32::try_from(nanoseconds).unwrap_or_default()).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_seconds() {
        assert_eq!([seconds(250, 100), seconds(0, 100), seconds(7, 1)], [2.5, 0.0, 7.0]);
    }

    #[test]
    fn the_process_is_seen() {
        let families = families(SystemTime::now());
        let names: Vec<_> = families.iter().map(|family| family.name.as_ref()).collect();
        assert_eq!(names.len(), 7, "{names:?}");
        assert!(families.iter().all(|family| family.samples.len() == 1));
    }
}
