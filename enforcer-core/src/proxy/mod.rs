//! The tunnel's decisions, without its connections: what the wire says, who may pass, and what the policy leaves in
//! plaintext. It must not know a socket, TLS or a clock.

pub mod authorize;
pub mod hbone;
pub mod native;
pub mod trace;
pub mod tunnelled;
pub mod unencrypted;

use crate::identity::spiffe_id::SpiffeId;
use crate::identity::trust_domain::TrustDomain;

/// The tenant that an ID names: the first label of its trust domain, when that is one right below the fleet's.
#[must_use]
pub fn tenant_of<'a>(id: &'a SpiffeId, fleet: &TrustDomain) -> Option<&'a str> {
    let tenant = id.trust_domain().strip_suffix(fleet.as_str())?.strip_suffix('.')?;
    (!tenant.is_empty() && !tenant.contains('.')).then_some(tenant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_one_label_below_the_fleet() {
        let fleet: TrustDomain = "fleet.example".parse().unwrap();
        let tenant = |text: &str| tenant_of(&text.parse().unwrap(), &fleet).map(str::to_owned);
        assert_eq!(tenant("spiffe://red.fleet.example/ns/a/sa/b").as_deref(), Some("red"));
        for stranger in [
            "spiffe://fleet.example/node/a",
            "spiffe://a.red.fleet.example/b",
            "spiffe://red.other.example/a",
            "spiffe://redfleet.example/a",
            "spiffe://red.fleet.example.evil/a",
        ] {
            assert_eq!(tenant(stranger), None, "{stranger}");
        }
    }
}
