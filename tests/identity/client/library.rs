//! What programs in Rust use: the `spiffe` crate.

use std::path::Path;

use anyhow::{Context as _, Result};
use enforcer_proto::spiffe::X509svidRequest;
use enforcer_proto::spiffe::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use enforcer_tests::workload;
use spiffe::transport::TransportError;
use spiffe::workload_api::error::WorkloadApiError;
use spiffe::{WorkloadApiClient, X509Context};
use tokio_stream::StreamExt as _;

use super::{Said, say};
use crate::certificate::Certificate;

pub(super) async fn fetch() -> Result<()> {
    let context = match WorkloadApiClient::connect_env().await {
        Ok(client) => client.fetch_x509_context().await,
        Err(error) => Err(error),
    };
    say(&told(context)?)
}

pub(super) async fn watch() -> Result<()> {
    let client = WorkloadApiClient::connect_env().await.context("connect")?;
    let mut stream = match client.stream_x509_contexts().await {
        Ok(stream) => stream,
        Err(error) => return say(&refused(&error)),
    };
    while let Some(context) = stream.next().await {
        say(&told(context)?)?;
    }
    Ok(())
}

pub(super) async fn jwt(audience: &str) -> Result<()> {
    let client = WorkloadApiClient::connect_env().await.context("connect")?;
    say(&token(client.fetch_jwt_svid([audience], None).await))
}

pub(super) async fn validate(audience: &str, jwt: &str) -> Result<()> {
    let client = WorkloadApiClient::connect_env().await.context("connect")?;
    say(&token(client.validate_jwt_token(audience, jwt).await))
}

pub(super) async fn headless(socket: &Path) -> Result<()> {
    let mut client = SpiffeWorkloadApiClient::new(workload::channel(socket).await?);
    match client.fetch_x509svid(X509svidRequest {}).await {
        Ok(_) => say(&Said::Ready { count: 1 }),
        Err(status) => say(&status_said(&status)),
    }
}

fn told(context: Result<X509Context, WorkloadApiError>) -> Result<Said> {
    let context = match context {
        Ok(context) => context,
        Err(error) => return Ok(refused(&error)),
    };
    let svid = context.default_svid().context("a context without an SVID")?;
    let leaf = Certificate::parse(svid.leaf().as_bytes())?;
    let bundles = context.bundle_set().iter();
    Ok(Said::Svid {
        id: svid.spiffe_id().to_string(),
        serial: leaf.serial(),
        not_before: leaf.not_before(),
        not_after: leaf.not_after(),
        chain: svid.cert_chain().len(),
        bundles: bundles.map(|(domain, bundle)| (domain.to_string(), bundle.authorities().len())).collect(),
    })
}

fn token(svid: Result<spiffe::JwtSvid, WorkloadApiError>) -> Said {
    match svid {
        Ok(svid) => Said::Token {
            token: svid.token().to_owned(),
            id: svid.spiffe_id().to_string(),
            audience: svid.audience().to_vec(),
            key_id: svid.key_id().to_owned(),
        },
        Err(error) => refused(&error),
    }
}

fn refused(error: &WorkloadApiError) -> Said {
    let message = error.to_string();
    let code = match error {
        WorkloadApiError::NoIdentityIssued | WorkloadApiError::PermissionDenied(_) => {
            "PermissionDenied".to_owned()
        }
        WorkloadApiError::Transport(TransportError::Status(status)) => format!("{:?}", status.code()),
        _ => "(of the client)".to_owned(),
    };
    Said::Refused { code, message }
}

pub(super) fn status_said(status: &tonic::Status) -> Said {
    Said::Refused { code: format!("{:?}", status.code()), message: status.message().to_owned() }
}
