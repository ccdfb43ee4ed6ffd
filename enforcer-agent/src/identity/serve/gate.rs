//! The check before every call: who is it now, and is there room for it? What comes after knows the workload.

use std::sync::Arc;

use tonic::{Request, Status};
use tracing::warn;

use super::budget::Budget;
use super::caller::{Caller, Reception};
use super::refusal::{self, Quiet, rule};
use crate::identity::attest::{Attest, AttestError};
use crate::identity::svid::Member;

/// E-2: the header that a request must have, and its value.
const SECURITY_HEADER: (&str, &str) = ("workload.spiffe.io", "true");

/// Who may call what, asked anew each time.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    pub(super) attest: Arc<dyn Attest>,
    pub(super) budget: Arc<Budget>,
    pub(super) quiet: Arc<Quiet>,
}

/// A caller that was let in, as the workload that it was then.
#[derive(Clone, Debug)]
pub(super) struct Admitted {
    pub(super) caller: Arc<Caller>,
    pub(super) member: Member,
}

impl Gate {
    pub(super) fn new(attest: Arc<dyn Attest>, budget: Arc<Budget>) -> Self {
        Self { attest, budget, quiet: Arc::default() }
    }

    /// Before a call of the Workload API. The header comes first (E-2): it keeps requests out that somebody has
    /// made a program send for them.
    pub(super) fn workload_api(&self, request: Request<()>) -> Result<Request<()>, Status> {
        let (name, value) = SECURITY_HEADER;
        let mut values = request.metadata().get_all(name).iter();
        let is_there = values.next().is_some_and(|given| given == value) && values.next().is_none();
        if !is_there {
            return Err(Status::invalid_argument(format!("the metadata {name}: {value} is missing")));
        }
        self.admit(request)
    }

    /// Before any other call.
    pub(super) fn admit(&self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let caller = request.extensions().get::<Arc<Caller>>().cloned().ok_or_else(refusal::no_identity)?;
        match caller.reception {
            Reception::Known => {}
            Reception::Stranger => self.budget.strangers_request().map_err(refusal::over)?,
            Reception::Surplus => return Err(Status::resource_exhausted("too many connections")),
        }
        caller.use_it();
        let member = self.recognise(&caller)?;
        self.budget.request(&member).map_err(refusal::over)?;
        request.extensions_mut().insert(Admitted { caller, member });
        Ok(request)
    }

    /// The workload that a caller is now.
    pub(super) fn recognise(&self, caller: &Caller) -> Result<Member, Status> {
        let attested = match &caller.process {
            Some(process) => self.attest.attest(process),
            None => Err(AttestError::Gone),
        };
        attested.map_err(|error| {
            self.quiet.say(rule(&error), |unsaid| {
                warn!(
                    rule = rule(&error),
                    pid = caller.pid(),
                    %error,
                    unsaid,
                    "caller of the workload socket refused"
                );
            });
            refusal::no_identity()
        })
    }
}

/// Who made a call that a [`Gate`] let in.
pub(super) fn admitted<T>(request: &Request<T>) -> Result<Admitted, Status> {
    request.extensions().get::<Admitted>().cloned().ok_or_else(refusal::no_identity)
}
