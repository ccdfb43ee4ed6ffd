//! Tasks that change their control group: one that enters a listed host service gains its devices, and that
//! is worth an alert.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;
use enforcer_common::event::{Event, HOOK_CGROUP_ATTACH, KIND_SERVICE_ENTERED};
use enforcer_common::identity;
use enforcer_common::maps::CounterKey;
use enforcer_common::reason;

use crate::account::{Place, count, describe};
use crate::tables::CGROUPS;
use crate::tag;
use crate::tell::{Channel, room, submit};

/// Offset of `dst_root`, the hierarchy: 0 for cgroup2. Ids of other hierarchies mean other groups.
const HIERARCHY: usize = 8;
/// Offset of `dst_id` in the record of `cgroup:cgroup_attach_task`, behind the common header and two ints.
const DESTINATION_ID: usize = 16;
/// Offset of `pid`.
const PID: usize = 24;

#[tracepoint]
pub fn cgroup_attach(context: TracePointContext) -> i32 {
    // SAFETY: the tracepoint's record is longer than these offsets, and its format is stable.
    let (id, pid) = unsafe { (context.read_at::<u64>(DESTINATION_ID), context.read_at::<u32>(PID)) };
    // SAFETY: as above.
    let hierarchy = unsafe { context.read_at::<u32>(HIERARCHY) };
    let (Ok(id), Ok(pid), Ok(0)) = (id, pid, hierarchy) else { return 0 };
    // SAFETY: values of a map without preallocation are freed only after a grace period.
    let Some(value) = (unsafe { CGROUPS.get(id) }) else { return 0 };
    if !identity::is_service(value.identity) {
        return 0;
    }
    let mover = tag::of_current();
    let key = CounterKey {
        source: mover.identity,
        destination: value.identity,
        reason: reason::NONE,
        hook: HOOK_CGROUP_ATTACH,
        audited: 0,
    };
    count(&key, 0);
    // SAFETY: the helper takes no argument.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    let Some(mut entry) = room::<Event>(Channel::Alert, KIND_SERVICE_ENTERED, mover.identity, now_ns) else {
        return 0;
    };
    let place = Place { hook: HOOK_CGROUP_ATTACH, interface: 0, bytes: 0, network: 0, cgroup: id, cookie: 0 };
    let event = entry.as_mut_ptr();
    // SAFETY: the reservation is as large as an event, and every field is written before it is submitted.
    unsafe {
        describe::<true>(event, &place);
        (*event).source_identity = mover.identity;
        (*event).destination_identity = value.identity;
        (*event).process = pid;
    }
    submit(Channel::Alert, entry);
    0
}
