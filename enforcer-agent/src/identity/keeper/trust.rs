//! Reading trust: who is revoked, by any of the three words, and why.

use std::sync::Arc;

use enforcer_core::identity::bundle::Trust;
use enforcer_core::policy::model::Name;

use super::member::Member;

pub(super) const TENANT_REVOKED: &str = "the tenant is revoked";
pub(super) const WORKLOAD_REVOKED: &str = "the workload is revoked";
pub(super) const ID_REVOKED: &str = "its SPIFFE ID is revoked";
pub(super) const NO_BUNDLE: &str = "its trust domain has no authority any more";

/// Why a workload is revoked; `None` when it is not.
pub(super) fn revoked(trust: &Trust, name: &Name, member: &Member) -> Option<Arc<str>> {
    let revoked = &trust.revoked;
    if revoked.tenants.contains(&member.entitlement.tenant) {
        return Some(TENANT_REVOKED.into());
    }
    if revoked.workloads.contains(name) {
        return Some(WORKLOAD_REVOKED.into());
    }
    let by_id = member.id().is_some_and(|id| revoked.spiffe_ids.contains(id));
    by_id.then(|| ID_REVOKED.into())
}
