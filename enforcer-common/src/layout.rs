//! Where the kernel keeps what in its own structures, beside tasks: offsets in bytes, found by the agent in the kernel's
//! type information before anything is loaded; 0 where that does not have it.

/// Offsets for the programs that look at open files.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileLayout {
    /// `struct file`: `f_inode`.
    pub file_inode: u32,
    /// `struct file`: `f_mode`.
    pub file_mode: u32,
    /// `struct inode`: `i_mode`.
    pub inode_mode: u32,
    /// `struct inode`: `i_rdev`.
    pub inode_rdev: u32,
    /// `struct inode`: `i_sb`.
    pub inode_sb: u32,
    /// `struct super_block`: `s_magic`.
    pub sb_magic: u32,
    /// `struct path`: `dentry`.
    pub path_dentry: u32,
    /// `struct dentry`: `d_sb`.
    pub dentry_sb: u32,
    /// `struct io_uring_cmd`: `file`.
    pub uring_cmd_file: u32,
    /// `struct vm_area_struct`: `vm_file`.
    pub vma_file: u32,
    /// `struct task_struct`: `cgroups`.
    pub task_cgroups: u32,
    /// `struct css_set`: `dfl_cgrp`.
    pub css_set_cgroup: u32,
    /// `struct cgroup`: `kn`.
    pub cgroup_kn: u32,
    /// `struct kernfs_node`: `id`.
    pub kn_id: u32,
    /// `struct cgroup_subsys_state`: `parent`; the state is the first member of a control group.
    pub css_parent: u32,
    /// `struct task_struct`: `tgid`.
    pub task_tgid: u32,
    /// `struct vm_area_struct`: `vm_start`.
    pub vma_start: u32,
    /// `struct vfsmount`: `mnt_sb`.
    pub mount_sb: u32,
}
