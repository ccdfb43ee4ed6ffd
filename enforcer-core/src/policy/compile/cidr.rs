//! Address blocks as longest-prefix regions: every prefix that a block or an exception names becomes a
//! region, which holds what is true of its addresses that no longer prefix claims.

use std::collections::{BTreeMap, BTreeSet};

use enforcer_common::address::{Address, MAPPED_BITS, from_v4};
use ipnet::IpNet;

/// A prefix in the mapped form, in which IPv4 and IPv6 share one trie. Its order visits a prefix before
/// those inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mapped {
    pub(super) address: Address,
    pub(super) length: u8,
}

/// Where IPv4 begins: an IPv6 block ends here, whatever its length, because `::/0` is not `0.0.0.0/0`.
const IPV4: Mapped = Mapped { address: from_v4([0; 4]), length: 96 };

impl Mapped {
    /// `None` for an IPv6 block inside the mapped space, which holds no address that a packet can have.
    fn new(net: &IpNet) -> Option<Self> {
        match net {
            IpNet::V4(net) => {
                let length = u32::from(net.prefix_len()) + MAPPED_BITS;
                let length = u8::try_from(length).ok()?;
                Some(Self { address: from_v4(net.network().octets()), length })
            }
            IpNet::V6(net) => {
                let mapped = Self { address: net.network().octets(), length: net.prefix_len() };
                (!IPV4.contains(&mapped)).then_some(mapped)
            }
        }
    }

    fn contains(&self, other: &Self) -> bool {
        let mask = u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0);
        self.length <= other.length
            && u128::from_be_bytes(other.address) & mask == u128::from_be_bytes(self.address)
    }
}

/// A block, and which clause it belongs to.
pub(super) struct Cover<'a> {
    pub(super) net: IpNet,
    pub(super) except: &'a [IpNet],
    pub(super) clause: usize,
}

/// Which clauses speak in which region. A region in which none speaks is kept where it ends a larger one
/// in which some do; a region that repeats the one around it is not.
pub(super) fn regions(covers: &[Cover<'_>]) -> Vec<(Mapped, BTreeSet<usize>)> {
    let mut regions = Vec::new();
    let mut around: Vec<(Mapped, BTreeSet<usize>)> = Vec::new();
    for (prefix, marks) in marks(covers) {
        while around.last().is_some_and(|(outer, _)| !outer.contains(&prefix)) {
            around.pop();
        }
        let outer = around.last().map(|(_, covers)| covers.clone()).unwrap_or_default();
        let inner = marks.applied_to(if prefix == IPV4 { BTreeSet::new() } else { outer.clone() });
        if inner != outer {
            let speaking = |cover: &usize| covers.get(*cover).map(|cover| cover.clause);
            regions.push((prefix, inner.iter().filter_map(speaking).collect()));
        }
        around.push((prefix, inner));
    }
    regions
}

/// Covers that begin and end at a prefix.
#[derive(Default)]
struct Marks {
    begin: Vec<usize>,
    end: Vec<usize>,
}

impl Marks {
    fn applied_to(&self, mut covers: BTreeSet<usize>) -> BTreeSet<usize> {
        for cover in &self.end {
            covers.remove(cover);
        }
        covers.extend(&self.begin);
        covers
    }
}

fn marks(covers: &[Cover<'_>]) -> BTreeMap<Mapped, Marks> {
    let mut marks: BTreeMap<Mapped, Marks> = BTreeMap::new();
    for (index, cover) in covers.iter().enumerate() {
        let Some(prefix) = Mapped::new(&cover.net) else { continue };
        marks.entry(prefix).or_default().begin.push(index);
        if prefix.length < IPV4.length && prefix.contains(&IPV4) {
            marks.entry(IPV4).or_default();
        }
        for except in cover.except.iter().filter_map(Mapped::new) {
            marks.entry(except).or_default().end.push(index);
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn found(covers: &[Cover<'_>]) -> Vec<(IpNet, Vec<usize>)> {
        let name = |prefix: &Mapped| match prefix.length {
            96.. if IPV4.contains(prefix) => {
                let [.., a, b, c, d] = prefix.address;
                IpNet::new(std::net::Ipv4Addr::new(a, b, c, d).into(), prefix.length - 96).unwrap()
            }
            length => IpNet::new(std::net::Ipv6Addr::from(prefix.address).into(), length).unwrap(),
        };
        regions(covers).into_iter().map(|(prefix, set)| (name(&prefix), set.into_iter().collect())).collect()
    }

    #[test]
    fn ipv6_everything_stops_where_ipv4_begins() {
        let covers = [Cover { net: net("::/0"), except: &[], clause: 7 }];
        assert_eq!(found(&covers), [(net("::/0"), vec![7]), (net("0.0.0.0/0"), vec![])]);
    }

    #[test]
    fn an_exception_holds_a_region_that_says_no() {
        let except = [net("10.1.0.0/16")];
        let covers = [Cover { net: net("10.0.0.0/8"), except: &except, clause: 0 }];
        assert_eq!(found(&covers), [(net("10.0.0.0/8"), vec![0]), (net("10.1.0.0/16"), vec![])]);
    }

    #[test]
    fn a_longer_block_keeps_the_rules_of_the_shorter() {
        let covers = [
            Cover { net: net("10.0.0.0/8"), except: &[], clause: 0 },
            Cover { net: net("10.1.0.0/16"), except: &[], clause: 1 },
            Cover { net: net("192.0.2.0/24"), except: &[], clause: 1 },
        ];
        let expected =
            [(net("10.0.0.0/8"), vec![0]), (net("10.1.0.0/16"), vec![0, 1]), (net("192.0.2.0/24"), vec![1])];
        assert_eq!(found(&covers), expected);
    }

    #[test]
    fn a_block_with_no_address_in_it_is_no_region() {
        let covers = [Cover { net: net("::ffff:10.0.0.0/104"), except: &[], clause: 0 }];
        assert_eq!(found(&covers), []);
    }
}
