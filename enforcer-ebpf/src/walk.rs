//! Walks over every descriptor and mapping of every process: what holds a gated device goes into the reader's file.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_seq_write;
use enforcer_common::device::DeviceTables as _;
use enforcer_common::layout::FileLayout;
use enforcer_common::maps::{GateKey, HoldingRecord, MINOR_ANY, VIA_DESCRIPTOR, VIA_MAPPING};

use crate::tables::Kernel;
use crate::{node, peek, tag};

/// `struct bpf_iter__task_file`.
#[repr(C)]
struct AtFile {
    meta: *const Meta,
    task: *const c_void,
    descriptor: u32,
    file: *const c_void,
}

/// `struct bpf_iter__task_vma`.
#[repr(C)]
struct AtMapping {
    meta: *const Meta,
    task: *const c_void,
    mapping: *const c_void,
}

/// `struct bpf_iter_meta`: its first member.
#[repr(C)]
struct Meta {
    out: *mut c_void,
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub fn walk_files(context: *const c_void) -> i32 {
    let context = context.cast::<AtFile>();
    // SAFETY: the context of this hook, whose members the verifier knows.
    let (meta, task, file, descriptor) =
        unsafe { ((*context).meta, (*context).task, (*context).file, (*context).descriptor) };
    if task.is_null() || file.is_null() {
        return 0;
    }
    let via = Via { kind: VIA_DESCRIPTOR, at: u64::from(descriptor) };
    write(meta, task as u64, file as u64, via);
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_vma")]
pub fn walk_mappings(context: *const c_void) -> i32 {
    let context = context.cast::<AtMapping>();
    // SAFETY: the context of this hook, whose members the verifier knows.
    let (meta, task, mapping) = unsafe { ((*context).meta, (*context).task, (*context).mapping) };
    if task.is_null() || mapping.is_null() {
        return 0;
    }
    let Some(layout) = peek::layout() else { return 0 };
    let Some(file) = peek::at::<u64>(mapping as u64, layout.vma_file) else { return 0 };
    let Some(start) = peek::at::<u64>(mapping as u64, layout.vma_start) else { return 0 };
    write(meta, task as u64, file, Via { kind: VIA_MAPPING, at: start });
    0
}

struct Via {
    kind: u32,
    at: u64,
}

#[inline(always)]
fn write(meta: *const Meta, task: u64, file: u64, via: Via) {
    let Some(layout) = peek::layout() else { return };
    let Some(record) = holding(layout, task, file, &via) else { return };
    let length = size_of::<HoldingRecord>() as u32;
    // SAFETY: the verifier knows where the reader's file is; the record is as long as said.
    unsafe { bpf_seq_write((*meta).out.cast(), (&raw const record).cast_mut().cast(), length) };
}

/// The record of a file of a gated device.
#[inline(always)]
fn holding(layout: &FileLayout, task: u64, file: u64, via: &Via) -> Option<HoldingRecord> {
    let request = node::of_file(file, layout)?;
    let tables = Kernel::now();
    let mut key = GateKey { kind: request.kind, major: request.major, minor: request.minor };
    if tables.gate(&key).is_none() {
        key.minor = MINOR_ANY;
        tables.gate(&key)?;
    }
    let tag = tag::of_task(task, layout);
    Some(HoldingRecord {
        file,
        at: via.at,
        cgroup: tag.leaf,
        via: via.kind,
        process: peek::at::<u32>(task, layout.task_tgid)?,
        identity: tag.identity,
        kind: request.kind,
        major: request.major,
        minor: request.minor,
        access: request.access,
        reserved: 0,
    })
}
