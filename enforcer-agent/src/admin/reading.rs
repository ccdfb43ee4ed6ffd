//! The gRPC server for services of other rooms that show records: behind doors like this room's own, with its bounds and
//! its checks. To such a service a caller is nothing but whose records it may see: a [`Scope`] among a request's
//! extensions.

use enforcer_core::identity::trust_domain::TrustDomain;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::{Interceptor, InterceptorLayer, Routes};
use tonic::{Request, Status};

use super::connection::Connection;
use super::guard::{Guard, caller, scope};
use super::limits::HANDED_OVER_MAX;
use super::listen::local::LocalDoor;
use super::listen::network::NetworkDoor;
use super::serve::bounded;
use crate::door::identity::IsRevoked;
use crate::door::records::Scope;
use crate::door::stop::Stop;

/// Lets those pass who may read records, and says whose.
#[derive(Clone)]
struct Scoped(Guard);

impl Interceptor for Scoped {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let mut request = self.0.call(request)?;
        let scope: Scope = scope(&caller(&request))?;
        request.extensions_mut().insert(scope);
        Ok(request)
    }
}

/// Serves until the word to stop, and until every call that was begun has ended. `is_revoked` is `None` without an
/// identity wall.
///
/// # Errors
/// The server failed.
pub async fn serve(
    routes: Routes,
    local: LocalDoor,
    network: Option<NetworkDoor>,
    is_revoked: Option<IsRevoked>,
    mut stop: Stop,
) -> Result<(), tonic::transport::Error> {
    let (connections, accepted) = mpsc::channel::<Connection>(HANDED_OVER_MAX);
    let mut doors = JoinSet::new();
    doors.spawn(local.accept(connections.clone()));
    if let Some(network) = network {
        doors.spawn(network.accept(connections.clone()));
    }
    drop(connections);
    // Nodes may not read, so that nobody here needs to know the fleet.
    let fleet: Option<TrustDomain> = None;
    let accepted = ReceiverStream::new(accepted).map(Ok::<_, std::io::Error>);
    bounded()
        .layer(InterceptorLayer::new(Scoped(Guard { is_revoked, fleet })))
        .add_routes(routes)
        .serve_with_incoming_shutdown(accepted, async move { stop.wait().await })
        .await
}
