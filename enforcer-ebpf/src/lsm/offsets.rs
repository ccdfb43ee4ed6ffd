//! Where the kernel keeps what. Constants to the verifier: the agent sets them when it loads the programs, so that a
//! field is read by one instruction, as in a program that was compiled for this very kernel.

use enforcer_common::layout::FileLayout;

/// All zero in the object: the agent does not load a program that needs them before it knows them.
#[unsafe(no_mangle)]
pub static OFFSETS: FileLayout = FileLayout {
    file_inode: 0,
    file_mode: 0,
    inode_mode: 0,
    inode_rdev: 0,
    inode_sb: 0,
    sb_magic: 0,
    path_dentry: 0,
    dentry_sb: 0,
    uring_cmd_file: 0,
    vma_file: 0,
    task_cgroups: 0,
    css_set_cgroup: 0,
    cgroup_kn: 0,
    kn_id: 0,
    css_parent: 0,
    task_tgid: 0,
    mount_sb: 0,
    vma_start: 0,
};

/// The offset of a field, unknown to the compiler.
macro_rules! offset {
    ($field:ident) => {
        // SAFETY: a word of a constant; volatile, since the agent writes another in its place.
        unsafe { (&raw const $crate::lsm::offsets::OFFSETS.$field).read_volatile() }
    };
}

/// A field of a structure of the kernel, to which the verifier knows the pointer.
macro_rules! field {
    ($base:expr, $field:ident, $type:ty) => {{
        let (base, offset) = ($base, offset!($field));
        // SAFETY: the verifier checks that a field of this size lies there, and makes reading safe.
        unsafe { base.cast::<u8>().add(offset as usize).cast::<$type>().read_volatile() }
    }};
}

pub(crate) use {field, offset};
