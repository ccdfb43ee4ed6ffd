//! The Hubble API's words. Every default stands here; paths and ports of Cilium's own are taken only where they are asked
//! for, since a Cilium beside us has them.

use std::collections::BTreeMap;

use super::{Problems, absolute, identity, is_subdomain, listener::socket_address};
use crate::config::ConfigProblem;
use crate::config::raw::RawHubble;
use crate::config::settings::{HubbleNetwork, HubbleSettings, SocketSettings};

const SOCKET: &str = "/run/enforcer/hubble.sock";
/// Cilium's word for a fleet without a name.
const CLUSTER: &str = "default";
/// Nodes whose addresses one configuration may list.
const PEERS_MAX: usize = 16_384;
/// Bytes of an address: a DNS name and a port, or a path.
const ADDRESS_MAX_BYTES: usize = 512;

pub(super) fn hubble(
    raw: Option<RawHubble>,
    has_listener: bool,
    problems: &mut Problems,
) -> Option<HubbleSettings> {
    let RawHubble { enabled, socket, allowed_uids, address, certificate, key, advertise, cluster, peers } =
        raw?;
    if enabled == Some(false) {
        return None;
    }
    let network = match address {
        None => {
            for (word, is_set) in [("certificate", certificate.is_some()), ("key", key.is_some())] {
                if is_set {
                    let hint = "ADDRESS:PORT; without a network door there is nothing to prove";
                    let path = format!("hubble.address (for hubble.{word})");
                    problems.push(ConfigProblem::Missing { path, hint });
                }
            }
            None
        }
        Some(address) => {
            if !has_listener {
                let hint = "who may call over the network, and who vouches for them, stands there";
                problems.push(ConfigProblem::Missing { path: "listener".to_owned(), hint });
            }
            let has_own = certificate.is_some() || key.is_some();
            let own = has_own.then(|| identity::pair("hubble", certificate, key, problems)).flatten();
            socket_address("hubble.address", Some(address), problems)
                .map(|address| HubbleNetwork { address, own })
        }
    };
    Some(HubbleSettings {
        socket: SocketSettings {
            path: absolute("hubble.socket", socket, SOCKET, problems),
            allowed_uids: allowed_uids.unwrap_or_default().into_iter().collect(),
        },
        network,
        advertise: advertise
            .and_then(|address| self::address("hubble.advertise".to_owned(), address, problems)),
        cluster: self::cluster(cluster, problems),
        peers: self::peers(peers.unwrap_or_default(), problems),
    })
}

fn cluster(name: Option<String>, problems: &mut Problems) -> String {
    let name = name.unwrap_or_else(|| CLUSTER.to_owned());
    if !is_subdomain(&name) {
        let expected = "a DNS-1123 subdomain: lower-case letters, digits, '-' and '.', at most 253 bytes";
        problems.push(ConfigProblem::Word {
            path: "hubble.cluster".to_owned(),
            value: name.clone(),
            expected,
        });
    }
    name
}

fn peers(raw: BTreeMap<String, String>, problems: &mut Problems) -> BTreeMap<String, String> {
    if raw.len() > PEERS_MAX {
        let value = u64::try_from(raw.len()).unwrap_or(u64::MAX);
        problems.push(ConfigProblem::Range {
            path: "length of hubble.peers".to_owned(),
            value,
            low: 0,
            high: 16_384,
        });
        return BTreeMap::new();
    }
    let mut peers = BTreeMap::new();
    for (node, value) in raw {
        if !is_subdomain(&node) {
            let expected = "names of nodes, as policies have them";
            problems.push(ConfigProblem::Word { path: "hubble.peers".to_owned(), value: node, expected });
            continue;
        }
        if let Some(value) = address(format!("hubble.peers.{node}"), value, problems) {
            peers.insert(node, value);
        }
    }
    peers
}

/// What relays understand: `host:port`, or a Unix socket.
fn address(path: String, value: String, problems: &mut Problems) -> Option<String> {
    let is_socket = value.strip_prefix("unix://").is_some_and(|path| path.starts_with('/'));
    let is_host = value.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    let is_printable = value.bytes().all(|byte| byte.is_ascii_graphic());
    if value.len() <= ADDRESS_MAX_BYTES && is_printable && (is_socket || is_host) {
        return Some(value);
    }
    problems.push(ConfigProblem::Word { path, value, expected: "HOST:PORT or unix:///PATH" });
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::host::Host;
    use crate::config::raw;
    use crate::config::resolve::resolve;

    fn resolved(text: &str) -> Result<Option<HubbleSettings>, Vec<String>> {
        let host = Host { name: Some("node".to_owned()), cgroup_mount: Some("/c".into()) };
        resolve(raw::parse(text).unwrap(), &host)
            .map(|settings| settings.hubble)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn nothing_is_served_that_was_not_asked_for() {
        assert_eq!(resolved("").unwrap(), None);
        assert_eq!(resolved("hubble: {enabled: false, cluster: x}").unwrap(), None);
    }

    #[test]
    fn the_defaults_are_out_of_ciliums_way() {
        let settings = resolved("hubble: {}").unwrap().unwrap();
        assert_eq!(settings.socket.path, Path::new("/run/enforcer/hubble.sock"));
        assert!(settings.socket.allowed_uids.is_empty());
        assert_eq!((settings.network, settings.cluster.as_str()), (None, "default"));
    }

    #[test]
    fn ciliums_places_are_taken_when_asked_for() {
        let text = "listener: {address: \"10.0.0.5:7443\", allowedSpiffeIds: [\"spiffe://a/b\"]}\n\
                    hubble: {socket: /var/run/cilium/hubble.sock, address: \"0.0.0.0:4244\", certificate: /c, key: /k,\n\
                    advertise: \"10.0.0.5:4244\", cluster: prod, peers: {n2: \"10.0.0.6:4244\", n3: \"unix:///run/x.sock\"}}";
        let settings = resolved(text).unwrap().unwrap();
        assert_eq!(settings.socket.path, Path::new("/var/run/cilium/hubble.sock"));
        let network = settings.network.unwrap();
        assert_eq!(network.address, "0.0.0.0:4244".parse().unwrap());
        assert!(network.own.is_some());
        assert_eq!(settings.peers.len(), 2);
    }

    #[test]
    fn a_network_door_needs_the_listeners_callers() {
        let all = resolved("hubble: {address: \"10.0.0.5:4254\"}").unwrap_err();
        assert!(all.len() == 1 && all[0].starts_with("listener is missing"), "{all:?}");
    }

    #[test]
    fn every_word_that_means_nothing_is_told() {
        let text = "hubble: {socket: run/h.sock, certificate: /c, advertise: here, cluster: Prod,\n\
                    peers: {n2: \"10.0.0.6\", N3: \"a:1\", n4: \"a:0\", n5: \"unix://x\"}}";
        let all = resolved(text).unwrap_err();
        for word in [
            "hubble.socket",
            "hubble.certificate",
            "hubble.advertise",
            "hubble.cluster",
            "peers.n2",
            "N3",
            "peers.n4",
            "peers.n5",
        ] {
            assert!(all.iter().any(|problem| problem.contains(word)), "{word}: {all:?}");
        }
        assert!(
            resolved(
                "listener: {address: \"10.0.0.5:7443\", allowedSpiffeIds: [\"spiffe://a/b\"]}\n\
                          hubble: {address: \"10.0.0.5:4254\", key: /k}"
            )
            .unwrap_err()[0]
                .contains("hubble.certificate")
        );
    }
}
