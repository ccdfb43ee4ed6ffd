//! For the bench alone: what the test runner costs by itself, and what one look-up costs on this machine. The
//! agent never loads these programs.

use aya_ebpf::bindings::TC_ACT_UNSPEC;
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use enforcer_common::address;
use enforcer_common::flow::Flows;
use enforcer_common::maps::FlowKey;
use enforcer_common::policy::Tables;

use crate::packet::Skb;
use crate::tables::Kernel;

const HIT: i32 = 1;

/// Nothing: what is left is the runner.
#[classifier]
pub fn bench_nothing(_context: TcContext) -> i32 {
    TC_ACT_UNSPEC
}

/// One look-up of 4 bytes: the tenant that the mark names.
#[classifier]
pub fn bench_tenant(context: TcContext) -> i32 {
    let mark = Skb(context.skb.skb).mark();
    found(Tables::tenant(&Kernel::now(), mark).is_some())
}

/// One look-up of 16 bytes: the IPv4 address that the mark spells.
#[classifier]
pub fn bench_address(context: TcContext) -> i32 {
    let mark = Skb(context.skb.skb).mark();
    found(Kernel::now().address(&address::from_v4(mark.to_be_bytes())).is_some())
}

/// One look-up of 40 bytes: a flow that nobody has, with a key that differs by mark.
#[classifier]
pub fn bench_flow(context: TcContext) -> i32 {
    let mark = Skb(context.skb.skb).mark();
    let key = FlowKey { source: address::from_v4(mark.to_be_bytes()), ..FlowKey::default() };
    found(Kernel::now().flow(&key).is_some())
}

#[inline(always)]
fn found(hit: bool) -> i32 {
    if hit { HIT } else { TC_ACT_UNSPEC }
}
