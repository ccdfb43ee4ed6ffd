//! The end of the machine.

/// Powers the machine off, once the last word has left. Returns only when the kernel refused.
pub(crate) fn off() {
    // SAFETY: standard output stays open as long as the process.
    unsafe { libc::tcdrain(libc::STDOUT_FILENO) };
    nix::unistd::sync();
    // SAFETY: takes a number; there is nothing in this machine to lose.
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
}
