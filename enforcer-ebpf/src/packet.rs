//! Packet bytes: the one place where they are read from the kernel.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use enforcer_common::packet::Packet;

/// A socket buffer. Offsets count from where the hook's data starts: the link header at an interface, the IP
/// header at a socket.
pub struct Skb(pub *mut __sk_buff);

impl Packet for Skb {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        // SAFETY: the helper checks the offset and writes exactly N bytes, or fails.
        let failed =
            unsafe { bpf_skb_load_bytes(self.0.cast(), offset, bytes.as_mut_ptr().cast(), N as u32) };
        // SAFETY: on success every byte was written; on failure the kernel zeroed them.
        if failed == 0 { Some(unsafe { bytes.assume_init() }) } else { None }
    }
}

impl Skb {
    #[inline(always)]
    pub fn mark(&self) -> u32 {
        // SAFETY: the verifier allows this field of the context.
        unsafe { (*self.0).mark }
    }

    #[inline(always)]
    pub fn set_mark(&self, mark: u32) {
        // SAFETY: the verifier allows writing this field of the context.
        unsafe { (*self.0).mark = mark };
    }

    #[inline(always)]
    pub fn interface(&self) -> u32 {
        // SAFETY: the verifier allows this field of the context.
        unsafe { (*self.0).ifindex }
    }

    /// Index of the interface that the packet came in from; 0 when it was made on this node.
    #[inline(always)]
    pub fn came_from(&self) -> u32 {
        // SAFETY: the verifier allows this field of the context.
        unsafe { (*self.0).ingress_ifindex }
    }

    /// Length in bytes; of a segmentation offload, of all its segments.
    #[inline(always)]
    pub fn len(&self) -> u32 {
        // SAFETY: the verifier allows this field of the context.
        unsafe { (*self.0).len }
    }

    /// 1 when a VLAN tag was taken out of the packet into the buffer's own field.
    #[inline(always)]
    pub fn vlan_present(&self) -> u32 {
        // SAFETY: the verifier allows this field of the context.
        unsafe { (*self.0).vlan_present }
    }

    /// EtherType, host byte order.
    #[inline(always)]
    pub fn ethertype(&self) -> u16 {
        // SAFETY: the verifier allows this field of the context.
        u16::from_be(unsafe { (*self.0).protocol } as u16)
    }
}
