//! The host-side interface of a workload, both directions.

use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns;
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use enforcer_common::event::{HOOK_FROM_WORKLOAD, HOOK_TO_WORKLOAD};
use enforcer_common::identity;
use enforcer_common::maps::{GRANT_VLAN, InterfaceValue, RULE_NO_MATCH};
use enforcer_common::packet::{ETHERNET_BYTES, Headers};
use enforcer_common::reason;
use enforcer_common::verdict::Verdict;
use enforcer_common::wall::{self, Arrival, Judgement};

use crate::account::{Place, account};
use crate::packet::Skb;
use crate::tables::{INTERFACES, Kernel, settings};

/// What a workload sends: the packet leaves the workload's namespace and enters the node's.
#[classifier]
pub fn from_workload(context: TcContext) -> i32 {
    let skb = Skb(context.skb.skb);
    let settings = settings();
    // SAFETY: the helper takes no argument.
    let now_ns = unsafe { bpf_ktime_get_coarse_ns() };
    let mut headers = Headers::default();
    let judgement = match interface(&skb) {
        Err(refused) => refused,
        Ok(interface) => {
            wall::from_workload(&Kernel::now(), &settings, interface, &skb, now_ns, &mut headers)
        }
    };
    if judgement.tag != 0 {
        skb.set_mark(wall::tagged(&settings, skb.mark(), judgement.tag));
    }
    finish(&skb, &judgement, &headers, HOOK_FROM_WORKLOAD, now_ns)
}

/// What a workload is sent: the packet leaves the node's namespace and enters the workload's.
#[classifier]
pub fn to_workload(context: TcContext) -> i32 {
    let skb = Skb(context.skb.skb);
    let arrival = Arrival { tag: wall::tag_of(&settings(), skb.mark()), forwarded: skb.came_from() };
    // SAFETY: the helper takes no argument.
    let now_ns = unsafe { bpf_ktime_get_coarse_ns() };
    let mut headers = Headers::default();
    let judgement = match interface(&skb) {
        Err(refused) => refused,
        Ok(interface) => wall::to_workload(&Kernel::now(), interface, &skb, &arrival, now_ns, &mut headers),
    };
    finish(&skb, &judgement, &headers, HOOK_TO_WORKLOAD, now_ns)
}

/// Whose interface this is. A VLAN tag that the driver took out of the packet counts like one in it.
#[inline(always)]
fn interface(skb: &Skb) -> Result<&'static InterfaceValue, Judgement> {
    let refuse =
        |tenant, reason| Judgement::settled(tenant, identity::UNKNOWN, Verdict::deny(RULE_NO_MATCH, reason));
    // SAFETY: values of a map without preallocation are freed only after a grace period.
    let Some(interface) = (unsafe { INTERFACES.get(skb.interface()) }) else {
        return Err(refuse(identity::UNKNOWN, reason::INTERFACE_UNKNOWN));
    };
    if skb.vlan_present() != 0 && interface.grants & GRANT_VLAN == 0 {
        return Err(refuse(interface.tenant, reason::VLAN_NOT_GRANTED));
    }
    Ok(interface)
}

#[inline(always)]
fn finish(skb: &Skb, judgement: &Judgement, headers: &Headers, hook: u8, now_ns: u64) -> i32 {
    let place = Place {
        hook,
        interface: skb.interface(),
        bytes: skb.len(),
        network: ETHERNET_BYTES,
        cgroup: 0,
        cookie: 0,
    };
    if account::<false>(judgement, headers, &place, now_ns, skb.0) != 0 {
        TC_ACT_UNSPEC
    } else {
        TC_ACT_SHOT as i32
    }
}
