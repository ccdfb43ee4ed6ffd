//! Processes: what runs, who made it, when it ended. Raw tracepoints, since their arguments are the tasks themselves;
//! where the kernel keeps what in a task is what the agent found in its type information.

use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_uid_gid,
    bpf_ktime_get_ns, bpf_probe_read_kernel, bpf_probe_read_kernel_str, bpf_probe_read_user,
};
use aya_ebpf::macros::{map, raw_tracepoint};
use aya_ebpf::maps::Array;
use aya_ebpf::programs::RawTracePointContext;
use enforcer_common::event::{
    HOOK_PROCESS_EXEC, HOOK_PROCESS_EXIT, HOOK_PROCESS_FORK, Header, KIND_PROCESS_EXEC, KIND_PROCESS_EXIT,
    KIND_PROCESS_FORK, PROCESS_ARGUMENTS_ABSENT, PROCESS_ARGUMENTS_BYTES, PROCESS_ARGUMENTS_CUT,
    PROCESS_EXECUTABLE_BYTES, PROCESS_EXECUTABLE_CUT, PROCESS_PARENT_ABSENT, PROCESS_SHORT_BYTES,
    PROCESS_START_ABSENT, ProcessEvent,
};
use enforcer_common::identity::CANARY;
use enforcer_common::maps::CounterKey;
use enforcer_common::reason;
use enforcer_common::telling::TaskLayout;

use crate::account::count;
use crate::tag;
use crate::tell::{Channel, room, submit};

/// Where a task keeps what; all zero, and so nothing known, without the kernel's type information.
#[map]
pub static LAYOUT: Array<TaskLayout> = Array::with_max_entries(1, 0);

/// Room for a fork or an exit.
type Short = [u64; PROCESS_SHORT_BYTES / 8];

/// A task and where its parts are. One that is not there is at 0, and nothing is read of it: the payload of an absent
/// `Option` would be copied about, and kernels before 6.3 refuse to copy what was never written.
#[derive(Clone, Copy)]
struct Task {
    address: u64,
    layout: &'static TaskLayout,
}

impl Task {
    #[inline(always)]
    fn new(address: u64) -> Option<Self> {
        Some(Self { address, layout: LAYOUT.get(0)? })
    }

    #[inline(always)]
    fn number(&self, offset: u32) -> u32 {
        read::<u32>(self.address, offset).unwrap_or(0)
    }

    /// The first thread of the process: its start is the process's.
    #[inline(always)]
    fn leader(&self) -> Self {
        self.at(self.layout.group_leader)
    }

    #[inline(always)]
    fn parent(&self) -> Self {
        self.at(self.layout.real_parent)
    }

    /// The task to which a pointer in this one leads.
    #[inline(always)]
    fn at(&self, offset: u32) -> Self {
        Self { address: read::<u64>(self.address, offset).unwrap_or(0), layout: self.layout }
    }

    /// When the process started; 0 when that is not known.
    #[inline(always)]
    fn started_ns(&self) -> u64 {
        read::<u64>(self.leader().address, self.layout.start_boottime).unwrap_or(0)
    }
}

/// What lies at an offset that is known.
#[inline(always)]
fn read<T: Copy + Default>(base: u64, offset: u32) -> Option<T> {
    if base == 0 || offset == 0 {
        return None;
    }
    let mut value = T::default();
    // SAFETY: the helper reads any address, or fails; it writes as many bytes as the value has.
    let failed = unsafe {
        bpf_probe_read_kernel(
            (&raw mut value).cast(),
            size_of::<T>() as u32,
            (base + u64::from(offset)) as *const core::ffi::c_void,
        )
    };
    if failed == 0 { Some(value) } else { None }
}

/// A process runs another executable: its task, the id it had, what is executed.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn process_exec(context: RawTracePointContext) -> i32 {
    let Some(task) = Task::new(context.arg(0)) else { return 0 };
    let tag = tag::of_current();
    prove(tag.identity, HOOK_PROCESS_EXEC);
    // SAFETY: the helper takes no argument.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    let Some(mut entry) = room::<ProcessEvent>(Channel::Process, KIND_PROCESS_EXEC, tag.identity, now_ns)
    else {
        return 0;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: the reservation is as large as an event.
    unsafe {
        let rest = event.cast::<u8>().add(PROCESS_SHORT_BYTES).cast::<u64>();
        core::ptr::write_bytes(rest, 0, (size_of::<ProcessEvent>() - PROCESS_SHORT_BYTES) / 8);
        describe(event, &task, tag.identity);
        (*event).process = (bpf_get_current_pid_tgid() >> 32) as u32;
        executable(event, context.arg(2), task.layout);
        arguments(event, &task);
    }
    submit(Channel::Process, entry);
    0
}

/// A process is made: its parent's task, its own. Threads are not told of.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn process_fork(context: RawTracePointContext) -> i32 {
    let Some(task) = Task::new(context.arg(1)) else { return 0 };
    let (thread, process) = (task.number(task.layout.pid), task.number(task.layout.tgid));
    if process == 0 || thread != process {
        return 0;
    }
    tell_short(KIND_PROCESS_FORK, &task, process, 0);
    0
}

/// A task ends. The process has when none of its threads is left.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn process_exit(context: RawTracePointContext) -> i32 {
    let Some(task) = Task::new(context.arg(0)) else { return 0 };
    // SAFETY: the helper takes no argument.
    let both = unsafe { bpf_get_current_pid_tgid() };
    let (process, thread) = ((both >> 32) as u32, both as u32);
    let signal = read::<u64>(task.address, task.layout.signal).unwrap_or(0);
    let is_last = match read::<u32>(signal, task.layout.live) {
        Some(live) => live == 0,
        None => process == thread,
    };
    if is_last {
        tell_short(KIND_PROCESS_EXIT, &task, process, task.number(task.layout.exit_code));
    }
    0
}

/// Counts the canary, so that the agent sees the hook run. Nobody else's processes are counted.
#[inline(always)]
fn prove(identity: u32, hook: u8) {
    if identity == CANARY {
        count(&CounterKey { source: CANARY, destination: 0, reason: reason::NONE, hook, audited: 0 }, 0);
    }
}

#[inline(always)]
fn tell_short(kind: u16, task: &Task, process: u32, exit_code: u32) {
    let tag = tag::of_current();
    prove(tag.identity, if kind == KIND_PROCESS_FORK { HOOK_PROCESS_FORK } else { HOOK_PROCESS_EXIT });
    // SAFETY: the helper takes no argument.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    let Some(mut entry) = room::<Short>(Channel::Process, kind, tag.identity, now_ns) else { return };
    let event = entry.as_mut_ptr().cast::<ProcessEvent>();
    // SAFETY: the reservation is as large as what comes before an event's executable, and no more is written.
    unsafe {
        describe(event, task, tag.identity);
        (*event).process = process;
        (*event).exit_code = exit_code;
    }
    submit(Channel::Process, entry);
}

/// Writes what comes behind the header and before the executable.
///
/// # Safety
/// `event` points to room for so much.
#[inline(always)]
unsafe fn describe(event: *mut ProcessEvent, task: &Task, identity: u32) {
    let mut flags = 0;
    let start_ns = task.started_ns();
    if start_ns == 0 {
        flags |= PROCESS_START_ABSENT;
    }
    let parent = task.parent();
    let parent_start_ns = parent.started_ns();
    let parent = parent.number(parent.layout.tgid);
    if parent == 0 {
        flags |= PROCESS_PARENT_ABSENT;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let rest = event.cast::<u8>().add(size_of::<Header>()).cast::<u64>();
        core::ptr::write_bytes(rest, 0, (PROCESS_SHORT_BYTES - size_of::<Header>()) / 8);
        (*event).cgroup = bpf_get_current_cgroup_id();
        (*event).start_ns = start_ns;
        (*event).parent_start_ns = parent_start_ns;
        (*event).parent = parent;
        (*event).uid = bpf_get_current_uid_gid() as u32;
        (*event).identity = identity;
        (*event).flags = flags;
        bpf_get_current_comm((&raw mut (*event).command).cast(), 16);
    }
}

/// The path that is executed, from `struct linux_binprm`.
///
/// # Safety
/// `event` is a whole one, described.
#[inline(always)]
unsafe fn executable(event: *mut ProcessEvent, binprm: u64, layout: &TaskLayout) {
    const BYTES: u32 = PROCESS_EXECUTABLE_BYTES as u32;
    let Some(path) = read::<u64>(binprm, layout.filename) else { return };
    // SAFETY: the caller's promise; the helper writes at most so many bytes, the last of them a NUL.
    unsafe {
        let told = bpf_probe_read_kernel_str((&raw mut (*event).executable).cast(), BYTES, path as *const _);
        if told > 0 {
            (*event).executable_length = told as u16 - 1;
        }
        if told >= i64::from(BYTES) {
            (*event).flags |= PROCESS_EXECUTABLE_CUT;
        }
    }
}

/// The arguments, from the memory of the process, which was just written.
///
/// # Safety
/// `event` is a whole one, described.
#[inline(always)]
unsafe fn arguments(event: *mut ProcessEvent, task: &Task) {
    const BYTES: u64 = PROCESS_ARGUMENTS_BYTES as u64;
    let Some((start, end)) = argument_bounds(task) else {
        // SAFETY: the caller's promise.
        unsafe { (*event).flags |= PROCESS_ARGUMENTS_ABSENT };
        return;
    };
    let length = end.saturating_sub(start);
    let told = if length > BYTES { BYTES } else { length };
    // SAFETY: the caller's promise; the helper writes so many bytes, or fails.
    unsafe {
        if bpf_probe_read_user((&raw mut (*event).arguments).cast(), told as u32, start as *const _) != 0 {
            (*event).flags |= PROCESS_ARGUMENTS_ABSENT;
            return;
        }
        (*event).arguments_length = told as u16;
        if length > BYTES {
            (*event).flags |= PROCESS_ARGUMENTS_CUT;
        }
    }
}

#[inline(always)]
fn argument_bounds(task: &Task) -> Option<(u64, u64)> {
    let memory = read::<u64>(task.address, task.layout.mm)?;
    let start = read::<u64>(memory, task.layout.arg_start)?;
    let end = read::<u64>(memory, task.layout.arg_end)?;
    if start == 0 { None } else { Some((start, end)) }
}
