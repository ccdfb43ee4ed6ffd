//! The service manager's descriptor store (sd_pid_notify_with_fds(3), sd_listen_fds(3)): it keeps listeners while no
//! agent runs, and gives them to the next one. The name of a descriptor says what it is.

use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use enforcer_core::policy::model::Name;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, socket,
};
use tracing::warn;

use super::super::listener::{Listener, Role};
use super::message::mapped;
use super::{HANDED_MAX, Handed};

/// First descriptor that the service manager passes (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;
/// What the names of ours begin with.
const PREFIX: &str = "enforcer-post";
/// Longest name that the service manager takes.
const NAME_MAX: usize = 255;

/// The service manager, if it keeps descriptors for us.
#[derive(Clone, Debug)]
pub struct Store {
    socket: OsString,
}

impl Store {
    /// Whoever started this process, if it wants to be told things.
    #[must_use]
    pub fn of_manager() -> Option<Self> {
        std::env::var_os("NOTIFY_SOCKET").map(|socket| Self { socket })
    }

    /// The one that listens at this address.
    #[must_use]
    pub const fn at(socket: OsString) -> Self {
        Self { socket }
    }

    /// Has it keep these. One that it has already it does not keep twice.
    pub fn keep(&self, listeners: &[Listener]) {
        for listener in listeners {
            let Some(name) = name(listener.workload(), listener.role(), listener.address()) else { continue };
            self.tell(&format!("FDSTORE=1\nFDNAME={name}"), Some(listener.as_fd()));
        }
    }

    /// Has it close its copies of these.
    pub fn forget<'a>(&self, listeners: impl IntoIterator<Item = (&'a Name, Role, IpAddr)>) {
        for (workload, role, address) in listeners {
            let Some(name) = name(workload, role, address) else { continue };
            self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), None);
        }
    }

    fn tell(&self, state: &str, descriptor: Option<BorrowedFd<'_>>) {
        if let Err(error) = send(&self.socket, state.as_bytes(), descriptor) {
            warn!(%error, "the service manager could not be told");
        }
    }
}

/// The listeners that the service manager kept. They are given once: the second call finds nothing.
#[must_use]
pub fn inherited() -> Vec<Handed> {
    static GIVEN: AtomicBool = AtomicBool::new(false);
    if GIVEN.swap(true, Ordering::AcqRel) {
        return Vec::new();
    }
    let word = |name| std::env::var(name).ok();
    let Some(count) = passed(word("LISTEN_PID").as_deref(), word("LISTEN_FDS").as_deref()) else {
        return Vec::new();
    };
    let names = word("LISTEN_FDNAMES").unwrap_or_default();
    (FIRST..).zip(names.split(':')).take(count).filter_map(|(raw, name)| adopt(raw, name)).collect()
}

/// How many descriptors were passed, if they were passed to this process and not to its parent.
fn passed(pid: Option<&str>, count: Option<&str>) -> Option<usize> {
    let is_ours = pid?.parse::<u32>().ok()? == std::process::id();
    count?.parse().ok().filter(|count| is_ours && *count <= HANDED_MAX)
}

fn adopt(raw: RawFd, name: &str) -> Option<Handed> {
    let (workload, role, address) = parse(name)?;
    // SAFETY: the service manager opened it for this process under a name of ours, nobody else takes descriptors by such
    // a name, and this is done once.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
    Some(Handed { workload, role, address, socket })
}

/// `enforcer-post/intercept/HEX/WORKLOAD`: a name may hold no colon, so an address is written as 32 digits.
fn name(workload: &Name, role: Role, address: IpAddr) -> Option<String> {
    let role = match role {
        Role::Intercept => "intercept",
        Role::Tunnel => "tunnel",
    };
    let name = format!("{PREFIX}/{role}/{:032x}/{workload}", mapped(address).to_bits());
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    (name.len() <= NAME_MAX && name.bytes().all(is_allowed)).then_some(name)
}

fn parse(name: &str) -> Option<(Name, Role, IpAddr)> {
    let mut parts = name.splitn(4, '/');
    let (prefix, role, address, workload) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let role = match role {
        "intercept" => Role::Intercept,
        "tunnel" => Role::Tunnel,
        _ => return None,
    };
    let address = Ipv6Addr::from_bits(u128::from_str_radix(address, 16).ok()?);
    (prefix == PREFIX).then(|| (Arc::from(workload), role, IpAddr::from(address).to_canonical()))
}

fn send(manager: &OsStr, state: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let address = match manager.as_bytes() {
        [b'@', name @ ..] => UnixAddr::new_abstract(name)?,
        path => UnixAddr::new(path)?,
    };
    let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let raw: Vec<RawFd> = descriptor.iter().map(|descriptor| descriptor.as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &rights[..] };
    sendmsg(socket.as_raw_fd(), &[IoSlice::new(state)], control, MsgFlags::MSG_NOSIGNAL, Some(&address))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back() {
        let workload: Name = "red/web".into();
        for (role, address) in [(Role::Intercept, "192.0.2.1"), (Role::Tunnel, "2001:db8::1")] {
            let address = address.parse().unwrap();
            let name = name(&workload, role, address).unwrap();
            assert_eq!(parse(&name), Some((Arc::clone(&workload), role, address)));
        }
        assert_eq!(
            name(&"a".into(), Role::Tunnel, "192.0.2.1".parse().unwrap()).unwrap(),
            "enforcer-post/tunnel/00000000000000000000ffffc0000201/a"
        );
    }

    #[test]
    fn names_that_the_manager_would_not_take_are_not_offered() {
        let address = "192.0.2.1".parse().unwrap();
        assert_eq!(name(&"a:b".into(), Role::Tunnel, address), None);
        assert_eq!(name(&"a b".into(), Role::Tunnel, address), None);
        assert_eq!(name(&"n".repeat(250).as_str().into(), Role::Tunnel, address), None);
    }

    #[test]
    fn other_peoples_descriptors_are_left_alone() {
        for name in [
            "",
            "stored",
            "enforcer-post/",
            "enforcer-post/tunnel/zz/a",
            "x/tunnel/0/a",
            "enforcer-post/x/0/a",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }

    #[test]
    fn only_what_was_passed_to_this_process_counts() {
        let own = std::process::id().to_string();
        assert_eq!(passed(Some(&own), Some("2")), Some(2));
        assert_eq!(passed(Some("1"), Some("2")), None);
        assert_eq!(passed(None, Some("2")), None);
        assert_eq!(passed(Some(&own), Some("-1")), None);
        assert_eq!(passed(Some(&own), Some("9999999")), None);
    }
}
