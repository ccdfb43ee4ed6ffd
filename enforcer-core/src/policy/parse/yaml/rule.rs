//! `kind: Rule`.

use enforcer_proto::v1;
use enforcer_proto::v1::peer::Who;

use super::document::Identity;
use super::fields::{Fields, Reader};
use super::node::Node;
use super::{net, tenant};
use crate::policy::parse::words::ACTIONS;

pub(super) fn read(reader: &mut Reader, identity: Identity, fields: &mut Fields) -> Option<v1::Rule> {
    let from = fields.require(reader, "from", "who opens the flow");
    let from = from.map(|(path, node)| peer(reader, path, node));
    let to = fields.require(reader, "to", "who answers the flow");
    let to = to.map(|(path, node)| peer(reader, path, node));
    let ports = net::ports(reader, fields);
    let action = fields.require(reader, "action", "allow or deny");
    let action = action.and_then(|(path, node)| reader.word(&path, node, ACTIONS));
    let mode = tenant::mode(reader, fields);
    let mtls_required = tenant::truth(reader, fields, "mtlsRequired");
    let mtls_always = tenant::truth(reader, fields, "mtlsAlways");
    let carried_by = match fields.take(reader, "carriedBy") {
        Some((path, node)) => net::texts(reader, &path, node),
        None => Vec::new(),
    };
    Some(v1::Rule {
        name: identity.name,
        from: from?,
        to: to?,
        ports,
        action: action?,
        mode: mode?,
        mtls_required: mtls_required?,
        mtls_always: mtls_always?,
        carried_by,
    })
}

fn peer(reader: &mut Reader, path: String, node: &Node) -> Option<v1::Peer> {
    let line = node.line;
    let mut fields = reader.map(path.clone(), node)?;
    let mut named = Vec::new();
    if let Some((path, node)) = fields.take(reader, "tenant") {
        named.push(reader.text(&path, node).map(Who::Tenant));
    }
    if let Some((path, node)) = fields.take(reader, "host") {
        named.push(reader.nothing(&path, node).map(|()| Who::Host(v1::Everything {})));
    }
    if let Some((path, node)) = fields.take(reader, "remoteNode") {
        named.push(reader.nothing(&path, node).map(|()| Who::RemoteNode(v1::Everything {})));
    }
    if let Some((path, node)) = fields.take(reader, "world") {
        named.push(reader.nothing(&path, node).map(|()| Who::World(v1::Everything {})));
    }
    if let Some((path, node)) = fields.take(reader, "ipBlock") {
        named.push(net::block(reader, &path, node).map(Who::IpBlock));
    }
    fields.finish(reader);
    one(reader, &path, line, named, "tenant, host, remoteNode, world, ipBlock")
        .map(|who| v1::Peer { who: Some(who) })
}

/// The one that was named, out of a choice.
pub(super) fn one<T>(
    reader: &mut Reader,
    path: &str,
    line: u32,
    mut named: Vec<Option<T>>,
    choice: &str,
) -> Option<T> {
    match named.len() {
        1 => named.pop().flatten(),
        0 => {
            reader.refuse("names_nobody", path, line, format!("names nobody; state one of {choice}"));
            None
        }
        several => {
            let message =
                format!("names {several} of {choice}; state one, and write a rule for each of the others");
            reader.refuse("names_several", path, line, message);
            None
        }
    }
}
