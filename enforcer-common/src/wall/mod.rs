//! The network wall: from a packet and the tables to a [`Judgement`], for each place where a packet is seen.
//! The kernel programs call these functions with maps behind the traits; the tests call the very same
//! functions with tables on the host.

mod judge;
mod neighbour;
mod party;
mod socket;
mod workload;

pub use socket::{from_host, from_socket, to_socket, toward};
pub use workload::{from_workload, to_workload};

use crate::identity::FIRST_TENANT;
use crate::maps::{RULE_NO_MATCH, Settings};
use crate::verdict::Verdict;

/// What was found about a packet, beside its headers: enough to act, to count and to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The answer.
    pub verdict: Verdict,
    /// Identity of the sender.
    pub source: u32,
    /// Identity of the receiver.
    pub destination: u32,
    /// The tag that the packet should carry from here on: 0 for none.
    pub tag: u32,
    /// 1 for the packet that opened a flow.
    pub opened: u32,
}

impl Judgement {
    /// A verdict that opens no flow.
    #[must_use]
    #[inline(always)]
    pub const fn settled(source: u32, destination: u32, verdict: Verdict) -> Self {
        Self { verdict, source, destination, tag: 0, opened: 0 }
    }

    #[inline(always)]
    const fn refused(source: u32, destination: u32, reason: u16) -> Self {
        Self::settled(source, destination, Verdict::deny(RULE_NO_MATCH, reason))
    }
}

/// How a packet came to the hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// The tag in its mark; 0 for none.
    pub tag: u32,
    /// Not 0 when it came in from another interface (loopback aside): such a packet is not the host's, whatever
    /// its address says, since it may have been masqueraded.
    pub forwarded: u32,
}

impl Arrival {
    /// Not 0 when a workload of this node sent it, since its tag is a tenant's: marks do not leave the node, and a tag has
    /// no bits beyond those of a tenant's number. A mask and no comparison: each of those is a path more for the verifier
    /// to walk through all that follows.
    #[inline(always)]
    const fn within_node(&self) -> u32 {
        self.tag & !(FIRST_TENANT - 1)
    }
}

/// The tag in a packet mark; 0 for none.
#[must_use]
#[inline(always)]
pub const fn tag_of(settings: &Settings, mark: u32) -> u32 {
    (mark & settings.tag_mask) >> (settings.tag_shift & 31)
}

/// The mark with its tag replaced; the other bits belong to others and stay. A tag that does not fit is left out:
/// half of it would be another tenant's.
#[must_use]
#[inline(always)]
pub const fn tagged(settings: &Settings, mark: u32, tag: u32) -> u32 {
    let bits = (tag << (settings.tag_shift & 31)) & settings.tag_mask;
    let fits = bits >> (settings.tag_shift & 31) == tag;
    (mark & !settings.tag_mask) | if fits { bits } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{CANARY, is_tenant};

    #[test]
    fn what_came_from_within_the_node_is_what_has_a_tenants_tag() {
        for tag in [0, 1, 3, 15, 16, 17, 0xffff, CANARY - 1, CANARY] {
            let arrival = Arrival { tag, forwarded: 0 };
            assert_eq!(arrival.within_node() != 0, is_tenant(tag), "{tag:#x}");
        }
    }
}
