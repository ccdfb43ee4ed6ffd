//! Envoy's secret discovery (SDS v3), for the same callers and with the same checks as the Workload API.

mod delta;
pub(super) mod nobody;
mod secret;
mod sotw;
mod subscription;

use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_server::SecretDiscoveryService;
use tonic::{Request, Response, Status, Streaming};
use tracing::warn;

use self::delta::Delta;
use self::nobody::Nobody;
pub(super) use self::secret::digest;
use self::sotw::Sotw;
use super::Shared;
use super::follow::Follower;
use super::gate::admitted;
use super::pull::{Answers, Source, pull};
use crate::identity::svid::Material;

/// Bytes of a caller's words in the log.
const WORDS_MAX: usize = 256;

/// The service.
pub(super) struct SecretCalls(pub(super) Arc<Shared>);

/// What a request says beside what it asks for.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    /// The caller cannot use the last response, for this reason.
    Rejection(String),
}

#[tonic::async_trait]
impl SecretDiscoveryService for SecretCalls {
    type StreamSecretsStream = Answers<DiscoveryResponse>;
    type DeltaSecretsStream = Answers<DeltaDiscoveryResponse>;

    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        self.exchange(request, Sotw::default())
    }

    async fn delta_secrets(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        self.exchange(request, Delta::default())
    }

    async fn fetch_secrets(
        &self,
        request: Request<DiscoveryRequest>,
    ) -> Result<Response<DiscoveryResponse>, Status> {
        let material = Follower::once(&self.0, admitted(&request)?)?.next().await?;
        sotw::fetch(request.into_inner(), &material, &self.0.nobody).map(Response::new)
    }
}

impl SecretCalls {
    fn exchange<S: State>(
        &self,
        request: Request<Streaming<S::Request>>,
        state: S,
    ) -> Result<Response<Answers<S::Response>>, Status> {
        let follower = Follower::stream(&self.0, admitted(&request)?)?;
        let shared = Arc::clone(&self.0);
        let requests = request.into_inner();
        Ok(Response::new(pull(Exchange {
            shared,
            follower,
            requests,
            state,
            material: None,
            is_asked: false,
        })))
    }
}

/// Either form of the protocol.
trait State: Send + 'static {
    type Request: Send + 'static;
    type Response: Send + 'static;

    fn hear(&mut self, request: Self::Request) -> Result<Heard, Status>;
    fn answer(&mut self, material: &Material, nobody: &Nobody) -> Result<Option<Self::Response>, Status>;
}

impl State for Sotw {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    fn hear(&mut self, request: Self::Request) -> Result<Heard, Status> {
        self.hear(request)
    }

    fn answer(&mut self, material: &Material, nobody: &Nobody) -> Result<Option<Self::Response>, Status> {
        self.answer(material, nobody)
    }
}

impl State for Delta {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;

    fn hear(&mut self, request: Self::Request) -> Result<Heard, Status> {
        self.hear(request)
    }

    fn answer(&mut self, material: &Material, nobody: &Nobody) -> Result<Option<Self::Response>, Status> {
        self.answer(material, nobody)
    }
}

/// A stream: requests in, secrets out, each when there is one.
struct Exchange<S: State> {
    shared: Arc<Shared>,
    follower: Follower,
    requests: Streaming<S::Request>,
    state: S,
    material: Option<Arc<Material>>,
    /// Nothing is sent before the first request.
    is_asked: bool,
}

impl<S: State> Source for Exchange<S> {
    type Answer = S::Response;

    async fn next(&mut self) -> Option<Result<S::Response, Status>> {
        loop {
            let went_on = self.step().await;
            match went_on {
                Ok(true) => {}
                Ok(false) => return None,
                Err(status) => return Some(Err(status)),
            }
            let Some(material) = self.material.as_ref().filter(|_| self.is_asked) else { continue };
            match self.state.answer(material, &self.shared.nobody) {
                Ok(None) => {}
                Ok(Some(response)) => return Some(Ok(response)),
                Err(status) => return Some(Err(status)),
            }
        }
    }
}

impl<S: State> Exchange<S> {
    /// Waits for a request or for new material; false when the caller asks no more.
    async fn step(&mut self) -> Result<bool, Status> {
        tokio::select! {
            biased;
            material = self.follower.next() => {
                self.material = Some(material?);
                Ok(true)
            }
            request = self.requests.message() => match request? {
                Some(request) => {
                    self.hear(request)?;
                    Ok(true)
                }
                None => Ok(false),
            },
        }
    }

    fn hear(&mut self, request: S::Request) -> Result<(), Status> {
        self.follower.request()?;
        self.is_asked = true;
        match self.state.hear(request)? {
            Heard::Nothing => {}
            Heard::Rejection(words) => {
                let member = &self.follower.admitted().member;
                let words: String = words.chars().take(WORDS_MAX).collect();
                self.shared.gate.quiet.say("rejected", |unsaid| {
                    warn!(workload = %member.workload, words, unsaid, "a workload cannot use the secrets it was sent");
                });
            }
        }
        Ok(())
    }
}
