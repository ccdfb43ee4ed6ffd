//! Another Enforcer as the authority of this node, over gRPC. It holds no authority's key.

mod answer;
mod connect;
mod follow;
mod known;
mod own;
mod renew;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::bundle::Trust;
use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_proto::v1::authority_service_client::AuthorityServiceClient;
use enforcer_proto::v1::{IssueJwtSvidRequest, IssueNodeCaRequest, IssueNodeSvidRequest};
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::authority::{AuthorityError, Clock};
use super::custody::Vault;
use crate::door::stop::Stop;
use crate::door::upstream::{Target, Upstream, UpstreamError};
use known::Known;

/// How long one call may take, the wait for a connection included.
const CALL_MAX: Duration = Duration::from_secs(10);

/// How the authority is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteConfig {
    /// `https://host:port`
    pub address: String,
    /// PEM of this node's certificate, `spiffe://<fleet>/node/<name>`, and those above it.
    pub certificate: PathBuf,
    /// PEM of its key.
    pub key: PathBuf,
    /// PEM of who vouches for the authority's own certificate.
    pub ca: PathBuf,
    /// The name in that certificate, when it is not the host of the address.
    pub server_name: Option<String>,
}

/// An authority elsewhere.
pub struct Remote {
    known: Arc<Known>,
    connection: watch::Receiver<Option<Channel>>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("connected", &self.connection.borrow().is_some())
            .finish_non_exhaustive()
    }
}

impl Remote {
    /// Connects, and stays connected until the word to stop. What the authority said last before a restart is
    /// believed until it speaks again, but not for ever. Needs a runtime, and waits for the disk.
    ///
    /// # Errors
    /// What the vault holds cannot be read.
    pub fn start(
        config: RemoteConfig,
        vault: Arc<Vault>,
        clock: Clock,
        stop: Stop,
    ) -> Result<Arc<Self>, AuthorityError> {
        let known = Arc::new(Known::load(vault, clock)?);
        let (connected, connection) = watch::channel(None);
        tokio::spawn(follow::run(config, Arc::clone(&known), connected, stop));
        Ok(Arc::new(Self { known, connection }))
    }

    /// Asks the authority something, once there is a connection.
    async fn ask<T, F: Future<Output = Result<Response<T>, Status>>>(
        &self,
        call: impl FnOnce(AuthorityServiceClient<Channel>) -> F,
    ) -> Result<T, UpstreamError> {
        let mut connection = self.connection.clone();
        let answer = timeout(CALL_MAX, async {
            let connected = connection.wait_for(Option::is_some).await;
            let channel = connected.ok().and_then(|channel| channel.clone());
            let Some(channel) = channel else { return Err(Status::unavailable("this agent is stopping")) };
            call(AuthorityServiceClient::new(channel).max_decoding_message_size(answer::MESSAGE_MAX_BYTES))
                .await
        });
        match answer.await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(answer::error(&status)),
            Err(_) => Err(UpstreamError::Away(self.known.absence())),
        }
    }

    async fn change(
        &self,
        change: impl FnOnce(&Known) -> Result<(), UpstreamError> + Send + 'static,
    ) -> Result<(), UpstreamError> {
        let known = Arc::clone(&self.known);
        let done = spawn_blocking(move || change(&known)).await;
        done.map_err(|error| UpstreamError::Away(format!("this agent is stopping: {error}")))?
    }
}

#[tonic::async_trait]
impl Upstream for Remote {
    fn kind(&self) -> &'static str {
        "grpc"
    }

    fn trouble(&self) -> Option<String> {
        self.known.trouble_now()
    }

    /// The authority knows by our certificate which node we are.
    async fn node_ca(
        &self,
        _: &str,
        domain: &TrustDomain,
        csr: &[u8],
    ) -> Result<Vec<CertificateDer<'static>>, UpstreamError> {
        let request = IssueNodeCaRequest { trust_domain: domain.to_string(), csr: csr.to_owned() };
        let chain = self.ask(|mut client| async move { client.issue_node_ca(request).await }).await?;
        answer::node_ca(chain, domain)
    }

    async fn node_svid(&self, _: &str, csr: &[u8]) -> Result<Vec<CertificateDer<'static>>, UpstreamError> {
        let request = IssueNodeSvidRequest { csr: csr.to_owned() };
        let chain = self.ask(|mut client| async move { client.issue_node_svid(request).await }).await?;
        answer::chain(chain)
    }

    async fn jwt_svid(
        &self,
        _: &str,
        id: &SpiffeId,
        audience: &[String],
        lifetime: Duration,
    ) -> Result<String, UpstreamError> {
        let lifetime = lifetime.try_into().map_err(|_| UpstreamError::Request("the lifetime".to_owned()))?;
        let request = IssueJwtSvidRequest {
            spiffe_id: id.to_string(),
            audience: audience.to_vec(),
            lifetime: Some(lifetime),
        };
        let answer = self.ask(|mut client| async move { client.issue_jwt_svid(request).await }).await?;
        answer::token(answer)
    }

    fn trust(&self) -> watch::Receiver<Arc<Trust>> {
        self.known.trust()
    }

    async fn revoke(&self, target: &Target) -> Result<(), UpstreamError> {
        let target = target.clone();
        self.change(move |known| known.revoke(&target)).await
    }

    async fn restore(&self, target: &Target) -> Result<(), UpstreamError> {
        let target = target.clone();
        self.change(move |known| known.restore(&target)).await
    }

    async fn rotate(&self, domain: &TrustDomain) -> Result<(), UpstreamError> {
        Err(UpstreamError::Refused(format!(
            "the keys of {domain} are at the authority, which rotates them: ask there"
        )))
    }
}
