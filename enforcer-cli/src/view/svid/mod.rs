//! What a workload was given. Never a key.

pub(crate) mod claims;
pub(crate) mod event;
pub(crate) mod token;

use prost_types::Timestamp;
use serde::Serialize;

use crate::console::Show;
use crate::style::Style;
use crate::svid::update::{Svid, Update};
use crate::table::{Cell, Table};
use crate::{duration, instant};

/// Everything that a workload has, but its keys.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateView {
    svids: Vec<SvidView>,
    federates_with: Vec<String>,
    crls: usize,
}

/// One SVID.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SvidView {
    spiffe_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    hint: String,
    serial: String,
    not_before: String,
    not_after: String,
    seconds_to_expiry: i64,
    chain: usize,
    authorities: usize,
}

impl UpdateView {
    /// The SVIDs of an update, and what is left of them.
    pub(crate) fn new(update: &Update, now: &Timestamp) -> Self {
        Self {
            svids: update.svids().map(|svid| SvidView::new(svid, now)).collect(),
            federates_with: update.federated.keys().map(ToString::to_string).collect(),
            crls: update.crls.len(),
        }
    }
}

impl SvidView {
    fn new(svid: &Svid, now: &Timestamp) -> Self {
        let Svid { id, hint, chain, leaf, key: _, bundle } = svid;
        Self {
            spiffe_id: id.to_string(),
            hint: hint.clone(),
            serial: leaf.serial.clone(),
            not_before: instant::rfc3339(&leaf.not_before),
            not_after: instant::rfc3339(&leaf.not_after),
            seconds_to_expiry: instant::seconds_between(now, &leaf.not_after).unwrap_or_default(),
            chain: chain.len(),
            authorities: bundle.len(),
        }
    }
}

impl Show for UpdateView {
    fn text(&self, style: Style) -> String {
        let mut table =
            Table::new(&["SPIFFE ID", "SERIAL", "NOT BEFORE", "NOT AFTER", "EXPIRES IN", "FEDERATES WITH"]);
        for svid in &self.svids {
            let left = u64::try_from(svid.seconds_to_expiry).unwrap_or_default();
            table.row([
                Cell::from(svid.spiffe_id.as_str()),
                Cell::from(svid.serial.as_str()),
                Cell::from(svid.not_before.as_str()),
                Cell::from(svid.not_after.as_str()),
                Cell::from(duration::words(left)),
                Cell::or_absent(&self.federates_with.join(",")),
            ]);
        }
        table.render(style)
    }
}
