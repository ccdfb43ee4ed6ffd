//! Envoy, as it is released: its certificates and what it trusts come by SDS over the workload socket.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use enforcer_lab::wait;
use enforcer_tests::runner::Case;
use serde_json::{Value, json};

use crate::client::Said;
use crate::heard::Heard;
use crate::outside::of_python;
use crate::site::{LIMIT, Site, domain_of};

pub(crate) const CASES: &[Case<Site>] = &[
    Case {
        name: "envoy::two_workloads_of_a_tenant_speak_and_another_tenant_is_refused",
        reasons: &[],
        run: tenants,
    },
    Case {
        name: "envoy::federated_tenants_speak_when_the_server_asks_for_all",
        reasons: &[],
        run: federated,
    },
    Case { name: "envoy::a_rotation_is_taken_without_a_restart", reasons: &[], run: rotation },
    Case { name: "envoy::outside_of_a_workload_it_is_given_nothing", reasons: &[], run: nobody },
];

/// Where a workload's Envoy takes requests of other workloads.
const TLS_PORT: u16 = 15443;
/// Where a workload's Envoy takes requests of its own workload.
const PLAIN_PORT: u16 = 15001;
const ADMIN_PORT: u16 = 15000;
/// What a server says.
const GREETING: &str = "hello from a workload";

/// An Envoy in a workload.
struct Envoy {
    process: Heard,
    at: String,
}

impl Envoy {
    /// A server that asks for a certificate which this validation context accepts.
    fn server(site: &Site, workload: &str, context: &str) -> Result<Self> {
        let tls = json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": true,
            "common_tls_context": common(context),
        });
        let answer = json!({
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "in",
                "http_filters": [{
                    "name": "envoy.filters.http.router",
                    "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
                }],
                "route_config": { "virtual_hosts": [{
                    "name": "all", "domains": ["*"],
                    "routes": [{
                        "match": { "prefix": "/" },
                        "direct_response": { "status": 200, "body": { "inline_string": GREETING } },
                    }],
                }] },
            },
        });
        let listener = json!({
            "name": "in",
            "address": address(Ipv4Addr::UNSPECIFIED, TLS_PORT),
            "filter_chains": [{ "filters": [answer], "transport_socket": transport(&tls) }],
        });
        Self::start(site, workload, &[listener], &[])
    }

    /// A client that carries its workload's connections to a server in another workload.
    fn client(site: &Site, workload: &str, to: &str, context: &str) -> Result<Self> {
        let to = site.workload(to)?.v4.context("a workload without an address")?;
        let tls = json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": common(context),
        });
        let carry = json!({
            "name": "envoy.filters.network.tcp_proxy",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": "out", "cluster": "peer",
            },
        });
        let listener = json!({
            "name": "out",
            "address": address(Ipv4Addr::LOCALHOST, PLAIN_PORT),
            "filter_chains": [{ "filters": [carry] }],
        });
        let mut peer = cluster("peer", &address(to, TLS_PORT));
        peer["transport_socket"] = transport(&tls);
        Self::start(site, workload, &[listener], &[peer])
    }

    fn start(site: &Site, place: &str, listeners: &[Value], clusters: &[Value]) -> Result<Self> {
        let dir = site.scratch(&format!("envoy-{place}"))?;
        let file = dir.join("envoy.json");
        fs::write(&file, serde_json::to_string_pretty(&bootstrap(site, place, listeners, clusters)?)?)?;
        let mut command = site.place(place)?.command(of_python("envoy")?)?;
        command.arg("--config-path").arg(&file).args(["--disable-hot-restart", "--concurrency", "1"]);
        command.stderr(File::create(dir.join("stderr"))?);
        let process = Heard::start(command, &format!("envoy in {place}"))?;
        let envoy = Self { process, at: place.to_owned() };
        wait::until_true(&format!("envoy in {place} listens"), LIMIT, || {
            ensure!(!envoy.process.has_ended(), "{}", tail(&dir));
            Ok(matches!(envoy.admin(site, "/ready")?, Said::Answer { .. }))
        })?;
        Ok(envoy)
    }

    fn admin(&self, site: &Site, path: &str) -> Result<Said> {
        get(site, &self.at, ADMIN_PORT, path)
    }

    /// Serial numbers of the certificates that it shows to others.
    fn serials(&self, site: &Site) -> Result<Vec<String>> {
        let Said::Answer { body, .. } = self.admin(site, "/certs")? else { return Ok(Vec::new()) };
        let said: Value = serde_json::from_str(&dechunked(&body)).with_context(|| body.clone())?;
        let shown = said["certificates"].as_array().into_iter().flatten().flat_map(|one| {
            one["cert_chain"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|shown| shown["serial_number"].as_str())
        });
        Ok(shown.map(|serial| serial.to_ascii_lowercase()).collect())
    }

    /// A request through it must be answered.
    fn answers(&self, site: &Site) -> Result<()> {
        let mut last = None;
        let waited = wait::until_true("a request through both Envoys is answered", LIMIT, || {
            let said = get(site, &self.at, PLAIN_PORT, "/")?;
            let is_right = matches!(&said, Said::Answer { status: 200, body } if body.contains(GREETING));
            last = Some(said);
            Ok(is_right)
        });
        waited.with_context(|| format!("{}: {last:?}", self.at))
    }
}

fn get(site: &Site, place: &str, port: u16, path: &str) -> Result<Said> {
    let to = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port).to_string();
    site.client(place)?.ask(&["get", &to, path])
}

/// The last lines of what it logged.
fn tail(dir: &Path) -> String {
    let log = fs::read_to_string(dir.join("stderr")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join("\n")
}

/// A body that was sent in chunks (RFC 9112, 7.1), put together.
fn dechunked(body: &str) -> String {
    let mut whole = String::new();
    let mut rest = body;
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { return body.to_owned() };
        let Some((chunk, next)) = after.split_at_checked(size) else { return body.to_owned() };
        whole.push_str(chunk);
        rest = next.trim_start_matches("\r\n");
    }
    if whole.is_empty() { body.to_owned() } else { whole }
}

fn address(ip: Ipv4Addr, port: u16) -> Value {
    json!({ "socket_address": { "address": ip.to_string(), "port_value": port } })
}

fn cluster(name: &str, address: &Value) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
        },
    })
}

fn transport(tls: &Value) -> Value {
    json!({ "name": "envoy.transport_sockets.tls", "typed_config": tls })
}

/// Its own certificate, and whom it believes: both by name, from the workload socket.
fn common(context: &str) -> Value {
    json!({
        "tls_certificate_sds_secret_configs": [by_sds("default")],
        "validation_context_sds_secret_config": by_sds(context),
    })
}

fn by_sds(name: &str) -> Value {
    json!({
        "name": name,
        "sds_config": {
            "resource_api_version": "V3",
            "api_config_source": {
                "api_type": "GRPC", "transport_api_version": "V3",
                "grpc_services": [{ "envoy_grpc": { "cluster_name": "workload_api" } }],
            },
        },
    })
}

fn bootstrap(site: &Site, place: &str, listeners: &[Value], clusters: &[Value]) -> Result<Value> {
    let mut api = cluster("workload_api", &json!({ "pipe": { "path": site.socket(place)? } }));
    api["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": {} },
        },
    });
    let clusters = [clusters, &[api]].concat();
    Ok(json!({
        "node": { "id": place, "cluster": "lab" },
        "admin": { "address": address(Ipv4Addr::LOCALHOST, ADMIN_PORT) },
        "static_resources": { "listeners": listeners, "clusters": clusters },
    }))
}

/// The wall lets t1 and t2 reach t1's server; which of them is answered is then decided by certificates.
fn tenants(site: &mut Site) -> Result<()> {
    let own = format!("spiffe://{}", domain_of("t1"));
    let _server = Envoy::server(site, "n1-t1-p2", &own)?;
    let friend = Envoy::client(site, "n1-t1-p1", "n1-t1-p2", "ROOTCA")?;
    friend.answers(site)?;
    site.apply(&site.policy().with_rule("meet", "t2", "t1", "allow", &Value::Null))?;
    // t2 trusts t1's server, which it may by the rule; the server trusts its own trust domain alone.
    let stranger = Envoy::client(site, "n1-t2-p1", "n1-t1-p2", &own)?;
    is_refused(site, &stranger)?;
    friend.answers(site)
}

/// Until its handshakes have failed, and never an answer.
fn is_refused(site: &Site, client: &Envoy) -> Result<()> {
    wait::until_true("a handshake has failed", LIMIT, || {
        let said = get(site, &client.at, PLAIN_PORT, "/")?;
        if let Said::Answer { status, body } = said {
            bail!("{} was answered: {status} {body}", client.at);
        }
        let Said::Answer { body, .. } = client.admin(site, "/stats?filter=cluster.peer.ssl")? else {
            return Ok(false);
        };
        let body = dechunked(&body);
        let count = |name: &str| {
            let line = body.lines().find_map(|line| line.strip_prefix(&format!("cluster.peer.{name}: ")));
            line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or_default()
        };
        // TLS 1.3: the server's refusal comes after the client's end of the handshake; the client's own has names.
        let names = ["connection_error", "handshake", "fail_verify_error", "fail_verify_san"];
        Ok(names.iter().map(|name| count(&format!("ssl.{name}"))).sum::<u64>() > 0)
    })
}

/// `ALL` brings each trust domain's authorities for its own members.
fn federated(site: &mut Site) -> Result<()> {
    site.apply(&site.policy().with_rule("meet", "t2", "t1", "allow", &Value::Null))?;
    let _server = Envoy::server(site, "n1-t1-p2", "ALL")?;
    let friend = Envoy::client(site, "n1-t1-p1", "n1-t1-p2", "ROOTCA")?;
    friend.answers(site)?;
    let federated = Envoy::client(site, "n1-t2-p1", "n1-t1-p2", &format!("spiffe://{}", domain_of("t1")))?;
    federated.answers(site)?;
    // Who trusts itself alone does not believe a server of t1's.
    drop(federated);
    let wary = Envoy::client(site, "n1-t2-p1", "n1-t1-p2", "ROOTCA")?;
    is_refused(site, &wary)?;
    friend.answers(site)
}

fn rotation(site: &mut Site) -> Result<()> {
    let server = Envoy::server(site, "n1-t1-p2", "ROOTCA")?;
    let client = Envoy::client(site, "n1-t1-p1", "n1-t1-p2", "ROOTCA")?;
    client.answers(site)?;
    let serials = site.serials("n1")?;
    let known = serials.get("n1-t1-p2").context("no serial number")?;
    let shows = |serial: &str| {
        wait::until_true(&format!("envoy shows {serial}"), LIMIT, || {
            Ok(server
                .serials(site)?
                .iter()
                .any(|shown| shown.trim_start_matches('0') == serial.trim_start_matches('0')))
        })
    };
    shows(known)?;
    site.ctl("n1")?.run(&["identity", "rotate", "n1-t1-p2"], "")?;
    let listed =
        site.listed("n1-t1-p2", "rotated", |one| one["serial"] != known.as_str() && one["state"] == "valid")?;
    shows(listed["serial"].as_str().context("no serial number")?)?;
    client.answers(site)?;
    ensure!(!server.process.has_ended() && !client.process.has_ended(), "an Envoy has ended");
    Ok(())
}

/// On the node's own network, in no workload: no certificate comes, so nothing is shown.
fn nobody(site: &mut Site) -> Result<()> {
    let own = Envoy::server(site, "n1-t1-p2", "ROOTCA")?;
    wait::until_true("in a workload it has a certificate", LIMIT, || Ok(!own.serials(site)?.is_empty()))?;
    let tls = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": common("ROOTCA"),
    });
    let mut peer = cluster("peer", &address(Ipv4Addr::LOCALHOST, TLS_PORT));
    peer["transport_socket"] = transport(&tls);
    let envoy = Envoy::start(site, "n1", &[], &[peer])?;
    wait::until_true("its request for secrets was refused", LIMIT, || {
        let Said::Answer { body, .. } = envoy.admin(site, "/stats?filter=workload_api.upstream_rq_total")?
        else {
            return Ok(false);
        };
        Ok(dechunked(&body)
            .lines()
            .any(|line| line.contains("workload_api.upstream_rq_total") && !line.ends_with(": 0")))
    })?;
    ensure!(envoy.serials(site)?.is_empty(), "outside of a workload it has {:?}", envoy.serials(site)?);
    Ok(())
}
