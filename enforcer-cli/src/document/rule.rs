//! `kind: Rule`, and the parts that it shares with other documents.

use enforcer_proto::v1;
use serde::Serialize;

use super::words;
use crate::failure::Failure;

/// The `spec` of a rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RuleSpec {
    #[serde(with = "serde_norway::with::singleton_map")]
    pub(crate) from: PeerSpec,
    #[serde(with = "serde_norway::with::singleton_map")]
    pub(crate) to: PeerSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ports: Option<Vec<PortSpec>>,
    pub(crate) action: &'static str,
    pub(crate) mode: &'static str,
    pub(crate) mtls_required: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) mtls_always: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) carried_by: Vec<String>,
}

/// One side of a rule: an object with exactly one field.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum PeerSpec {
    Tenant(String),
    Host(Everything),
    RemoteNode(Everything),
    World(Everything),
    IpBlock(BlockSpec),
}

/// `{}`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Everything {}

/// A prefix less some longer ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct BlockSpec {
    pub(crate) cidr: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) except: Vec<String>,
}

/// Services of a protocol.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PortSpec {
    pub(crate) protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end_port: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) icmp_type: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) icmp_code: Option<u32>,
}

impl TryFrom<v1::Rule> for RuleSpec {
    type Error = Failure;

    fn try_from(rule: v1::Rule) -> Result<Self, Failure> {
        let v1::Rule { name: _, from, to, ports: list, action, mode, mtls_required, carried_by, mtls_always } =
            rule;
        Ok(Self {
            from: peer(from, "from")?,
            to: peer(to, "to")?,
            ports: ports(list)?,
            action: words::action(action)?,
            mode: words::mode(mode)?,
            mtls_required,
            mtls_always,
            carried_by,
        })
    }
}

fn peer(peer: Option<v1::Peer>, field: &'static str) -> Result<PeerSpec, Failure> {
    use v1::peer::Who;
    let who = peer.and_then(|peer| peer.who).ok_or_else(|| words::missing(field))?;
    Ok(match who {
        Who::Tenant(name) => PeerSpec::Tenant(name),
        Who::Host(v1::Everything {}) => PeerSpec::Host(Everything {}),
        Who::RemoteNode(v1::Everything {}) => PeerSpec::RemoteNode(Everything {}),
        Who::World(v1::Everything {}) => PeerSpec::World(Everything {}),
        Who::IpBlock(block) => PeerSpec::IpBlock(BlockSpec::from(block)),
    })
}

impl From<v1::IpBlock> for BlockSpec {
    fn from(block: v1::IpBlock) -> Self {
        let v1::IpBlock { cidr, except } = block;
        Self { cidr, except }
    }
}

/// Absent stays absent, which means every port.
pub(super) fn ports(list: Option<v1::PortList>) -> Result<Option<Vec<PortSpec>>, Failure> {
    list.map(|list| list.items.into_iter().map(PortSpec::try_from).collect()).transpose()
}

impl TryFrom<v1::Port> for PortSpec {
    type Error = Failure;

    fn try_from(port: v1::Port) -> Result<Self, Failure> {
        let v1::Port { protocol, port, end_port, icmp_type, icmp_code } = port;
        Ok(Self { protocol: words::protocol(protocol)?, port, end_port, icmp_type, icmp_code })
    }
}

impl RuleSpec {
    /// True when a side is this tenant, or it agreed.
    pub(super) fn names_tenant(&self, tenant: &str) -> bool {
        let is_side = |side: &PeerSpec| matches!(side, PeerSpec::Tenant(name) if name == tenant);
        is_side(&self.from) || is_side(&self.to) || self.carried_by.iter().any(|name| name == tenant)
    }
}

impl PeerSpec {
    /// One word for a table.
    pub(crate) fn brief(&self) -> String {
        match self {
            Self::Tenant(name) => name.clone(),
            Self::Host(_) => "(host)".to_owned(),
            Self::RemoteNode(_) => "(remote-node)".to_owned(),
            Self::World(_) => "(world)".to_owned(),
            Self::IpBlock(block) => block.brief(),
        }
    }
}

impl BlockSpec {
    /// One word for a table: exceptions behind a minus.
    pub(crate) fn brief(&self) -> String {
        let except: String = self.except.iter().map(|cidr| format!("-{cidr}")).collect();
        format!("{}{except}", self.cidr)
    }
}

impl PortSpec {
    /// `TCP/443`, `TCP/8000-8080`, `ICMP/8`, `ICMP/3.4`, `UDP`.
    pub(crate) fn brief(&self) -> String {
        let protocol = self.protocol;
        match (self.port, self.end_port, self.icmp_type, self.icmp_code) {
            (Some(first), Some(last), _, _) => format!("{protocol}/{first}-{last}"),
            (Some(port), None, _, _) => format!("{protocol}/{port}"),
            (None, _, Some(kind), Some(code)) => format!("{protocol}/{kind}.{code}"),
            (None, _, Some(kind), None) => format!("{protocol}/{kind}"),
            (None, _, None, _) => protocol.to_owned(),
        }
    }
}

/// A list for a table: `any` when it is absent.
pub(crate) fn ports_brief(ports: Option<&[PortSpec]>) -> String {
    match ports {
        None => "any".to_owned(),
        Some(ports) => ports.iter().map(PortSpec::brief).collect::<Vec<_>>().join(","),
    }
}
