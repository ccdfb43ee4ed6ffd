//! Flows that outlive the certificates that they were opened with, because both ends have shown newer ones meanwhile.

use std::sync::PoisonError;
use std::time::Duration;

use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::policy::model::Name;

use super::Registry;
use super::flow::Seen;
use super::ticket::Ticket;

/// Pairs whose latest certificates are remembered; when there are more, all are learned anew.
const PAIRS_MAX: usize = 65_536;

/// How often the flows of a pair are looked at whose certificates end no later than those that it showed before:
/// lifetimes may have been shortened.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// When the certificates end that a pair showed last, and when its flows were looked at because of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown {
    own: Duration,
    peer: Duration,
    looked: Duration,
}

/// A workload here, and an identity elsewhere.
pub(super) type Pair = (Name, SpiffeId);

impl Registry {
    /// A workload here and a peer have shaken hands. Flows between the two very identities go on until the certificates
    /// that they showed now end, not those that they showed when the flow was opened.
    pub fn renew(&self, workload: &Name, own: &Seen, peer: &Seen, now: Duration) {
        if !self.is_news(workload, own, peer, now) {
            return;
        }
        let mut inner = self.inner();
        let of_pair: Vec<u64> = inner
            .flows
            .iter()
            .filter(|(_, entry)| {
                let met = entry.flow.met.as_ref().map(|met| &met.peer.id);
                entry.flow.parties.workload() == workload
                    && entry.flow.own.id == own.id
                    && met == Some(&peer.id)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in of_pair {
            if let Some(entry) = inner.flows.get_mut(&id) {
                extend(&mut entry.flow.own, own);
                if let Some(met) = &mut entry.flow.met {
                    extend(&mut met.peer, peer);
                }
            }
            // A later deadline is never the first to come.
            inner.set_deadline(id);
        }
    }

    /// True when there may be flows to extend: these end later than what the pair has shown before, or that was a while
    /// ago. Not at every handshake: each costs a look at every flow.
    fn is_news(&self, workload: &Name, own: &Seen, peer: &Seen, now: Duration) -> bool {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.len() >= PAIRS_MAX {
            shown.clear();
        }
        let known = shown.entry((Name::clone(workload), peer.id.clone())).or_default();
        let are_later = own.not_after > known.own || peer.not_after > known.peer;
        let is_news = are_later || now >= known.looked + LOOK_EVERY;
        if is_news {
            *known = Shown { own: own.not_after, peer: peer.not_after, looked: now };
        }
        is_news
    }
}

impl Ticket {
    /// When the first certificate of the flow ends, since the Unix epoch.
    #[must_use]
    pub fn certified_until(&self) -> Option<Duration> {
        self.of_flow(|flow| flow.deadline(None)).flatten()
    }
}

fn extend(seen: &mut Seen, now: &Seen) {
    if now.not_after > seen.not_after {
        *seen = now.clone();
    }
}
