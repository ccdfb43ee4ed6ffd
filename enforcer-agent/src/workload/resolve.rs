//! One look at the node: where each workload of the policy is, and which addresses are the node's own.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use enforcer_core::node::Attachment;
use enforcer_core::policy::model::{Name, Policy, Workload};

use super::address;
use super::cgroup::{CgroupError, CgroupTree};
use super::namespace::{self, Found, NamespaceError};
use crate::netlink::link::Link;
use crate::netlink::{Netlink, NetlinkError};

/// Parts of [`enforcer_core::node::NodeFacts`], as they were at one look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// Where the workloads of this node were found. One that is nowhere is left out.
    pub attachments: BTreeMap<Name, Attachment>,
    /// The node's own addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// What was not found, for people.
    pub warnings: Vec<Warning>,
}

/// A workload of this node that is not, or not wholly, in place. What is missing is not recognised, and so
/// denied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("workload {workload}: {what}")]
pub struct Warning {
    /// Which.
    pub workload: Name,
    /// What is missing.
    pub what: String,
}

/// The node could not be looked at; what was known before still stands.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Interfaces or namespaces.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// Addresses.
    #[error("own addresses: {0}")]
    Addresses(io::Error),
}

/// How many warnings are kept.
const MAX_WARNINGS: usize = 1024;

/// Looks at the node, and remembers what is costly to find.
#[derive(Debug)]
pub struct Resolver {
    node: String,
    cgroups: CgroupTree,
    namespaces: BTreeMap<PathBuf, Found>,
}

impl Resolver {
    /// For the workloads of `node`, with control groups below `cgroups`.
    #[must_use]
    pub const fn new(node: String, cgroups: CgroupTree) -> Self {
        Self { node, cgroups, namespaces: BTreeMap::new() }
    }

    /// One look. Blocks on system calls, never on another process.
    ///
    /// # Errors
    /// The node itself cannot be asked; a workload that is missing is a warning.
    pub fn resolve(&mut self, policy: &Policy) -> Result<Resolution, ResolveError> {
        let mut resolution = Resolution {
            addresses: address::own().map_err(ResolveError::Addresses)?,
            ..Resolution::default()
        };
        let local: Vec<&Workload> =
            policy.workloads.values().map(AsRef::as_ref).filter(|w| self.is_local(w)).collect();
        let mut here = Netlink::open()?;
        let links = here.links()?;
        let mut problems = self.enter_namespaces(&local, &links, &mut here);
        for workload in local {
            let mut missing = Missing { workload, warnings: &mut resolution.warnings };
            let attachment = Attachment {
                interface: self.interface(workload, &links, &mut problems, &mut missing),
                cgroup: self.cgroup(workload, &mut missing),
                // Others know whether its listeners stand.
                tunnel: None,
            };
            if attachment != Attachment::default() {
                resolution.attachments.insert(workload.name.clone(), attachment);
            }
        }
        Ok(resolution)
    }

    fn is_local(&self, workload: &Workload) -> bool {
        workload.node.as_deref().is_none_or(|node| node == self.node)
    }

    /// Visits the namespaces that were not visited before, or changed; answers with what went wrong.
    fn enter_namespaces(
        &mut self,
        local: &[&Workload],
        links: &BTreeMap<u32, Link>,
        here: &mut Netlink,
    ) -> BTreeMap<PathBuf, NamespaceError> {
        let wanted: BTreeSet<PathBuf> = local
            .iter()
            .filter_map(|workload| workload.network_namespace.as_ref())
            .map(PathBuf::from)
            .collect();
        self.namespaces.retain(|path, found| wanted.contains(path) && found.still_holds(path, links));
        let unknown: Vec<PathBuf> =
            wanted.into_iter().filter(|path| !self.namespaces.contains_key(path)).collect();
        let mut problems = BTreeMap::new();
        if unknown.is_empty() {
            return problems;
        }
        let answers = namespace::find(&unknown, links, here);
        for (path, answer) in unknown.into_iter().zip(answers) {
            match answer {
                Ok(found) => drop(self.namespaces.insert(path, found)),
                Err(problem) => drop(problems.insert(path, problem)),
            }
        }
        problems
    }

    /// By name, through the namespace, or both; where the two disagree, neither is believed.
    fn interface(
        &self,
        workload: &Workload,
        links: &BTreeMap<u32, Link>,
        problems: &mut BTreeMap<PathBuf, NamespaceError>,
        missing: &mut Missing<'_>,
    ) -> Option<u32> {
        let named = workload.interface.as_ref().map(|name| {
            let link = links.values().find(|link| link.name == *name && !link.is_loopback);
            if link.is_none() {
                missing.tell(format!("interface {name} does not exist"));
            }
            link.map(|link| link.index)
        });
        let inside = workload.network_namespace.as_ref().map(PathBuf::from).map(|path| {
            if let Some(problem) = problems.get(&path) {
                missing.tell(problem.to_string());
            }
            self.namespaces.get(&path).map(Found::interface)
        });
        match (named, inside) {
            (Some(named), Some(inside)) if named != inside => {
                missing.tell("its interface is not the one of its network namespace".to_owned());
                None
            }
            (Some(found), _) | (None, Some(found)) => found,
            (None, None) => None,
        }
    }

    fn cgroup(&self, workload: &Workload, missing: &mut Missing<'_>) -> Option<u64> {
        let path = workload.cgroup.as_ref()?;
        match self.cgroups.id_of(path) {
            Ok(Some(id)) => return Some(id),
            Ok(None) => missing.tell(format!("control group {path} does not exist")),
            Err(
                error @ (CgroupError::NotCgroup2(_)
                | CgroupError::Path(_)
                | CgroupError::TooDeep(_)
                | CgroupError::System { .. }),
            ) => missing.tell(error.to_string()),
        }
        None
    }
}

/// Where warnings about one workload go.
struct Missing<'a> {
    workload: &'a Workload,
    warnings: &'a mut Vec<Warning>,
}

impl Missing<'_> {
    fn tell(&mut self, what: String) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(Warning { workload: self.workload.name.clone(), what });
        }
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
