//! Walks over the descriptors and the mappings of every process, for those of gated devices. They need no BPF LSM, and
//! see what is older than the agent.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_seq_write;
use enforcer_common::device::{DeviceRequest, gate_of};
use enforcer_common::maps::{HoldingRecord, VIA_DESCRIPTOR, VIA_MAPPING};

use crate::lsm::Pointer;
use crate::lsm::offsets::{field, offset};
use crate::lsm::open_file::device_of;
use crate::tables::Kernel;
use crate::tag;

/// `struct bpf_iter_meta`, up to what is used.
#[repr(C)]
struct Meta {
    seq: *mut c_void,
}

/// `struct bpf_iter__task_file`.
#[repr(C)]
pub struct TaskFile {
    meta: *const Meta,
    task: Pointer,
    descriptor: u32,
    file: Pointer,
}

/// `struct bpf_iter__task_vma`.
#[repr(C)]
pub struct TaskMapping {
    meta: *const Meta,
    task: Pointer,
    mapping: Pointer,
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub fn walk_files(context: *const TaskFile) -> i32 {
    // SAFETY: the verifier allows these fields of the context.
    let (task, file, descriptor) = unsafe { ((*context).task, (*context).file, (*context).descriptor) };
    if task.is_null() || file.is_null() {
        return 0;
    }
    let Some(request) = device_of(file) else { return 0 };
    // SAFETY: as above.
    let meta = unsafe { (*context).meta };
    write(meta, task, file, &request, u64::from(descriptor), VIA_DESCRIPTOR);
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_vma")]
pub fn walk_mappings(context: *const TaskMapping) -> i32 {
    // SAFETY: the verifier allows these fields of the context.
    let (task, mapping) = unsafe { ((*context).task, (*context).mapping) };
    if task.is_null() || mapping.is_null() {
        return 0;
    }
    let file = field!(mapping, vma_file, Pointer);
    if file.is_null() {
        return 0;
    }
    let Some(request) = device_of(file) else { return 0 };
    let start = tag::read(mapping as u64, offset!(vma_start));
    // SAFETY: as above.
    let meta = unsafe { (*context).meta };
    write(meta, task, file, &request, start, VIA_MAPPING);
    0
}

/// Writes a record of a gated device. What finds no room is asked for again by the kernel.
#[inline(always)]
fn write(meta: *const Meta, task: Pointer, file: Pointer, request: &DeviceRequest, at: u64, via: u32) {
    if gate_of(&Kernel::now(), request).is_none() {
        return;
    }
    let process = field!(task, task_tgid, u32);
    let (cgroup, identity) = tag::of_task(task as u64);
    let mut record = HoldingRecord {
        file: file as u64,
        at,
        cgroup,
        kind: request.kind,
        major: request.major,
        minor: request.minor,
        access: request.access,
        process,
        identity,
        via,
        reserved: 0,
    };
    // SAFETY: the verifier knows the pointer to the sequence; the record is as long as it says.
    unsafe {
        bpf_seq_write((*meta).seq.cast(), (&raw mut record).cast(), size_of::<HoldingRecord>() as u32);
    }
}
