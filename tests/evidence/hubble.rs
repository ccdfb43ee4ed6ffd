//! The Hubble API of a running agent, asked by a client that was made from Hubble's own words.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use enforcer_proto::hubble::flow::{DropReason, Flow, FlowFilter, Verdict};
use enforcer_proto::hubble::observer::observer_client::ObserverClient;
use enforcer_proto::hubble::observer::{
    GetFlowsRequest, GetNamespacesRequest, GetNodesRequest, ServerStatusRequest, get_flows_response,
};
use enforcer_proto::hubble::peer::NotifyRequest;
use enforcer_proto::hubble::peer::peer_client::PeerClient;
use enforcer_tests::runner::Case;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::UnixStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::site::{INTRUDER, NODE, OWNER, Site};

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "hubble::a_refused_flow_is_seen_with_its_reason_and_its_rule", reasons: &[], run: refused },
    Case { name: "hubble::filters_select_and_unknown_ones_are_errors", reasons: &[], run: filters },
    Case { name: "hubble::status_nodes_namespaces_and_peers_are_real", reasons: &[], run: around },
];

fn socket(site: &Site) -> Result<PathBuf> {
    Ok(site.lab().node(NODE)?.dir.join("hubble.sock"))
}

/// Starts over with the API on a socket.
fn serve(site: &mut Site) -> Result<()> {
    let config = site.config()?.with("hubble", json!({ "socket": socket(site)? }));
    site.again(&config)?;
    site.intrude()?;
    site.stored(&["--tenant", "t2", "--verdict", "deny"], 2)?;
    let outcome = site.dial("n1-t1-p1", "n1-t3-p1")?;
    ensure!(outcome.to_string() == "ok", "{outcome}");
    site.stored(&["--workload", "n1-t3-p1", "--verdict", "allow"], 1)?;
    Ok(())
}

fn block<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

async fn channel(path: PathBuf) -> Result<Channel> {
    let connector = tower::service_fn(move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    Ok(Endpoint::from_static("http://localhost").connect_with_connector(connector).await?)
}

/// The flows that answer a request.
fn flows(site: &Site, request: GetFlowsRequest) -> Result<Vec<Flow>> {
    let path = socket(site)?;
    block(async move {
        let mut client = ObserverClient::new(channel(path).await?);
        let mut stream = client.get_flows(request).await?.into_inner();
        let mut found = Vec::new();
        while let Some(response) = stream.message().await? {
            if let Some(get_flows_response::ResponseTypes::Flow(flow)) = response.response_types {
                found.push(flow);
            }
        }
        Ok(found)
    })
}

fn all(filter: FlowFilter) -> GetFlowsRequest {
    GetFlowsRequest { number: 1_000, whitelist: vec![filter], ..GetFlowsRequest::default() }
}

fn refused(site: &mut Site) -> Result<()> {
    serve(site)?;
    let dropped =
        flows(site, all(FlowFilter { verdict: vec![Verdict::Dropped.into()], ..FlowFilter::default() }))?;
    let to = site.address(OWNER)?;
    let flow = dropped
        .iter()
        .find(|flow| flow.ip.as_ref().is_some_and(|ip| ip.destination == to.ip().to_string()))
        .with_context(|| format!("{dropped:#?}"))?;
    ensure!(flow.drop_reason_desc == i32::from(DropReason::PolicyDenied), "{flow:#?}");
    ensure!(flow.node_name.contains(NODE) && !flow.uuid.is_empty() && flow.time.is_some(), "{flow:#?}");
    let (source, destination) =
        (flow.source.as_ref().context("no source")?, flow.destination.as_ref().context("no end")?);
    ensure!(source.pod_name == INTRUDER && destination.pod_name == OWNER, "{flow:#?}");
    ensure!(source.labels.iter().any(|label| label.ends_with("tenant=t2")), "{flow:#?}");
    Ok(())
}

fn filters(site: &mut Site) -> Result<()> {
    serve(site)?;
    let from = |pod: &str| FlowFilter { source_pod: vec![pod.to_owned()], ..FlowFilter::default() };
    let of = |flows: &[Flow]| -> BTreeSet<String> {
        flows.iter().filter_map(|flow| Some(flow.source.as_ref()?.pod_name.clone())).collect()
    };
    let namespace = enforcer_lab::policy::NAMESPACE;
    let found = flows(site, all(from(&format!("{namespace}/{INTRUDER}"))))?;
    ensure!(of(&found) == BTreeSet::from([INTRUDER.to_owned()]), "{:?}", of(&found));
    let without = GetFlowsRequest {
        number: 1_000,
        blacklist: vec![from(&format!("{namespace}/{INTRUDER}"))],
        ..GetFlowsRequest::default()
    };
    let found = flows(site, without)?;
    ensure!(!found.is_empty() && !of(&found).contains(INTRUDER), "{:?}", of(&found));
    for request in [
        all(FlowFilter { http_path: vec!["/x".to_owned()], ..FlowFilter::default() }),
        all(FlowFilter { source_fqdn: vec!["a.example".to_owned()], ..FlowFilter::default() }),
        all(FlowFilter { source_ip: vec!["10.0.0.0/99".to_owned()], ..FlowFilter::default() }),
        GetFlowsRequest { first: true, follow: true, number: 5, ..GetFlowsRequest::default() },
    ] {
        let error = flows(site, request.clone()).err().with_context(|| format!("taken: {request:?}"))?;
        let status = error.downcast_ref::<tonic::Status>().with_context(|| format!("{error:#}"))?;
        ensure!(status.code() == Code::InvalidArgument, "{request:?}: {status}");
    }
    Ok(())
}

fn around(site: &mut Site) -> Result<()> {
    serve(site)?;
    let path = socket(site)?;
    block(async move {
        let channel = channel(path).await?;
        let mut client = ObserverClient::new(channel.clone());
        let status = client.server_status(ServerStatusRequest::default()).await?.into_inner();
        ensure!(
            status.num_flows > 0 && status.seen_flows >= status.num_flows && status.uptime_ns > 0,
            "{status:?}"
        );
        let nodes = client.get_nodes(GetNodesRequest::default()).await?.into_inner().nodes;
        ensure!(nodes.iter().any(|node| node.name.contains(NODE)), "{nodes:?}");
        let namespaces =
            client.get_namespaces(GetNamespacesRequest::default()).await?.into_inner().namespaces;
        let known = namespaces.iter().any(|one| one.namespace == enforcer_lab::policy::NAMESPACE);
        ensure!(known, "{namespaces:?}");
        let mut peers = PeerClient::new(channel).notify(NotifyRequest::default()).await?.into_inner();
        let first = peers.message().await?.context("no peer")?;
        ensure!(first.name.ends_with(NODE), "{first:?}");
        Ok(())
    })
}
