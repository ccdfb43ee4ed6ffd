//! Every identity of a node.

use enforcer_proto::v1;
use serde::Serialize;

use super::domain::TrustDomainView;
use super::health::HealthView;
use super::{IdentityView, left};
use crate::console::Show;
use crate::style::{Paint, Style};
use crate::table::{Cell, Table};

/// Every identity of a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IdentitiesView {
    identities: Vec<IdentityView>,
    trust_domains: Vec<TrustDomainView>,
    health: HealthView,
}

impl From<v1::ListIdentitiesResponse> for IdentitiesView {
    fn from(response: v1::ListIdentitiesResponse) -> Self {
        let v1::ListIdentitiesResponse { identities, trust_domains, health } = response;
        Self {
            identities: identities.into_iter().map(IdentityView::from).collect(),
            trust_domains: trust_domains.into_iter().map(TrustDomainView::from).collect(),
            health: health.unwrap_or_default().into(),
        }
    }
}

impl IdentitiesView {
    /// What a person should look at.
    pub(crate) fn concerns(&self) -> Vec<String> {
        self.health.concerns()
    }
}

impl Show for IdentitiesView {
    fn text(&self, style: Style) -> String {
        let mut table = Table::new(&[
            "WORKLOAD",
            "TENANT",
            "SPIFFE ID",
            "STATE",
            "EXPIRES IN",
            "RENEWS IN",
            "FAILURES",
            "REASON",
        ]);
        for identity in &self.identities {
            let failures = if identity.failures == 0 { Paint::None } else { Paint::Warn };
            table.row([
                Cell::from(identity.workload.as_str()),
                Cell::or_absent(&identity.tenant),
                Cell::or_absent(&identity.spiffe_id),
                Cell::from(identity.state).painted(identity.paint()),
                Cell::or_absent(&left(identity.seconds_to_expiry)),
                Cell::or_absent(&left(identity.seconds_to_renewal)),
                Cell::from(identity.failures).painted(failures),
                Cell::or_absent(&identity.reason),
            ]);
        }
        table.render(style)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{denied, valid};
    use super::*;

    #[test]
    fn an_identity_is_a_row_with_what_is_left_of_it() {
        let identities = vec![valid(), denied()];
        let response = v1::ListIdentitiesResponse { identities, ..v1::ListIdentitiesResponse::default() };
        assert_eq!(
            IdentitiesView::from(response).text(Style::Plain),
            "WORKLOAD  TENANT  SPIFFE ID                               STATE   EXPIRES IN  RENEWS IN  FAILURES  REASON\n\
             web       red     spiffe://red.fleet.example/ns/a/sa/web  valid   50m         20m        0         -\n\
             old       red     -                                       denied  -           -          3         the policy gives it no identity\n"
        );
    }
}
