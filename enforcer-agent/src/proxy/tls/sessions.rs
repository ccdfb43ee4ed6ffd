//! Tickets that servers gave us, for the next connection to the same destination. A store belongs to one credential,
//! and a name in it to one destination and one trust domain: no session crosses a pair of identities.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use enforcer_core::identity::trust_domain::TrustDomain;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::{DnsName, ServerName};

use crate::hex::hex;

/// Destinations that are remembered; at one more, the one that was added first is forgotten.
const DESTINATIONS_MAX: usize = 256;
/// Tickets of one destination: as many connections can be resumed at once.
const TICKETS_MAX: usize = 8;

/// What a session is remembered by. It is no name of anything, and never sent: there is no SNI.
pub(super) fn session_name(address: SocketAddr, trust_domain: &TrustDomain) -> Option<ServerName<'static>> {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let whose = digest(&SHA256, trust_domain.as_str().as_bytes());
    let whose = hex(&whose.as_ref()[..16]);
    let name = format!("a{:032x}.p{}.t{whose}", ip.to_bits(), address.port());
    DnsName::try_from(name).ok().map(ServerName::DnsName)
}

/// Tickets of one credential.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    tickets: HashMap<ServerName<'static>, VecDeque<Tls13ClientSessionValue>>,
    /// Names, oldest first.
    order: VecDeque<ServerName<'static>>,
}

impl Sessions {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn room_for(&mut self, name: &ServerName<'static>) -> &mut VecDeque<Tls13ClientSessionValue> {
        if !self.tickets.contains_key(name) {
            if self.order.len() >= DESTINATIONS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.tickets.remove(&oldest);
            }
            self.order.push_back(name.clone());
        }
        self.tickets.entry(name.clone()).or_default()
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, name: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut shelf = self.shelf();
        let tickets = shelf.room_for(&name);
        if tickets.len() >= TICKETS_MAX {
            tickets.pop_front();
        }
        tickets.push_back(ticket);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.shelf().tickets.get_mut(name)?.pop_back()
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_of_one_destination_and_one_trust_domain() {
        let name = |address: &str, domain: &str| {
            session_name(address.parse().unwrap(), &domain.parse().unwrap()).unwrap()
        };
        let red = name("10.0.0.1:15008", "red.fleet.example");
        assert_eq!(red, name("[::ffff:10.0.0.1]:15008", "red.fleet.example"));
        for other in [
            name("10.0.0.1:15009", "red.fleet.example"),
            name("10.0.0.2:15008", "red.fleet.example"),
            name("10.0.0.1:15008", "blue.fleet.example"),
        ] {
            assert_ne!(red, other);
        }
    }

    #[test]
    fn no_more_destinations_are_remembered_than_fit() {
        let mut shelf = Shelf::default();
        for port in 0..2_000 {
            let address = SocketAddr::from(([10, 0, 0, 1], port));
            let name = session_name(address, &"red.fleet.example".parse().unwrap()).unwrap();
            shelf.room_for(&name);
        }
        assert_eq!((shelf.tickets.len(), shelf.order.len()), (DESTINATIONS_MAX, DESTINATIONS_MAX));
    }
}
