//! A kernel and a node for the engine's unit tests: tables in memory, failures on demand, a log of what was
//! asked in which order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use enforcer_common::maps::{CounterKey, CounterValue};
use enforcer_core::device::holding::{GateCustody, HandleSweep};
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::enforce::{
    Aggregation, CapacityReport, Committed, EnforceError, Enforcement, HookReport, Inspection, Loss,
    Prepared, Proof, ProofRequest, Response,
};
use enforcer_core::node::{Attachment, Capabilities, NodeFacts};
use enforcer_core::policy::image::{Digest, Entries, Image, Plan};
use enforcer_core::policy::model::{Name, Policy};
use enforcer_core::policy::tables::apply_plan;

use super::report::digest;
use crate::door::survey::{SurveyError, Surveyed, Surveyor};

/// What the tests see and steer.
#[derive(Debug, Default)]
pub(super) struct Inside {
    pub(super) image: Image,
    pub(super) revision: u64,
    pub(super) asked: Vec<&'static str>,
    pub(super) fail_prepare: bool,
    pub(super) fail_commit: bool,
    /// Runs at each commit, before the tables change.
    pub(super) at_commit: Option<fn()>,
    /// Prepared plans that were neither committed nor aborted.
    pub(super) open: u32,
    pub(super) responses: BTreeMap<u32, Response>,
    pub(super) aggregation: BTreeMap<u32, Aggregation>,
    pub(super) custody: BTreeMap<DeviceNumber, GateCustody>,
}

/// A kernel in memory. Clones share it, as a new agent finds what the old one pinned.
#[derive(Clone, Debug, Default)]
pub(super) struct FakeKernel(Arc<Mutex<Inside>>);

impl FakeKernel {
    pub(super) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap()
    }
}

fn broken(operation: &'static str) -> EnforceError {
    EnforceError::Kernel { operation, table: "TENANTS".to_owned(), error: "broken on purpose".to_owned() }
}

impl Enforcement for FakeKernel {
    fn prepare(&mut self, plan: &Plan) -> Result<Prepared, EnforceError> {
        let mut inside = self.inside();
        inside.asked.push("prepare");
        if inside.fail_prepare {
            return Err(broken("write"));
        }
        inside.open += 1;
        Ok(Prepared { generation: 1, written: u64::try_from(plan.tenants_write.len()).unwrap() })
    }

    fn commit(&mut self, _: Prepared, plan: &Plan, revision: u64) -> Result<Committed, EnforceError> {
        let mut inside = self.inside();
        inside.asked.push("commit");
        inside.open -= 1;
        if let Some(hook) = inside.at_commit {
            hook();
        }
        if inside.fail_commit {
            return Err(broken("switch"));
        }
        apply_plan(&mut inside.image, plan);
        inside.revision = revision;
        Ok(Committed { digest: digest(&inside.image), written: 0, deleted: 0 })
    }

    fn abort(&mut self, _: Prepared) {
        let mut inside = self.inside();
        inside.asked.push("abort");
        inside.open -= 1;
    }

    fn sweep(&mut self) -> Result<(), EnforceError> {
        self.inside().asked.push("sweep");
        Ok(())
    }

    fn read_back(&self) -> Result<Image, EnforceError> {
        Ok(self.inside().image.clone())
    }

    fn digest(&self) -> (Digest, u64) {
        let inside = self.inside();
        (digest(&inside.image), inside.revision)
    }

    fn capacity(&self) -> Entries {
        Entries {
            tenants: 8,
            pairs: 64,
            ports: 64,
            cidrs: 64,
            grants: 64,
            addresses: 64,
            interfaces: 8,
            cgroups: 8,
        }
    }

    fn set_response(&mut self, tenant: u32, response: Option<&Response>) -> Result<(), EnforceError> {
        let mut inside = self.inside();
        match response {
            Some(response) => drop(inside.responses.insert(tenant, *response)),
            None => drop(inside.responses.remove(&tenant)),
        }
        Ok(())
    }

    fn set_aggregation(&mut self, tenants: &BTreeMap<u32, Aggregation>) -> Result<(), EnforceError> {
        self.inside().aggregation = tenants.clone();
        Ok(())
    }

    fn set_custody(
        &mut self,
        device: DeviceNumber,
        custody: Option<GateCustody>,
    ) -> Result<(), EnforceError> {
        let mut inside = self.inside();
        match custody {
            Some(custody) => drop(inside.custody.insert(device, custody)),
            None => drop(inside.custody.remove(&device)),
        }
        Ok(())
    }

    fn forget_touched(&mut self, _: DeviceNumber) -> Result<(), EnforceError> {
        Ok(())
    }
}

impl Inspection for FakeKernel {
    fn custody(&self) -> Result<BTreeMap<DeviceNumber, GateCustody>, EnforceError> {
        Ok(self.inside().custody.clone())
    }

    fn handles(&self) -> Result<HandleSweep, EnforceError> {
        Ok(HandleSweep::default())
    }

    fn prove_hooks(&mut self) -> Result<Vec<HookReport>, EnforceError> {
        Ok(self.hooks())
    }

    fn hooks(&self) -> Vec<HookReport> {
        Vec::new()
    }

    fn capacities(&self) -> Result<Vec<CapacityReport>, EnforceError> {
        Ok(Vec::new())
    }

    fn counters(&self) -> Result<Vec<(CounterKey, CounterValue)>, EnforceError> {
        Ok(Vec::new())
    }

    fn losses(&self) -> Result<Vec<Loss>, EnforceError> {
        Ok(Vec::new())
    }

    fn prove(&self, _: &ProofRequest) -> Result<Proof, EnforceError> {
        Ok(Proof { passed: true, programs: 1 })
    }
}

/// A node in memory: which workloads are where.
#[derive(Clone, Debug, Default)]
pub(super) struct FakeNode(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) attachments: BTreeMap<Name, Attachment>,
    pub(super) unreadable: bool,
    pub(super) lacks_gate: bool,
}

impl FakeNode {
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap()
    }
}

impl Surveyor for FakeNode {
    fn survey(&mut self, _: &Policy) -> Result<Surveyed, SurveyError> {
        let seen = self.seen();
        if seen.unreadable {
            return Err(SurveyError("broken on purpose".to_owned()));
        }
        let mut capabilities = Capabilities::all();
        if seen.lacks_gate {
            capabilities.device_gate =
                enforcer_core::node::Capability::Absent("lacking on purpose".to_owned());
        }
        let facts = NodeFacts {
            name: "here".to_owned(),
            attachments: seen.attachments.clone(),
            capabilities,
            tag_limit: u32::MAX,
            ..NodeFacts::default()
        };
        Ok(Surveyed { facts, warnings: Vec::new() })
    }
}
