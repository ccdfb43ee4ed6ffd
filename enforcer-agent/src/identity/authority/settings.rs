//! What an authority is told: whose it is, what its root is, how long things last.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;
use rcgen::SanType;
use rcgen::string::Ia5String;

use super::error::AuthorityError;
use super::rotation::Schedule;
use crate::identity::custody::token::TokenConfig;

pub use crate::identity::clock::Clock;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Further names of the node.
const NAMES_MAX: usize = 64;
/// Bytes of a DNS name.
const NAME_MAX_BYTES: usize = 253;

/// Where the root is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootSource {
    /// Made by this authority and kept in its vault.
    SelfSigned,
    /// Two PEM files, read again when they change.
    Disk {
        /// One certificate.
        certificate: PathBuf,
        /// Its key, 0600.
        key: PathBuf,
    },
    /// A key that never leaves a token.
    Pkcs11 {
        /// The token.
        token: TokenConfig,
        /// Label of the private key.
        key_label: String,
        /// PEM of its certificate.
        certificate: PathBuf,
    },
}

/// How long certificates and tokens last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of a self-signed root.
    pub root: Duration,
    /// Of a trust domain's CA and of its key for JWT-SVIDs.
    pub tenant_ca: Duration,
    /// Of a tenant's CA on a node.
    pub node_ca: Duration,
    /// Of a node's own SVID.
    pub node_svid: Duration,
    /// Of a JWT-SVID, at most.
    pub jwt: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            root: DAY * 3650,
            tenant_ca: DAY * 90,
            node_ca: DAY,
            node_svid: DAY,
            jwt: Duration::from_secs(300),
        }
    }
}

/// Settings of an authority.
#[derive(Clone, Debug)]
pub struct AuthorityConfig {
    /// The fleet's own trust domain.
    pub fleet: TrustDomain,
    /// What vouches for the tenant CAs.
    pub root: RootSource,
    /// The node that this authority runs on.
    pub own_node: String,
    /// DNS names and addresses of that node, beside its SPIFFE ID.
    pub node_names: Vec<String>,
    /// How long things last.
    pub lifetimes: Lifetimes,
    /// How often readers of a bundle are to ask for a newer one (B-3).
    pub refresh_hint: Duration,
    /// Whether tenants' authorities may sign for their own trust domain alone. Off for verifiers that
    /// cannot read URI constraints.
    pub name_constraints: bool,
}

impl AuthorityConfig {
    /// The usual settings of a node that is its own authority.
    #[must_use]
    pub fn new(fleet: TrustDomain, own_node: String) -> Self {
        Self {
            fleet,
            root: RootSource::SelfSigned,
            own_node,
            node_names: Vec::new(),
            lifetimes: Lifetimes::default(),
            refresh_hint: Duration::from_secs(300),
            name_constraints: true,
        }
    }

    /// Refuses settings that make no sense together.
    pub(super) fn check(&self) -> Result<(), AuthorityError> {
        self.node_id(&self.own_node)?;
        self.further_names()?;
        let Lifetimes { root, tenant_ca, node_ca, node_svid, jwt } = self.lifetimes;
        let error = |what, why| Err(AuthorityError::Lifetime { what, why });
        // A successor has to be published and to take over before the half of a life that is left is over.
        let least = self.refresh_hint.saturating_mul(40).max(Duration::from_secs(3600));
        if tenant_ca < least {
            return error(
                "a tenant CA",
                "it is shorter than an hour or 40 refresh hints: no overlap fits in",
            );
        }
        if tenant_ca > root && self.root == RootSource::SelfSigned {
            return error("a tenant CA", "it is longer than the root's");
        }
        for (what, lifetime) in [("a node CA", node_ca), ("a node's SVID", node_svid), ("a JWT-SVID", jwt)] {
            if lifetime.is_zero() {
                return error(what, "it is zero");
            }
            if lifetime > tenant_ca / 2 {
                return error(what, "it is longer than half of a tenant CA's");
            }
        }
        if self.refresh_hint.is_zero() {
            return error("a bundle", "the refresh hint is zero");
        }
        Ok(())
    }

    /// `spiffe://<fleet>/node/<name>`.
    pub(super) fn node_id(&self, node: &str) -> Result<SpiffeId, AuthorityError> {
        let named = !node.contains('/');
        let id = self.fleet.member(&format!("/node/{node}"));
        let error = |why: String| AuthorityError::NodeName { name: node.to_owned(), why };
        if named {
            id.map_err(|rule| error(rule.to_string()))
        } else {
            Err(error("it has a slash".to_owned()))
        }
    }

    pub(super) fn further_names(&self) -> Result<Vec<SanType>, AuthorityError> {
        let error = |name: &str| AuthorityError::FurtherName(name.to_owned());
        if let Some(beyond) = self.node_names.get(NAMES_MAX) {
            return Err(error(beyond));
        }
        let name = |name: &String| match name.parse::<IpAddr>() {
            Ok(address) => Ok(SanType::IpAddress(address)),
            Err(_) if is_dns(name) => {
                Ia5String::try_from(name.as_str()).map(SanType::DnsName).map_err(|_| error(name))
            }
            Err(_) => Err(error(name)),
        };
        self.node_names.iter().map(name).collect()
    }

    /// The DNS name of another node: its own name, unless that is an address or one of ours, by which others know
    /// their authority.
    pub(super) fn name_of_another(&self, node: &str) -> Option<SanType> {
        let is_ours = node == self.own_node || self.node_names.iter().any(|name| name == node);
        let is_name = is_dns(node) && node.parse::<IpAddr>().is_err() && !is_ours;
        is_name.then(|| Ia5String::try_from(node).ok().map(SanType::DnsName)).flatten()
    }

    pub(super) fn ca_schedule(&self) -> Schedule {
        let reach = self.lifetimes.node_ca.max(self.lifetimes.node_svid);
        Schedule { refresh_hint: self.refresh_hint, reach }
    }

    pub(super) const fn jwt_schedule(&self) -> Schedule {
        let Lifetimes { jwt, .. } = self.lifetimes;
        Schedule { refresh_hint: self.refresh_hint, reach: jwt }
    }

    pub(super) const fn root_schedule(&self) -> Schedule {
        let Lifetimes { tenant_ca, .. } = self.lifetimes;
        Schedule { refresh_hint: self.refresh_hint, reach: tenant_ca }
    }
}

/// Whole labels of letters, digits and hyphens. No wildcard: a node is one node.
fn is_dns(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= NAME_MAX_BYTES && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> AuthorityConfig {
        AuthorityConfig::new("fleet.example".parse().unwrap(), "node-1".to_owned())
    }

    #[test]
    fn names_of_the_node_are_checked() {
        let mut config = config();
        config.node_names = vec!["node-1.example".to_owned(), "10.0.0.1".to_owned(), "::1".to_owned()];
        assert!(config.check().is_ok());
        for bad in ["*.example", "a b", "", "a..b", "-a", "a/b"] {
            config.node_names = vec![bad.to_owned()];
            assert!(matches!(config.check(), Err(AuthorityError::FurtherName(_))), "{bad}");
        }
        config.node_names = vec![];
        for bad in ["", "a/b", "..", "a b"] {
            config.own_node = bad.to_owned();
            assert!(matches!(config.check(), Err(AuthorityError::NodeName { .. })), "{bad}");
        }
    }

    #[test]
    fn another_node_has_its_own_name_and_none_of_ours() {
        let mut config = config();
        config.node_names = vec!["authority.example".to_owned()];
        assert!(config.name_of_another("gpu-17").is_some());
        for not in ["node-1", "authority.example", "10.0.0.1", "*.example"] {
            assert!(config.name_of_another(not).is_none(), "{not}");
        }
    }

    #[test]
    fn lifetimes_fit_into_each_other() {
        let wrong: [fn(&mut AuthorityConfig); 6] = [
            |config| config.lifetimes.tenant_ca = Duration::from_secs(60),
            |config| config.lifetimes.root = DAY,
            |config| config.lifetimes.node_ca = Duration::ZERO,
            |config| config.lifetimes.node_ca = DAY * 50,
            |config| config.lifetimes.jwt = Duration::ZERO,
            |config| config.refresh_hint = DAY * 30,
        ];
        for change in wrong {
            let mut config = config();
            change(&mut config);
            assert!(matches!(config.check(), Err(AuthorityError::Lifetime { .. })));
        }
    }
}
