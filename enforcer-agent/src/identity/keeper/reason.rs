//! Sentences that say why nothing is served.

pub(super) const TENANT_REVOKED: &str = "the tenant is revoked";
pub(super) const WORKLOAD_REVOKED: &str = "the workload is revoked";
pub(super) const ID_REVOKED: &str = "its SPIFFE ID is revoked";
pub(super) const NO_BUNDLE: &str = "its trust domain has no authority any more";
