//! A TAP interface: the shortest way to an interface of our own on which to try the interface hooks.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const IFF_TAP: libc::c_short = 0x0002;
const IFF_NO_PI: libc::c_short = 0x1000;

/// The interface; it goes when this is dropped.
pub(super) struct Tap {
    file: File,
    index: u32,
}

impl Tap {
    /// Makes it and brings it up.
    pub(super) fn create() -> io::Result<Self> {
        let file = File::options().read(true).write(true).open("/dev/net/tun")?;
        // SAFETY: all zero is a value of this C structure.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(*b"enfcanary%d") {
            *to = libc::c_char::try_from(from).map_err(io::Error::other)?;
        }
        request.ifr_ifru.ifru_flags = IFF_TAP | IFF_NO_PI;
        // SAFETY: the request is an `ifreq`, which the call reads and writes.
        check(unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) })?;
        // SAFETY: the kernel wrote a NUL-terminated name.
        let index = unsafe { libc::if_nametoindex(request.ifr_name.as_ptr()) };
        if index == 0 {
            return Err(io::Error::last_os_error());
        }
        let socket = packet_socket()?;
        let up = libc::c_short::try_from(libc::IFF_UP | libc::IFF_NOARP).map_err(io::Error::other)?;
        request.ifr_ifru.ifru_flags = up;
        // SAFETY: as above.
        check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) })?;
        Ok(Self { file, index })
    }

    pub(super) fn index(&self) -> u32 {
        self.index
    }

    /// A frame comes in from the interface.
    pub(super) fn receive(&self) -> io::Result<()> {
        (&self.file).write_all(&FRAME)
    }

    /// A frame goes out to the interface.
    pub(super) fn send(&self) -> io::Result<()> {
        let socket = packet_socket()?;
        // SAFETY: all zero is a value of this C structure.
        let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        to.sll_family = libc::c_ushort::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
        to.sll_ifindex = i32::try_from(self.index).map_err(io::Error::other)?;
        let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).map_err(io::Error::other)?;
        // SAFETY: frame and address outlive the call.
        let sent = unsafe {
            libc::sendto(
                socket.as_raw_fd(),
                FRAME.as_ptr().cast(),
                FRAME.len(),
                0,
                (&raw const to).cast(),
                length,
            )
        };
        // A frame that our own program refuses may be reported as an error: the counter is the answer.
        if sent < 0 && io::Error::last_os_error().raw_os_error() != Some(libc::ENOBUFS) {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

/// IPv4 and UDP from 192.0.2.1 to 192.0.2.2 (RFC 5737), which nobody has.
const FRAME: [u8; 42] = [
    2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, // Ethernet
    0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, // IPv4
    0, 9, 0, 9, 0, 8, 0, 0, // UDP
];

fn packet_socket() -> io::Result<OwnedFd> {
    // SAFETY: a plain system call.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    check(fd)?;
    // SAFETY: the kernel just gave us this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(answer: libc::c_int) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
