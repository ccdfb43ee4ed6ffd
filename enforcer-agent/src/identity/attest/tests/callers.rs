//! Processes that connect: made with `clone3`, so that one can be given the number of another, and put into a
//! control group before they do anything.

use std::ffi::CString;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

/// `CLONE_INTO_CGROUP`, which is wider than the type of the constant in `libc`.
const INTO_CGROUP: u64 = 1 << 33;

/// What a caller does after it is in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Connects.
    Plainly,
    /// Connects from a thread that is not the first.
    FromAThread,
    /// The same, and the first thread ends before.
    WithoutMainThread,
    /// Has a child of its own that connects.
    ByAChild,
    /// Connects, and leaves the socket to a child that lives on when it ends.
    ForAChild,
    /// Does not connect.
    NotAtAll,
}

/// A caller; it ends with this value.
pub(super) struct Caller(Pid);

impl Caller {
    /// Starts one in a control group. `number` is the process id that it shall have.
    pub(super) fn start(group: &Path, socket: &Path, how: How, number: Option<i32>) -> Self {
        let group = std::fs::File::open(group).unwrap();
        let socket = CString::new(socket.as_os_str().as_bytes()).unwrap();
        match clone_into(group.as_raw_fd(), number) {
            0 => act(&socket, how),
            pid if pid > 0 => Self(Pid::from_raw(i32::try_from(pid).unwrap())),
            _ => panic!("clone3: {}", std::io::Error::last_os_error()),
        }
    }

    pub(super) const fn pid(&self) -> i32 {
        self.0.as_raw()
    }

    /// Ends it, and leaves it for its parent to look at.
    pub(super) fn kill(&self) {
        kill(self.0, Signal::SIGKILL).unwrap();
    }

    /// Looks at it, so that its number is free.
    pub(super) fn reap(&self) {
        waitpid(self.0, None).unwrap();
    }

    pub(super) fn move_to(&self, group: &Path) {
        std::fs::write(group.join("cgroup.procs"), self.pid().to_string()).unwrap();
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let _ended = kill(self.0, Signal::SIGKILL);
        let _reaped = waitpid(self.0, None);
    }
}

fn clone_into(group: i32, number: Option<i32>) -> libc::c_long {
    let wanted = number.unwrap_or(0);
    // SAFETY: zeros are a value of this structure of integers.
    let mut how: libc::clone_args = unsafe { std::mem::zeroed() };
    how.flags = INTO_CGROUP;
    how.exit_signal = u64::try_from(libc::SIGCHLD).unwrap();
    how.cgroup = u64::try_from(group).unwrap();
    if number.is_some() {
        how.set_tid = (&raw const wanted) as u64;
        how.set_tid_size = 1;
    }
    // SAFETY: like fork: the child has a copy of everything, and goes on to call the kernel only.
    unsafe { libc::syscall(libc::SYS_clone3, &raw mut how, size_of::<libc::clone_args>()) }
}

/// The child's life: nothing but system calls, for other threads' locks were copied as they were.
fn act(socket: &CString, how: How) -> ! {
    // SAFETY: plain system calls; the child ends with its parent, and never returns.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        match how {
            How::Plainly => connect(socket),
            How::FromAThread => thread(socket),
            How::WithoutMainThread => {
                thread(socket);
                libc::syscall(libc::SYS_exit, 0);
            }
            How::ByAChild => {
                if libc::fork() == 0 {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    connect(socket);
                }
            }
            How::ForAChild => {
                connect(socket);
                libc::fork();
            }
            How::NotAtAll => {}
        }
        loop {
            libc::pause();
        }
    }
}

unsafe fn thread(socket: &CString) {
    extern "C" fn run(socket: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: the string is the process's for as long as it lives.
        unsafe {
            connect(&*socket.cast::<CString>());
            loop {
                libc::pause();
            }
        }
    }
    let mut thread = 0;
    let argument = std::ptr::from_ref(socket).cast_mut().cast();
    // SAFETY: the function takes what it is given, which lives as long as the process.
    unsafe { libc::pthread_create(&raw mut thread, std::ptr::null(), run, argument) };
}

unsafe fn connect(socket: &CString) {
    // SAFETY: the address is zeroed and ends with a zero; the path is shorter than the field.
    unsafe {
        let mut address: libc::sockaddr_un = std::mem::zeroed();
        address.sun_family = libc::sa_family_t::try_from(libc::AF_UNIX).unwrap_or_default();
        for (to, from) in address.sun_path.iter_mut().zip(socket.as_bytes()) {
            *to = from.cast_signed();
        }
        let fd = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
        let bytes = libc::socklen_t::try_from(size_of::<libc::sockaddr_un>()).unwrap_or_default();
        libc::connect(fd, (&raw const address).cast(), bytes);
    }
}

/// A control group that goes with this value.
pub(super) struct Group(pub(super) PathBuf);

impl Group {
    pub(super) fn new(parent: &Path, name: &str) -> Self {
        let path = parent.join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ended = std::fs::write(self.0.join("cgroup.kill"), "1");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while std::fs::remove_dir(&self.0).is_err() && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
    }
}
