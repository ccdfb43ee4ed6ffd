//! One connection of `svid watch`: every update becomes files, and the end says what to do next.

use std::time::Duration;

use enforcer_proto::spiffe::{X509svidRequest, X509svidResponse};
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status, Streaming};

use super::parse;
use crate::clock;
use crate::failure::Failure;
use crate::instant;
use crate::session::Session;
use crate::svid::update::Update;

/// A stream of updates.
pub(super) struct Following {
    session: Session,
    stream: Streaming<X509svidResponse>,
    /// When the certificate of the last update has ended.
    ended: Option<Instant>,
}

/// Why a connection has ended (E-5).
pub(super) enum End {
    /// This workload has no identity; it may get one.
    Denied(String),
    /// Asking again would be answered the same way.
    Final(Failure),
    /// It may go better later: why.
    Passing(String),
}

impl Following {
    /// Asks for updates.
    pub(super) async fn begin(session: Session) -> Result<Self, End> {
        let mut client = session.workload();
        let answer = session.in_time(client.fetch_x509svid(X509svidRequest {})).await;
        match answer.map_err(|failure| End::Passing(failure.to_string()))? {
            Ok(response) => Ok(Self { stream: response.into_inner(), session, ended: None }),
            Err(status) => Err(end(&session, &status)),
        }
    }

    /// The next update. A connection that lets the last one end without another is as good as lost.
    pub(super) async fn next(&mut self) -> Result<Update, End> {
        let Some(ended) = self.ended else { return self.read().await };
        let Ok(update) = timeout_at(ended, self.read()).await else {
            let target = self.session.target();
            return Err(End::Passing(format!(
                "{target} let the certificate end and sent no other; asking again"
            )));
        };
        update
    }

    /// One that cannot be used ends the connection: the next begins with a whole one.
    async fn read(&mut self) -> Result<Update, End> {
        let update = self.receive().await?;
        let left = instant::seconds_between(&clock::now(), &update.first.leaf.not_after);
        let left = left.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
        // One second more than is left, for what is left is rounded down.
        self.ended = Instant::now().checked_add(Duration::from_secs(left.saturating_add(1)));
        Ok(update)
    }

    async fn receive(&mut self) -> Result<Update, End> {
        match self.stream.message().await {
            Ok(Some(message)) => {
                parse(&self.session, message).map_err(|failure| End::Passing(failure.to_string()))
            }
            Ok(None) => {
                Err(End::Passing(format!("{} ended the stream; asking again", self.session.target())))
            }
            Err(status) => Err(end(&self.session, &status)),
        }
    }
}

fn end(session: &Session, status: &Status) -> End {
    match status.code() {
        Code::PermissionDenied => End::Denied(status.message().to_owned()),
        Code::InvalidArgument | Code::Unimplemented => End::Final(session.failed(status)),
        _ => End::Passing(session.failed(status).to_string()),
    }
}
