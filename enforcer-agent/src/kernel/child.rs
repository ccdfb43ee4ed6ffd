//! A forked child in a control group of its own, that answers twice: before and after its group is made somebody's.
//! Between fork and exit it makes system calls only and allocates nothing.

use std::ffi::CStr;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pipe};

/// What a child answers.
///
/// # Safety
/// The type is `repr(C)` and integers only, without padding: any bytes are a value.
pub(super) unsafe trait Answer: Copy + Default {}

/// The running child. Dropping it ends it.
pub(super) struct Child<A> {
    pid: Pid,
    answers: OwnedFd,
    orders: Option<OwnedFd>,
    answer: PhantomData<A>,
}

impl<A: Answer> Child<A> {
    /// Forks a child that joins the group of `procs`, opens what it needs and answers for the first round.
    ///
    /// # Safety
    /// `open` and `attempt` make system calls only: they take no lock and allocate nothing.
    pub(super) unsafe fn start<S>(
        procs: &CStr,
        open: impl FnOnce() -> Option<S>,
        attempt: impl Fn(&S, u32) -> A,
    ) -> io::Result<(Self, A)> {
        let (answers, to_parent) = pipe()?;
        let (from_parent, orders) = pipe()?;
        // SAFETY: the child makes system calls only and leaves by `_exit`; it takes no lock and allocates
        // nothing, so other threads' locks at the time of the fork do not matter.
        match unsafe { fork() }? {
            ForkResult::Child => {
                let pipes = Pipes { to_parent: to_parent.as_raw_fd(), from_parent: from_parent.as_raw_fd() };
                // SAFETY: closes the child's copy, and ends this process without running anything of the parent's.
                unsafe {
                    libc::close(orders.as_raw_fd());
                    libc::_exit(run(procs, &pipes, open, attempt))
                }
            }
            ForkResult::Parent { child } => {
                drop((to_parent, from_parent));
                let child = Self { pid: child, answers, orders: Some(orders), answer: PhantomData };
                let before = child.answer()?;
                Ok((child, before))
            }
        }
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Lets the child try again, and returns its answer for the second round.
    pub(super) fn again(&self) -> io::Result<A> {
        if let Some(orders) = &self.orders {
            nix::unistd::write(orders, b"g")?;
        }
        self.answer()
    }

    fn answer(&self) -> io::Result<A> {
        let mut answer = A::default();
        // SAFETY: the bytes of a value of which any bytes are a value.
        let bytes = unsafe { std::slice::from_raw_parts_mut((&raw mut answer).cast::<u8>(), size_of::<A>()) };
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match nix::unistd::read(&self.answers, rest)? {
                0 => return Err(io::Error::other("the canary process ended early")),
                more => filled += more,
            }
        }
        Ok(answer)
    }
}

impl<A> Drop for Child<A> {
    fn drop(&mut self) {
        self.orders = None;
        let _ = waitpid(self.pid, None);
    }
}

struct Pipes {
    to_parent: RawFd,
    from_parent: RawFd,
}

/// The child's life. Waits for an order between the two rounds, and for the end of the pipe at the end.
fn run<S, A: Answer>(
    procs: &CStr,
    pipes: &Pipes,
    open: impl FnOnce() -> Option<S>,
    attempt: impl Fn(&S, u32) -> A,
) -> i32 {
    if join(procs).is_err() {
        return 1;
    }
    let Some(opened) = open() else { return 1 };
    let mut order = 0_u8;
    for round in 0..2 {
        let answer = attempt(&opened, round);
        // SAFETY: the buffers outlive the calls.
        let written = unsafe { libc::write(pipes.to_parent, (&raw const answer).cast(), size_of::<A>()) };
        if usize::try_from(written) != Ok(size_of::<A>()) {
            return 1;
        }
        // SAFETY: as above.
        if unsafe { libc::read(pipes.from_parent, (&raw mut order).cast(), 1) } != 1 {
            return 0;
        }
    }
    0
}

/// This process joins the group of `procs`, between fork and exec: system calls only.
pub(super) fn join(procs: &CStr) -> io::Result<()> {
    // SAFETY: the path is a C string, and the descriptor is closed by its only owner.
    unsafe {
        let procs = libc::open(procs.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if procs < 0 {
            return Err(io::Error::last_os_error());
        }
        let joined = libc::write(procs, c"0".as_ptr().cast(), 1) == 1;
        let error = io::Error::last_os_error();
        libc::close(procs);
        if joined { Ok(()) } else { Err(error) }
    }
}
