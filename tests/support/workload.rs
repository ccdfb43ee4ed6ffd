//! The SPIFFE Workload API without a client library around it: for what those do not let one do.

use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context as _, Result};
use enforcer_proto::spiffe::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};

/// A client that sends the security header (E-2).
pub type WorkloadClient = SpiffeWorkloadApiClient<InterceptedService<Channel, Header>>;

/// Puts the security header on a request.
type Header = fn(Request<()>) -> Result<Request<()>, Status>;

/// A client over a connection of its own.
///
/// # Errors
/// Nobody listens there.
pub async fn connect(socket: &Path) -> Result<WorkloadClient> {
    Ok(with_header(channel(socket).await?))
}

/// A client over a connection that is there already, whoever made it.
///
/// # Errors
/// It is no connection, or broken.
pub async fn over(connection: OwnedFd) -> Result<WorkloadClient> {
    let stream = std::os::unix::net::UnixStream::from(connection);
    stream.set_nonblocking(true)?;
    let mut stream = Some(UnixStream::from_std(stream)?);
    let hand_over = tower::service_fn(move |_: Uri| {
        let stream = stream.take().map(TokioIo::new);
        async move { stream.ok_or_else(|| std::io::Error::other("a connection is used once")) }
    });
    let channel = Endpoint::from_static("http://workload").connect_with_connector(hand_over).await;
    Ok(with_header(channel.context("a connection that was passed on")?))
}

/// A connection without a header: whoever sends a request on it forgot it.
///
/// # Errors
/// Nobody listens there.
pub async fn channel(socket: &Path) -> Result<Channel> {
    let path = socket.to_owned();
    let dial = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://workload");
    endpoint.connect_with_connector(dial).await.with_context(|| format!("{}", socket.display()))
}

fn with_header(channel: Channel) -> WorkloadClient {
    SpiffeWorkloadApiClient::with_interceptor(channel, header)
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of an interceptor")]
fn header(mut request: Request<()>) -> Result<Request<()>, Status> {
    request.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("true"));
    Ok(request)
}
