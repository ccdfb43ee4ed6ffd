//! Facts about the host that stand in for words the configuration leaves out: its name, its cgroup2 mount.

use std::path::PathBuf;

/// What the host says of itself, read once before resolving.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Its host name.
    pub name: Option<String>,
    /// Mount point of the cgroup2 hierarchy.
    pub cgroup_mount: Option<PathBuf>,
}

impl Host {
    /// Asks the kernel.
    #[must_use]
    pub fn read() -> Self {
        Self {
            name: std::fs::read_to_string("/proc/sys/kernel/hostname")
                .ok()
                .map(|name| name.trim().to_owned()),
            cgroup_mount: std::fs::read_to_string("/proc/self/mountinfo")
                .ok()
                .and_then(|text| cgroup2(&text)),
        }
    }
}

/// The first cgroup2 mount point in a mountinfo text (proc_pid_mountinfo(5): fields are separated by spaces,
/// the file system type follows a lone hyphen, and special characters are octal escapes).
fn cgroup2(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, tail) = line.split_once(" - ")?;
        let kind = tail.split(' ').next()?;
        let point = mount.split(' ').nth(4)?;
        (kind == "cgroup2").then(|| PathBuf::from(unescape(point)))
    })
}

fn unescape(text: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .into_iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cgroup2_mount_is_found_also_in_a_hybrid_hierarchy() {
        let text = "30 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                    31 23 0:27 / /sys/fs/cgroup/uni\\040fied rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(cgroup2(text), Some(PathBuf::from("/sys/fs/cgroup/uni fied")));
        assert_eq!(cgroup2("31 23 0:27 / /mnt rw - ext4 /dev/sda rw\n"), None);
    }
}
