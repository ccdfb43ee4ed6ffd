//! Attacks on devices and on the wall around them: what each is, which hooks stop it, and what nothing in a kernel could. Status,
//! the table in `docs/device-wall.md` and the tests take their rows from here.

use crate::enforce::HookState;

/// What stops an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// All of these hooks, by the names that status has.
    Hooks(&'static [&'static str]),
    /// Nothing that a node agent could hang; why.
    Nothing(&'static str),
}

/// A way to a device that is not one's own, or to the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attack {
    /// Its word: in status, in the table, and of its test.
    pub word: &'static str,
    /// What is done, in a sentence.
    pub what: &'static str,
    /// What stops it.
    pub stop: Stop,
    /// Where that ends: empty for nowhere that is known.
    pub limit: &'static str,
    /// Whether `tests/handles` does it, in machines and here.
    pub is_tried: bool,
}

const GATE: Stop = Stop::Hooks(&["cgroup/device"]);

const fn gate(word: &'static str, what: &'static str) -> Attack {
    Attack { word, what, stop: GATE, limit: "", is_tried: true }
}

const fn held(word: &'static str, what: &'static str, hooks: &'static [&'static str]) -> Attack {
    Attack { word, what, stop: Stop::Hooks(hooks), limit: "", is_tried: true }
}

const fn never(word: &'static str, what: &'static str, why: &'static str) -> Attack {
    Attack { word, what, stop: Stop::Nothing(why), limit: "", is_tried: false }
}

impl Attack {
    const fn ends(self, limit: &'static str) -> Self {
        Self { limit, ..self }
    }

    const fn tried(self) -> Self {
        Self { is_tried: true, ..self }
    }
}

/// Every one, in the order of the table.
pub const ATTACKS: &[Attack] = &[
    gate("open", "Another tenant's device is opened by its node."),
    gate("environment", "An image asks for every device by its environment (`NVIDIA_VISIBLE_DEVICES=all`)."),
    gate("privileged_process", "The opener is root with every capability, as in a privileged container.")
        .ends("who may load kernel modules, or write `cgroup.procs` of a listed group, is no tenant but an administrator"),
    gate("mknod", "A node of a gated number is made, whatever a runtime allows."),
    gate("container_nesting", "The opener is some control groups below its tenant's."),
    gate("namespaces", "The opener is in user, PID and mount namespaces of its own."),
    gate("moved_elsewhere", "The opener moves itself to a control group that nobody lists."),
    never("moved_to_the_owner", "The opener moves itself into the owner's control group.", "who may write that group's `cgroup.procs` is whom the group says it is; keep the hierarchy read-only in containers, as runtimes do").tried(),
    gate("runtime_rewrites_the_leaf", "A runtime puts its own device program in the place of what hangs on the container's group."),
    gate("daemon_reload", "systemd takes device programs off and puts them on again.")
        .ends("the gate is a link on the root of the hierarchy, which systemd does not touch"),
    gate("io_uring_open", "The device is opened by way of io_uring."),
    gate("path_only_reopen", "A descriptor that names the node only (`O_PATH`) is opened again.")
        .ends("the name itself can be looked at: that a device exists is no secret"),
    gate("proc_fd_reopen", "The owner's descriptor is opened again through `/proc/<pid>/fd`."),
    held("passed_by_socket", "The owner sends its descriptor over a Unix socket.", &["lsm/file_receive"]),
    held("pidfd_getfd", "The descriptor is taken from the owner's process by `pidfd_getfd()`.", &["lsm/file_receive"]),
    held("seccomp_addfd", "A supervisor puts the descriptor into the process by seccomp's `ADDFD`.", &["lsm/file_receive"]),
    held("inherited", "The descriptor is inherited over fork and exec.", &["lsm/file_permission", "lsm/file_ioctl", "lsm/mmap_file"])
        .ends("to hold it is not refused, to use it is"),
    held("opened_before_the_policy", "The device was opened before the policy, or before the process came into its tenant's group.", &["lsm/file_permission", "lsm/file_ioctl", "lsm/mmap_file"])
        .ends("to hold it is not refused, to use it is; a mapping that was made then goes on"),
    held("held_read", "A descriptor that is held is read.", &["lsm/file_permission"]),
    held("held_write", "A descriptor that is held is written.", &["lsm/file_permission"]),
    held("held_ioctl", "A descriptor that is held is given a request.", &["lsm/file_ioctl"])
        .ends("of a 32-bit process since Linux 6.8 only by `lsm/file_ioctl_compat`"),
    held("held_mmap", "A descriptor that is held is mapped.", &["lsm/mmap_file"]),
    held("duplicated", "A descriptor that is held is duplicated, and the copy is used.", &["lsm/file_permission"]),
    held("io_uring_read", "A descriptor that is held is read by way of io_uring.", &["lsm/file_permission"]),
    held("io_uring_registered", "A ring with the file registered is inherited, and reads it.", &["lsm/file_permission"]),
    held("io_uring_command", "A driver's command is sent by way of io_uring.", &["lsm/uring_cmd"])
        .ends("drivers that take such commands need Linux 6.0"),
    never("mapping_made_before", "A mapping that was made while it was allowed is used.", "no hook is asked when memory is read or written; freeze or kill the group (`enforcerctl revoke --to kill`)").tried(),
    held("ptrace", "A tenant's process traces one that is not its tenant's.", &["lsm/ptrace_access_check"]),
    held("process_memory", "A tenant's process reads the memory of one that is not its tenant's, through `/proc`.", &["lsm/ptrace_access_check"]),
    held("signal_tenant", "A tenant's process signals another tenant's.", &["lsm/task_kill"]),
    held("signal_agent", "A tenant's process signals the agent.", &["lsm/task_kill"])
        .ends("the agent is known by its number in the first PID namespace: run it there (`hostPID`)"),
    held("bpf_load", "A tenant's process loads a kernel program.", &["lsm/bpf"]),
    held("bpf_map_by_id", "A tenant's process opens a table of the wall by its number.", &["lsm/bpf"]),
    held("bpf_pin", "A tenant's process opens what the wall pinned.", &["lsm/bpf"]),
    held("unlink_pin", "A tenant's process removes what the wall pinned.", &["lsm/inode_unlink", "lsm/inode_rmdir", "lsm/inode_rename"]),
    held("mount_over_pins", "A tenant's process mounts something over the pins.", &["lsm/sb_mount", "lsm/move_mount"]),
    never("doorbell", "Work is submitted through registers that are mapped already.", "that is a write to memory: see `mapping_made_before`"),
    never("dma_buf", "Memory of the device goes to another process as a dma-buf or another anonymous file.", "such a file has no device number; within a tenant collectives need it"),
    never("residue", "What the tenant before left in the device's memory is read.", "no kernel hook sees it: hand devices over by custody, with a scrubber"),
    never("rdma_data_path", "Data moves by RDMA once a verbs device is open.", "it passes no hook: grant verbs devices by minor, never whole, and see docs/threat-model.md"),
    never("sysfs_bar", "A device's memory is mapped through its resource files in sysfs.", "those are files of the node's administrators: containers have sysfs read-only, lockdown closes them for root too; posture shows lockdown"),
    never("coherent_memory", "On coherent platforms the device's memory is ordinary memory of a NUMA node.", "no device is opened; posture shows the driver's memory mode"),
    never("side_channel", "Caches, memory bandwidth, power and timing of a shared device are observed.", "a partition is no wall against it; give `dedicated` nodes to who must not be observed"),
    never("driver_flaw", "A flaw of the driver or of the kernel is used from an open device.", "whoever takes over the kernel takes over the wall"),
    never("node_root", "Root of the node, in no tenant's group, takes the wall away.", "the node's administrators are trusted; what they did is in an anchored trace"),
];

/// An attack that is not stopped on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncovered {
    /// Which.
    pub attack: &'static Attack,
    /// What is missing here, or why nothing could stop it.
    pub why: String,
}

/// Which attacks are not stopped, by how the node's hooks stand: `state` is asked for each by name. A gate that only records
/// stops nothing.
pub fn uncovered(state: impl Fn(&str) -> Option<HookState>, is_audited: bool) -> Vec<Uncovered> {
    let why = |attack: &'static Attack| match attack.stop {
        Stop::Nothing(why) => Some(why.to_owned()),
        Stop::Hooks(_) if is_audited => {
            Some("the device gate is in audit mode: it records and stops nothing".to_owned())
        }
        Stop::Hooks(hooks) => hooks.iter().find_map(|hook| missing(hook, &state)),
    };
    let open = |attack: &'static Attack| why(attack).map(|why| Uncovered { attack, why });
    ATTACKS.iter().filter_map(open).collect()
}

/// Why a hook cannot be relied on. Some hooks of BPF LSM have nothing by which they could be tried on every node: those stand
/// where others of them were proven.
fn missing(hook: &str, state: &impl Fn(&str) -> Option<HookState>) -> Option<String> {
    const PROVEN_BY: &str = "lsm/file_permission";
    match state(hook) {
        Some(HookState::Verified) => None,
        Some(HookState::Declared) if hook.starts_with("lsm/") && hook != PROVEN_BY => {
            let is_proven = state(PROVEN_BY) == Some(HookState::Verified);
            (!is_proven).then(|| format!("{hook} hangs and was not proven"))
        }
        Some(HookState::Declared) => Some(format!("{hook} hangs and was not proven")),
        Some(HookState::Absent(reason)) => Some(format!("{hook}: {reason}")),
        None => Some(format!("{hook}: not known on this node")),
    }
}

/// The table of `docs/device-wall.md`.
#[must_use]
pub fn table() -> String {
    let mut table = String::from(
        "| attack | what is done | stopped by | where that ends | test |\n| --- | --- | --- | --- | --- |\n",
    );
    for Attack { word, what, stop, limit, is_tried } in ATTACKS {
        let (stopped, ends) = match stop {
            Stop::Hooks(hooks) => {
                let hooks: Vec<String> = hooks.iter().map(|hook| format!("`{hook}`")).collect();
                (hooks.join(", "), *limit)
            }
            Stop::Nothing(why) => ("**nothing**".to_owned(), *why),
        };
        let test = if *is_tried { format!("`attack::{word}`") } else { "none".to_owned() };
        table.push_str(&format!("| `{word}` | {what} | {stopped} | {ends} | {test} |\n"));
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn words(uncovered: &[Uncovered]) -> Vec<&str> {
        uncovered.iter().map(|one| one.attack.word).collect()
    }

    #[test]
    fn words_are_unique_and_rows_fit_a_table() {
        let all: BTreeSet<&str> = ATTACKS.iter().map(|attack| attack.word).collect();
        assert_eq!(all.len(), ATTACKS.len());
        for attack in ATTACKS {
            assert!(attack.what.ends_with('.'), "{} is no sentence", attack.word);
            assert!(
                !attack.what.contains(['|', '\n']) && !attack.limit.contains(['|', '\n']),
                "{}",
                attack.word
            );
        }
    }

    #[test]
    fn without_security_hooks_what_is_held_is_not_stopped_and_opens_are() {
        let state = |hook: &str| match hook {
            "cgroup/device" => Some(HookState::Verified),
            _ => Some(HookState::Absent("no bpf in lsm=".to_owned())),
        };
        let open = uncovered(state, false);
        let words = words(&open);
        assert!(words.contains(&"passed_by_socket") && words.contains(&"ptrace"), "{words:?}");
        assert!(!words.contains(&"open") && !words.contains(&"mknod"), "{words:?}");
        let passed = open.iter().find(|one| one.attack.word == "passed_by_socket").unwrap();
        assert_eq!(passed.why, "lsm/file_receive: no bpf in lsm=");
    }

    #[test]
    fn with_every_hook_only_what_nothing_stops_is_left() {
        let never: Vec<&str> = ATTACKS
            .iter()
            .filter(|attack| matches!(attack.stop, Stop::Nothing(_)))
            .map(|attack| attack.word)
            .collect();
        assert_eq!(words(&uncovered(|_| Some(HookState::Verified), false)), never);
    }

    #[test]
    fn a_hook_that_was_not_proven_stops_nothing_unless_its_kind_was() {
        let only = |proven: &'static str| {
            move |hook: &str| Some(if hook == proven { HookState::Verified } else { HookState::Declared })
        };
        let without = uncovered(only("cgroup/device"), false);
        assert!(words(&without).contains(&"io_uring_command"));
        let with = uncovered(only("lsm/file_permission"), false);
        assert!(!words(&with).contains(&"io_uring_command"));
        assert!(words(&with).contains(&"open"), "the gate has a proof of its own");
    }

    #[test]
    fn an_audited_gate_stops_nothing() {
        assert_eq!(uncovered(|_| Some(HookState::Verified), true).len(), ATTACKS.len());
    }
}
