//! A GPU of ours: a character device with a number of our choice and memory that keeps what was written to it from one
//! open to the next, as video memory does. The kernel sends its calls here as messages of the FUSE protocol over
//! `/dev/cuse`; messages and numbers are those of linux/fuse.h, protocol 7.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

const INIT: u32 = 4096;
const FORGET: u32 = 2;
const OPEN: u32 = 14;
const READ: u32 = 15;
const WRITE: u32 = 16;
const RELEASE: u32 = 18;
const FSYNC: u32 = 20;
const FLUSH: u32 = 25;
const INTERRUPT: u32 = 36;
const IOCTL: u32 = 39;
const POLL: u32 = 40;

/// `FUSE_KERNEL_VERSION`, and the oldest minor version that has everything used here.
const VERSION: [u32; 2] = [7, 12];
/// `struct fuse_in_header`
const HEADER_BYTES: usize = 40;
/// `struct fuse_read_in`, `struct fuse_write_in`
const TRANSFER_BYTES: usize = 40;
/// What one read or write of a client is cut into.
const PIECE_BYTES: u32 = 64 * 1024;
/// `POLLIN | POLLOUT`
const READY: u32 = 0x5;

/// The device.
#[derive(Args, Debug)]
pub(crate) struct Gpu {
    /// Its name below /dev.
    #[arg(long)]
    name: String,
    #[arg(long, default_value_t = 195)]
    major: u32,
    #[arg(long, default_value_t = 0)]
    minor: u32,
    /// Its memory.
    #[arg(long, default_value_t = 1024)]
    kibibytes: usize,
    /// Forget what is written, and say that it was kept.
    #[arg(long)]
    deaf: bool,
}

/// What the kernel asks.
struct Request<'a> {
    opcode: u32,
    unique: u64,
    body: &'a [u8],
}

/// The device at work.
struct Server {
    memory: Vec<u8>,
    /// Where each open file stands, by its handle: the kernel's own position never reaches a CUSE device.
    positions: BTreeMap<u64, usize>,
    next: u64,
    deaf: bool,
}

/// Serves until killed.
pub(crate) fn serve(gpu: &Gpu) -> Result<()> {
    let mut line = File::options().read(true).write(true).open("/dev/cuse").context("/dev/cuse")?;
    let mut server =
        Server { memory: vec![0; gpu.kibibytes * 1024], positions: BTreeMap::new(), next: 1, deaf: gpu.deaf };
    let mut message = vec![0; usize::try_from(PIECE_BYTES)? + 4096];
    loop {
        let length = match line.read(&mut message) {
            Ok(length) => length,
            // The client gave up between its call and our reading it.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => continue,
            Err(error) => return Err(error).context("read /dev/cuse"),
        };
        let request = parse(message.get(..length).unwrap_or_default())?;
        if request.opcode == INIT {
            answer(&mut line, request.unique, &Ok(gpu.introduction()))?;
            println!("ready");
        } else if !matches!(request.opcode, FORGET | INTERRUPT) {
            let reply = server.reply(&request);
            answer(&mut line, request.unique, &reply)?;
        }
    }
}

impl Gpu {
    /// `struct cuse_init_out`, and the name.
    fn introduction(&self) -> Vec<u8> {
        let mut words = [0_u32; 18];
        let [major, minor, _, _, max_read, max_write, device_major, device_minor, ..] = &mut words;
        [*major, *minor] = VERSION;
        [*max_read, *max_write] = [PIECE_BYTES; 2];
        [*device_major, *device_minor] = [self.major, self.minor];
        let words = words.iter().flat_map(|word| word.to_ne_bytes());
        words.chain(format!("DEVNAME={}\0", self.name).into_bytes()).collect()
    }
}

impl Server {
    fn reply(&mut self, request: &Request<'_>) -> Result<Vec<u8>, i32> {
        let body = request.body;
        let handle = word64(body, 0);
        match request.opcode {
            OPEN => {
                let handle = self.next;
                self.next += 1;
                self.positions.insert(handle, 0);
                Ok([handle.to_ne_bytes(), [0; 8]].concat())
            }
            READ => self.read(handle, word32(body, 16)),
            WRITE => self.write(handle, body.get(TRANSFER_BYTES..).unwrap_or_default()),
            RELEASE => {
                self.positions.remove(&handle);
                Ok(Vec::new())
            }
            FSYNC | FLUSH => Ok(Vec::new()),
            IOCTL => Ok(vec![0; 16]),
            POLL => Ok([READY.to_ne_bytes(), [0; 4]].concat()),
            _ => Err(libc::ENOSYS),
        }
    }

    fn read(&mut self, handle: u64, bytes: u32) -> Result<Vec<u8>, i32> {
        let at = self.positions.get_mut(&handle).ok_or(libc::EBADF)?;
        let rest = self.memory.get(*at..).unwrap_or_default();
        let piece = rest.get(..usize::try_from(bytes).unwrap_or(usize::MAX)).unwrap_or(rest);
        *at += piece.len();
        Ok(piece.to_vec())
    }

    fn write(&mut self, handle: u64, bytes: &[u8]) -> Result<Vec<u8>, i32> {
        let at = self.positions.get_mut(&handle).ok_or(libc::EBADF)?;
        let rest = self.memory.get_mut(*at..).unwrap_or_default();
        let taken = bytes.len().min(rest.len());
        if taken == 0 && !bytes.is_empty() {
            return Err(libc::ENOSPC);
        }
        if !self.deaf {
            rest.iter_mut().zip(bytes).for_each(|(kept, byte)| *kept = *byte);
        }
        *at += taken;
        let taken = u32::try_from(taken).map_err(|_| libc::EIO)?;
        Ok([taken.to_ne_bytes(), [0; 4]].concat())
    }
}

/// `struct fuse_in_header`: length, opcode, unique, and more that is of no use here.
fn parse(message: &[u8]) -> Result<Request<'_>> {
    ensure!(message.len() >= HEADER_BYTES, "a message of {} bytes", message.len());
    Ok(Request {
        opcode: word32(message, 4),
        unique: word64(message, 8),
        body: message.get(HEADER_BYTES..).unwrap_or_default(),
    })
}

/// `struct fuse_out_header`: length, error, unique.
fn answer(line: &mut File, unique: u64, reply: &Result<Vec<u8>, i32>) -> Result<()> {
    let (error, body) = match reply {
        Ok(body) => (0, body.as_slice()),
        Err(error) => (-error, [].as_slice()),
    };
    let length = u32::try_from(16 + body.len())?;
    let mut message = Vec::with_capacity(16 + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(error.to_ne_bytes());
    message.extend(unique.to_ne_bytes());
    message.extend(body);
    match line.write(&message) {
        // The client is gone.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        written => checked(written, message.len()),
    }
}

fn checked(written: io::Result<usize>, length: usize) -> Result<()> {
    let written = written.context("write /dev/cuse")?;
    ensure!(written == length, "/dev/cuse took {written} of {length} bytes");
    Ok(())
}

/// An integer of a message; 0 beyond its end, which the kernel never sends.
fn word32(body: &[u8], at: usize) -> u32 {
    body.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn word64(body: &[u8], at: usize) -> u64 {
    body.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(deaf: bool) -> Server {
        Server { memory: vec![0; 1024], positions: BTreeMap::new(), next: 1, deaf }
    }

    fn ask(server: &mut Server, opcode: u32, handle: u64, size: u32, data: &[u8]) -> Result<Vec<u8>, i32> {
        let mut body = vec![0; TRANSFER_BYTES];
        body[..8].copy_from_slice(&handle.to_ne_bytes());
        body[16..20].copy_from_slice(&size.to_ne_bytes());
        body.extend(data);
        server.reply(&Request { opcode, unique: 1, body: &body })
    }

    #[test]
    fn memory_keeps_what_was_written_for_the_next_who_opens() {
        let mut gpu = server(false);
        let first = word64(&ask(&mut gpu, OPEN, 0, 0, &[]).unwrap(), 0);
        ask(&mut gpu, WRITE, first, 6, b"secret").unwrap();
        ask(&mut gpu, RELEASE, first, 0, &[]).unwrap();
        let second = word64(&ask(&mut gpu, OPEN, 0, 0, &[]).unwrap(), 0);
        assert_eq!(ask(&mut gpu, READ, second, 6, &[]).unwrap(), b"secret");
        assert_eq!(ask(&mut gpu, READ, first, 6, &[]), Err(libc::EBADF));
    }

    #[test]
    fn a_deaf_one_says_that_it_kept_everything() {
        let mut gpu = server(true);
        let handle = word64(&ask(&mut gpu, OPEN, 0, 0, &[]).unwrap(), 0);
        assert_eq!(word32(&ask(&mut gpu, WRITE, handle, 4, b"mine").unwrap(), 0), 4);
        let again = word64(&ask(&mut gpu, OPEN, 0, 0, &[]).unwrap(), 0);
        assert_eq!(ask(&mut gpu, READ, again, 4, &[]).unwrap(), [0; 4]);
    }

    #[test]
    fn memory_has_an_end() {
        let mut gpu = server(false);
        let handle = word64(&ask(&mut gpu, OPEN, 0, 0, &[]).unwrap(), 0);
        assert_eq!(word32(&ask(&mut gpu, WRITE, handle, 2000, &[1; 2000]).unwrap(), 0), 1024);
        assert_eq!(ask(&mut gpu, WRITE, handle, 1, &[1]), Err(libc::ENOSPC));
        assert!(ask(&mut gpu, READ, handle, 1, &[]).unwrap().is_empty());
    }
}
