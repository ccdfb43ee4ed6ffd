//! The engine on a kernel in memory: what is in force, on disk and acknowledged never contradict each other.

mod crash;
mod follow;
mod order;
mod refuse;
mod respond;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use enforcer_core::policy::change::Change;
use enforcer_proto::v1;
use tempfile::TempDir;

use super::fake::{FakeKernel, FakeNode};
use super::store::Store;
use super::{Engine, Parts, StartError};
use crate::door::policy::{Accepted, Refusal, Submission};

/// An engine with everything around it that outlives it.
struct Bench {
    kernel: FakeKernel,
    node: FakeNode,
    _parent: TempDir,
    state: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let parent = TempDir::new().unwrap();
        let state = parent.path().join("state");
        Self { kernel: FakeKernel::default(), node: FakeNode::default(), _parent: parent, state }
    }

    fn start(&self) -> Engine {
        self.try_start().unwrap()
    }

    fn try_start(&self) -> Result<Engine, StartError> {
        let (store, loaded) = Store::open(&self.state).unwrap();
        let parts = Parts {
            kernel: Box::new(self.kernel.clone()),
            surveyor: Box::new(self.node.clone()),
            store,
            clock: || 1_700_000_000_000_000_000,
            tell: Arc::new(|_| {}),
        };
        Engine::start(parts, loaded)
    }

    fn journal(&self) -> PathBuf {
        Path::join(&self.state, "policy.journal")
    }
}

fn tenant(name: &str, id: u32) -> v1::Tenant {
    v1::Tenant {
        name: name.to_owned(),
        id,
        tier: v1::Tier::Shared.into(),
        data_classification: v1::DataClassification::Internal.into(),
        mode: v1::Mode::Enforce.into(),
        ..v1::Tenant::default()
    }
}

fn workload(name: &str, tenant: &str, address: &str) -> v1::Workload {
    v1::Workload {
        name: name.to_owned(),
        tenant: tenant.to_owned(),
        interface: Some("veth0".to_owned()),
        addresses: vec![address.to_owned()],
        ..v1::Workload::default()
    }
}

fn snapshot(tenants: &[v1::Tenant]) -> Submission {
    submission(Change::Snapshot(v1::Snapshot { tenants: tenants.to_vec(), ..v1::Snapshot::default() }))
}

fn delta(upsert: v1::Snapshot) -> Submission {
    submission(Change::Delta(v1::Delta { upsert: Some(upsert), ..v1::Delta::default() }))
}

fn submission(change: Change) -> Submission {
    Submission {
        change,
        base_revision: None,
        author: "test".to_owned(),
        source: "push".to_owned(),
        received: Instant::now(),
    }
}

fn codes(result: Result<Accepted, Refusal>) -> Vec<&'static str> {
    result.unwrap_err().problems.iter().map(|problem| problem.code).collect()
}
