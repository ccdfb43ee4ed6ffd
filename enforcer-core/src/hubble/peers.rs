//! The nodes that a relay may ask: this one, and those on which the policy places workloads.

use std::collections::BTreeMap;

use enforcer_proto::hubble::peer::{ChangeNotification, ChangeNotificationType, Tls};

use super::names::Names;

/// What this node knows of itself and was told of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// This node.
    pub own: String,
    /// Where clients reach it: `address:port`, or `unix:///path`.
    pub own_address: String,
    /// The port that is served with TLS; `None` without a network door.
    pub port: Option<u16>,
    /// Addresses of other nodes, by name. One without stands under its name, at the same port as this one.
    pub addresses: BTreeMap<String, String>,
}

/// A node that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Empty: nobody said where it is.
    pub address: String,
    /// The name in its certificate; `None` where it is asked without TLS.
    pub server_name: Option<String>,
}

/// Peers by their names with their cluster.
pub type Peers = BTreeMap<String, Peer>;

impl Directory {
    /// Everybody that the policy in force makes a peer; with a tenant, those nodes alone that it has workloads on.
    #[must_use]
    pub fn peers(&self, names: &Names, of: Option<&str>) -> Peers {
        let occupants = names.policy().index.occupants.keys();
        let shown = occupants.filter(|occupant| of.is_none_or(|of| of == &*occupant.tenant));
        let nodes = shown.filter_map(|occupant| occupant.node.as_deref());
        let mut peers: Peers =
            nodes.map(|node| (names.node(node), self.other(node, names.cluster()))).collect();
        let own = Peer {
            address: self.own_address.clone(),
            server_name: self.port.map(|_| server_name(&self.own, names.cluster())),
        };
        peers.insert(names.node(&self.own), own);
        peers
    }

    fn other(&self, node: &str, cluster: &str) -> Peer {
        let told = self.addresses.get(node).cloned();
        let address = told.or_else(|| self.port.map(|port| format!("{node}:{port}"))).unwrap_or_default();
        let has_tls = !address.is_empty() && !address.starts_with("unix:");
        Peer { address, server_name: has_tls.then(|| server_name(node, cluster)) }
    }
}

/// The name that relays expect in a node's certificate.
#[must_use]
pub fn server_name(node: &str, cluster: &str) -> String {
    format!("{}.{}.hubble-grpc.cilium.io", node.replace('.', "-"), cluster.replace('.', "-"))
}

/// What became of the peers. Those that nobody said where to find are left out: a relay could only fail with them.
#[must_use]
pub fn changes(before: &Peers, after: &Peers) -> Vec<ChangeNotification> {
    let reachable =
        |peers: &Peers, name: &String| peers.get(name).filter(|peer| !peer.address.is_empty()).cloned();
    let mut changes = Vec::new();
    for name in before.keys().filter(|name| !after.contains_key(*name)).chain(after.keys()) {
        let (old, new) = (reachable(before, name), reachable(after, name));
        let (kind, peer) = match (old, new) {
            (None, Some(peer)) => (ChangeNotificationType::PeerAdded, peer),
            (Some(peer), None) => (ChangeNotificationType::PeerDeleted, peer),
            (Some(old), Some(peer)) if old != peer => (ChangeNotificationType::PeerUpdated, peer),
            (Some(_), Some(_)) | (None, None) => continue,
        };
        changes.push(ChangeNotification {
            name: name.clone(),
            address: peer.address,
            r#type: kind as i32,
            tls: peer.server_name.map(|server_name| Tls { server_name }),
        });
    }
    changes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policy::model::{Company, Occupant, Policy};

    fn names(nodes: &[(&str, &str)]) -> Names {
        let mut policy = Policy::default();
        for (node, tenant) in nodes {
            let node = (!node.is_empty()).then(|| (*node).into());
            let occupant = Occupant { node, company: Company::Accepts, tenant: (*tenant).into() };
            policy.index.occupants.insert(occupant, 1);
        }
        Names::new(Arc::new(policy), "default".into())
    }

    fn directory(port: Option<u16>) -> Directory {
        Directory {
            own: "n1".to_owned(),
            own_address: "10.0.0.1:4254".to_owned(),
            port,
            addresses: BTreeMap::from([("n2.example".to_owned(), "10.0.0.2:4254".to_owned())]),
        }
    }

    fn told(changes: &[ChangeNotification]) -> Vec<(&str, &str, i32, &str)> {
        let name = |change: &'_ ChangeNotification| change.tls.as_ref().map_or("", |_| "tls");
        changes.iter().map(|change| (&*change.name, &*change.address, change.r#type, name(change))).collect()
    }

    #[test]
    fn this_node_is_a_peer_and_so_is_where_workloads_are() {
        let names = names(&[("", "red"), ("n1", "red"), ("n2.example", "blue"), ("n3", "red")]);
        let peers = directory(Some(4254)).peers(&names, None);
        assert_eq!(peers.keys().collect::<Vec<_>>(), ["n1", "n2.example", "n3"]);
        assert_eq!(peers["n2.example"].address, "10.0.0.2:4254");
        assert_eq!(
            peers["n2.example"].server_name.as_deref(),
            Some("n2-example.default.hubble-grpc.cilium.io")
        );
        assert_eq!(peers["n3"].address, "n3:4254");
        let of_red = directory(Some(4254)).peers(&names, Some("red"));
        assert_eq!(of_red.keys().collect::<Vec<_>>(), ["n1", "n3"]);
    }

    #[test]
    fn who_cannot_be_found_is_a_node_and_no_peer_of_a_relay() {
        let peers = directory(None).peers(&names(&[("n3", "red")]), None);
        assert_eq!(peers["n3"], Peer { address: String::new(), server_name: None });
        assert_eq!(told(&changes(&Peers::new(), &peers)), [("n1", "10.0.0.1:4254", 1, "")]);
    }

    #[test]
    fn changes_are_additions_deletions_and_updates() {
        let before = directory(Some(4254)).peers(&names(&[("n2.example", "blue"), ("n3", "red")]), None);
        let first = changes(&Peers::new(), &before);
        let all = [
            ("n1", "10.0.0.1:4254", 1, "tls"),
            ("n2.example", "10.0.0.2:4254", 1, "tls"),
            ("n3", "n3:4254", 1, "tls"),
        ];
        assert_eq!(told(&first), all);
        let after = directory(Some(4255)).peers(&names(&[("n3", "red"), ("n4", "red")]), None);
        let wanted = [
            ("n2.example", "10.0.0.2:4254", 2, "tls"),
            ("n3", "n3:4255", 3, "tls"),
            ("n4", "n4:4255", 1, "tls"),
        ];
        assert_eq!(told(&changes(&before, &after)), wanted);
        assert!(changes(&after, &after).is_empty());
    }
}
