//! One connection of `svid watch`: every update becomes files, and the end says what to do next.

use enforcer_proto::spiffe::{X509svidRequest, X509svidResponse};
use tonic::{Code, Status, Streaming};

use super::parse;
use crate::failure::Failure;
use crate::session::Session;
use crate::svid::update::Update;

/// A stream of updates.
pub(super) struct Following {
    session: Session,
    stream: Streaming<X509svidResponse>,
}

/// Why a connection has ended (E-5).
pub(super) enum End {
    /// This workload has no identity; it may get one.
    Denied(String),
    /// Asking again would be answered the same way.
    Final(Failure),
    /// It may go better later.
    Passing(Failure),
}

impl Following {
    /// Asks for updates. The answer may come with the first of them, so that it has no time limit of its own.
    pub(super) async fn begin(session: Session) -> Result<Self, End> {
        let mut client = session.workload();
        match client.fetch_x509svid(X509svidRequest {}).await {
            Ok(response) => Ok(Self { session, stream: response.into_inner() }),
            Err(status) => Err(end(&session, &status)),
        }
    }

    /// The next update. One that cannot be used ends the connection: the next begins with a whole one.
    pub(super) async fn next(&mut self) -> Result<Update, End> {
        match self.stream.message().await {
            Ok(Some(message)) => parse(&self.session, message).map_err(End::Passing),
            Ok(None) => Err(End::Passing(Failure::StreamEnded { target: self.session.target().to_owned() })),
            Err(status) => Err(end(&self.session, &status)),
        }
    }
}

fn end(session: &Session, status: &Status) -> End {
    match status.code() {
        Code::PermissionDenied => End::Denied(status.message().to_owned()),
        Code::InvalidArgument | Code::Unimplemented => End::Final(session.failed(status)),
        _ => End::Passing(session.failed(status)),
    }
}
