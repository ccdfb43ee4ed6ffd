//! One look at the files of `/proc`, `/sys` and the control groups.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use enforcer_core::device::posture::gpu::NvidiaFacts;
use enforcer_core::device::posture::uid_map::{self, Range};
use enforcer_core::device::posture::{Readings, Text, params};

use super::rdma;

/// Processes and groups of one workload that are looked at.
const PROCESSES_MAX: usize = 4096;
const GROUPS_MAX: usize = 1024;
/// Graphics devices of a node.
const CARDS_MAX: usize = 256;

/// Asks NVML: another room's knowledge. `None` where the driver is not loaded.
pub type AskNvidia = Arc<dyn Fn() -> Result<Option<NvidiaFacts>, String> + Send + Sync>;

/// Where a workload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub workload: String,
    /// Its tenant.
    pub tenant: String,
    /// Its control group, below the root.
    pub cgroup: String,
}

/// Where everything is.
#[derive(Clone)]
pub struct Reader {
    /// `/proc`
    pub proc: PathBuf,
    /// `/sys`
    pub sys: PathBuf,
    /// Where the workloads' control groups start from.
    pub cgroups: PathBuf,
    /// NVML.
    pub nvidia: AskNvidia,
}

impl Reader {
    /// Looks. Blocks.
    #[must_use]
    pub fn read(&self, places: &[Place]) -> Readings {
        let has_rdma = self.sys.join("class/infiniband").read_dir().is_ok_and(|mut all| all.next().is_some());
        Readings {
            params: text(&self.proc.join("driver/nvidia/params")),
            version: text(&self.proc.join("driver/nvidia/version")),
            lockdown: text(&self.sys.join("kernel/security/lockdown")),
            amd: self.amd(),
            has_rdma,
            rdma_mode: if has_rdma { rdma::mode() } else { Text::Absent },
            dmem: places.iter().map(|place| (place.workload.clone(), self.dmem(place))).collect(),
            uid_overlaps: self.overlaps(places),
            nvidia: (self.nvidia)(),
        }
    }

    fn amd(&self) -> Vec<(String, Text)> {
        let Ok(cards) = self.sys.join("class/drm").read_dir() else { return Vec::new() };
        let mut all: Vec<(String, Text)> = cards
            .flatten()
            .take(CARDS_MAX)
            .map(|card| card.path().join("device/enforce_isolation"))
            .map(|path| (path.display().to_string(), text(&path)))
            .filter(|(_, text)| *text != Text::Absent)
            .collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
    }

    fn group(&self, place: &Place) -> PathBuf {
        self.cgroups.join(place.cgroup.trim_start_matches('/'))
    }

    fn dmem(&self, place: &Place) -> Text {
        text(&self.group(place).join("dmem.max"))
    }

    /// Tenants that meet in a user of the host.
    fn overlaps(&self, places: &[Place]) -> Result<Vec<(String, String)>, String> {
        let mut tenants: BTreeMap<&str, Vec<Range>> = BTreeMap::new();
        for place in places {
            let ranges = tenants.entry(&place.tenant).or_default();
            for pid in processes(&self.group(place)) {
                let path = self.proc.join(pid.to_string()).join("uid_map");
                let map = match text(&path) {
                    // It has ended meanwhile.
                    Text::Absent => continue,
                    Text::Failed(why) => return Err(why),
                    Text::Read(map) => map,
                };
                for range in uid_map::parse(&map).map_err(|why| format!("{}: {why}", path.display()))? {
                    if !ranges.contains(&range) {
                        ranges.push(range);
                    }
                }
            }
        }
        let mut pairs = Vec::new();
        for (index, (one, of_one)) in tenants.iter().enumerate() {
            let later = tenants.iter().skip(index + 1);
            let meet = later.filter(|(_, of_other)| uid_map::overlap(of_one, of_other));
            pairs.extend(meet.map(|(other, _)| ((*one).to_owned(), (*other).to_owned())));
        }
        Ok(pairs)
    }
}

/// Processes of a group and of those below it, as far as they are looked at.
fn processes(group: &Path) -> Vec<u32> {
    let (mut groups, mut pids, mut seen) = (vec![group.to_owned()], Vec::new(), 0);
    while let Some(group) = groups.pop() {
        seen += 1;
        if seen > GROUPS_MAX || pids.len() > PROCESSES_MAX {
            break;
        }
        if let Text::Read(lines) = text(&group.join("cgroup.procs")) {
            pids.extend(lines.lines().filter_map(|line| line.parse::<u32>().ok()));
        }
        let below = group.read_dir().into_iter().flatten().flatten();
        groups.extend(below.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()));
    }
    pids.truncate(PROCESSES_MAX);
    pids
}

/// At most one byte more than is parsed, so that a longer file is refused and not cut.
fn text(path: &Path) -> Text {
    let limit = u64::try_from(params::MAX_TEXT + 1).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    match fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
        Ok(_) => Text::Read(String::from_utf8_lossy(&bytes).into_owned()),
        // ESRCH: of a process that is ending.
        Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) => {
            Text::Absent
        }
        Err(error) => Text::Failed(format!("{}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn place(workload: &str, tenant: &str) -> Place {
        Place { workload: workload.to_owned(), tenant: tenant.to_owned(), cgroup: format!("/{workload}") }
    }

    #[test]
    fn tenants_that_share_host_users_are_found_and_others_are_not() {
        let root = tempfile::tempdir().unwrap();
        for (group, pid, map) in [
            ("cg/a/inner", 10, "0 100000 65536\n"),
            ("cg/b", 11, "0 165536 65536\n"),
            ("cg/c", 12, "0 0 4294967295\n"),
        ] {
            put(root.path(), &format!("{group}/cgroup.procs"), &format!("{pid}\n"));
            put(root.path(), &format!("proc/{pid}/uid_map"), map);
        }
        put(root.path(), "proc/driver/nvidia/params", "ModifyDeviceFiles: 0\n");
        put(root.path(), "sys/class/drm/card0/device/enforce_isolation", "1\n");
        put(root.path(), "cg/a/dmem.max", "drm/0000:03:00.0/vram0 max\n");
        let reader = Reader {
            proc: root.path().join("proc"),
            sys: root.path().join("sys"),
            cgroups: root.path().join("cg"),
            nvidia: Arc::new(|| Ok(None)),
        };
        let apart = reader.read(&[place("a", "red"), place("b", "blue")]);
        assert_eq!(apart.uid_overlaps, Ok(Vec::new()));
        let shared = reader.read(&[place("a", "red"), place("b", "blue"), place("c", "green")]);
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        assert_eq!(shared.uid_overlaps, Ok(vec![pair("blue", "green"), pair("green", "red")]));
        assert_eq!(shared.amd.len(), 1);
        assert_eq!(shared.params, Text::Read("ModifyDeviceFiles: 0\n".to_owned()));
        assert_eq!(shared.version, Text::Absent);
        assert!(matches!(&shared.dmem[0].1, Text::Read(text) if text.ends_with(" max\n")));
    }
}
