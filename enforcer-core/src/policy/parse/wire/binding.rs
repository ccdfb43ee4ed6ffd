//! A binding by itself, and the references that delete one.

use std::net::IpAddr;

use enforcer_proto::v1;
use enforcer_proto::v1::binding::Holder;

use super::scope::Scope;
use super::{lease, name, net};
use crate::policy::model::{Binding, Bound};
use crate::policy::parse::limits::MAX_BINDINGS;
use crate::policy::parse::path::At;

pub(super) fn parse(scope: &mut Scope, list: &At, index: usize, message: &v1::Binding) -> Option<Binding> {
    let v1::Binding { address, generation, lease, lease_until, holder } = message;
    let at = list.object(index, address);
    let address = net::address(scope, &at.field("address"), address);
    let bound = bound(scope, &at, holder.as_ref());
    let generation = generation_of(scope, &at, *generation);
    let lease_until = lease::parse(scope, &at, lease.as_ref(), lease_until.as_ref());
    Some(Binding { address: address?, bound: bound?, generation: generation?, lease_until: lease_until? })
}

fn bound(scope: &mut Scope, at: &At, holder: Option<&Holder>) -> Option<Bound> {
    match holder {
        None => {
            scope.refuse("names_nobody", at, "names no holder; state one of tenant, remoteNode, host");
            None
        }
        Some(Holder::Tenant(tenant)) => name::tenant(scope, &at.field("tenant"), tenant).map(Bound::Tenant),
        Some(Holder::RemoteNode(v1::Everything {})) => Some(Bound::RemoteNode),
        Some(Holder::Host(v1::Everything {})) => Some(Bound::Host),
    }
}

fn generation_of(scope: &mut Scope, at: &At, generation: u64) -> Option<u64> {
    if generation == 0 {
        scope.missing(
            &at.field("generation"),
            "a number from 1 that is raised whenever the address changes hands",
        );
    }
    Some(generation).filter(|generation| *generation > 0)
}

pub(super) fn references(scope: &mut Scope, messages: &[v1::BindingRef]) -> Vec<(IpAddr, u64)> {
    let at = At::root("deleteBindings");
    if !scope.at_most(&at, messages.len(), MAX_BINDINGS) {
        return Vec::new();
    }
    let mut parsed = Vec::with_capacity(messages.len());
    for (index, v1::BindingRef { address, generation }) in messages.iter().enumerate() {
        let at = at.object(index, address);
        let address = net::address(scope, &at.field("address"), address);
        let generation = generation_of(scope, &at, *generation);
        parsed.extend(address.zip(generation));
    }
    parsed
}
