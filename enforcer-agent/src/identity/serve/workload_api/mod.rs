//! The SPIFFE Workload API (W-1: the profiles X.509-SVID and JWT-SVID; anything else is unimplemented). Requests
//! are checked here; what is answered is written in [`x509`] and [`jwt`].

mod jwt;
mod x509;

use std::sync::Arc;

use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_proto::spiffe::spiffe_workload_api_server::SpiffeWorkloadApi;
use enforcer_proto::spiffe::{
    JwtBundlesRequest, JwtBundlesResponse, Jwtsvid, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest,
    ValidateJwtsvidResponse, X509BundlesRequest, X509BundlesResponse, X509svidRequest, X509svidResponse,
};
use tokio::time::timeout;
use tonic::{Request, Response, Status};
use tracing::warn;

use self::x509::Sent;
use super::Shared;
use super::follow::Follower;
use super::gate::admitted;
use super::limits::{AUDIENCE_MAX_BYTES, AUDIENCES_MAX, TOKEN_MAX};
use super::pull::{Answers, Source, pull};
use super::refusal;
use crate::door::upstream::UpstreamError;
use crate::identity::svid::Material;

/// The service.
pub(super) struct WorkloadCalls(pub(super) Arc<Shared>);

#[tonic::async_trait]
impl SpiffeWorkloadApi for WorkloadCalls {
    type FetchX509SVIDStream = Answers<X509svidResponse>;
    type FetchX509BundlesStream = Answers<X509BundlesResponse>;
    type FetchJWTBundlesStream = Answers<JwtBundlesResponse>;

    /// W-2, W-5.
    async fn fetch_x509svid(
        &self,
        request: Request<X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        let follower = Follower::stream(&self.0, admitted(&request)?)?;
        Ok(Response::new(pull(Svids(follower))))
    }

    /// W-6, W-11.
    async fn fetch_x509_bundles(
        &self,
        request: Request<X509BundlesRequest>,
    ) -> Result<Response<Self::FetchX509BundlesStream>, Status> {
        let follower = Follower::stream(&self.0, admitted(&request)?)?;
        Ok(Response::new(pull(X509Bundles { follower, sent: None })))
    }

    /// W-7: an audience is mandatory; without an ID, every identity of the caller is meant, which is one.
    async fn fetch_jwtsvid(
        &self,
        request: Request<JwtsvidRequest>,
    ) -> Result<Response<JwtsvidResponse>, Status> {
        let admitted = admitted(&request)?;
        let JwtsvidRequest { audience, spiffe_id } = request.into_inner();
        check_audience(&audience)?;
        let asked = parse_id(&spiffe_id)?;
        let material = Follower::once(&self.0, admitted)?.next().await?;
        let id = &material.svid.id;
        if asked.is_some_and(|asked| asked != *id) {
            return Err(refusal::no_identity());
        }
        let svid = self.token(id, &audience).await?;
        Ok(Response::new(JwtsvidResponse {
            svids: vec![Jwtsvid { spiffe_id: id.to_string(), svid, hint: String::new() }],
        }))
    }

    /// W-8.
    async fn fetch_jwt_bundles(
        &self,
        request: Request<JwtBundlesRequest>,
    ) -> Result<Response<Self::FetchJWTBundlesStream>, Status> {
        let follower = Follower::stream(&self.0, admitted(&request)?)?;
        let write = self.0.jwt.bundle;
        Ok(Response::new(pull(JwtBundles { follower, write, sent: None })))
    }

    /// W-9. A token of a trust domain whose bundle the caller does not have is not valid for it.
    async fn validate_jwtsvid(
        &self,
        request: Request<ValidateJwtsvidRequest>,
    ) -> Result<Response<ValidateJwtsvidResponse>, Status> {
        let admitted = admitted(&request)?;
        let ValidateJwtsvidRequest { audience, svid } = request.into_inner();
        check_audience(std::slice::from_ref(&audience))?;
        if svid.is_empty() {
            return Err(Status::invalid_argument("the token is missing"));
        }
        let material = Follower::once(&self.0, admitted)?.next().await?;
        let (id, claims) = (self.0.jwt.validate)(&svid, &audience).map_err(|reason| {
            self.0.gate.quiet.say("token", |unsaid| {
                warn!(caller = %material.svid.id, reason, unsaid, "a token does not validate");
            });
            invalid_token()
        })?;
        if !knows(&material, &id) {
            return Err(invalid_token());
        }
        Ok(Response::new(ValidateJwtsvidResponse {
            spiffe_id: id.to_string(),
            claims: Some(jwt::claims(claims)),
        }))
    }
}

impl WorkloadCalls {
    async fn token(&self, id: &SpiffeId, audience: &[String]) -> Result<String, Status> {
        let Shared { upstream, node, jwt, .. } = &*self.0;
        let away = || refusal::later("no token can be had now");
        let issued = timeout(TOKEN_MAX, upstream.jwt_svid(node, id, audience, jwt.lifetime)).await;
        issued.map_err(|_| away())?.map_err(|error| {
            self.0.gate.quiet.say("token_issue", |unsaid| warn!(%id, %error, unsaid, "no token was issued"));
            match error {
                UpstreamError::Away(_) => away(),
                UpstreamError::Refused(_) | UpstreamError::Revoked(_) => refusal::no_identity(),
                UpstreamError::Request(_) => {
                    Status::invalid_argument("the authority does not take this audience")
                }
            }
        })
    }
}

struct Svids(Follower);

impl Source for Svids {
    type Answer = X509svidResponse;

    async fn next(&mut self) -> Option<Result<X509svidResponse, Status>> {
        Some(self.0.next().await.map(|material| x509::svid(&material)))
    }
}

struct X509Bundles {
    follower: Follower,
    sent: Option<Sent>,
}

impl Source for X509Bundles {
    type Answer = X509BundlesResponse;

    /// A new certificate is none of these callers' business: only bundles are.
    async fn next(&mut self) -> Option<Result<X509BundlesResponse, Status>> {
        loop {
            let material = match self.follower.next().await {
                Ok(material) => material,
                Err(status) => return Some(Err(status)),
            };
            let now = Sent::of(&material);
            if self.sent.as_ref() != Some(&now) {
                let answer = x509::bundles(&material);
                self.sent = Some(now);
                return Some(Ok(answer));
            }
        }
    }
}

struct JwtBundles {
    follower: Follower,
    write: fn(&enforcer_core::identity::bundle::Bundle) -> String,
    sent: Option<JwtBundlesResponse>,
}

impl Source for JwtBundles {
    type Answer = JwtBundlesResponse;

    async fn next(&mut self) -> Option<Result<JwtBundlesResponse, Status>> {
        loop {
            let material = match self.follower.next().await {
                Ok(material) => material,
                Err(status) => return Some(Err(status)),
            };
            let now = jwt::bundles(&material, self.write);
            if self.sent.as_ref() != Some(&now) {
                self.sent = Some(now.clone());
                return Some(Ok(now));
            }
        }
    }
}

/// W-4, W-7: mandatory, none of them empty.
fn check_audience(audience: &[String]) -> Result<(), Status> {
    let wrong = |what: &str| Err(Status::invalid_argument(what));
    match audience {
        [] => wrong("the audience is missing"),
        all if all.iter().any(String::is_empty) => wrong("the audience is empty"),
        all if all.len() > AUDIENCES_MAX => wrong("too many audiences"),
        all if all.iter().any(|one| one.len() > AUDIENCE_MAX_BYTES) => wrong("the audience is too long"),
        _ => Ok(()),
    }
}

fn parse_id(text: &str) -> Result<Option<SpiffeId>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| Status::invalid_argument(format!("no SPIFFE ID: {error}")))
}

/// True when the caller has the bundle of this ID's trust domain (X-12, W-11).
fn knows(material: &Material, id: &SpiffeId) -> bool {
    let domain = id.trust_domain();
    material.bundle.trust_domain.as_str() == domain
        || material.federated.keys().any(|federated| federated.as_str() == domain)
}

fn invalid_token() -> Status {
    Status::invalid_argument("the token is not valid")
}
