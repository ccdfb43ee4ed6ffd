//! The connection that carries tunnelled flows: it must get through wherever a rule asks for the tunnel, whatever the
//! rules say of its port. What is inside is decided flow by flow, at both of its ends.

use enforcer_common::identity;
use enforcer_common::maps::{ACTION_ALLOW, RULE_NO_MATCH, RULE_TUNNEL, RuleValue, TUNNEL_PORT};
use enforcer_common::reason;

use crate::policy::image::{PortRegion, TenantImage};
use crate::policy::model::Protocol;

use super::flatten::note_length;
use super::prefix::Prefix;

/// One port. It lies over the region around it: the longest prefix is found first.
const PREFIX: Prefix = Prefix { service: TUNNEL_PORT, length: 16 };

/// The entry.
const CARRIES: RuleValue = RuleValue {
    rule: RULE_TUNNEL,
    shadow_rule: RULE_NO_MATCH,
    reason: reason::NONE,
    action: ACTION_ALLOW,
    shadow_action: ACTION_ALLOW,
};

/// Lets in the connections that carry flows of the `tunnelled` peers. Those of host-network workloads come from the
/// addresses of nodes, this one's included; where no rule speaks of this node it is allowed anyway.
pub(super) fn add(image: &mut TenantImage, tunnelled: &[u32]) {
    for peer in tunnelled {
        add_one(image, *peer);
    }
    if tunnelled.is_empty() {
        return;
    }
    add_one(image, identity::REMOTE_NODE);
    if image.pairs.contains_key(&identity::HOST) {
        add_one(image, identity::HOST);
    }
}

fn add_one(image: &mut TenantImage, peer: u32) {
    let protocol = Protocol::Tcp;
    note_length(image.pairs.entry(peer).or_default(), protocol, PREFIX);
    let region =
        PortRegion { peer, protocol: protocol.number(), port: PREFIX.service, prefix_len: PREFIX.length };
    image.ports.insert(region, CARRIES);
}
