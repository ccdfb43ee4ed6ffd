//! Issuing and reading certificates in batches, on threads that may block.

use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::trust_domain::TrustDomain;

use super::shelf::Shelf;
use super::task::Wish;
use crate::identity::authority::NodeCa;
use crate::identity::svid::Svid;

/// Issues a certificate for each wish, and puts it on the shelf.
pub(super) fn issue(
    ca: &NodeCa,
    shelf: &Shelf,
    domain: &TrustDomain,
    wishes: Vec<Wish>,
    now: Duration,
    lifetime: Duration,
) -> Vec<(Wish, Result<Svid, String>)> {
    let one = |wish: Wish| {
        let svid = ca.issue_svid(&wish.id, now, lifetime).map_err(|error| error.to_string());
        if let Ok(svid) = &svid {
            shelf.put_svid(domain, &wish.workload, svid);
        }
        (wish, svid)
    };
    wishes.into_iter().map(one).collect()
}

/// Looks on the shelf for what was issued before the agent started, and is still good.
pub(super) fn look(
    shelf: &Shelf,
    domain: &TrustDomain,
    wishes: Vec<Wish>,
    is_good: &Arc<dyn Fn(&Svid) -> bool + Send + Sync>,
) -> Vec<(Wish, Option<Svid>)> {
    let one = |wish: Wish| {
        let svid = shelf.svid(domain, &wish.workload).filter(|svid| svid.id == wish.id && is_good(svid));
        (wish, svid)
    };
    wishes.into_iter().map(one).collect()
}
