//! What the authority said last, how long ago, and what this node revoked for itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use enforcer_core::identity::bundle::{Revocations, Trust};
use enforcer_core::identity::wire;
use enforcer_proto::v1;
use prost::Message as _;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::door::upstream::{Target, UpstreamError};
use crate::identity::authority::{AuthorityError, Clock, revoked};
use crate::identity::custody::{Durability, Vault};

/// How long the authority may be away before what it said is no longer believed.
pub(super) const STALE_AFTER: Duration = Duration::from_secs(24 * 3600);
/// How often the vault learns that the authority is still there.
const NOTED_EVERY: Duration = Duration::from_secs(300);
const DRAWER: &str = "fleet";
const ITEM: &str = "trust";
/// Bytes of the time in front of what is kept.
const TIME_BYTES: usize = 8;

/// What is known.
pub(super) struct Known {
    vault: Arc<Vault>,
    clock: Clock,
    state: Mutex<State>,
    published: watch::Sender<Arc<Trust>>,
}

struct State {
    from_authority: Trust,
    own: Revocations,
    /// As it was sent, for the vault.
    message: Vec<u8>,
    /// When the authority was last there; `None` when it never was.
    heard: Option<Duration>,
    connected: bool,
    noted: Duration,
    /// Why there is no connection.
    trouble: Option<String>,
}

impl Known {
    /// What the vault holds.
    pub(super) fn load(vault: Arc<Vault>, clock: Clock) -> Result<Self, AuthorityError> {
        let own = revoked::load(&vault)?;
        let (from_authority, message, heard) = last(&vault);
        let noted = Duration::ZERO;
        let state = State { from_authority, own, message, heard, connected: false, noted, trouble: None };
        let known = Self { vault, clock, state: Mutex::new(state), published: watch::Sender::default() };
        known.publish(&known.lock());
        Ok(known)
    }
    /// The time of day.
    pub(super) fn clock(&self) -> Clock {
        Arc::clone(&self.clock)
    }

    pub(super) fn trust(&self) -> watch::Receiver<Arc<Trust>> {
        self.published.subscribe()
    }

    /// The authority spoke.
    pub(super) fn hear(&self, trust: Trust, message: &v1::Trust) {
        let mut state = self.lock();
        state.from_authority = trust;
        state.message = message.encode_to_vec();
        state.connected = true;
        state.trouble = None;
        state.heard = Some((self.clock)());
        self.publish(&state);
        self.note(&mut state);
    }

    /// There is no connection, for this reason.
    pub(super) fn trouble(&self, why: String) {
        self.lock().trouble = Some(why);
    }

    /// The authority revoked this node: nothing that it said holds any more.
    pub(super) fn disown(&self) {
        let mut state = self.lock();
        if !state.from_authority.bundles.is_empty() {
            error!("the authority revoked this node: its bundles are withdrawn");
            state.from_authority.bundles.clear();
            state.message = wire::write(&state.from_authority).encode_to_vec();
            self.publish(&state);
            self.note(&mut state);
        }
    }

    /// The authority is no longer there.
    pub(super) fn lost(&self) {
        let mut state = self.lock();
        if state.connected {
            state.heard = Some((self.clock)());
            state.connected = false;
            self.note(&mut state);
        }
    }

    /// Time passed.
    pub(super) fn age(&self) {
        let mut state = self.lock();
        let now = (self.clock)();
        if state.connected {
            state.heard = Some(now);
            if now.abs_diff(state.noted) >= NOTED_EVERY {
                self.note(&mut state);
            }
        }
        self.publish(&state);
    }

    /// For how long the authority has been away, in words.
    pub(super) fn absence(&self) -> String {
        let state = self.lock();
        let now = (self.clock)();
        let since = match state.heard {
            None => "it was never there".to_owned(),
            Some(heard) => format!("it has been away for {} seconds", now.saturating_sub(heard).as_secs()),
        };
        let believed = if is_stale(&state, now) { "; what it said is no longer believed" } else { "" };
        let trouble = state.trouble.as_deref().unwrap_or("no answer in time");
        format!("{since}{believed}: {trouble}")
    }

    /// What keeps us from the authority; nothing while we hear it.
    pub(super) fn trouble_now(&self) -> Option<String> {
        let state = self.lock();
        let why = state.trouble.as_deref().unwrap_or("no answer");
        (!state.connected).then(|| format!("it is away: {why}"))
    }

    pub(super) fn revoke(&self, target: &Target) -> Result<(), UpstreamError> {
        self.change_own(|own| match revoked::add(own, target) {
            Ok(new) => Ok(new),
            Err(why) => Err(UpstreamError::Request(why.to_string())),
        })
    }

    pub(super) fn restore(&self, target: &Target) -> Result<(), UpstreamError> {
        let by_authority = self.lock().from_authority.revoked.clone();
        let theirs = match target {
            Target::Tenant(name) => by_authority.tenants.contains(name),
            Target::Workload(name) => by_authority.workloads.contains(name),
            Target::SpiffeId(id) => by_authority.spiffe_ids.contains(id),
        };
        self.change_own(|own| Ok(revoked::take_back(own, target)))?;
        if theirs {
            return Err(UpstreamError::Refused(
                "the authority revoked it, and restores it: ask there".to_owned(),
            ));
        }
        Ok(())
    }

    /// Kept first, then in force.
    fn change_own(
        &self,
        change: impl FnOnce(&mut Revocations) -> Result<bool, UpstreamError>,
    ) -> Result<(), UpstreamError> {
        let mut state = self.lock();
        let mut own = state.own.clone();
        if change(&mut own)? {
            revoked::save(&self.vault, &own).map_err(|error| UpstreamError::Away(error.to_string()))?;
            state.own = own;
            self.publish(&state);
        }
        Ok(())
    }

    fn publish(&self, state: &State) {
        let stale = is_stale(state, (self.clock)());
        let mut bundles = if stale { Default::default() } else { state.from_authority.bundles.clone() };
        for (domain, bundle) in &mut bundles {
            // A tenant's trust domain begins with its name, which has no dot.
            let tenant = domain.as_str().split('.').next().unwrap_or_default();
            if state.own.tenants.contains(tenant) {
                let bundle = Arc::make_mut(bundle);
                bundle.x509.clear();
                bundle.jwt.clear();
            }
        }
        let trust = Arc::new(Trust { bundles, revoked: union(&state.from_authority.revoked, &state.own) });
        self.published.send_if_modified(|known| {
            let news = *known != trust;
            if stale && news {
                error!("the authority has been away for too long: its bundles are withdrawn");
            }
            *known = trust;
            news
        });
    }

    fn note(&self, state: &mut State) {
        let heard = state.heard.unwrap_or_default();
        let mut bytes = heard.as_secs().to_be_bytes().to_vec();
        bytes.extend_from_slice(&state.message);
        state.noted = (self.clock)();
        if let Err(error) = self.vault.put(DRAWER, ITEM, &bytes, Durability::Lazy) {
            warn!(%error, "what the authority said could not be kept");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that stepped back is no reason to disbelieve.
fn is_stale(state: &State, now: Duration) -> bool {
    !state.connected && state.heard.is_some_and(|heard| now.saturating_sub(heard) >= STALE_AFTER)
}

fn union(one: &Revocations, other: &Revocations) -> Revocations {
    Revocations {
        tenants: one.tenants.union(&other.tenants).cloned().collect(),
        workloads: one.workloads.union(&other.workloads).cloned().collect(),
        spiffe_ids: one.spiffe_ids.union(&other.spiffe_ids).cloned().collect(),
    }
}

/// What was said before a restart. One that cannot be read is asked for again, so it stops nothing.
fn last(vault: &Vault) -> (Trust, Vec<u8>, Option<Duration>) {
    let nothing = (Trust::default(), Vec::new(), None);
    let bytes = match vault.get(DRAWER, ITEM) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return nothing,
        Err(error) => {
            warn!(%error, "what the authority said before cannot be read: it is asked again");
            return nothing;
        }
    };
    let Some((time, message)) = bytes.split_first_chunk::<TIME_BYTES>() else { return nothing };
    let parsed = v1::Trust::decode(message).ok().and_then(|message| wire::parse(&message).ok());
    let Some(trust) = parsed else {
        warn!("what the authority said before makes no sense: it is asked again");
        return nothing;
    };
    info!(bundles = trust.bundles.len(), "what the authority said before is believed until it speaks");
    (trust, message.to_vec(), Some(Duration::from_secs(u64::from_be_bytes(*time))))
}
