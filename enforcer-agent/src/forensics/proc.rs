//! What `/proc` says of a process: for those that began before the agent, and those whose beginning was lost.

use std::fs;
use std::sync::Arc;

use enforcer_core::process::{Image, Program, Seen, TICK_NS};

/// From a control group's path, as `/proc/PID/cgroup` has it, to its id.
pub type GroupLookup = Arc<dyn Fn(&str) -> Option<u64> + Send + Sync>;

/// Bytes of arguments that are read.
const ARGUMENTS_MAX: usize = 4_096;

/// A process as it is now; `None` when it is gone, or a thread of the kernel.
pub(super) fn look(pid: u32, groups: &GroupLookup) -> Option<Seen> {
    let at = |name: &str| format!("/proc/{pid}/{name}");
    let stat = fs::read_to_string(at("stat")).ok()?;
    let executable = fs::read_link(at("exe")).ok();
    let (parent, start_ns) = parse_stat(&stat)?;
    let mut arguments = fs::read(at("cmdline")).unwrap_or_default();
    arguments.truncate(ARGUMENTS_MAX);
    let path = executable.as_deref().map(|path| path.as_os_str().as_encoded_bytes()).unwrap_or_default();
    // Its memory was freed, or it never had any.
    if path.is_empty() && arguments.is_empty() {
        return None;
    }
    let status = fs::read_to_string(at("status")).unwrap_or_default();
    let group = fs::read_to_string(at("cgroup")).unwrap_or_default();
    let cgroup = group.lines().find_map(|line| line.strip_prefix("0::")).and_then(|path| groups(path));
    let image = Image {
        since_ns: start_ns,
        program: Arc::new(Program::new(path, &arguments)),
        cgroup: cgroup.unwrap_or(0),
        uid: uid_of(&status),
        command: command_of(&stat),
        ..Image::default()
    };
    // The same one still: none of what was read is a successor's.
    let after = fs::read_to_string(at("stat")).ok()?;
    (parse_stat(&after)?.1 == start_ns).then_some(Seen { pid, start_ns, parent, image })
}

/// Every process there is.
pub(super) fn all() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Parent and start. The name in parentheses may hold anything, parentheses too.
fn parse_stat(stat: &str) -> Option<(u32, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    // Field 3 is the first behind the name; the parent is field 4, the start field 22.
    let parent = fields.nth(1)?.parse().ok()?;
    let ticks: u64 = fields.nth(17)?.parse().ok()?;
    Some((parent, ticks.checked_mul(TICK_NS)?))
}

fn command_of(stat: &str) -> [u8; 16] {
    let mut command = [0; 16];
    let name = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')).map_or("", |(name, _)| name);
    for (place, byte) in command.iter_mut().zip(name.bytes().take(15)) {
        *place = byte;
    }
    command
}

/// The effective user.
fn uid_of(status: &str) -> u32 {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    line.and_then(|ids| ids.split_ascii_whitespace().nth(1)?.parse().ok()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen_as_it_is() {
        let groups: GroupLookup = Arc::new(|_| Some(77));
        let seen = look(std::process::id(), &groups).unwrap();
        let own = std::env::current_exe().unwrap();
        assert_eq!(&*seen.image.program.executable, own.to_str().unwrap());
        assert_eq!(seen.image.program.arguments().next(), std::env::args().next().as_deref());
        assert_eq!((seen.parent, seen.image.cgroup), (std::os::unix::process::parent_id(), 77));
        assert!(seen.start_ns > 0 && seen.start_ns <= super::super::clock::boot_ns());
        assert!(all().contains(&std::process::id()));
    }

    #[test]
    fn a_name_cannot_move_the_fields() {
        let stat = "7 (a) R 1 (b) S 42 7 7 0 -1 4194304 1 0 0 0 1 2 0 0 20 0 1 0 123 1 2";
        assert_eq!(parse_stat(stat), Some((42, 123 * TICK_NS)));
        assert_eq!(&command_of(stat)[..9], b"a) R 1 (b");
        for stat in ["", "7 (x", "7 (x) S", "7 (x) S 1 2 3"] {
            assert_eq!(parse_stat(stat), None);
        }
    }

    #[test]
    fn who_is_gone_is_not_seen() {
        let groups: GroupLookup = Arc::new(|_| None);
        assert_eq!(look(u32::MAX, &groups), None);
    }
}
