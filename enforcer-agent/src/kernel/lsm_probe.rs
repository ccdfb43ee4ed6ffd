//! The child of the canary that tries each hook of BPF LSM, before and after its group is made a tenant's. Its device is the
//! null device, which the programs then refuse to it and to nobody else.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::RawFd;

use super::child::{Answer, Child};

/// What the child needs, made before the fork.
pub(super) struct Job {
    /// `cgroup.procs` of the group it joins.
    pub(super) procs: CString,
    /// An empty directory on the BPF file system, and another name for it.
    pub(super) directory: CString,
    pub(super) renamed: CString,
    /// A symbolic link there.
    pub(super) name: CString,
    /// Where it may make a device node.
    pub(super) node: CString,
    /// The agent's executable, as `/proc` shows it to who may trace the agent.
    pub(super) parent: CString,
    /// The agent.
    pub(super) parent_pid: libc::pid_t,
}

/// Errno of each attempt; 0 when it went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Attempts {
    open: i32,
    receive: i32,
    permission: i32,
    ioctl: i32,
    mmap: i32,
    mknod: i32,
    ptrace: i32,
    kill: i32,
    bpf: i32,
    unlink: i32,
    rmdir: i32,
    rename: i32,
    mount: i32,
}

// SAFETY: `repr(C)`, and thirteen words without padding.
unsafe impl Answer for Attempts {}

/// Whether a hook refused; `None` for a hook whose refusal the child cannot tell from another's.
pub(super) fn refused(hook: &str, before: &Attempts, after: &Attempts) -> Option<bool> {
    let of: fn(&Attempts) -> i32 = match hook {
        "file_open" => |attempts| attempts.open,
        "file_receive" => |attempts| attempts.receive,
        "file_permission" => |attempts| attempts.permission,
        "file_ioctl" => |attempts| attempts.ioctl,
        "mmap_file" => |attempts| attempts.mmap,
        "ptrace_access_check" => |attempts| attempts.ptrace,
        "task_kill" => |attempts| attempts.kill,
        "bpf" => |attempts| attempts.bpf,
        "inode_unlink" => |attempts| attempts.unlink,
        "inode_rmdir" => |attempts| attempts.rmdir,
        "inode_rename" => |attempts| attempts.rename,
        "sb_mount" => |attempts| attempts.mount,
        _ => return None,
    };
    let refusal = if hook == "ptrace_access_check" { libc::EACCES } else { libc::EPERM };
    Some(of(before) != refusal && of(after) == refusal)
}

/// Forks the child, and returns what it could do while its group was nobody's.
pub(super) fn start(job: &Job) -> io::Result<(Child<Attempts>, Attempts)> {
    // SAFETY: both closures make system calls only.
    unsafe { Child::start(&job.procs, || Some(Held::open()), |held, round| held.attempt(job, round)) }
}

/// What is open before the group is a tenant's; -1 where it could not be opened.
struct Held {
    device: RawFd,
    sockets: [RawFd; 2],
}

const DEVICE: &CStr = c"/dev/null";
const OPEN_FLAGS: libc::c_int = libc::O_RDWR | libc::O_CLOEXEC;
/// `BPF_PROG_GET_NEXT_ID`: reads a number, and changes nothing.
const BPF_PROG_GET_NEXT_ID: libc::c_long = 11;
const PAGE: usize = 4096;

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(-1)
}

/// Of a call that answers 0 or more.
fn outcome<T: PartialOrd + Default>(answer: T) -> i32 {
    if answer >= T::default() { 0 } else { errno() }
}

impl Held {
    /// # Safety
    /// Only system calls; for the child after the fork.
    unsafe fn open() -> Self {
        let mut sockets = [-1; 2];
        // SAFETY: the caller's promise; every pointer outlives its call.
        unsafe {
            libc::socketpair(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, 0, sockets.as_mut_ptr());
            Self { device: libc::open(DEVICE.as_ptr(), OPEN_FLAGS), sockets }
        }
    }

    /// # Safety
    /// Only system calls; for the child after the fork.
    unsafe fn attempt(&self, job: &Job, round: u32) -> Attempts {
        let mut attempts = Attempts::default();
        // SAFETY: the caller's promise; every pointer outlives its call.
        unsafe {
            let another = libc::open(DEVICE.as_ptr(), OPEN_FLAGS);
            attempts.open = outcome(another);
            if another >= 0 {
                libc::close(another);
            }
            attempts.receive = self.receive();
            let mut byte = 0_u8;
            attempts.permission = outcome(libc::read(self.device, (&raw mut byte).cast(), 1));
            let mut settings: libc::termios = std::mem::zeroed();
            attempts.ioctl = outcome(libc::ioctl(self.device, libc::TCGETS, &raw mut settings));
            attempts.mmap = map(self.device);
            attempts.mknod =
                outcome(libc::mknod(job.node.as_ptr(), libc::S_IFCHR | 0o400, libc::makedev(1, 3)));
            libc::unlink(job.node.as_ptr());
            let mut path = 0_u8;
            attempts.ptrace = outcome(libc::readlink(job.parent.as_ptr(), (&raw mut path).cast(), 1));
            attempts.kill = outcome(libc::kill(job.parent_pid, 0));
            attempts.bpf = bpf();
            names(job, round, &mut attempts);
            attempts.mount = mount(&job.directory);
        }
        attempts
    }

    /// The device is sent to this process by itself: `EPERM` stands for a message without its descriptor.
    unsafe fn receive(&self) -> i32 {
        let mut byte = *b"f";
        let mut data = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
        let mut room = [0_u64; 8];
        // SAFETY: all zero is a value of this C structure; the control message lies within `room`, aligned.
        unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = &raw mut data;
            message.msg_iovlen = 1;
            message.msg_control = room.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(4) as usize;
            let control = libc::CMSG_FIRSTHDR(&raw const message);
            (*control).cmsg_level = libc::SOL_SOCKET;
            (*control).cmsg_type = libc::SCM_RIGHTS;
            (*control).cmsg_len = libc::CMSG_LEN(4) as usize;
            libc::CMSG_DATA(control).cast::<RawFd>().write_unaligned(self.device);
            if libc::sendmsg(self.sockets[0], &raw const message, 0) < 0 {
                return errno();
            }
            message.msg_controllen = size_of_val(&room);
            if libc::recvmsg(self.sockets[1], &raw mut message, libc::MSG_CMSG_CLOEXEC) < 0 {
                return errno();
            }
            let control = libc::CMSG_FIRSTHDR(&raw const message);
            if control.is_null() || (*control).cmsg_type != libc::SCM_RIGHTS {
                return libc::EPERM;
            }
            libc::close(libc::CMSG_DATA(control).cast::<RawFd>().read_unaligned());
            0
        }
    }
}

unsafe fn map(fd: RawFd) -> i32 {
    // SAFETY: a fresh mapping that nothing refers to, and that goes at once.
    unsafe {
        let at = libc::mmap(std::ptr::null_mut(), PAGE, libc::PROT_READ, libc::MAP_SHARED, fd, 0);
        if at == libc::MAP_FAILED {
            return errno();
        }
        libc::munmap(at, PAGE);
        0
    }
}

unsafe fn bpf() -> i32 {
    let mut attributes = [0_u32; 4];
    // SAFETY: the attributes of this command are as many words, and outlive the call.
    let answer = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_GET_NEXT_ID, attributes.as_mut_ptr(), size_of_val(&attributes))
    };
    outcome(answer)
}

/// Names on the BPF file system: what goes through in the first round is put back.
unsafe fn names(job: &Job, round: u32, attempts: &mut Attempts) {
    // SAFETY: the paths are C strings that outlive the calls.
    unsafe {
        attempts.unlink = outcome(libc::unlink(job.name.as_ptr()));
        attempts.rename = outcome(libc::rename(job.directory.as_ptr(), job.renamed.as_ptr()));
        if attempts.rename == 0 {
            libc::rename(job.renamed.as_ptr(), job.directory.as_ptr());
        }
        attempts.rmdir = outcome(libc::rmdir(job.directory.as_ptr()));
        if round == 0 {
            libc::symlink(c"nowhere".as_ptr(), job.name.as_ptr());
            libc::mkdir(job.directory.as_ptr(), 0o700);
        }
    }
}

/// A file system of a type that there is not: it is asked for before that is noticed.
unsafe fn mount(at: &CStr) -> i32 {
    // SAFETY: every pointer outlives the call.
    let answer =
        unsafe { libc::mount(c"none".as_ptr(), at.as_ptr(), c"enforcer-none".as_ptr(), 0, std::ptr::null()) };
    outcome(answer)
}
