//! Opening whoever vouches for this node, as the configuration says.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use enforcer_core::identity::entitle::Entitlements;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::super::keys;
use crate::config::Settings;
use crate::config::settings::{AuthoritySettings, IdentitySettings, UpstreamSettings};
use crate::door::stop::Stopper;
use crate::door::upstream::Upstream;
use crate::identity::authority::{AuthorityConfig, Lifetimes, Local, RootSource};
use crate::identity::clock::Clock;
use crate::identity::custody::Vault;
use crate::identity::remote::{Remote, RemoteConfig};

/// Opens it, and starts what it needs.
pub(super) fn open(
    settings: &Settings,
    identity: &IdentitySettings,
    vault: &Arc<Vault>,
    entitlements: watch::Receiver<Arc<Entitlements>>,
    clock: &Clock,
    (tasks, stopper): (&mut JoinSet<()>, &Stopper),
) -> Result<Arc<dyn Upstream>> {
    let root = match &identity.upstream {
        UpstreamSettings::Grpc(authority) => {
            let (vault, clock) = (Arc::clone(vault), Arc::clone(clock));
            let remote = Remote::start(remote(authority), vault, clock, stopper.listener());
            return Ok(remote.context("what the authority said last")?);
        }
        UpstreamSettings::SelfSigned => RootSource::SelfSigned,
        UpstreamSettings::Disk(files) => {
            RootSource::Disk { certificate: files.certificate.clone(), key: files.key.clone() }
        }
        UpstreamSettings::Token { certificate, key } => RootSource::Pkcs11 {
            token: keys::token(key),
            key_label: key.label.clone(),
            certificate: certificate.clone(),
        },
    };
    let config = local(settings, identity, root);
    let local = Local::open(Arc::clone(vault), config, entitlements, Arc::clone(clock));
    let local = local.context("this node's authority")?;
    tasks.spawn(Arc::clone(&local).run(stopper.listener()));
    Ok(local)
}

fn local(settings: &Settings, identity: &IdentitySettings, root: RootSource) -> AuthorityConfig {
    let lifetimes = identity.lifetimes;
    AuthorityConfig {
        root,
        node_names: node_names(settings, identity),
        lifetimes: Lifetimes {
            tenant_ca: lifetimes.tenant,
            node_ca: lifetimes.node,
            node_svid: lifetimes.node,
            jwt: lifetimes.jwt,
            ..Lifetimes::default()
        },
        refresh_hint: identity.refresh_hint,
        name_constraints: identity.name_constraints,
        ..AuthorityConfig::new(identity.trust_domain.clone(), settings.node_name.clone())
    }
}

/// Names under which the listener is reached: the node's, the address that it listens on, and those that the
/// configuration adds.
fn node_names(settings: &Settings, identity: &IdentitySettings) -> Vec<String> {
    let mut names = vec![settings.node_name.clone()];
    let address = settings.listener.as_ref().map(|listener| listener.address.ip());
    names.extend(address.filter(|address| !address.is_unspecified()).map(|address| address.to_string()));
    names.extend(identity.names.iter().cloned());
    names
}

fn remote(authority: &AuthoritySettings) -> RemoteConfig {
    RemoteConfig {
        address: authority.address.clone(),
        certificate: authority.own.certificate.clone(),
        key: authority.own.key.clone(),
        ca: authority.ca.clone(),
        server_name: authority.server_name.clone(),
    }
}
