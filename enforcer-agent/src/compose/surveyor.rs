//! The node as the policy room sees it: where workloads are, which devices there are, what the kernel can do.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use enforcer_core::node::{Capabilities, NodeFacts};
use enforcer_core::policy::image::Entries;
use enforcer_core::policy::model::Policy;

use super::clock::MonotonicOffset;
use super::tunnel::inherited_end;
use crate::device::Discover;
use crate::door::survey::{SurveyError, Surveyed, Surveyor};
use crate::door::tunnel::Ends;
use crate::workload::{Resolution, Resolver};

/// Asks the workload room and the device room.
pub(super) struct NodeSurveyor {
    pub(super) name: String,
    pub(super) resolver: Resolver,
    pub(super) discover: Discover,
    pub(super) capabilities: Capabilities,
    pub(super) ends: Ends,
    /// Where listeners of an earlier agent stand: they count until the tunnel's room speaks for the first time.
    pub(super) inherited: BTreeSet<IpAddr>,
    pub(super) capacity: Entries,
    pub(super) tag_limit: u32,
    pub(super) clock: MonotonicOffset,
}

impl Surveyor for NodeSurveyor {
    fn survey(&mut self, policy: &Policy) -> Result<Surveyed, SurveyError> {
        let Resolution { mut attachments, addresses, warnings: missing } =
            self.resolver.resolve(policy).map_err(|error| SurveyError(error.to_string()))?;
        let devices = self.discover.discover().map_err(|error| SurveyError(error.to_string()))?;
        let ends = Arc::clone(&self.ends.borrow());
        let has_spoken = self.ends.has_changed().unwrap_or(true);
        for (name, attachment) in &mut attachments {
            let inherited = || {
                let addresses = policy.workloads.get(name).map(|workload| &workload.addresses);
                inherited_end(&self.inherited, addresses.into_iter().flatten())
            };
            attachment.tunnel = if has_spoken { ends.get(name).copied() } else { inherited() };
        }
        let facts = NodeFacts {
            name: self.name.clone(),
            addresses,
            attachments,
            devices: Arc::clone(&devices.table),
            services: devices.services,
            capabilities: self.capabilities.clone(),
            capacity: self.capacity,
            tag_limit: self.tag_limit,
            clock_offset_ns: self.clock.read(),
        };
        let warnings = missing.iter().map(ToString::to_string).chain(devices.warnings).collect();
        Ok(Surveyed { facts, warnings })
    }
}
