//! Records: for programs as `enforcer_core::event::json` spells them, for people as lines.

mod line;
mod process;

use enforcer_core::event::json::Json;
use enforcer_proto::v1;
use serde::{Serialize, Serializer};

/// What happened on a node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RecordView(v1::Record);

impl From<v1::Record> for RecordView {
    fn from(record: v1::Record) -> Self {
        Self(record)
    }
}

impl Serialize for RecordView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Json::from(&self.0).serialize(serializer)
    }
}

/// One end of a flow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct EndpointView {
    identity: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    workload: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    address: String,
    #[serde(skip_serializing_if = "is_zero")]
    port: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl From<v1::Endpoint> for EndpointView {
    fn from(endpoint: v1::Endpoint) -> Self {
        let v1::Endpoint { identity, workload, address, port, .. } = endpoint;
        Self { identity, workload, address, port }
    }
}

impl EndpointView {
    /// Whom a person means by it: the workload, or the identity.
    pub(crate) fn name(&self) -> String {
        match (self.identity.as_str(), self.workload.as_str(), self.address.as_str()) {
            (identity, "", "") => identity.to_owned(),
            (identity, "", address) => format!("{identity} ({address})"),
            (identity, workload, _) => format!("{identity}/{workload}"),
        }
    }
}
