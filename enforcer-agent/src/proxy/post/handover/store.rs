//! The service manager's descriptor store (sd_pid_notify_with_fds(3), sd_listen_fds(3)): it keeps listeners while no
//! agent runs, and gives them to the next one. The name of a descriptor says what it is.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::super::listener::{Listener, Role, Spot};
use super::message::mapped;
use super::{HANDED_MAX, Handed};
use crate::door::manager;

/// First descriptor that the service manager passes (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;
/// What the names of ours begin with.
const PREFIX: &str = "enforcer-post";

/// The service manager, if it keeps descriptors for us.
#[derive(Clone, Debug)]
pub struct Store {
    socket: OsString,
}

impl Store {
    /// Whoever started this process, if it wants to be told things.
    #[must_use]
    pub fn of_manager() -> Option<Self> {
        std::env::var_os(manager::SOCKET).map(|socket| Self { socket })
    }

    /// The one that listens at this address.
    #[must_use]
    pub const fn at(socket: OsString) -> Self {
        Self { socket }
    }

    /// Has it keep these. One that it has already it does not keep twice.
    pub fn keep(&self, listeners: &[Listener]) {
        for listener in listeners {
            self.tell(&format!("FDSTORE=1\nFDNAME={}", name(listener.spot())), Some(listener.as_fd()));
        }
    }

    /// Has it close its copies of these.
    pub fn forget(&self, spots: impl IntoIterator<Item = Spot>) {
        for spot in spots {
            self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={}", name(spot)), None);
        }
    }

    fn tell(&self, state: &str, descriptor: Option<BorrowedFd<'_>>) {
        manager::tell(&self.socket, state.as_bytes(), descriptor);
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
    let spot = parse(name)?;
    // SAFETY: the service manager opened it for this process under a name of ours, nobody else takes descriptors by such
    // a name, and this is done once.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
    Some(Handed { spot, socket })
}

/// `enforcer-post/ROLE/ADDRESS/NAMESPACE`, numbers hexadecimal: a name may hold no colon.
fn name(spot: Spot) -> String {
    let Spot { namespace, role, address } = spot;
    let role = match role {
        Role::Intercept => "intercept",
        Role::Tunnel => "tunnel",
    };
    format!("{PREFIX}/{role}/{:032x}/{namespace:016x}", mapped(address).to_bits())
}

fn parse(name: &str) -> Option<Spot> {
    let mut parts = name.split('/');
    let mut part = || parts.next();
    let (prefix, role, address, namespace) = (part()?, part()?, part()?, part()?);
    let role = match role {
        "intercept" => Role::Intercept,
        "tunnel" => Role::Tunnel,
        _ => return None,
    };
    let address = Ipv6Addr::from_bits(u128::from_str_radix(address, 16).ok()?);
    let namespace = u64::from_str_radix(namespace, 16).ok()?;
    let is_ours = prefix == PREFIX && parts.next().is_none();
    is_ours.then_some(Spot { namespace, role, address: IpAddr::from(address).to_canonical() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back() {
        for (role, address) in [(Role::Intercept, "192.0.2.1"), (Role::Tunnel, "2001:db8::1")] {
            let spot = Spot { namespace: 4097, role, address: address.parse().unwrap() };
            assert_eq!(parse(&name(spot)), Some(spot));
            // What the service manager takes for a name.
            assert!(name(spot).len() < 256 && !name(spot).contains(':'));
        }
        let spot = Spot { namespace: 4097, role: Role::Tunnel, address: "192.0.2.1".parse().unwrap() };
        assert_eq!(name(spot), "enforcer-post/tunnel/00000000000000000000ffffc0000201/0000000000001001");
    }

    #[test]
    fn other_peoples_descriptors_are_left_alone() {
        for name in [
            "",
            "stored",
            "enforcer-post/",
            "enforcer-post/tunnel/zz/1",
            "enforcer-post/tunnel/1/zz",
            "enforcer-post/x/0/1",
            "enforcer-post/tunnel/0/1/2",
            "x/tunnel/0/1",
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
