//! HBONE with somebody else's HTTP/2 and TLS: Envoy, as it is released, at either end.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result, ensure};
use enforcer_lab::enter::Place;
use enforcer_lab::wait;
use enforcer_tests::runner::Case;
use serde_json::{Value, json};

use crate::pair::{ends, says};
use crate::site::{LIMIT, PORT, Site, TUNNEL_PORT, accept};

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "foreign::envoy_carries_to_a_workload_of_ours", reasons: &[], run: client },
    Case { name: "foreign::a_workload_of_ours_is_carried_to_envoy", reasons: &[], run: server },
];

/// Where `cargo xtask setup` installs it.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/python/bin/envoy");
const TYPES: &str = "type.googleapis.com/envoy.extensions";
/// Where Envoy takes connections that it is to carry.
const ENTRY: u16 = 16_001;

/// An Envoy that runs until it is dropped.
struct Envoy {
    child: Child,
    log: PathBuf,
}

impl Envoy {
    fn start(site: &Site, place: &Place, listener: &Value, cluster: &Value) -> Result<Self> {
        ensure!(Path::new(PROGRAM).exists(), "{PROGRAM} is not there: run `cargo xtask setup`");
        let dir = site.scratch("envoy")?;
        let (file, log) = (dir.join("envoy.json"), dir.join("envoy.log"));
        let words = json!({
            "node": { "id": "envoy", "cluster": "lab" },
            "static_resources": { "listeners": [listener], "clusters": [cluster] },
        });
        fs::write(&file, serde_json::to_string_pretty(&words)?)?;
        let mut command = place.command(PROGRAM)?;
        command.arg("--config-path").arg(&file).args(["--disable-hot-restart", "--concurrency", "1"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        Ok(Self { child: command.spawn().context("envoy")?, log })
    }

    fn is_up(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        let log = || fs::read_to_string(&self.log).unwrap_or_default();
        ensure!(ended.is_none(), "envoy ended: {ended:?}\n{}", log());
        Ok(())
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn address(at: SocketAddr) -> Value {
    json!({ "socket_address": { "address": at.ip().to_string(), "port_value": at.port() } })
}

fn cluster(to: SocketAddr) -> Value {
    json!({
        "name": "next",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": "next",
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(to) } }] }],
        },
    })
}

/// A workload's certificate, and belief in whom another workload's bundle names.
fn transport(context: &str, own: &Path, trusted: &Path) -> Value {
    let file = |path: PathBuf| json!({ "filename": path });
    let mut words = json!({
        "@type": format!("{TYPES}.transport_sockets.tls.v3.{context}"),
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_params": { "tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3" },
            "tls_certificates": [{
                "certificate_chain": file(own.join("svid.pem")),
                "private_key": file(own.join("svid_key.pem")),
            }],
            "validation_context": { "trusted_ca": file(trusted.join("bundle.pem")) },
        },
    });
    if context == "DownstreamTlsContext" {
        words["require_client_certificate"] = json!(true);
    }
    json!({ "name": "envoy.transport_sockets.tls", "typed_config": words })
}

/// Envoy in t1's workload, which dials the end of t2's.
fn client(site: &mut Site) -> Result<()> {
    let (from, to) = ("n1-t1-p1", "n2-t2-p1");
    site.apply(&site.carried())?;
    let carry = json!({
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": format!("{TYPES}.filters.network.tcp_proxy.v3.TcpProxy"),
            "stat_prefix": "out",
            "cluster": "next",
            "tunneling_config": { "hostname": site.at(to, false, PORT)?.to_string() },
        },
    });
    let entry = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), ENTRY);
    let listener =
        json!({ "name": "out", "address": address(entry), "filter_chains": [{ "filters": [carry] }] });
    let mut next = cluster(site.at(to, false, TUNNEL_PORT)?);
    next["transport_socket"] = transport("UpstreamTlsContext", &site.fetch(from)?, &site.fetch(to)?);
    next["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": format!("{TYPES}.upstreams.http.v3.HttpProtocolOptions"),
            "explicit_http_config": { "http2_protocol_options": {} },
        },
    });
    let mut envoy = Envoy::start(site, &site.place(from)?, &listener, &next)?;
    let server = site.listen(to, false, PORT)?;
    let mark = site.mark(to)?;
    let mut dialled = dial_until_up(site, from, entry, &mut envoy)?;
    let (mut accepted, seen) = accept(&server)?;
    ensure!(seen.ip() == site.address(from, false)?, "the server sees {seen}");
    says(&mut dialled, &mut accepted, b"through Envoy, and to us")?;
    says(&mut accepted, &mut dialled, b"and back again")?;
    dialled.shutdown(std::net::Shutdown::Write)?;
    ends(&mut accepted)?;
    drop(accepted);
    ends(&mut dialled)?;
    let record = site.told(&mark, "closed", |record| record["tunnel"]["hop"] == "hbone")?;
    ensure!(record["tunnel"]["source"]["spiffeId"] == site.id(from)?, "{record}");
    envoy.is_up()
}

fn dial_until_up(site: &Site, from: &str, entry: SocketAddr, envoy: &mut Envoy) -> Result<TcpStream> {
    wait::until("envoy takes connections", LIMIT, || {
        envoy.is_up()?;
        match site.dial(from, entry)? {
            Ok(stream) => Ok(Some(stream)),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
            Err(error) => Err(error.into()),
        }
    })
}

/// Envoy where the agent's end would be; our agent speaks the hop that Envoy knows.
fn server(site: &mut Site) -> Result<()> {
    let (from, to) = ("n1-t1-p1", "n2-t2-p1");
    site.expect_errors();
    site.apply(&site.carried())?;
    let (own, other) = (site.fetch(to)?, site.fetch(from)?);
    site.lab_mut().take_agent("n2")?.kill()?;
    let connect = json!({ "upgrade_type": "CONNECT", "connect_config": {} });
    let manager = json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": format!("{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": "in",
            "http2_protocol_options": { "allow_connect": true },
            "upgrade_configs": [{ "upgrade_type": "CONNECT" }],
            "http_filters": [{
                "name": "envoy.filters.http.router",
                "typed_config": { "@type": format!("{TYPES}.filters.http.router.v3.Router") },
            }],
            "route_config": { "virtual_hosts": [{
                "name": "all", "domains": ["*"],
                "routes": [{
                    "match": { "connect_matcher": {} },
                    "route": { "cluster": "next", "upgrade_configs": [connect] },
                }],
            }] },
        },
    });
    let end = SocketAddr::new(site.address(to, false)?, TUNNEL_PORT);
    let listener = json!({
        "name": "in",
        "address": address(end),
        "filter_chains": [{
            "filters": [manager],
            "transport_socket": transport("DownstreamTlsContext", &own, &other),
        }],
    });
    let app = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT);
    let mut envoy = Envoy::start(site, &site.outside(to)?, &listener, &cluster(app))?;
    let behind = site.listen(to, false, PORT)?;
    let mark = site.mark(from)?;
    let (mut dialled, mut accepted) = wait::until("a connection is carried to Envoy", LIMIT, || {
        envoy.is_up()?;
        let Ok(dialled) = site.dial(from, site.at(to, false, PORT)?)? else { return Ok(None) };
        let accepted = crate::site::accept_within(&behind, std::time::Duration::from_millis(500));
        Ok(accepted.ok().map(|(accepted, _)| (dialled, accepted)))
    })?;
    says(&mut dialled, &mut accepted, b"through us, and to Envoy")?;
    says(&mut accepted, &mut dialled, b"and back again")?;
    accepted.shutdown(std::net::Shutdown::Write)?;
    ends(&mut dialled)?;
    drop(dialled);
    ends(&mut accepted)?;
    let record = site.told(&mark, "closed", |record| record["tunnel"]["hop"] == "hbone")?;
    ensure!(record["tunnel"]["destination"]["spiffeId"] == site.id(to)?, "{record}");
    drop(envoy);
    site.start("n2")
}
