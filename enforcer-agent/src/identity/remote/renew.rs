//! Renews the node's certificate for its authority, and learns the fleet's new authorities, before the old ones
//! end. A failure is tried again; the files stay as they are.

use std::sync::Arc;
use std::time::Duration;

use enforcer_proto::v1::IssueNodeSvidRequest;
use enforcer_proto::v1::authority_service_client::AuthorityServiceClient;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::transport::Channel;
use tracing::{info, warn};

use super::known::Known;
use super::own::{OwnError, OwnFiles};
use super::{CALL_MAX, RemoteConfig, answer};
use crate::door::upstream::UpstreamError;
use crate::identity::authority::request;

/// How often it is looked whether the certificate is due.
const LOOK: Duration = Duration::from_secs(5);

/// What renewing needs.
pub(super) struct Renewing<'a> {
    pub(super) config: &'a RemoteConfig,
    pub(super) known: &'a Arc<Known>,
    pub(super) connection: watch::Receiver<Option<Channel>>,
}

#[derive(Debug, thiserror::Error)]
enum RenewError {
    #[error(transparent)]
    Files(#[from] OwnError),
    #[error(transparent)]
    Authority(#[from] UpstreamError),
    #[error("stopping")]
    Stopping,
}

impl Renewing<'_> {
    /// Looks again and again.
    pub(super) async fn run(self) {
        let files = OwnFiles {
            certificate: self.config.certificate.clone(),
            key: self.config.key.clone(),
            ca: self.config.ca.clone(),
        };
        if let Err(error) = files.recover() {
            warn!(%error, "a renewal that was cut short cannot be finished");
        }
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = String::new();
        loop {
            look.tick().await;
            match self.look(&files).await {
                Ok(()) => told.clear(),
                Err(error) if error.to_string() == told => {}
                Err(error) => {
                    told = error.to_string();
                    warn!(error = told, "the node's certificate for its authority is not renewed");
                }
            }
        }
    }

    async fn look(&self, files: &OwnFiles) -> Result<(), RenewError> {
        let (trust, clock) = (Arc::clone(&self.known.trust().borrow()), self.known.clock());
        let learning = files.clone();
        let (learned, is_due) = blocking(move || {
            let learned = learning.learn_authorities(&trust, clock())?;
            Ok((learned, learning.is_due(&clock)?))
        })
        .await?;
        if learned {
            info!("the fleet's new authorities were added to those that vouch for our authority");
        }
        let channel = self.connection.borrow().clone();
        match channel {
            Some(channel) if is_due => self.renew(files, channel).await,
            Some(_) | None => Ok(()),
        }
    }

    async fn renew(&self, files: &OwnFiles, channel: Channel) -> Result<(), RenewError> {
        let (key, csr) = request().map_err(|error| UpstreamError::Away(error.to_string()))?;
        let mut client =
            AuthorityServiceClient::new(channel).max_decoding_message_size(answer::MESSAGE_MAX_BYTES);
        let issued = timeout(CALL_MAX, client.issue_node_svid(IssueNodeSvidRequest { csr })).await;
        let issued = issued.map_err(|_| UpstreamError::Away("no answer in time".to_owned()))?;
        let chain = answer::chain(issued.map_err(|status| answer::error(&status))?.into_inner())?;
        let files = files.clone();
        blocking(move || files.replace(&chain, &key)).await?;
        info!("the node's certificate for its authority was renewed");
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OwnError> + Send + 'static,
) -> Result<T, RenewError> {
    Ok(spawn_blocking(work).await.map_err(|_| RenewError::Stopping)??)
}
