//! Trust domains as a node sees them.

use enforcer_proto::v1;
use serde::Serialize;

use crate::console::Show;
use crate::instant;
use crate::style::{Paint, Style};
use crate::table::{Cell, Table};

/// Trust domains of a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TrustDomainsView {
    trust_domains: Vec<TrustDomainView>,
}

/// One trust domain.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TrustDomainView {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    tenant: String,
    sequence: u64,
    revoked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_ca_not_after: Option<String>,
    authorities_not_after: Vec<String>,
    bundle: String,
    authorities_pem: String,
}

impl From<v1::TrustDomain> for TrustDomainView {
    fn from(domain: v1::TrustDomain) -> Self {
        let v1::TrustDomain {
            name,
            tenant,
            bundle,
            sequence,
            node_ca_not_after,
            authorities_not_after,
            revoked,
            authorities_pem,
        } = domain;
        Self {
            name,
            tenant,
            sequence,
            revoked,
            node_ca_not_after: node_ca_not_after.as_ref().map(instant::rfc3339),
            authorities_not_after: authorities_not_after.iter().map(instant::rfc3339).collect(),
            bundle,
            authorities_pem,
        }
    }
}

impl From<Vec<v1::TrustDomain>> for TrustDomainsView {
    fn from(domains: Vec<v1::TrustDomain>) -> Self {
        Self { trust_domains: domains.into_iter().map(TrustDomainView::from).collect() }
    }
}

impl TrustDomainView {
    /// As many as the bundle has authorities.
    fn authorities(&self) -> Cell {
        match (self.revoked, self.authorities_not_after.len()) {
            (true, _) => Cell::from("revoked").painted(Paint::Bad),
            // B-4: nobody vouches for it.
            (false, 0) => Cell::from("none").painted(Paint::Bad),
            (false, count) => Cell::from(count.to_string()),
        }
    }
}

impl Show for TrustDomainsView {
    fn text(&self, style: Style) -> String {
        let mut table =
            Table::new(&["TRUST DOMAIN", "TENANT", "SEQUENCE", "AUTHORITIES", "THEY END", "NODE CA ENDS"]);
        for domain in &self.trust_domains {
            table.row([
                Cell::from(domain.name.as_str()),
                Cell::or_absent(&domain.tenant),
                Cell::from(domain.sequence),
                domain.authorities(),
                Cell::or_absent(&domain.authorities_not_after.join(",")),
                Cell::or_absent(domain.node_ca_not_after.as_deref().unwrap_or_default()),
            ]);
        }
        table.render(style)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::Timestamp;

    #[test]
    fn a_trust_domain_is_a_row_and_a_revoked_one_stands_out() {
        let time = |seconds| Timestamp { seconds, nanos: 0 };
        let red = v1::TrustDomain {
            name: "red.fleet.example".to_owned(),
            tenant: "red".to_owned(),
            sequence: 3,
            node_ca_not_after: Some(time(1_793_700_000)),
            authorities_not_after: vec![time(1_793_700_000), time(1_793_703_600)],
            ..v1::TrustDomain::default()
        };
        let revoked = v1::TrustDomain { revoked: true, ..red.clone() };
        let fleet = v1::TrustDomain { name: "fleet.example".to_owned(), ..v1::TrustDomain::default() };
        assert_eq!(
            TrustDomainsView::from(vec![red, revoked, fleet]).text(Style::Plain),
            "TRUST DOMAIN       TENANT  SEQUENCE  AUTHORITIES  THEY END                                   NODE CA ENDS\n\
             red.fleet.example  red     3         2            2026-11-03T10:00:00Z,2026-11-03T11:00:00Z  2026-11-03T10:00:00Z\n\
             red.fleet.example  red     3         revoked      2026-11-03T10:00:00Z,2026-11-03T11:00:00Z  2026-11-03T10:00:00Z\n\
             fleet.example      -       0         none         -                                          -\n"
        );
    }
}
