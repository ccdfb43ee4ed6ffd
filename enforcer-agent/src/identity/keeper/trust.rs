//! Reading trust: who is revoked, by any of the three words, and why.

use std::sync::Arc;

use enforcer_core::identity::bundle::Trust;

use super::member::Member;
use super::reason;
use enforcer_core::policy::model::Name;

/// Why a workload is revoked; `None` when it is not.
pub(super) fn revoked(trust: &Trust, name: &Name, member: &Member) -> Option<Arc<str>> {
    let revoked = &trust.revoked;
    if revoked.tenants.contains(&member.entitlement.tenant) {
        return Some(reason::TENANT_REVOKED.into());
    }
    if revoked.workloads.contains(name) {
        return Some(reason::WORKLOAD_REVOKED.into());
    }
    let by_id = member.id().is_some_and(|id| revoked.spiffe_ids.contains(id));
    by_id.then(|| reason::ID_REVOKED.into())
}
