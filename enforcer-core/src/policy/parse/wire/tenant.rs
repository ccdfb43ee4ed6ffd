//! A tenant by itself.

use enforcer_common::identity::{FIRST_TENANT, LAST_TENANT};
use enforcer_proto::v1;

use super::scope::{Scope, all};
use super::{name, net, ports};
use crate::policy::model::{DeviceGrant, EgressRule, Name, Tenant};
use crate::policy::parse::limits::{MAX_DEVICES, MAX_EGRESS, MAX_MAJOR, MAX_MINOR, MAX_MINORS};
use crate::policy::parse::path::At;
use crate::policy::parse::words::{CLASSIFICATIONS, MODES, TIERS};
use crate::policy::problem::shown;

pub(super) fn parse(scope: &mut Scope, list: &At, index: usize, message: &v1::Tenant) -> Option<Tenant> {
    let v1::Tenant { name, id, tier, data_classification, mode, platform_service, egress, devices } = message;
    let at = list.object(index, name);
    let name = name::tenant(scope, &at.field("name"), name);
    let id = self::id(scope, &at, *id);
    let tier = scope.word(&at.field("tier"), TIERS, *tier);
    let data_classification =
        scope.word(&at.field("dataClassification"), CLASSIFICATIONS, *data_classification);
    let mode = scope.word(&at.field("mode"), MODES, *mode);
    let egress = egress_rules(scope, &at.field("egress"), egress);
    let devices = device_grants(scope, &at.field("devices"), devices);
    Some(Tenant {
        name: name?,
        id: id?,
        tier: tier?,
        data_classification: data_classification?,
        mode: mode?,
        platform_service: *platform_service,
        egress: egress?,
        devices: devices?,
    })
}

pub(super) fn id(scope: &mut Scope, at: &At, id: u32) -> Option<u32> {
    let right = (FIRST_TENANT..=LAST_TENANT).contains(&id);
    if !right {
        let message = format!("{id} is no tenant number; use one from {FIRST_TENANT} to {LAST_TENANT}");
        scope.refuse("id_out_of_range", &at.field("id"), message);
    }
    right.then_some(id)
}

fn egress_rules(scope: &mut Scope, at: &At, messages: &[v1::EgressRule]) -> Option<Vec<EgressRule>> {
    if !scope.at_most(at, messages.len(), MAX_EGRESS) {
        return None;
    }
    all(messages.iter().enumerate().map(|(index, message)| egress_rule(scope, &at.item(index), message)))
}

fn egress_rule(scope: &mut Scope, at: &At, message: &v1::EgressRule) -> Option<EgressRule> {
    let v1::EgressRule { ip_block, ports } = message;
    let block_at = at.field("ipBlock");
    let block = match ip_block {
        Some(block) => net::block(scope, &block_at, block),
        None => {
            scope.missing(&block_at, "the addresses outside the fleet that may be reached");
            None
        }
    };
    let ports = ports::parse(scope, &at.field("ports"), ports.as_ref());
    Some(EgressRule { block: block?, ports: ports? })
}

fn device_grants(scope: &mut Scope, at: &At, messages: &[v1::DeviceGrant]) -> Option<Vec<DeviceGrant>> {
    if !scope.at_most(at, messages.len(), MAX_DEVICES) {
        return None;
    }
    let grants = all(messages
        .iter()
        .enumerate()
        .map(|(index, message)| device_grant(scope, &at.item(index), message)))?;
    let mut distinct = true;
    for (index, grant) in grants.iter().enumerate() {
        if grants.iter().take(index).any(|other| other.class == grant.class) {
            let message =
                format!("grants class '{}' a second time; list its minors in one grant", grant.class);
            scope.refuse("duplicate_item", &at.item(index), message);
            distinct = false;
        }
    }
    distinct.then_some(grants)
}

fn device_grant(scope: &mut Scope, at: &At, message: &v1::DeviceGrant) -> Option<DeviceGrant> {
    let v1::DeviceGrant { class, minors } = message;
    let class = device_class(scope, &at.field("class"), class);
    let list = at.field("minors");
    let minors = match minors {
        None => Some(None),
        Some(v1::MinorList { items }) => minor_list(scope, &list, items).map(Some),
    };
    Some(DeviceGrant { class: class?, minors: minors? })
}

fn minor_list(scope: &mut Scope, at: &At, items: &[u32]) -> Option<Vec<u32>> {
    if items.is_empty() {
        scope.refuse(
            "empty_list",
            at,
            "is an empty list; name the minors, or leave it out for a control class",
        );
        return None;
    }
    if !scope.at_most(at, items.len(), MAX_MINORS) {
        return None;
    }
    let mut seen = std::collections::BTreeSet::new();
    all(items.iter().enumerate().map(|(index, minor)| {
        let at = at.item(index);
        if *minor > MAX_MINOR {
            scope.refuse("out_of_range", &at, format!("{minor} is not within 0 and {MAX_MINOR}"));
            return None;
        }
        if !seen.insert(*minor) {
            scope.refuse("duplicate_item", &at, format!("{minor} is listed twice; list it once"));
            return None;
        }
        Some(*minor)
    }))
}

/// A class by name, or `char:MAJOR`. Whether the node knows it is judged where the node is known.
fn device_class(scope: &mut Scope, at: &At, text: &str) -> Option<Name> {
    match text.split_once(':') {
        None => name::class(scope, at, text),
        Some((kind, major)) => {
            let canonical = major
                .parse::<u32>()
                .is_ok_and(|number| (1..=MAX_MAJOR).contains(&number) && number.to_string() == major);
            if kind == "char" && canonical {
                return Some(scope.intern(text));
            }
            let message = format!(
                "'{}' is no device class; use a name, or char:MAJOR with 1 to {MAX_MAJOR}",
                shown(text)
            );
            scope.refuse("invalid_device_class", at, message);
            None
        }
    }
}
