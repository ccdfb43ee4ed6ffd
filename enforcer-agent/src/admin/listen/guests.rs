//! Who may come in over the network, and as what.

use std::collections::{BTreeMap, BTreeSet};

use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::policy::model::Name;

use crate::admin::caller::Caller;
use crate::door::identity::IsRevoked;

/// Path prefix of the nodes' IDs in the fleet's trust domain.
const NODE: &str = "/node/";

/// The list.
#[derive(Clone)]
pub struct Guests {
    /// Control planes: they may do everything.
    pub allowed: BTreeSet<SpiffeId>,
    /// Who may read a tenant's records, each with that tenant.
    pub readers: BTreeMap<SpiffeId, Name>,
    /// The fleet whose nodes may ask this node, their authority, for what is theirs; `None` when it is none.
    pub fleet: Option<TrustDomain>,
    /// Who is nobody's guest any more; `None` without an identity wall.
    pub is_revoked: Option<IsRevoked>,
}

impl Guests {
    /// What a certificate's ID makes its owner; `None` for a stranger.
    #[must_use]
    pub fn caller(&self, id: &SpiffeId) -> Option<Caller> {
        if self.is_revoked.as_ref().is_some_and(|is_revoked| is_revoked(id)) {
            return None;
        }
        if self.allowed.contains(id) {
            return Some(Caller::Remote(id.clone()));
        }
        if let Some(tenant) = self.readers.get(id) {
            return Some(Caller::Reader { id: id.clone(), tenant: Name::clone(tenant) });
        }
        let fleet = self.fleet.as_ref()?;
        let name = id.path().strip_prefix(NODE).filter(|name| !name.contains('/'))?;
        (id.trust_domain() == fleet.as_str()).then(|| Caller::Node(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_node_is_one_only_in_the_fleets_own_trust_domain() {
        let plane: SpiffeId = "spiffe://fleet.example/plane".parse().unwrap();
        let guests = |fleet: Option<&str>| Guests {
            allowed: BTreeSet::from([plane.clone()]),
            readers: BTreeMap::new(),
            fleet: fleet.map(|fleet| fleet.parse().unwrap()),
            is_revoked: Some(Arc::new(|id| id.path() == "/node/lost")),
        };
        let caller = |fleet, id: &str| guests(fleet).caller(&id.parse().unwrap());
        let fleet = Some("fleet.example");
        assert_eq!(caller(fleet, "spiffe://fleet.example/plane"), Some(Caller::Remote(plane.clone())));
        assert_eq!(caller(fleet, "spiffe://fleet.example/node/n1"), Some(Caller::Node("n1".to_owned())));
        assert_eq!(caller(None, "spiffe://fleet.example/node/n1"), None);
        assert_eq!(caller(fleet, "spiffe://red.fleet.example/node/n1"), None);
        assert_eq!(caller(fleet, "spiffe://fleet.example/node/n1/x"), None);
        assert_eq!(caller(fleet, "spiffe://fleet.example/other"), None);
        assert_eq!(caller(fleet, "spiffe://fleet.example/node/lost"), None);
    }

    #[test]
    fn a_reader_is_who_is_listed_and_nobody_else_of_the_tenant() {
        let reader = |id: &str| (id.parse::<SpiffeId>().unwrap(), Name::from("red"));
        let guests = Guests {
            allowed: BTreeSet::new(),
            readers: BTreeMap::from([
                reader("spiffe://red.fleet.example/ns/ops/sa/auditor"),
                reader("spiffe://red.fleet.example/ns/ops/sa/lost"),
            ]),
            fleet: Some("fleet.example".parse().unwrap()),
            is_revoked: Some(Arc::new(|id| id.path().ends_with("/lost"))),
        };
        let caller = |id: &str| guests.caller(&id.parse().unwrap());
        let id: SpiffeId = "spiffe://red.fleet.example/ns/ops/sa/auditor".parse().unwrap();
        assert_eq!(caller(id.as_str()), Some(Caller::Reader { id: id.clone(), tenant: "red".into() }));
        for stranger in [
            "spiffe://red.fleet.example/ns/ops/sa/lost",
            "spiffe://red.fleet.example/ns/ops/sa/other",
            "spiffe://blue.fleet.example/ns/ops/sa/auditor",
            "spiffe://fleet.example/ns/ops/sa/auditor",
        ] {
            assert_eq!(caller(stranger), None, "{stranger}");
        }
    }
}
