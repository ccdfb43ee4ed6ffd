//! A node that has its first certificate, and what its agent has to be told.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::console::Show;
use crate::enroll::node_svid::NodeSvid;
use crate::enroll::place::{AUTHORITIES, CERTIFICATE, KEY};
use crate::instant;
use crate::style::Style;
use crate::table::plain_lines;

/// What stands for an address that we do not know, because we asked over the socket.
const UNKNOWN_ADDRESS: &str = "https://AUTHORITY:7443";

/// A node's first certificate. Never its key.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnrolledView {
    spiffe_id: String,
    serial: String,
    not_before: String,
    not_after: String,
    /// The words of agent.yaml.
    configuration: Configuration,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Configuration {
    identity: Identity,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    trust_domain: String,
    upstream: Upstream,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Upstream {
    grpc: Grpc,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Grpc {
    address: String,
    certificate: PathBuf,
    key: PathBuf,
    ca: PathBuf,
}

impl EnrolledView {
    /// Of a certificate in a directory, from the authority at an address.
    pub(crate) fn new(svid: &NodeSvid, directory: &Path, address: Option<&str>) -> Self {
        let grpc = Grpc {
            address: address.unwrap_or(UNKNOWN_ADDRESS).to_owned(),
            certificate: directory.join(CERTIFICATE),
            key: directory.join(KEY),
            ca: directory.join(AUTHORITIES),
        };
        let trust_domain = svid.id.trust_domain().to_owned();
        let identity = Identity { trust_domain, upstream: Upstream { grpc } };
        Self {
            spiffe_id: svid.id.to_string(),
            serial: svid.leaf.serial.clone(),
            not_before: instant::rfc3339(&svid.leaf.not_before),
            not_after: instant::rfc3339(&svid.leaf.not_after),
            configuration: Configuration { identity },
        }
    }
}

impl Show for EnrolledView {
    /// The whole of it is YAML that the agent takes, so that it can be appended to a file.
    fn text(&self, _style: Style) -> String {
        let words = serde_norway::to_string(&self.configuration).unwrap_or_default();
        let Self { spiffe_id, serial, not_after, configuration, .. } = self;
        let mut text =
            format!("# {spiffe_id}, serial {serial}, until {not_after}; the node renews it by itself.\n");
        if configuration.identity.upstream.grpc.address == UNKNOWN_ADDRESS {
            text.push_str("# AUTHORITY stands for where this agent listens.\n");
        }
        plain_lines(&(text + &words))
    }
}
