//! `kind: Tenant`.

use enforcer_proto::v1;

use super::document::Identity;
use super::fields::{Fields, Reader};
use super::net;
use super::node::Node;
use crate::policy::parse::words::{CLASSIFICATIONS, MODES, TIERS};

pub(super) fn read(reader: &mut Reader, identity: Identity, fields: &mut Fields) -> Option<v1::Tenant> {
    let id = fields.require(reader, "id", "the tenant's number, from 16");
    let id = id.and_then(|(path, node)| reader.number(&path, node));
    let tier = fields.require(reader, "tier", "one of shared, partitioned, isolated, dedicated");
    let tier = tier.and_then(|(path, node)| reader.word(&path, node, TIERS));
    let class = fields.require(reader, "dataClassification", "how sensitive the tenant's data is");
    let class = class.and_then(|(path, node)| reader.word(&path, node, CLASSIFICATIONS));
    let mode = mode(reader, fields);
    let platform_service = truth(reader, fields, "platformService");
    let egress = match fields.take(reader, "egress") {
        Some((path, node)) => {
            let items = reader.list(&path, node);
            items.into_iter().filter_map(|(path, node)| egress_rule(reader, path, node)).collect()
        }
        None => Vec::new(),
    };
    let devices = match fields.take(reader, "devices") {
        Some((path, node)) => {
            let items = reader.list(&path, node);
            items.into_iter().filter_map(|(path, node)| grant(reader, path, node)).collect()
        }
        None => Vec::new(),
    };
    Some(v1::Tenant {
        name: identity.name,
        id: id?,
        tier: tier?,
        data_classification: class?,
        mode: mode?,
        platform_service: platform_service?,
        egress,
        devices,
    })
}

/// `enforce` when left out: the stricter of the two.
pub(super) fn mode(reader: &mut Reader, fields: &mut Fields) -> Option<i32> {
    match fields.take(reader, "mode") {
        Some((path, node)) => reader.word(&path, node, MODES),
        None => Some(v1::Mode::Enforce.into()),
    }
}

/// `false` when left out.
pub(super) fn truth(reader: &mut Reader, fields: &mut Fields, field: &'static str) -> Option<bool> {
    match fields.take(reader, field) {
        Some((path, node)) => reader.truth(&path, node),
        None => Some(false),
    }
}

fn egress_rule(reader: &mut Reader, path: String, node: &Node) -> Option<v1::EgressRule> {
    let mut fields = reader.map(path, node)?;
    let block = fields.require(reader, "ipBlock", "the addresses that may be reached");
    let ip_block = block.and_then(|(path, node)| net::block(reader, &path, node));
    let ports = net::ports(reader, &mut fields);
    fields.finish(reader);
    Some(v1::EgressRule { ip_block, ports })
}

fn grant(reader: &mut Reader, path: String, node: &Node) -> Option<v1::DeviceGrant> {
    let mut fields = reader.map(path, node)?;
    let class = fields.require(reader, "class", "a device class such as nvidia");
    let class = class.and_then(|(path, node)| reader.text(&path, node));
    let minors = fields.take(reader, "minors").map(|(path, node)| {
        let items = reader.list(&path, node);
        let items = items.into_iter().filter_map(|(path, node)| reader.number(&path, node)).collect();
        v1::MinorList { items }
    });
    fields.finish(reader);
    Some(v1::DeviceGrant { class: class?, minors })
}
