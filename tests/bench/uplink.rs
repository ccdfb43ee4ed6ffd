//! A control plane's side of the agent's local door.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use enforcer_proto::v1::policy_service_client::PolicyServiceClient;
use enforcer_proto::v1::{ApplyRequest, apply_request};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint, Uri};

/// A connection to one agent.
pub(crate) struct Uplink {
    client: PolicyServiceClient<Channel>,
    runtime: Runtime,
}

/// How long an applied change took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applied {
    /// From sending to the acknowledgement.
    pub(crate) round_trip: Duration,
    /// From receipt to enforcement, as the agent tells.
    pub(crate) enforced: Duration,
}

impl Uplink {
    pub(crate) fn connect(socket: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let socket = socket.to_owned();
        let dial = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://agent");
        let channel =
            runtime.block_on(endpoint.connect_with_connector(dial)).context("the agent's socket")?;
        Ok(Self { client: PolicyServiceClient::new(channel), runtime })
    }

    pub(crate) fn apply(&mut self, change: apply_request::Change) -> Result<Applied> {
        let request = ApplyRequest { base_revision: None, change: Some(change) };
        let start = Instant::now();
        let response = self.runtime.block_on(self.client.apply(request)).context("apply")?;
        let round_trip = start.elapsed();
        let ack = response.into_inner().ack.context("an answer without acknowledgement")?;
        let enforced = ack.time_to_enforcement.context("an acknowledgement without a time")?;
        let enforced = Duration::try_from(enforced).context("a time before its beginning")?;
        Ok(Applied { round_trip, enforced })
    }
}
