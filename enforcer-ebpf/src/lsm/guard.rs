//! What a tenant's processes may not do to others, or to the wall. Processes of the node are its administrators', and are not
//! held back.

use aya_ebpf::helpers::generated::{bpf_get_current_cgroup_id, bpf_ktime_get_ns};
use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use enforcer_common::event::{Event, HOOK_BPF, HOOK_PTRACE, HOOK_TASK_KILL, KIND_GUARD_REFUSED};
use enforcer_common::identity;
use enforcer_common::maps::{CounterKey, SETTING_DEVICE_AUDIT, STATE_AGENT};
use enforcer_common::reason::{TASK_FOREIGN, WALL_GUARDED};
use enforcer_common::verdict::{AUDIT, Verdict};

use super::{PASS, REFUSE, argument, earlier, proof};
use crate::account::{Place, count, describe};
use crate::tables::{settings, state};
use crate::tell::{Channel, room, submit};
use crate::{peek, tag};

/// Whoever only looks whether it would be let in, as `ps` does, is refused without a word (`PTRACE_MODE_NOAUDIT`).
const QUIET: u64 = 4;

/// A process wants to trace another, or asks for what needs the same right: its memory, its descriptors, its
/// environment.
#[lsm(hook = "ptrace_access_check")]
pub fn ptrace_access(context: LsmContext) -> i32 {
    if earlier(&context, 2) {
        return REFUSE;
    }
    let Some(who) = tenant() else { return PASS };
    proof::seen(HOOK_PTRACE);
    let Some(target) = owner_of(argument(&context, 0)) else { return PASS };
    if target == who {
        return PASS;
    }
    refuse(who, target, TASK_FOREIGN, HOOK_PTRACE, argument(&context, 1) & QUIET == 0)
}

/// A signal from one process to another. The kernel's own do not come here.
#[lsm(hook = "task_kill")]
pub fn task_kill(context: LsmContext) -> i32 {
    if earlier(&context, 4) {
        return REFUSE;
    }
    let Some(who) = tenant() else { return PASS };
    proof::seen(HOOK_TASK_KILL);
    let task = argument(&context, 0);
    let Some(target) = owner_of(task) else { return PASS };
    if identity::is_tenant(target) && target != who {
        return refuse(who, target, TASK_FOREIGN, HOOK_TASK_KILL, true);
    }
    let process = peek::layout().and_then(|layout| peek::at::<u32>(task, layout.task_tgid)).unwrap_or(0);
    if process != 0 && u64::from(process) == state(STATE_AGENT) {
        return refuse(who, target, WALL_GUARDED, HOOK_TASK_KILL, true);
    }
    PASS
}

/// `bpf()`, whatever the command.
#[lsm(hook = "bpf")]
pub fn bpf_call(context: LsmContext) -> i32 {
    if earlier(&context, 3) {
        return REFUSE;
    }
    let Some(who) = tenant() else { return PASS };
    proof::seen(HOOK_BPF);
    refuse(who, identity::HOST, WALL_GUARDED, HOOK_BPF, true)
}

/// The tenant of the current process.
#[inline(always)]
pub fn tenant() -> Option<u32> {
    let identity = tag::of_current().identity;
    if identity::is_tenant(identity) { Some(identity) } else { None }
}

/// Whose a task is; `None` where the kernel's structures are not known.
#[inline(always)]
fn owner_of(task: u64) -> Option<u32> {
    Some(tag::of_task(task, peek::layout()?).identity)
}

/// Counts a refusal, tells of it, and answers what the hook does.
#[inline(never)]
pub fn refuse(who: u32, target: u32, reason: u16, hook: u8, aloud: bool) -> i32 {
    let verdict = Verdict::deny(enforcer_common::maps::RULE_NO_MATCH, reason);
    let verdict = if settings().flags & SETTING_DEVICE_AUDIT != 0 { verdict.audited() } else { verdict };
    let audited = (verdict.action == AUDIT) as u8;
    count(&CounterKey { source: who, destination: target, reason, hook, audited }, 0);
    if aloud {
        tell(&verdict, who, target, hook);
    }
    if verdict.passes() { PASS } else { REFUSE }
}

#[inline(always)]
fn tell(verdict: &Verdict, who: u32, target: u32, hook: u8) {
    // SAFETY: the helpers take no argument.
    let (now_ns, cgroup) = unsafe { (bpf_ktime_get_ns(), bpf_get_current_cgroup_id()) };
    let room = room::<Event>(Channel::Device, KIND_GUARD_REFUSED, who, now_ns);
    let Some(mut entry) = room else { return };
    let place = Place { hook, interface: 0, bytes: 0, network: 0, cgroup, cookie: 0 };
    let event = entry.as_mut_ptr();
    // SAFETY: the reservation is as large as an event, and every field is written before it is submitted.
    unsafe {
        describe::<true>(event, &place);
        (*event).source_identity = who;
        (*event).destination_identity = target;
        (*event).rule = verdict.rule;
        (*event).reason = verdict.reason;
        (*event).action = verdict.action;
        (*event).shadow_action = verdict.shadow_action;
    }
    submit(Channel::Device, entry);
}
