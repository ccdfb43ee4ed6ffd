//! The kernel programs. Entry points only read, decide, account and return: what is decided stands in
//! `enforcer-common`, the same code that the host runs.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(internal_features, reason = "an exact addition: see tables::add_one")]

mod account;
mod attach;
mod bench;
mod device;
mod lsm;
mod memo;
mod packet;
mod process;
mod response;
mod sockaddr;
mod socket;
mod states;
mod tables;
mod tag;
mod tc;
mod tell;
mod tunnel;
mod walk;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// Helpers such as `bpf_skb_ancestor_cgroup_id` are open to GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
