//! Attacks on a device that belongs to another tenant, each by its word in the table of `docs/device-wall.md`. It must
//! not know what ought to come of them: that is for the matrix to say.

mod bpf;
mod held;
mod opens;
mod pass;
mod reach;
mod seccomp;
pub(crate) mod stage;
pub(crate) mod touch;
pub(crate) mod uring;

use anyhow::{Result, bail};
use enforcer_lab::verdict::Verdict;

pub(crate) use self::bpf::lsm_program;
pub(crate) use self::pass::use_inherited;
use self::stage::Stage;

type Attack = fn(&Stage) -> Result<Verdict>;

/// Every attack, in the order of the table.
const ATTACKS: &[(&str, Attack)] = &[
    ("open", opens::open),
    ("environment", opens::environment),
    ("privileged_process", opens::privileged),
    ("mknod", opens::mknod),
    ("container_nesting", opens::nested),
    ("namespaces", opens::namespaces),
    ("moved_elsewhere", opens::moved_elsewhere),
    ("moved_to_the_owner", opens::moved_to_the_owner),
    ("runtime_rewrites_the_leaf", opens::rewritten_leaf),
    ("daemon_reload", opens::daemon_reload),
    ("io_uring_open", opens::io_uring),
    ("path_only_reopen", opens::path_only),
    ("proc_fd_reopen", pass::proc_fd),
    ("passed_by_socket", pass::socket),
    ("pidfd_getfd", pass::pidfd),
    ("seccomp_addfd", pass::addfd),
    ("inherited", pass::inherited),
    ("held_read", held::read),
    ("held_write", held::write),
    ("held_ioctl", held::ioctl),
    ("held_mmap", held::mmap),
    ("duplicated", held::duplicated),
    ("io_uring_read", held::io_uring_read),
    ("io_uring_registered", held::io_uring_registered),
    ("io_uring_command", held::io_uring_command),
    ("mapping_made_before", held::mapping),
    ("ptrace", reach::ptrace),
    ("process_memory", reach::memory),
    ("signal_tenant", reach::signal_tenant),
    ("signal_agent", reach::signal_agent),
    ("bpf_load", reach::bpf_load),
    ("bpf_map_by_id", reach::bpf_map),
    ("bpf_pin", reach::bpf_pin),
    ("unlink_pin", reach::unlink),
    ("mount_over_pins", reach::mount),
];

/// Tries one.
pub(crate) fn run(word: &str, stage: &Stage) -> Result<Verdict> {
    match ATTACKS.iter().find(|(known, _)| *known == word) {
        Some((_, attack)) => attack(stage),
        None => bail!("no attack is called {word}"),
    }
}

/// Their words, one a line.
pub(crate) fn list() {
    for (word, _) in ATTACKS {
        println!("{word}");
    }
}
