//! `kind: Workload`.

use enforcer_proto::v1;

use super::document::Identity;
use super::fields::{Fields, Reader};
use super::{net, tenant};
use crate::policy::parse::words::ENCAPSULATIONS;

pub(super) fn read(reader: &mut Reader, identity: Identity, fields: &mut Fields) -> Option<v1::Workload> {
    let tenant = fields.require(reader, "tenant", "the name of its tenant");
    let tenant = tenant.and_then(|(path, node)| reader.text(&path, node));
    let node = text(reader, fields, "node");
    let cgroup = text(reader, fields, "cgroup");
    let interface = text(reader, fields, "interface");
    let network_namespace = text(reader, fields, "networkNamespace");
    let host_network = tenant::truth(reader, fields, "hostNetwork");
    let addresses = match fields.take(reader, "addresses") {
        Some((path, node)) => net::texts(reader, &path, node),
        None => Vec::new(),
    };
    let service_account = text(reader, fields, "serviceAccount").unwrap_or_default();
    let lease = net::lease(reader, fields);
    let encapsulations = match fields.take(reader, "encapsulations") {
        Some((path, node)) => {
            let items = reader.list(&path, node);
            items.into_iter().filter_map(|(path, node)| reader.word(&path, node, ENCAPSULATIONS)).collect()
        }
        None => Vec::new(),
    };
    Some(v1::Workload {
        name: identity.name,
        tenant: tenant?,
        node,
        cgroup,
        interface,
        network_namespace,
        host_network: host_network?,
        addresses,
        namespace: identity.namespace,
        service_account,
        lease,
        lease_until: None,
        encapsulations,
    })
}

fn text(reader: &mut Reader, fields: &mut Fields, field: &'static str) -> Option<String> {
    let (path, node) = fields.take(reader, field)?;
    reader.text(&path, node)
}
