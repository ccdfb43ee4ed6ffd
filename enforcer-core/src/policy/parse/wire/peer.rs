//! One side of a rule.

use enforcer_proto::v1;
use enforcer_proto::v1::peer::Who;

use super::scope::Scope;
use super::{name, net};
use crate::policy::model::Peer;
use crate::policy::parse::path::At;

pub(super) fn parse(scope: &mut Scope, at: &At, message: Option<&v1::Peer>) -> Option<Peer> {
    match message.and_then(|peer| peer.who.as_ref()) {
        None => {
            let message = "names nobody; state one of tenant, host, remoteNode, world, ipBlock";
            scope.refuse("names_nobody", at, message);
            None
        }
        Some(Who::Tenant(tenant)) => name::tenant(scope, &at.field("tenant"), tenant).map(Peer::Tenant),
        Some(Who::Host(v1::Everything {})) => Some(Peer::Host),
        Some(Who::RemoteNode(v1::Everything {})) => Some(Peer::RemoteNode),
        Some(Who::World(v1::Everything {})) => Some(Peer::World),
        Some(Who::IpBlock(block)) => net::block(scope, &at.field("ipBlock"), block).map(Peer::Block),
    }
}
