//! The way back inside a workload's network namespace: answers to a client whose address the agent speaks with must
//! reach the agent and not the network. Packets with our mark are routed by a table of ours, in which everything is
//! local; what a connection with the mark is answered with carries the mark too.

use std::collections::BTreeSet;
use std::io;

use crate::netlink::{Netlink, NetlinkError};

use super::namespace::{Namespace, NamespaceError};
use super::sysctl;

/// Mark of the agent's connections to a workload, inside the workload's namespace. It lies in the half of the mark in
/// which no tenant's tag is by default, and the kernel clears it where a packet leaves the namespace.
pub const TRANSPARENT_MARK: u32 = 15_008;
/// Number of our routing table: above 255, where nobody's names are.
const TABLE: u32 = 15_008;
/// Before whatever rules the workload has of its own.
const PRIORITY: u32 = 10;

/// A connection with a mark is accepted with it; for IPv6 too, whatever the name says.
const ACCEPT: &str = "/proc/sys/net/ipv4/tcp_fwmark_accept";
/// What no socket answers, the refusal of a connection above all, carries the mark of what it answers.
const REFLECT: &str = "/proc/sys/net/ipv4/fwmark_reflect";
const REFLECT_V6: &str = "/proc/sys/net/ipv6/fwmark_reflect";

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const NEW_LINK: u16 = 16;
const NEW_ROUTE: u16 = 24;
const DEL_ROUTE: u16 = 25;
const NEW_RULE: u16 = 32;
const DEL_RULE: u16 = 33;
const REPLACE: u16 = 0x100;
const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;

const LOOPBACK_INDEX: u32 = 1;
const IFF_UP: u32 = 1;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FR_ACT_TO_TABLE: u8 = 1;
const RTA_OIF: u16 = 4;
const RTA_TABLE: u16 = 15;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_HOST: u8 = 254;
const RTN_LOCAL: u8 = 2;

/// Why the way back cannot be laid.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// The namespace cannot be entered.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The kernel refuses a rule or a route.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// A sysctl cannot be written.
    #[error("cannot set {path}: {error}")]
    Sysctl {
        /// Which.
        path: &'static str,
        /// Why not.
        error: io::Error,
    },
}

/// Families that a workload has addresses of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Families {
    pub(super) v4: bool,
    pub(super) v6: bool,
}

impl Families {
    fn each(self) -> impl Iterator<Item = u8> {
        let v4 = self.v4.then_some(AF_INET);
        let v6 = self.v6.then_some(AF_INET6);
        v4.into_iter().chain(v6)
    }

    fn sysctls(self) -> impl Iterator<Item = &'static str> {
        let v6 = self.v6.then_some(REFLECT_V6);
        [ACCEPT, REFLECT].into_iter().chain(v6)
    }
}

/// The way back in one namespace.
#[derive(Debug)]
pub(super) struct Way {
    namespace: Namespace,
    is_laid: bool,
    /// Sysctls that are ours to set back.
    set: BTreeSet<&'static str>,
}

impl Way {
    /// One that is not yet laid.
    pub(super) const fn new(namespace: Namespace) -> Self {
        Self { namespace, is_laid: false, set: BTreeSet::new() }
    }

    /// Lays it. What is there already, of a predecessor's or from before, stays.
    pub(super) fn lay(&mut self, families: Families) -> Result<(), RouteError> {
        let Self { namespace, is_laid, set } = self;
        let is_first = !std::mem::replace(is_laid, true);
        namespace.enter(|| {
            let mut netlink = Netlink::open()?;
            netlink.change("set loopback up", NEW_LINK, 0, &loopback_up())?;
            let mut is_inherited = false;
            for family in families.each() {
                netlink.change("add the local route", NEW_ROUTE, CREATE | REPLACE, &route(family))?;
                let added =
                    netlink.change("add the rule for our mark", NEW_RULE, CREATE | EXCLUSIVE, &rule(family));
                is_inherited |= !done_unless(&[libc::EEXIST], added)?;
            }
            for path in families.sysctls() {
                let was_off = sysctl::switch_on(path).map_err(|error| RouteError::Sysctl { path, error })?;
                // A predecessor that had the rule had switched it on as well.
                if was_off || (is_first && is_inherited) {
                    set.insert(path);
                }
            }
            Ok(())
        })?
    }

    /// Takes it away, as far as it is there and was laid.
    pub(super) fn lift(&mut self) -> Result<(), RouteError> {
        if !std::mem::take(&mut self.is_laid) {
            return Ok(());
        }
        let set = std::mem::take(&mut self.set);
        self.namespace.enter(|| {
            for path in set {
                sysctl::switch_off(path).map_err(|error| RouteError::Sysctl { path, error })?;
            }
            let mut netlink = Netlink::open()?;
            for family in (Families { v4: true, v6: true }).each() {
                gone(netlink.change("remove the rule for our mark", DEL_RULE, 0, &rule(family)))?;
                gone(netlink.change("remove the local route", DEL_ROUTE, 0, &route(family)))?;
            }
            Ok(())
        })?
    }
}

/// `struct ifinfomsg`.
fn loopback_up() -> Vec<u8> {
    let mut body = vec![0; 4];
    for word in [LOOPBACK_INDEX, IFF_UP, IFF_UP] {
        body.extend(word.to_ne_bytes());
    }
    body
}

/// `struct fib_rule_hdr` and its attributes.
fn rule(family: u8) -> Vec<u8> {
    let mut body = vec![family, 0, 0, 0, 0, 0, 0, FR_ACT_TO_TABLE, 0, 0, 0, 0];
    attribute(&mut body, FRA_PRIORITY, PRIORITY);
    attribute(&mut body, FRA_FWMARK, TRANSPARENT_MARK);
    attribute(&mut body, FRA_FWMASK, u32::MAX);
    attribute(&mut body, FRA_TABLE, TABLE);
    body
}

/// `struct rtmsg` and its attributes: everything is local, on loopback.
fn route(family: u8) -> Vec<u8> {
    let mut body = vec![family, 0, 0, 0, 0, RTPROT_STATIC, RT_SCOPE_HOST, RTN_LOCAL, 0, 0, 0, 0];
    attribute(&mut body, RTA_OIF, LOOPBACK_INDEX);
    attribute(&mut body, RTA_TABLE, TABLE);
    body
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: u32) {
    body.extend(8_u16.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value.to_ne_bytes());
}

/// What was not there counts as removed: no such rule, no such route, no such family.
fn gone(outcome: Result<(), NetlinkError>) -> Result<(), NetlinkError> {
    done_unless(&[libc::ENOENT, libc::ESRCH, libc::EAFNOSUPPORT, libc::EOPNOTSUPP], outcome).map(|_| ())
}

/// False instead of one of these errors.
fn done_unless(numbers: &[i32], outcome: Result<(), NetlinkError>) -> Result<bool, NetlinkError> {
    match outcome {
        Ok(()) => Ok(true),
        Err(NetlinkError::System { ref error, .. })
            if error.raw_os_error().is_some_and(|number| numbers.contains(&number)) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
