//! Asking the kernel about interfaces and namespaces over rtnetlink, telling it what to change there, and being told
//! of changes. It must not know what an interface is looked up for.

pub(crate) mod link;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
    socket,
};
use nix::sys::time::{TimeVal, TimeValLike};

use self::link::Link;

/// What went wrong on the way to the kernel.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// A system call, or the kernel's answer.
    #[error("rtnetlink {operation}: {error}")]
    System {
        /// What was asked.
        operation: &'static str,
        /// The error.
        error: io::Error,
    },
    /// The table of interfaces changed at every attempt to read it.
    #[error("rtnetlink: the interfaces keep changing")]
    Unsteady,
    /// More interfaces than are read.
    #[error("rtnetlink: more than {MAX_LINKS} interfaces")]
    TooMany,
}

const MAX_LINKS: usize = 65_536;
const ATTEMPTS: usize = 5;
const BUFFER: usize = 64 * 1024;
const TIMEOUT_SECONDS: i64 = 5;

const GET_LINK: u16 = 18;
const GET_NSID: u16 = 90;
const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const DUMP: u16 = 0x300;
const NETNSA_FD: u16 = 3;

/// RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR.
const CHANGES: u32 = 0x1 | 0x10 | 0x100;

/// A conversation with one network namespace: the one that the calling thread was in.
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    pub(crate) fn open() -> Result<Self, NetlinkError> {
        let socket = open(SockFlag::empty(), 0)?;
        setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(TIMEOUT_SECONDS))
            .map_err(system("set timeout"))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Every interface, by index.
    pub(crate) fn links(&mut self) -> Result<BTreeMap<u32, Link>, NetlinkError> {
        for _ in 0..ATTEMPTS {
            if let Some(links) = self.dump()? {
                return Ok(links);
            }
        }
        Err(NetlinkError::Unsteady)
    }

    /// The number that this namespace has for the one behind `namespace`.
    pub(crate) fn namespace_id(&mut self, namespace: &impl AsFd) -> Result<Option<i32>, NetlinkError> {
        let mut body = vec![0; 4];
        body.extend(8_u16.to_ne_bytes());
        body.extend(NETNSA_FD.to_ne_bytes());
        body.extend(namespace.as_fd().as_raw_fd().to_ne_bytes());
        self.ask(GET_NSID, REQUEST, &body)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            let bytes = self.receive(&mut buffer)?;
            for message in link::messages(bytes).filter(|message| message.sequence == self.sequence) {
                match message.kind {
                    link::NEW_NSID => return Ok(link::namespace_id(message.body)),
                    link::ERROR => return Err(refusal("get namespace id", message.body)),
                    _ => {}
                }
            }
        }
    }

    /// Makes a change, or undoes one: a message of type `kind` with the flags `flags`. Returns once the kernel did it.
    pub(crate) fn change(
        &mut self,
        operation: &'static str,
        kind: u16,
        flags: u16,
        body: &[u8],
    ) -> Result<(), NetlinkError> {
        self.ask(kind, REQUEST | ACKNOWLEDGE | flags, body)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            let bytes = self.receive(&mut buffer)?;
            for message in link::messages(bytes).filter(|message| message.sequence == self.sequence) {
                match (message.kind, link::i32_at(message.body, 0)) {
                    (link::ERROR, Some(0)) => return Ok(()),
                    (link::ERROR, _) => return Err(refusal(operation, message.body)),
                    _ => {}
                }
            }
        }
    }

    /// `None` when the table changed meanwhile.
    fn dump(&mut self) -> Result<Option<BTreeMap<u32, Link>>, NetlinkError> {
        self.ask(GET_LINK, REQUEST | DUMP, &[0; 16])?;
        let mut links = BTreeMap::new();
        let mut is_steady = true;
        let mut buffer = vec![0; BUFFER];
        loop {
            let bytes = self.receive(&mut buffer)?;
            for message in link::messages(bytes).filter(|message| message.sequence == self.sequence) {
                is_steady &= message.flags & link::DUMP_INTERRUPTED == 0;
                match message.kind {
                    link::NEW_LINK => {
                        links.extend(link::link(message.body).map(|link| (link.index, link)));
                    }
                    link::DONE => return Ok(is_steady.then_some(links)),
                    link::ERROR => return Err(refusal("list interfaces", message.body)),
                    _ => {}
                }
            }
            if links.len() > MAX_LINKS {
                return Err(NetlinkError::TooMany);
            }
        }
    }

    fn ask(&mut self, kind: u16, flags: u16, body: &[u8]) -> Result<(), NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
        let mut request = length.to_ne_bytes().to_vec();
        request.extend(kind.to_ne_bytes());
        request.extend(flags.to_ne_bytes());
        request.extend(self.sequence.to_ne_bytes());
        request.extend(0_u32.to_ne_bytes());
        request.extend(body);
        send(self.socket.as_raw_fd(), &request, MsgFlags::empty()).map_err(system("send"))?;
        Ok(())
    }

    fn receive<'a>(&self, buffer: &'a mut [u8]) -> Result<&'a [u8], NetlinkError> {
        let length = recv(self.socket.as_raw_fd(), buffer, MsgFlags::MSG_TRUNC).map_err(system("receive"))?;
        buffer.get(..length).ok_or(NetlinkError::System {
            operation: "receive",
            error: io::Error::other(format!("a message of {length} bytes was cut off")),
        })
    }
}

/// A socket that becomes readable when an interface or an address of this namespace changes.
pub(crate) fn subscribe() -> Result<OwnedFd, NetlinkError> {
    open(SockFlag::SOCK_NONBLOCK, CHANGES)
}

/// Takes everything out of a subscription; what it said does not matter, all is looked up anew.
pub(crate) fn drain(subscription: &impl AsRawFd) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match recv(subscription.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC) {
            // Overrun: changes were lost, which is a change too.
            Ok(_) | Err(nix::Error::ENOBUFS | nix::Error::EINTR) => {}
            Err(nix::Error::EAGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn open(flags: SockFlag, groups: u32) -> Result<OwnedFd, NetlinkError> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | flags,
        SockProtocol::NetlinkRoute,
    )
    .map_err(system("open"))?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups)).map_err(system("bind"))?;
    Ok(socket)
}

fn system(operation: &'static str) -> impl Fn(nix::Error) -> NetlinkError {
    move |error| NetlinkError::System { operation, error: error.into() }
}

/// `NLMSG_ERROR` begins with a negative error number.
fn refusal(operation: &'static str, body: &[u8]) -> NetlinkError {
    let number = link::i32_at(body, 0).unwrap_or(0).saturating_neg();
    NetlinkError::System { operation, error: io::Error::from_raw_os_error(number) }
}
