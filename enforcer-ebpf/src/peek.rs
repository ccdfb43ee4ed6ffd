//! Reading the kernel's own structures, at the offsets that the agent found in the kernel's type information.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use enforcer_common::layout::FileLayout;

use crate::tables::FILES;

/// The offsets; `None` where the kernel has no type information, and then nothing is known of any file.
#[inline(always)]
pub fn layout() -> Option<&'static FileLayout> {
    let layout = FILES.get(0)?;
    if layout.file_inode == 0 { None } else { Some(layout) }
}

/// What lies at an offset of a structure; `None` of no structure, or of one that is gone.
#[inline(always)]
pub fn at<T: Copy + Default>(base: u64, offset: u32) -> Option<T> {
    if base == 0 {
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
