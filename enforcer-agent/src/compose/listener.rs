//! Where the network door's certificates come from: files where the configuration names some, else the identity
//! wall.

use anyhow::{Context as _, Result};

use crate::admin::listen::guests::Guests;
use crate::admin::listen::tls::{Callers, Own, TlsSource};
use crate::config::settings::ListenerSettings;
use crate::door::identity::IdentityDoor;

pub(super) fn source(settings: &ListenerSettings, identity: Option<&IdentityDoor>) -> Result<TlsSource> {
    // The configuration does not resolve without either.
    let wall = || identity.context("the listener has no certificates, and the identity wall is turned off");
    let own = match &settings.own {
        Some(files) => Own::Files { certificate: files.certificate.clone(), key: files.key.clone() },
        None => Own::Wall(wall()?.own.clone()),
    };
    let callers = match &settings.client_ca {
        Some(path) => Callers::File(path.clone()),
        None => Callers::Wall(wall()?.verify.clone()),
    };
    // Nodes are known by the wall alone: a file's authorities may call themselves what they like.
    let is_wall = settings.client_ca.is_none();
    let fleet = identity.filter(|door| door.is_authority && is_wall).map(|door| door.fleet.clone());
    let is_revoked = identity.map(|door| door.is_revoked.clone());
    Ok(TlsSource {
        own,
        callers,
        guests: Guests {
            allowed: settings.allowed.clone(),
            readers: settings.readers.clone(),
            fleet,
            is_revoked,
        },
    })
}
