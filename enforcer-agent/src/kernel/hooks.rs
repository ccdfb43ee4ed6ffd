//! The hooks as a table, and the links that hang programs on them. Own links only: nothing of others is
//! flushed, replaced or reordered.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use enforcer_common::event::{HOOK_PROCESS_EXEC, HOOK_PROCESS_EXIT, HOOK_PROCESS_FORK};

use super::error::KernelError;
use super::pins::Pins;
use super::sys::{self, Target};

/// `enum bpf_attach_type` numbers.
const INET_INGRESS: u32 = 0;
const INET_EGRESS: u32 = 1;
const SOCK_CREATE: u32 = 2;
const SOCK_OPS: u32 = 3;
const DEVICE: u32 = 6;
const POST_BIND4: u32 = 12;
const POST_BIND6: u32 = 13;
const CONNECT4: u32 = 10;
const CONNECT6: u32 = 11;
const SENDMSG4: u32 = 14;
const SENDMSG6: u32 = 15;
const GETSOCKOPT: u32 = 21;
const GETPEERNAME4: u32 = 29;
const GETPEERNAME6: u32 = 30;
const TCX_INGRESS: u32 = 46;
const TCX_EGRESS: u32 = 47;

/// A hook on the control group root.
pub(super) struct CgroupHook {
    pub(super) name: &'static str,
    pub(super) program: &'static str,
    pub(super) attach_type: u32,
}

/// Every hook on the control group root, in the order in which they are attached: what tags before what
/// decides, and what carries an origin before what makes one.
pub(super) const CGROUP_HOOKS: [CgroupHook; 14] = [
    CgroupHook { name: "cgroup/sock_create", program: "sock_create", attach_type: SOCK_CREATE },
    CgroupHook { name: "cgroup/post_bind4", program: "post_bind4", attach_type: POST_BIND4 },
    CgroupHook { name: "cgroup/post_bind6", program: "post_bind6", attach_type: POST_BIND6 },
    CgroupHook { name: "cgroup/device", program: "device_gate", attach_type: DEVICE },
    CgroupHook { name: "cgroup/socket_egress", program: "socket_egress", attach_type: INET_EGRESS },
    CgroupHook { name: "cgroup/socket_ingress", program: "socket_ingress", attach_type: INET_INGRESS },
    CgroupHook { name: "cgroup/sock_ops", program: "tunnel_origins", attach_type: SOCK_OPS },
    CgroupHook { name: "cgroup/getsockopt", program: "tunnel_getsockopt", attach_type: GETSOCKOPT },
    CgroupHook { name: "cgroup/getpeername4", program: "getpeername4", attach_type: GETPEERNAME4 },
    CgroupHook { name: "cgroup/getpeername6", program: "getpeername6", attach_type: GETPEERNAME6 },
    CgroupHook { name: "cgroup/connect4", program: "connect4", attach_type: CONNECT4 },
    CgroupHook { name: "cgroup/connect6", program: "connect6", attach_type: CONNECT6 },
    CgroupHook { name: "cgroup/sendmsg4", program: "sendmsg4", attach_type: SENDMSG4 },
    CgroupHook { name: "cgroup/sendmsg6", program: "sendmsg6", attach_type: SENDMSG6 },
];

/// The two directions of a workload's interface.
pub(super) const INTERFACE_HOOKS: [CgroupHook; 2] = [
    CgroupHook { name: "tcx/from_workload", program: "from_workload", attach_type: TCX_INGRESS },
    CgroupHook { name: "tcx/to_workload", program: "to_workload", attach_type: TCX_EGRESS },
];

/// Name of the tracepoint hook.
pub(super) const ATTACH_HOOK: &str = "tracepoint/cgroup_attach";
/// Its program.
pub(super) const ATTACH_PROGRAM: &str = "cgroup_attach";

/// A raw tracepoint: what it tells decides nothing.
pub(super) struct TaskHook {
    pub(super) name: &'static str,
    pub(super) program: &'static str,
    pub(super) tracepoint: &'static str,
    /// `enforcer_common::event::HOOK_*` under which it counts the canary.
    pub(super) number: u8,
}

/// What becomes of processes.
pub(super) const TASK_HOOKS: [TaskHook; 3] = [
    TaskHook {
        name: "raw_tp/sched_process_exec",
        program: "process_exec",
        tracepoint: "sched_process_exec",
        number: HOOK_PROCESS_EXEC,
    },
    TaskHook {
        name: "raw_tp/sched_process_fork",
        program: "process_fork",
        tracepoint: "sched_process_fork",
        number: HOOK_PROCESS_FORK,
    },
    TaskHook {
        name: "raw_tp/sched_process_exit",
        program: "process_exit",
        tracepoint: "sched_process_exit",
        number: HOOK_PROCESS_EXIT,
    },
];

/// The hooks of programs that the kernel refused, with its words.
pub(super) fn absent(refused: &BTreeMap<&'static str, String>) -> BTreeMap<&'static str, String> {
    let hooks = CGROUP_HOOKS.iter().chain(&INTERFACE_HOOKS).map(|hook| (hook.name, hook.program));
    let hooks = hooks.chain([(ATTACH_HOOK, ATTACH_PROGRAM)]);
    hooks.filter_map(|(name, program)| Some((name, refused.get(program)?.clone()))).collect()
}

/// Hangs a program on the control group, or swaps it into the link that already does.
pub(super) fn hang_on_cgroup(
    pins: &Pins,
    hook: &CgroupHook,
    program: BorrowedFd<'_>,
    cgroup: &Path,
) -> Result<OwnedFd, KernelError> {
    let directory = File::open(cgroup).map_err(KernelError::file("open control group", cgroup))?;
    hang(pins, hook.program, program, &Target::Cgroup(directory.as_fd()), hook.attach_type)
}

/// Hangs a program on one direction of an interface, or swaps it into the link that already does.
pub(super) fn hang_on_interface(
    pins: &Pins,
    hook: &CgroupHook,
    program: BorrowedFd<'_>,
    interface: u32,
) -> Result<OwnedFd, KernelError> {
    let pin = interface_pin(hook, interface);
    hang(pins, &pin, program, &Target::Interface(interface), hook.attach_type)
}

/// The file name of an interface link.
pub(super) fn interface_pin(hook: &CgroupHook, interface: u32) -> String {
    format!("{}-{interface}", hook.program)
}

/// The interface that a file name of [`interface_pin`] stands for.
pub(super) fn pinned_interface(name: &str) -> Option<u32> {
    INTERFACE_HOOKS.iter().find_map(|hook| name.strip_prefix(hook.program)?.strip_prefix('-')?.parse().ok())
}

/// Takes the links off an interface that is no workload's any more. Its being gone is no error.
pub(super) fn take_off_interface(pins: &Pins, interface: u32) -> Result<(), KernelError> {
    for hook in &INTERFACE_HOOKS {
        let path = pins.link(&interface_pin(hook, interface));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(KernelError::File { operation: "remove", path, error });
            }
            _ => {}
        }
    }
    Ok(())
}

fn hang(
    pins: &Pins,
    name: &str,
    program: BorrowedFd<'_>,
    target: &Target<'_>,
    attach_type: u32,
) -> Result<OwnedFd, KernelError> {
    let path = pins.link(name);
    match sys::open_pin(&path) {
        Ok(link) => {
            let info = sys::link_info(link.as_fd()).map_err(KernelError::file("read link", &path))?;
            if info.hangs_on(target).map_err(KernelError::file("read the target of link", &path))? {
                sys::link_update(link.as_fd(), program)
                    .map_err(KernelError::file("swap the program of link", &path))?;
                return Ok(link);
            }
            fs::remove_file(&path).map_err(KernelError::file("remove", &path))?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(KernelError::File { operation: "open link", path, error }),
    }
    let link = sys::link_create(program, target, attach_type)
        .map_err(KernelError::file("attach for link", &path))?;
    sys::pin(link.as_fd(), &path).map_err(KernelError::file("pin", &path))?;
    Ok(link)
}
