//! Envoy in front of both workloads: plain TCP to it, TLS 1.3 with certificates of both ends between the two.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::thread::available_parallelism;

use anyhow::{Result, ensure};
use enforcer_lab::enter::Place;
use serde_json::{Value, json};

use super::mover::Proxy;
use super::papers::Papers;

/// Where `cargo xtask setup` installs it.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/python/bin/envoy");
const TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";

/// The one that a client dials.
pub(super) fn client(place: &Place, papers: &Papers, at: SocketAddr, to: SocketAddr) -> Result<Proxy> {
    let listener = listener(at);
    let mut cluster = cluster(to);
    cluster["transport_socket"] = transport("UpstreamTlsContext", json!({}), papers, "client");
    start(place, papers, "client", &listener, &cluster)
}

/// The one that dials the server.
pub(super) fn server(place: &Place, papers: &Papers, at: SocketAddr, to: SocketAddr) -> Result<Proxy> {
    let mut listener = listener(at);
    let more = json!({ "require_client_certificate": true });
    listener["filter_chains"][0]["transport_socket"] =
        transport("DownstreamTlsContext", more, papers, "server");
    start(place, papers, "server", &listener, &cluster(to))
}

fn listener(at: SocketAddr) -> Value {
    let carry = json!({
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "carry", "cluster": "next",
        },
    });
    json!({ "name": "carry", "address": address(at), "filter_chains": [{ "filters": [carry] }] })
}

fn cluster(to: SocketAddr) -> Value {
    json!({
        "name": "next",
        "type": "STATIC",
        "connect_timeout": "10s",
        // The default bounds are for clusters that others share.
        "circuit_breakers": { "thresholds": [{ "max_connections": 100_000, "max_pending_requests": 100_000 }] },
        "load_assignment": {
            "cluster_name": "next",
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(to) } }] }],
        },
    })
}

fn address(at: SocketAddr) -> Value {
    json!({ "socket_address": { "address": at.ip().to_string(), "port_value": at.port() } })
}

fn transport(context: &str, mut words: Value, papers: &Papers, name: &str) -> Value {
    let file = |name: String| json!({ "filename": papers.file(&name) });
    let chain = file(format!("{name}.pem"));
    let key = file(format!("{name}_key.pem"));
    words["@type"] = json!(format!("{TLS}.{context}"));
    words["common_tls_context"] = json!({
        "tls_params": { "tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3" },
        "tls_certificates": [{ "certificate_chain": chain, "private_key": key }],
        "validation_context": { "trusted_ca": file("ca.pem".to_owned()) },
    });
    json!({ "name": "envoy.transport_sockets.tls", "typed_config": words })
}

fn start(place: &Place, papers: &Papers, name: &str, listener: &Value, cluster: &Value) -> Result<Proxy> {
    ensure!(Path::new(PROGRAM).exists(), "{PROGRAM} is not there: run `cargo xtask setup`");
    let words = json!({
        "node": { "id": name, "cluster": "bench" },
        "static_resources": { "listeners": [listener], "clusters": [cluster] },
    });
    let file = papers.dir().join(format!("envoy-{name}.json"));
    fs::write(&file, serde_json::to_string_pretty(&words)?)?;
    let log_file = papers.path(&format!("envoy-{name}.log"));
    let log = File::create(&log_file)?;
    let mut command = place.command(PROGRAM)?;
    command.arg("--config-path").arg(&file).args(["--disable-hot-restart", "--log-level", "error"]);
    command.args(["--concurrency", &available_parallelism()?.to_string()]);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Proxy::start(&mut command, log_file)
}
