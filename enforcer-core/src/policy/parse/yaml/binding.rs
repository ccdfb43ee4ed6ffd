//! `kind: Binding`.

use enforcer_proto::v1;
use enforcer_proto::v1::binding::Holder;

use super::document::Identity;
use super::fields::{Fields, Reader};
use super::{net, rule};
use crate::policy::problem::shown;

pub(super) fn read(reader: &mut Reader, identity: &Identity, fields: &mut Fields) -> Option<v1::Binding> {
    let address = fields.require(reader, "address", "the address that is bound");
    let address = address.and_then(|(path, node)| reader.text(&path, node));
    if let Some(address) =
        address.as_deref().filter(|address| !identity.name.is_empty() && identity.name != *address)
    {
        let message = format!(
            "is the name of a binding to another address; write {}, or leave metadata out",
            shown(address)
        );
        let line = reader.lines.get(".metadata.name").copied().unwrap_or(fields.line);
        reader.refuse("binding_name", ".metadata.name", line, message);
    }
    let mut named = Vec::new();
    if let Some((path, node)) = fields.take(reader, "tenant") {
        named.push(reader.text(&path, node).map(Holder::Tenant));
    }
    if let Some((path, node)) = fields.take(reader, "remoteNode") {
        named.push(reader.nothing(&path, node).map(|()| Holder::RemoteNode(v1::Everything {})));
    }
    if let Some((path, node)) = fields.take(reader, "host") {
        named.push(reader.nothing(&path, node).map(|()| Holder::Host(v1::Everything {})));
    }
    let line = fields.line;
    let holder = rule::one(reader, "", line, named, "tenant, remoteNode, host");
    let generation =
        fields.require(reader, "generation", "a number from 1, raised when the address changes hands");
    let generation = generation.and_then(|(path, node)| reader.number(&path, node));
    let lease = net::lease(reader, fields);
    Some(v1::Binding {
        address: address?,
        holder: Some(holder?),
        generation: generation?,
        lease,
        lease_until: None,
    })
}
