//! An accelerator has one tenant, or tenants that all are `shared`.

use std::sync::Arc;

use super::draft::Draft;
use crate::device::class::{self, Role};
use crate::policy::model::{DeviceGrant, Index, Name, Tenant, Tier};
use crate::policy::parse::path::At;

/// Two doors of one card: minor N of each is the same accelerator.
const TWINS: [(&str, &str); 2] = [("dri-card", "dri-render"), ("dri-render", "dri-card")];

/// Classes of the node's own configuration are judged where the node is known, by
/// [`crate::policy::capability`].
pub(super) fn check(draft: &mut Draft, tenant: &Tenant) {
    for (item, grant) in tenant.devices.iter().enumerate() {
        let Some(class) = class::by_name(&grant.class) else { continue };
        let list = At::root("tenants");
        let object = list.name(&tenant.name);
        let devices = object.field("devices");
        let at = devices.item(item);
        match (class.role, &grant.minors) {
            (Role::Never, _) => {
                let message = format!(
                    "'{}' reaches beyond any tenant and is granted to none; remove the grant",
                    class.name
                );
                draft.problems.add("device_never_granted", at, message);
            }
            (Role::Accelerator, None) => {
                let message = format!("'{}' is a class of accelerators; name the minors", class.name);
                draft.problems.add("device_minors_required", at.field("minors"), message);
            }
            (Role::Accelerator, Some(_)) => overlaps(draft, tenant, grant, &at),
            (Role::Control, _) => {}
        }
    }
}

fn overlaps(draft: &mut Draft, tenant: &Tenant, grant: &DeviceGrant, at: &At) {
    let policy = &draft.policy;
    let mut found = Vec::new();
    for minor in grant.minors.iter().flatten() {
        if let Some(other) = rival(&policy.index, &grant.class, *minor, tenant, |name| {
            policy.tenants.get(name).map(Arc::clone)
        }) {
            found.push((*minor, other));
        }
    }
    for (minor, other) in found {
        let message = format!(
            "'{}' minor {minor} is granted to '{other}' too; only tenants of tier shared may have one accelerator together",
            grant.class
        );
        draft.problems.add("device_overlap", at, message);
    }
}

/// Another tenant with the same accelerator that may not have it together with this one.
pub(crate) fn rival(
    index: &Index,
    class: &Name,
    minor: u32,
    tenant: &Tenant,
    tenant_of: impl Fn(&Name) -> Option<Arc<Tenant>>,
) -> Option<Name> {
    let twin = TWINS.iter().find(|(one, _)| *one == &**class).map(|(_, other)| Name::from(*other));
    let classes = [Some(Arc::clone(class)), twin];
    classes.into_iter().flatten().find_map(|class| {
        let holders = index.granted.get(&(class, minor))?;
        let clashes = |name: &&Name| {
            **name != tenant.name
                && (tenant.tier != Tier::Shared
                    || tenant_of(name).is_none_or(|other| other.tier != Tier::Shared))
        };
        holders.iter().find(clashes).cloned()
    })
}
