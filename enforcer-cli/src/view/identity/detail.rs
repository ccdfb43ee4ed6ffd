//! One identity, with the chain that is served for it.

use enforcer_proto::v1;
use serde::Serialize;

use super::{IdentityView, left};
use crate::certificate::{Certificate, NoCertificate};
use crate::console::Show;
use crate::fields::Fields;
use crate::instant;
use crate::style::{Paint, Style};
use crate::table::{Cell, Table};

/// One identity, with the chain that is served for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IdentityDetailView {
    identity: IdentityView,
    chain: Vec<Certificate>,
    chain_pem: String,
}

impl TryFrom<v1::ShowIdentityResponse> for IdentityDetailView {
    type Error = NoCertificate;

    fn try_from(response: v1::ShowIdentityResponse) -> Result<Self, NoCertificate> {
        let v1::ShowIdentityResponse { identity, chain_pem } = response;
        let chain = Certificate::read_pem(&chain_pem)?;
        Ok(Self { identity: identity.unwrap_or_default().into(), chain, chain_pem })
    }
}

impl Show for IdentityDetailView {
    fn text(&self, style: Style) -> String {
        let mut text = self.identity.fields(style);
        if !self.chain.is_empty() {
            text.push('\n');
            text.push_str(&self.chain_table().render(style));
        }
        text
    }
}

impl IdentityView {
    fn fields(&self, style: Style) -> String {
        let mut fields = Fields::new(style, 14);
        fields.plain("workload", &self.workload);
        fields.plain("tenant", &self.tenant);
        fields.plain("SPIFFE ID", &self.spiffe_id);
        fields.add("state", self.state, self.paint());
        fields.add("reason", &self.reason, Paint::Warn);
        fields.plain("serial", &self.serial);
        fields.plain("not before", self.not_before.as_deref().unwrap_or_default());
        fields.plain("not after", &with_left(self.not_after.as_deref(), self.seconds_to_expiry));
        fields.plain("renews at", &with_left(self.renew_at.as_deref(), self.seconds_to_renewal));
        fields.plain("failures", &self.failures.to_string());
        fields.plain("issued", &self.issued.to_string());
        fields.plain("federates with", &self.federates_with.join(","));
        fields.plain("open streams", &self.streams.to_string());
        fields.into_text()
    }
}

impl IdentityDetailView {
    fn chain_table(&self) -> Table {
        let mut table = Table::new(&["CHAIN", "SUBJECT", "URI", "SERIAL", "NOT AFTER"]);
        for (number, certificate) in (1_u32..).zip(&self.chain) {
            table.row([
                Cell::from(number),
                Cell::or_absent(&certificate.subject),
                Cell::or_absent(&certificate.uris.join(",")),
                Cell::from(certificate.serial.as_str()),
                Cell::from(instant::rfc3339(&certificate.not_after)),
            ]);
        }
        table
    }
}

/// `2026-11-03T11:00:00Z (in 50m)`
fn with_left(time: Option<&str>, seconds: Option<i64>) -> String {
    match (time, left(seconds).as_str()) {
        (None, _) => String::new(),
        (Some(time), "") => time.to_owned(),
        (Some(time), "now") => format!("{time} (now)"),
        (Some(time), left) => format!("{time} (in {left})"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{denied, valid};
    use super::*;

    fn text(identity: v1::Identity) -> String {
        let response = v1::ShowIdentityResponse { identity: Some(identity), chain_pem: String::new() };
        IdentityDetailView::try_from(response).unwrap().text(Style::Plain)
    }

    #[test]
    fn everything_that_is_known_is_told() {
        assert_eq!(
            text(valid()),
            "workload       web\n\
             tenant         red\n\
             SPIFFE ID      spiffe://red.fleet.example/ns/a/sa/web\n\
             state          valid\n\
             serial         0badcafe\n\
             not before     2026-11-03T10:00:00Z\n\
             not after      2026-11-03T11:00:00Z (in 50m)\n\
             renews at      2026-11-03T10:30:00Z (in 20m)\n\
             failures       0\n\
             issued         2\n\
             federates with blue.fleet.example\n\
             open streams   1\n"
        );
    }

    #[test]
    fn who_has_none_is_told_why() {
        let text = text(denied());
        assert!(text.contains("reason         the policy gives it no identity\n"), "{text}");
        assert!(!text.contains("serial"), "{text}");
    }
}
