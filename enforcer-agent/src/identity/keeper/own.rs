//! The node's own certificate in the fleet's trust domain: what the network listener shows.

use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::lifecycle::{Action, Event, State, step};
use enforcer_core::identity::schedule::Term;
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::door::upstream::UpstreamError;

/// The same life as a workload's.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) state: State,
    shown: watch::Sender<Option<Arc<CertifiedKey>>>,
}

impl Own {
    pub(super) const fn new(shown: watch::Sender<Option<Arc<CertifiedKey>>>) -> Self {
        Self { state: State::Absent, shown }
    }

    /// Takes an event into account; true when the authority is to be asked.
    pub(super) fn take(&mut self, event: Event, now: Duration, die: f64) -> bool {
        let (state, action) = step(std::mem::replace(&mut self.state, State::Absent), event, now, die);
        self.state = state;
        match action {
            Action::Request => true,
            Action::Withdraw { reason, request } => {
                warn!(%reason, "the node's own certificate is no longer shown");
                self.shown.send_replace(None);
                request
            }
            Action::Serve | Action::Rest => false,
        }
    }

    /// Takes the authority's answer; true when it is to be asked again at once.
    pub(super) fn answered(
        &mut self,
        answer: Result<(Arc<CertifiedKey>, Term), UpstreamError>,
        now: Duration,
        die: f64,
    ) -> bool {
        match answer {
            Ok((key, term)) => {
                let again = self.take(Event::Issued(term), now, die);
                if self.state.term() == Some(&term) {
                    info!("the node has a new certificate of its own");
                    self.shown.send_replace(Some(key));
                }
                again
            }
            Err(error) => {
                warn!(%error, "the node has no new certificate of its own");
                self.take(Event::Failed, now, die)
            }
        }
    }
}
