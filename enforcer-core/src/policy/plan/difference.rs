//! Two images, told apart in words: what drift looks like to a person.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::net::Ipv6Addr;

use crate::policy::image::{Image, TenantImage};

/// At most `limit` lines on what the tables hold that they should not, and the reverse.
#[must_use]
pub fn difference(held: &Image, wanted: &Image, limit: usize) -> Vec<String> {
    let mut lines = Lines { lines: Vec::new(), limit };
    tenants(&mut lines, held, wanted);
    lines.table("addresses", &held.addresses, &wanted.addresses, |address| {
        Ipv6Addr::from(*address).to_canonical().to_string()
    });
    lines.table("interfaces", &held.interfaces, &wanted.interfaces, |index| format!("index {index}"));
    lines.table("cgroups", &held.cgroups, &wanted.cgroups, |id| format!("id {id}"));
    lines.table("gates", &held.gates, &wanted.gates, |key| format!("{key:?}"));
    lines.table("services", &held.services, &wanted.services, |number| format!("number {number}"));
    lines.lines
}

fn tenants(lines: &mut Lines, held: &Image, wanted: &Image) {
    let ids: BTreeSet<u32> = held.tenants.keys().chain(wanted.tenants.keys()).copied().collect();
    for id in ids {
        match (held.tenants.get(&id), wanted.tenants.get(&id)) {
            (Some(held), Some(wanted)) if held != wanted => tenant(lines, id, held, wanted),
            (Some(_), None) => lines.add(|| format!("tenants: {id} is held and should not be")),
            (None, Some(_)) => lines.add(|| format!("tenants: {id} is missing")),
            _ => {}
        }
        if lines.is_full() {
            return;
        }
    }
}

fn tenant(lines: &mut Lines, id: u32, held: &TenantImage, wanted: &TenantImage) {
    if (held.tier, held.flags) != (wanted.tier, wanted.flags) {
        lines.add(|| {
            format!(
                "tenants: {id} is held with tier {} and flags {:#x}, and should have tier {} and flags {:#x}",
                held.tier, held.flags, wanted.tier, wanted.flags
            )
        });
    }
    lines.table("pairs", &held.pairs, &wanted.pairs, |peer| format!("tenant {id} peer {peer:#x}"));
    lines.table("ports", &held.ports, &wanted.ports, |region| format!("tenant {id} {region:?}"));
    lines.table("cidrs", &held.cidrs, &wanted.cidrs, |region| {
        format!(
            "tenant {id} direction {} {}/{}",
            region.direction,
            Ipv6Addr::from(region.address),
            region.prefix_len
        )
    });
    lines.table("grants", &held.grants, &wanted.grants, |region| format!("tenant {id} {region:?}"));
}

struct Lines {
    lines: Vec<String>,
    limit: usize,
}

impl Lines {
    fn is_full(&self) -> bool {
        self.lines.len() >= self.limit
    }

    fn add(&mut self, line: impl FnOnce() -> String) {
        if !self.is_full() {
            self.lines.push(line());
        }
    }

    fn table<K: Ord, V: PartialEq + Debug>(
        &mut self,
        table: &str,
        held: &BTreeMap<K, V>,
        wanted: &BTreeMap<K, V>,
        name: impl Fn(&K) -> String,
    ) {
        for (key, value) in held {
            if self.is_full() {
                return;
            }
            match wanted.get(key) {
                Some(other) if other == value => {}
                Some(other) => {
                    self.add(|| format!("{table}: {} is {value:?} and should be {other:?}", name(key)))
                }
                None => self.add(|| format!("{table}: {} is held and should not be", name(key))),
            }
        }
        for key in wanted.keys().filter(|key| !held.contains_key(key)) {
            if self.is_full() {
                return;
            }
            self.add(|| format!("{table}: {} is missing", name(key)));
        }
    }
}
