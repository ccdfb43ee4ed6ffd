//! Following one workload for one caller: what it is given, again with every change, until it is not that
//! workload any more. Everything that ends a stream is waited for at once; nothing is polled.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tonic::Status;
use tracing::warn;

use super::Shared;
use super::budget::Place;
use super::gate::Admitted;
use super::refusal;
use crate::door::stop::Stop;
use crate::identity::attest::Process;
use crate::identity::svid::{Material, Places, Standing};

/// One caller's view of its workload. It holds exactly one receiver of the wallet.
pub(super) struct Follower {
    shared: Arc<Shared>,
    admitted: Admitted,
    standing: watch::Receiver<Standing>,
    places: watch::Receiver<Arc<Places>>,
    stop: Stop,
    /// Until when the first certificate is waited for; `None` once it was there.
    patience: Option<Instant>,
    /// `None` for a call that ends with its answer.
    place: Option<Place>,
}

impl Follower {
    /// For a stream, which counts as one.
    pub(super) fn stream(shared: &Arc<Shared>, admitted: Admitted) -> Result<Self, Status> {
        let place = shared.gate.budget.stream(&admitted.member).map_err(|over| {
            shared.gate.quiet.say("streams", |unsaid| {
                let member = &admitted.member;
                warn!(tenant = %member.tenant, workload = %member.workload, %over, unsaid, "stream refused");
            });
            refusal::over(over)
        })?;
        admitted.caller.opened();
        Self::follow(shared, admitted, Some(place))
    }

    /// For a call that ends with its answer.
    pub(super) fn once(shared: &Arc<Shared>, admitted: Admitted) -> Result<Self, Status> {
        Self::follow(shared, admitted, None)
    }

    fn follow(shared: &Arc<Shared>, admitted: Admitted, place: Option<Place>) -> Result<Self, Status> {
        // The policy knows it already, and the keeper is about to.
        let standing = shared.wallet.follow(&admitted.member.workload);
        let is_known = standing.is_some();
        let mut follower = Self {
            standing: standing.unwrap_or_else(|| watch::channel(Standing::Waiting).1),
            places: shared.gate.attest.places(),
            stop: shared.stop.clone(),
            patience: Some(Instant::now() + shared.gate.budget.limits().first_certificate_wait),
            shared: Arc::clone(shared),
            admitted,
            place,
        };
        // From here on, which is before the caller is looked at again.
        follower.places.mark_unchanged();
        follower.standing.mark_changed();
        if is_known { Ok(follower) } else { Err(refusal::later("no certificate yet")) }
    }

    /// What the workload has: at once the first time (W-2), then whenever it changes. May be dropped and asked
    /// again.
    pub(super) async fn next(&mut self) -> Result<Arc<Material>, Status> {
        loop {
            tokio::select! {
                biased;
                () = self.stop.wait() => return Err(refusal::later("the agent ends")),
                () = ended(self.admitted.caller.process.as_ref()) => return Err(self.refuse("process_gone", "it ended")),
                changed = self.places.changed() => match changed {
                    Ok(()) => self.recheck()?,
                    Err(_) => return Err(refusal::later("the agent ends")),
                },
                changed = self.standing.changed() => match changed {
                    Ok(()) => if let Some(material) = self.look()? {
                        return Ok(material);
                    },
                    Err(_) => return Err(self.refuse("workload_gone", "the policy no longer has it")),
                },
                () = until(self.patience) => return Err(refusal::later("no certificate yet")),
            }
        }
    }

    /// A further request on the same stream: it counts as one, and its sender is looked at again.
    pub(super) fn request(&self) -> Result<(), Status> {
        self.admitted.caller.use_it();
        self.shared.gate.budget.request(&self.admitted.member).map_err(refusal::over)?;
        self.recheck()
    }

    pub(super) const fn admitted(&self) -> &Admitted {
        &self.admitted
    }

    fn look(&mut self) -> Result<Option<Arc<Material>>, Status> {
        let standing = self.standing.borrow_and_update().clone();
        match standing {
            Standing::Waiting => Ok(None),
            // The policy has just given the workload to another tenant, and the keeper is about to.
            Standing::Granted(material) if !material.is_of(&self.admitted.member.tenant) => Ok(None),
            // B-4: without an authority nothing is valid; and W-5 wants every field.
            Standing::Granted(material) if material.bundle.x509.is_empty() => {
                Err(self.refuse("no_authority", "its trust domain has no authority"))
            }
            Standing::Granted(material) => {
                self.recheck()?;
                self.patience = None;
                Ok(Some(material))
            }
            Standing::Closed(reason) => Err(self.refuse("closed", &reason)),
        }
    }

    /// Is the caller still who it was? It is asked before anything is handed out, too: a process that was moved
    /// to another control group tells nobody.
    fn recheck(&self) -> Result<(), Status> {
        let member = self.shared.gate.recognise(&self.admitted.caller)?;
        if member == self.admitted.member {
            Ok(())
        } else {
            Err(self.refuse("moved", "it is another workload now"))
        }
    }

    fn refuse(&self, rule: &'static str, reason: &str) -> Status {
        let Admitted { caller, member } = &self.admitted;
        self.shared.gate.quiet.say(rule, |unsaid| {
            warn!(
                rule,
                pid = caller.pid(),
                tenant = %member.tenant,
                workload = %member.workload,
                reason,
                unsaid,
                "workload refused"
            );
        });
        refusal::no_identity()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.admitted.caller.closed();
        }
    }
}

async fn ended(process: Option<&Process>) {
    if let Some(process) = process {
        process.ended().await;
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
