//! One case an attack, by its word in the table of `docs/device-wall.md`.

use enforcer_tests::runner::Case;

use crate::fixture::Wall;

macro_rules! attacks {
    ($($word:ident)*) => {
        /// Every attack, in the order of the table.
        pub(crate) const WORDS: &[&str] = &[$(stringify!($word)),*];

        pub(crate) const CASES: &[Case<Wall>] = &[$(
            Case {
                name: concat!("attack::", stringify!($word)),
                reasons: &[],
                run: |wall| wall.matrix()?.holds(stringify!($word)),
            },
        )*];
    };
}

attacks! {
    open
    environment
    privileged_process
    mknod
    container_nesting
    namespaces
    moved_elsewhere
    moved_to_the_owner
    runtime_rewrites_the_leaf
    daemon_reload
    io_uring_open
    path_only_reopen
    proc_fd_reopen
    passed_by_socket
    pidfd_getfd
    seccomp_addfd
    inherited
    opened_before_the_policy
    held_read
    held_write
    held_ioctl
    held_mmap
    duplicated
    io_uring_read
    io_uring_registered
    io_uring_command
    mapping_made_before
    ptrace
    process_memory
    signal_tenant
    signal_agent
    bpf_load
    bpf_map_by_id
    bpf_pin
    unlink_pin
    mount_over_pins
}
