//! What both directions do with a flow once its permit is there: tell of it, carry it, tell how it ended.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;

use enforcer_common::reason;
use enforcer_core::policy::model::Name;
use enforcer_core::proxy::authorize::{Permit, Refusal};
use enforcer_core::proxy::tenant_of;
use tokio::net::TcpStream;

use super::budget::Place;
use super::dial::Failed;
use super::hbone::Carried;
use super::hbone::relay as hbone;
use super::native::{self, Ended, Limits, Side};
use super::record::{self, Outcome};
use super::registry::{Direction, EndReason, Hop, Met, Seen, Ticket};
use super::shared::{Shared, Tenant};
use super::tls::{Facts, Secured};

/// A registered flow, with its place among its tenant's.
pub(super) struct Registered {
    pub(super) shared: Arc<Shared>,
    pub(super) tenant: Arc<Tenant>,
    pub(super) direction: Direction,
    pub(super) ticket: Ticket,
    pub(super) _place: Place,
}

impl Registered {
    /// Asked after it was registered: who is revoked by name later finds it in the table.
    pub(super) fn not_revoked(&self, workload: &Name) -> Result<(), Refusal> {
        if self.shared.is_revoked_by_name(workload) {
            return Err(Failed::new(reason::TUNNEL_CERTIFICATE, format!("{workload} is revoked")).into());
        }
        Ok(())
    }

    /// Tells that it is not carried.
    pub(super) fn refuse(&self, refusal: &Refusal) {
        self.shared.refuse(&self.tenant, self.direction, self.ticket.describe(), refusal);
    }

    /// Carries it over our own hop. The permit is the key: it is taken, and gone when the flow is.
    ///
    /// # Errors
    /// The other end did not take it.
    pub(super) async fn tunnel_native(
        &self,
        permit: Permit,
        local: &TcpStream,
        secured: &mut Secured,
        side: Side,
    ) -> Result<Ended<EndReason>, Failed> {
        let settings = &self.shared.settings;
        let limits = Limits { accept: settings.connect_timeout * 2, half_close: settings.half_close_timeout };
        let traffic = self.ticket.traffic();
        if side == Side::Server {
            traffic.accepted();
        }
        let mut opened = Opened { flow: self, permit: &permit, is_told: false };
        let ended = native::relay(local, secured, side, &limits, traffic, opened.watch()).await;
        opened.tell_if_accepted();
        let is_told = opened.is_told;
        match refusal_of(&ended) {
            Some(failed) if !is_told => return Err(failed),
            _ if matches!(ended, Ended::Unanswered(_)) => {}
            _ => self.close(&permit, native_outcome(&ended)),
        }
        Ok(ended)
    }

    /// Carries it as a stream of HTTP/2.
    pub(super) async fn tunnel_hbone(&self, permit: Permit, local: &TcpStream, carried: Carried) {
        let half_close = self.shared.settings.half_close_timeout;
        let mut opened = Opened { flow: self, permit: &permit, is_told: false };
        let ended = hbone::relay(local, carried, half_close, self.ticket.traffic(), opened.watch()).await;
        opened.tell_if_accepted();
        self.close(&permit, hbone_outcome(&ended));
    }

    fn close(&self, permit: &Permit, outcome: Outcome) {
        (self.shared.tell)(record::closed(&self.shared.node, self.ticket.describe(), permit, outcome));
    }
}

/// Tells once that the other end has taken a flow.
struct Opened<'a> {
    flow: &'a Registered,
    permit: &'a Permit,
    is_told: bool,
}

impl Opened<'_> {
    /// Why the flow must end, once it must. Looked at whenever the flow moves, it also sees that it was taken.
    async fn watch(&mut self) -> EndReason {
        let mut cancelled = pin!(self.flow.ticket.cancelled());
        poll_fn(|cx| {
            self.tell_if_accepted();
            cancelled.as_mut().poll(cx)
        })
        .await
    }

    fn tell_if_accepted(&mut self) {
        let Registered { shared, ticket, .. } = self.flow;
        if ticket.traffic().is_accepted() && !std::mem::replace(&mut self.is_told, true) {
            ticket.carried();
            (shared.tell)(record::opened(&shared.node, ticket.describe(), self.permit));
        }
    }
}

/// Whom the other end of a connection turned out to be.
pub(super) fn met(shared: &Shared, facts: &Facts, hop: Hop, reused: bool) -> Result<Met, Failed> {
    let id = &facts.peer.id;
    let Some(tenant) = tenant_of(id, &shared.fleet) else {
        return Err(Failed::new(reason::TUNNEL_IDENTITY, format!("{id} is of no tenant")));
    };
    Ok(Met {
        peer: Seen { id: id.clone(), serial: facts.peer_serial.clone(), not_after: facts.peer.not_after },
        tenant: Name::from(tenant),
        hop,
        resumed: facts.resumed,
        reused,
    })
}

/// Why a flow never began; `None` when it did, or may yet on another connection.
fn refusal_of(ended: &Ended<EndReason>) -> Option<Failed> {
    let failed = match ended {
        Ended::Refused(code) => {
            use enforcer_core::proxy::native::RefuseCode as Code;
            let reason = match code {
                Code::Denied => reason::TUNNEL_IDENTITY,
                Code::Unreachable | Code::Refused | Code::TimedOut => reason::TUNNEL_UNREACHABLE,
                Code::Busy => reason::TUNNEL_BUDGET,
                Code::BadTarget => reason::TUNNEL_TARGET,
                Code::NotReady => reason::TUNNEL_NOT_READY,
            };
            Failed::new(reason, format!("the other end answers: {}", code.word()))
        }
        Ended::AcceptTimeout => Failed::new(reason::TUNNEL_UNREACHABLE, "the other end does not answer"),
        Ended::Protocol(error) => Failed::new(reason::TUNNEL_PROTOCOL, error),
        Ended::Tls(error) => Failed::from(error),
        Ended::LocalReset(_)
        | Ended::Clean
        | Ended::Unanswered(_)
        | Ended::PeerReset
        | Ended::HalfCloseTimeout
        | Ended::Cancelled(_) => return None,
    };
    Some(failed)
}

fn native_outcome(ended: &Ended<EndReason>) -> Outcome {
    match ended {
        Ended::Clean => Outcome::plain("clean"),
        Ended::Refused(code) => Outcome::because("refused", code.word()),
        Ended::Unanswered(error) | Ended::Tls(error) => Outcome::because("peer_lost", error),
        Ended::AcceptTimeout => Outcome::plain("timed_out"),
        Ended::LocalReset(error) => Outcome::because("reset", error),
        Ended::PeerReset => Outcome::plain("peer_reset"),
        Ended::HalfCloseTimeout => Outcome::plain("half_close_timeout"),
        Ended::Cancelled(reason) => Outcome::plain(reason.word()),
        Ended::Protocol(error) => Outcome::because("protocol", error),
    }
}

fn hbone_outcome(ended: &hbone::Ended<EndReason>) -> Outcome {
    match ended {
        hbone::Ended::Clean => Outcome::plain("clean"),
        hbone::Ended::LocalReset(error) => Outcome::because("reset", error),
        hbone::Ended::PeerReset(code) => Outcome::because("peer_reset", code),
        hbone::Ended::ConnectionLost => Outcome::plain("peer_lost"),
        hbone::Ended::HalfCloseTimeout => Outcome::plain("half_close_timeout"),
        hbone::Ended::Cancelled(reason) => Outcome::plain(reason.word()),
    }
}
