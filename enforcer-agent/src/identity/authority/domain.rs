//! A trust domain at its authority: its keys, its bundle, what it signs.

use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::bundle::Bundle;
use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;
use rcgen::SanType;
use rustls_pki_types::CertificateDer;
use tracing::{error, info, warn};

use super::error::{AuthorityError, IssueError, RootError};
use super::key::Point;
use super::member::{CaKey, CaKind, CaMember, JwtSigner};
use super::profile::{self, Rank, Validity};
use super::published;
use super::root::Root;
use super::rotation::{self, Made};
use super::settings::AuthorityConfig;
use super::store::{self, DomainState, Place};
use crate::identity::custody::Vault;

const ITEM: &str = "authority";
/// How long a bundle that was put together is believed: what the clock alone changes is late by that.
const BELIEVED: Duration = Duration::from_secs(30);

/// A trust domain. One that cannot be read is closed, and tried again.
#[derive(Debug)]
pub(super) struct Domain {
    pub(super) name: TrustDomain,
    pub(super) state: Option<DomainState>,
    /// Why it is closed.
    problem: Option<String>,
    bundle: Option<Built>,
    /// The sequence of the bundle is not in the vault yet.
    unsaved: bool,
}

/// A bundle, with what it was made from.
#[derive(Clone, Debug)]
struct Built {
    bundle: Arc<Bundle>,
    at: Duration,
    revoked: bool,
}

/// Why a trust domain does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum DomainError {
    #[error(transparent)]
    State(#[from] AuthorityError),
    #[error("the root: {0}")]
    Root(String),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error("no more authorities of {0} fit: those of the past are still needed")]
    TooMany(TrustDomain),
}

/// What is at hand while a trust domain works.
#[derive(Clone, Copy)]
pub(super) struct Tools<'a> {
    pub(super) vault: &'a Vault,
    pub(super) config: &'a AuthorityConfig,
    pub(super) root: Result<&'a Arc<Root>, &'a str>,
    pub(super) now: Duration,
}

impl Domain {
    pub(super) const fn new(name: TrustDomain) -> Self {
        Self { name, state: None, problem: None, bundle: None, unsaved: false }
    }

    /// The bundle as it is now. A revoked trust domain has no keys in it (B-4).
    pub(super) fn bundle(&mut self, tools: Tools<'_>, revoked: bool) -> Result<Arc<Bundle>, DomainError> {
        let believed = |built: &&Built| {
            built.revoked == revoked && built.at <= tools.now && tools.now - built.at < BELIEVED
        };
        if let Some(built) = self.bundle.as_ref().filter(believed)
            && !self.unsaved
        {
            return Ok(Arc::clone(&built.bundle));
        }
        self.step(tools)?;
        let Some(state) = &mut self.state else { return Err(self.closed()) };
        let mut bundle = if revoked {
            published::empty(&self.name, tools)
        } else {
            published::full(&self.name, state, tools)
        };
        let digest = published::digest(&bundle);
        if state.published != digest {
            // From the clock, so that a state that was lost does not count from one again (B-2).
            state.sequence = state.sequence.saturating_add(1).max(tools.now.as_secs());
            state.published = digest;
            self.unsaved = true;
        }
        bundle.sequence = state.sequence;
        if self.unsaved {
            match store::save_domain(tools.vault, place(&self.name), state) {
                Ok(()) => self.unsaved = false,
                // The bundle is true all the same; its number is kept when the disk lets us.
                Err(error) => warn!(domain = %self.name, %error, "a bundle's sequence could not be kept"),
            }
        }
        let bundle = Arc::new(bundle);
        self.bundle = Some(Built { bundle: Arc::clone(&bundle), at: tools.now, revoked });
        Ok(bundle)
    }

    /// A node CA for this key. The chain ends with this trust domain's CA as the root signed it.
    pub(super) fn node_ca(
        &mut self,
        tools: Tools<'_>,
        node: &str,
        key: &Point,
    ) -> Result<Vec<CertificateDer<'static>>, DomainError> {
        let (ca, above, validity) = self.signing(tools, tools.config.lifetimes.node_ca)?;
        let constraint = tools.config.name_constraints.then_some(&self.name);
        let subject = profile::subject(self.name.as_str(), &format!("node {node}"));
        let mut params = profile::authority(&self.name, subject, Rank::Last, constraint)?;
        profile::date(&mut params, validity)?;
        Ok(vec![ca.sign(&params, key)?, above])
    }

    /// An SVID for this key, signed by this trust domain's CA itself: the fleet's, for its nodes.
    pub(super) fn leaf(
        &mut self,
        tools: Tools<'_>,
        id: &SpiffeId,
        further: Vec<SanType>,
        key: &Point,
    ) -> Result<Vec<CertificateDer<'static>>, DomainError> {
        let (ca, above, validity) = self.signing(tools, tools.config.lifetimes.node_svid)?;
        let mut params = profile::leaf();
        params.subject_alt_names.push(profile::uri(id.as_str())?);
        params.subject_alt_names.extend(further);
        profile::date(&mut params, validity)?;
        Ok(vec![ca.sign(&params, key)?, above])
    }

    /// A JWT-SVID.
    pub(super) fn token(
        &mut self,
        tools: Tools<'_>,
        id: &SpiffeId,
        audience: &[String],
        lifetime: Duration,
    ) -> Result<String, DomainError> {
        self.step(tools)?;
        let Some(state) = &self.state else { return Err(self.closed()) };
        let Some(active) = rotation::active(&state.jwt, tools.now.as_secs()) else {
            return Err(self.closed());
        };
        let ends = tools.now.saturating_add(lifetime).min(Duration::from_secs(active.term.not_after));
        Ok(active.key.token(id, audience, tools.now, ends)?)
    }

    /// Publishes new keys, which sign later. Nothing when that is under way.
    pub(super) fn rotate(&mut self, tools: Tools<'_>) -> Result<(), DomainError> {
        self.step(tools)?;
        let Some(state) = &self.state else { return Err(self.closed()) };
        let mut state = state.clone();
        let (now, config) = (tools.now.as_secs(), tools.config);
        if state.cas.len() >= rotation::KEYS_ASKED_MAX || state.jwt.len() >= rotation::KEYS_ASKED_MAX {
            return Err(DomainError::TooMany(self.name.clone()));
        }
        if !rotation::has_prepared(&state.cas) {
            rotation::prepare(&mut state.cas, &config.ca_schedule(), now, || new_ca(&self.name, tools))?;
        }
        if !rotation::has_prepared(&state.jwt) {
            rotation::prepare(&mut state.jwt, &config.jwt_schedule(), now, || new_jwt(tools))?;
        }
        self.keep(tools, state)
    }

    /// Reads the state if need be, and brings its keys up to date.
    pub(super) fn step(&mut self, tools: Tools<'_>) -> Result<(), DomainError> {
        if self.state.is_none() {
            self.open(tools)?;
        }
        let Some(known) = &self.state else { return Err(self.closed()) };
        let mut state = known.clone();
        let (now, config) = (tools.now.as_secs(), tools.config);
        let cas = rotation::step(&mut state.cas, &config.ca_schedule(), now, || new_ca(&self.name, tools))?;
        let jwt = rotation::step(&mut state.jwt, &config.jwt_schedule(), now, || new_jwt(tools))?;
        if !cas && !jwt {
            return Ok(());
        }
        let can_go_on =
            rotation::active(&known.cas, now).is_some() && rotation::active(&known.jwt, now).is_some();
        match self.keep(tools, state) {
            Ok(()) => info!(domain = %self.name, "a trust domain's keys were brought up to date"),
            Err(error) if can_go_on => {
                warn!(domain = %self.name, %error, "new keys could not be kept; the old ones serve on");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn open(&mut self, tools: Tools<'_>) -> Result<(), DomainError> {
        match store::load_domain(tools.vault, place(&self.name)) {
            Ok(state) => {
                self.problem = None;
                self.state = Some(state.unwrap_or_default());
                Ok(())
            }
            Err(problem) => {
                let text = problem.to_string();
                if self.problem.as_ref() != Some(&text) {
                    error!(domain = %self.name, problem = %text, "a trust domain is closed");
                }
                self.problem = Some(text);
                Err(problem.into())
            }
        }
    }

    /// A key is used only once it is kept.
    pub(super) fn keep(&mut self, tools: Tools<'_>, state: DomainState) -> Result<(), DomainError> {
        store::save_domain(tools.vault, place(&self.name), &state)?;
        self.state = Some(state);
        self.bundle = None;
        Ok(())
    }

    /// Why there is nothing to work with.
    pub(super) fn closed(&self) -> DomainError {
        let problem = self.problem.as_deref().unwrap_or("it has no key that is valid now");
        DomainError::Issue(IssueError::Issuer(problem.to_owned()))
    }
}

fn place(name: &TrustDomain) -> Place<'_> {
    Place { drawer: name.as_str(), item: ITEM }
}

pub(super) fn kind<'a>(name: &'a TrustDomain, config: &AuthorityConfig) -> CaKind<'a> {
    if *name == config.fleet {
        CaKind { domain: name, title: "fleet CA", rank: Rank::Last }
    } else {
        CaKind { domain: name, title: "tenant CA", rank: Rank::Tenant }
    }
}

fn new_ca(name: &TrustDomain, tools: Tools<'_>) -> Result<Made<CaMember>, IssueError> {
    let ca = CaKey::generate(kind(name, tools.config), tools.now, tools.config.lifetimes.tenant_ca)?;
    let (not_before, not_after) = (ca.validity.not_before.as_secs(), ca.validity.not_after.as_secs());
    Ok(Made { key: CaMember { ca: Arc::new(ca), under_root: None }, not_before, not_after })
}

fn new_jwt(tools: Tools<'_>) -> Result<Made<Arc<JwtSigner>>, IssueError> {
    let Validity { not_before, not_after } = Validity::from_now(tools.now, tools.config.lifetimes.tenant_ca);
    let key = Arc::new(JwtSigner::generate()?);
    Ok(Made { key, not_before: not_before.as_secs(), not_after: not_after.as_secs() })
}

impl From<RootError> for DomainError {
    fn from(error: RootError) -> Self {
        Self::Root(error.to_string())
    }
}
