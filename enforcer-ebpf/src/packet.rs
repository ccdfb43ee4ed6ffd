//! Packet bytes: the one place where they are read from the kernel.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::{__sk_buff, bpf_sock};
use aya_ebpf::helpers::generated::{bpf_sk_fullsock, bpf_skb_load_bytes};
use enforcer_common::packet::{ETHERNET_BYTES, ETHERTYPE_QINQ, ETHERTYPE_VLAN, Packet, VLAN_BYTES};

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

    /// The full socket that the packet belongs to, or null.
    #[inline(always)]
    pub fn full_socket(&self) -> *mut bpf_sock {
        // SAFETY: the verifier allows this field; the pointer is checked before use.
        let socket = unsafe { (*self.0).__bindgen_anon_2.sk };
        if socket.is_null() {
            return socket;
        }
        // SAFETY: `socket` is not null.
        unsafe { bpf_sk_fullsock(socket) }
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

    /// Bytes of the VLAN tag that a packet with a link header still has in it.
    #[inline(always)]
    pub fn vlan_bytes(&self, network: u32) -> u32 {
        if network != ETHERNET_BYTES {
            return 0;
        }
        match self.read::<2>(network - 2).map(u16::from_be_bytes) {
            Some(ETHERTYPE_VLAN | ETHERTYPE_QINQ) => VLAN_BYTES,
            _ => 0,
        }
    }

    /// EtherType, host byte order.
    #[inline(always)]
    pub fn ethertype(&self) -> u16 {
        // SAFETY: the verifier allows this field of the context.
        u16::from_be(unsafe { (*self.0).protocol } as u16)
    }
}
