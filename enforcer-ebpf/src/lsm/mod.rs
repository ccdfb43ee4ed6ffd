//! Hooks of BPF LSM: what is done with a device that is open already, and what guards the wall and its tenants' processes.
//! They add refusals, and never take one back: a refusal of an earlier program is passed on.

mod file;
mod guard;
mod handle;
mod mount;
mod proof;

/// `-EPERM`.
const REFUSE: i32 = -1;
const PASS: i32 = 0;

/// The numbered argument of a hook, as a number.
#[inline(always)]
fn argument(context: &aya_ebpf::programs::LsmContext, number: usize) -> u64 {
    context.arg::<u64>(number)
}

/// What an earlier program answered: the argument behind the hook's own.
#[inline(always)]
fn earlier(context: &aya_ebpf::programs::LsmContext, own: usize) -> bool {
    context.arg::<u64>(own) as i32 != 0
}
