//! Packets at sockets in the node's own network namespace: the backstop for those that share its addresses.

use aya_ebpf::helpers::generated::{
    bpf_get_socket_cookie, bpf_ktime_get_coarse_ns, bpf_skb_ancestor_cgroup_id, bpf_skb_cgroup_id,
};
use aya_ebpf::macros::{cgroup_skb, cgroup_sock};
use aya_ebpf::programs::{SkBuffContext, SockContext};
use enforcer_common::event::{HOOK_SOCKET_EGRESS, HOOK_SOCKET_INGRESS};
use enforcer_common::identity;
use enforcer_common::maps::{CGROUP_HOST_NETWORK, SocketTag};
use enforcer_common::packet::{Headers, parse_ip};
use enforcer_common::wall::{self, Arrival, Judgement};

use crate::account::{Place, account};
use crate::memo;
use crate::packet::Skb;
use crate::tables::{Kernel, settings};
use crate::tag;

const PASS: i32 = 1;
const REFUSE: i32 = 0;

/// A new socket takes the tag of its maker.
#[cgroup_sock(sock_create)]
pub fn sock_create(context: SockContext) -> i32 {
    keep(&context)
}

/// A bound socket takes the tag of the process that bound it: a listener may have been made elsewhere.
#[cgroup_sock(post_bind4)]
pub fn post_bind4(context: SockContext) -> i32 {
    keep(&context)
}

/// The same for IPv6.
#[cgroup_sock(post_bind6)]
pub fn post_bind6(context: SockContext) -> i32 {
    keep(&context)
}

#[inline(always)]
fn keep(context: &SockContext) -> i32 {
    let tag = tag::of_current();
    tag::keep(context.sock, &tag);
    memo::keep(context.sock, &tag);
    PASS
}

/// What a socket sends.
#[cgroup_skb(egress)]
pub fn socket_egress(context: SkBuffContext) -> i32 {
    let skb = Skb(context.skb.skb);
    let settings = settings();
    let Some(owner) = owner(&skb) else { return PASS };
    // SAFETY: the helper takes no argument.
    let now_ns = unsafe { bpf_ktime_get_coarse_ns() };
    let mut headers = Headers::default();
    if owner.identity == identity::HOST {
        clear_tag(&skb, settings.tag_mask);
        let judgement = wall::from_host(&Kernel::now(), skb.ethertype(), &skb, now_ns, &mut headers);
        return finish(&skb, &judgement, &headers, &owner, HOOK_SOCKET_EGRESS, now_ns);
    }
    if owner.flags & CGROUP_HOST_NETWORK == 0 {
        if memo::is_news(&skb) != 0 && parse_ip(&skb, skb.ethertype(), &mut headers).refusal().is_none() {
            memo::write(&skb, &headers, &owner);
        }
        return PASS;
    }
    let judgement =
        wall::from_socket(&Kernel::now(), owner.identity, skb.ethertype(), &skb, now_ns, &mut headers);
    skb.set_mark(wall::tagged(&settings, skb.mark(), judgement.tag));
    finish(&skb, &judgement, &headers, &owner, HOOK_SOCKET_EGRESS, now_ns)
}

/// What a socket is sent.
#[cgroup_skb(ingress)]
pub fn socket_ingress(context: SkBuffContext) -> i32 {
    let skb = Skb(context.skb.skb);
    let Some(owner) = owner(&skb) else { return PASS };
    if owner.identity != identity::HOST && owner.flags & CGROUP_HOST_NETWORK == 0 {
        return PASS;
    }
    // SAFETY: the helper takes no argument.
    let now_ns = unsafe { bpf_ktime_get_coarse_ns() };
    let arrival = Arrival { tag: wall::tag_of(&settings(), skb.mark()), forwarded: from_outside(&skb) };
    let mut headers = Headers::default();
    let judgement = wall::to_socket(
        &Kernel::now(),
        owner.identity,
        skb.ethertype(),
        &skb,
        &arrival,
        now_ns,
        &mut headers,
    );
    finish(&skb, &judgement, &headers, &owner, HOOK_SOCKET_INGRESS, now_ns)
}

/// Not 0 for a packet that came in from an interface other than loopback, which is the first of every
/// namespace.
#[inline(always)]
fn from_outside(skb: &Skb) -> u32 {
    const LOOPBACK: u32 = 1;
    let interface = skb.interface();
    if interface == LOOPBACK { 0 } else { interface }
}

/// A socket of the node itself carries no tenant's tag, whatever `SO_MARK` says.
#[inline(always)]
fn clear_tag(skb: &Skb, mask: u32) {
    let mark = skb.mark();
    if mark & mask != 0 {
        skb.set_mark(mark & !mask);
    }
}

/// Whose socket this is; `None` without a socket. Host services are part of the host here.
#[inline(always)]
fn owner(skb: &Skb) -> Option<SocketTag> {
    let mut owner = SocketTag::default();
    if owner_into(skb, &mut owner) == 0 {
        return None;
    }
    if !identity::is_tenant(owner.identity) {
        owner.identity = identity::HOST;
    }
    Some(owner)
}

/// The tag of the packet's socket; 0 without a socket. A socket without a tag (older than the agent, or
/// accepted) is recognised by its control group and tagged. A function of its own, for the stack.
#[inline(never)]
fn owner_into(skb: &Skb, owner: &mut SocketTag) -> u32 {
    let socket = skb.full_socket();
    if socket.is_null() {
        return 0;
    }
    *owner = match tag::kept(socket) {
        Some(kept) => kept,
        None => {
            // SAFETY: the context is this program's.
            let tag = unsafe {
                tag::recognise(bpf_skb_cgroup_id(skb.0), |level| bpf_skb_ancestor_cgroup_id(skb.0, level))
            };
            tag::keep(socket, &tag);
            tag
        }
    };
    owner.identity
}

#[inline(always)]
fn finish(
    skb: &Skb,
    judgement: &Judgement,
    headers: &Headers,
    owner: &SocketTag,
    hook: u8,
    now_ns: u64,
) -> i32 {
    let none_of_ours = !identity::is_tenant(judgement.source) && !identity::is_tenant(judgement.destination);
    if none_of_ours && judgement.verdict.passes() {
        return PASS;
    }
    let place = Place {
        hook,
        interface: skb.interface(),
        bytes: skb.len(),
        network: 0,
        cgroup: owner.cgroup,
        // SAFETY: the context is this program's.
        cookie: unsafe { bpf_get_socket_cookie(skb.0.cast()) },
    };
    if hook == HOOK_SOCKET_EGRESS && memo::is_news(skb) != 0 {
        // The interface of a workload that it goes to will see the packet without the socket.
        memo::write(skb, headers, owner);
    }
    if account::<false>(judgement, headers, &place, now_ns, skb.0) != 0 { PASS } else { REFUSE }
}
